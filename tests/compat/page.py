"""docs/compatibility.md: what was tried with which client, and what came of it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from importlib.metadata import version
from pathlib import Path

from tests.compat.roster import ROOT
from tests.compat.running import Outcome

PAGE = ROOT / "docs" / "compatibility.md"
_GENUINE, _SCRIPTED = "llama.cpp", "scripted"
_SUITE = "langchain-tests"
_TEMPLATE = Path(__file__).with_name("page.md")


def page(outcomes: Sequence[Outcome]) -> str:
    """Write the page."""
    exercised = "\n".join(
        f"- **{outcome.client.name}**: {_exercised(outcome)}" for outcome in outcomes
    )
    return _TEMPLATE.read_text(encoding="utf-8").format(
        llama=version("xllamacpp"), table="\n".join(table(outcomes)), exercised=exercised
    )


def table(outcomes: Iterable[Outcome]) -> list[str]:
    """Return the lines of the table."""
    lines = [
        "| client | version | on llama.cpp | on the scripted model | violations | result |",
        "|---|---|---|---|---|---|",
    ]
    for outcome in outcomes:
        cells = (
            outcome.client.name,
            outcome.client.version,
            _count(outcome, _GENUINE),
            _count(outcome, _SCRIPTED),
            str(len(outcome.verdict.violations)),
            _result(outcome),
        )
        lines.append(f"| {' | '.join(cells)} |")
    return lines


def _count(outcome: Outcome, backend: str) -> str:
    cases = [case for case in outcome.cases if case.backend == backend]
    passed = sum(not case.error for case in cases)
    return f"{passed} of {len(cases)}" if cases else "–"


def _result(outcome: Outcome) -> str:
    if outcome.trouble:
        return "ended badly"
    failed = [case.what for case in outcome.cases if case.error]
    if failed:
        return f"fails: {'; '.join(failed)}"
    return "violations" if outcome.verdict.violations else "works"


def _exercised(outcome: Outcome) -> str:
    if outcome.client.package == _SUITE:
        return "`ChatModelIntegrationTests` on both models, `EmbeddingsIntegrationTests`"
    return "; ".join(case.what for case in outcome.cases)
