"""A plugin of pytest that tells how each test of a foreign suite went, as `cases` does."""

from __future__ import annotations

import cases


def pytest_runtest_logreport(report):
    """Report a test that passed or failed; what a suite leaves out is no case."""
    if report.skipped or (report.passed and report.when != "call"):
        return
    _, suite, test = report.nodeid.split("::")
    backend = cases.SCRIPTED_BACKEND if suite == "TestScripted" else cases.GENUINE_BACKEND
    cases.report(f"{suite}: {test}", backend, report.longreprtext, report.duration)


def pytest_report_teststatus(report):
    """Keep dots and letters out of the lines of JSON."""
    return report.outcome, "", ""
