"""`lair stats`, against a scripted gateway."""

from __future__ import annotations

import json
from datetime import date, timedelta
from urllib.parse import parse_qs, urlsplit

import pytest

from tests.launcher.scripted_gateway import ScriptedGateway
from tests.launcher.support import Ended, Lair
from tests.launcher.usages import activity, comparison, dashboard, savings, share, tokens


def script(gateway: ScriptedGateway, *reports: object) -> None:
    """Answer the three reports, in the order they are asked for."""
    gateway.answer_first(*(reports or (dashboard(), activity(), savings())))


def shown(lair: Lair, gateway: ScriptedGateway, *reports: object) -> Ended:
    script(gateway, *reports)
    ended = lair("stats")
    assert (ended.code, ended.err) == (0, "")
    return ended


def asked(gateway: ScriptedGateway) -> dict[str, list[str]]:
    """Return the query that all three reports were asked with."""
    paths = [urlsplit(path) for path, _, _ in gateway.asked]
    assert [path.path for path in paths] == [
        f"/metrics/{name}" for name in ("dashboard", "activity", "savings")
    ]
    [query] = {path.query for path in paths}
    return parse_qs(query)


@pytest.mark.parametrize(
    ("options", "first", "last"),
    [
        (("--year", "2025"), "2025-01-01", "2025-12-31"),
        (("--from", "2026-01-05", "--to", "2026-02-01"), "2026-01-05", "2026-02-01"),
        (("--to", "2026-02-07", "--days", "7"), "2026-02-01", "2026-02-07"),
        (("--to", "2024-12-31"), "2024-01-02", "2024-12-31"),
    ],
)
def test_days_are_asked_for_as_they_were_typed(
    lair: Lair, gateway: ScriptedGateway, options: tuple[str, ...], first: str, last: str
) -> None:
    script(gateway)
    assert lair("stats", *options).code == 0
    assert asked(gateway) == {"from": [first], "to": [last]}


def test_without_days_it_is_the_year_until_today_where_the_days_are(
    lair: Lair, gateway: ScriptedGateway
) -> None:
    script(gateway)
    lair("stats", "--tz", "Asia/Kathmandu", "--project", "a&b", "--user", "ana")
    query = asked(gateway)
    first, last = (date.fromisoformat(query[name][0]) for name in ("from", "to"))
    assert (last - first).days == 364
    assert abs(last - date.today()) <= timedelta(days=1)  # noqa: DTZ011  # any zone will do
    assert (query["tz"], query["project"], query["user_id"]) == (
        ["Asia/Kathmandu"],
        ["a&b"],
        ["ana"],
    )


@pytest.mark.parametrize(
    "options",
    [
        ("--year", "2025", "--days", "3"),
        ("--from", "2026-01-01", "--days", "3"),
        ("--from", "2026-01-02", "--to", "2026-01-01"),
        ("--tz", "Mars/Olympus"),
    ],
)
def test_days_that_contradict_each_other_are_not_asked_for(
    lair: Lair, gateway: ScriptedGateway, options: tuple[str, ...]
) -> None:
    ended = lair("stats", *options)
    assert ended.code == 2
    assert gateway.asked == []


def test_json_is_lairs_own_reports_and_the_days(lair: Lair, gateway: ScriptedGateway) -> None:
    script(gateway)
    ended = lair("stats", "--json", "--year", "2026")
    assert json.loads(ended.out) == {
        "from": "2026-01-01",
        "to": "2026-12-31",
        "dashboard": dashboard(),
        "activity": activity(),
        "savings": savings(),
    }


def test_figures_come_with_what_they_are_compared_to(lair: Lair, gateway: ScriptedGateway) -> None:
    out = shown(lair, gateway).out
    lines = [" ".join(line.split()) for line in out.splitlines()]
    assert lines[0] == "lair 2026-01-01 to 2026-02-09 · Europe/Berlin"
    for line in (
        "requests 1,234 +23% to the same time before",
        "answered 98.0% 20 upstream error, 10 client cancelled, 4 timeout",
        "tokens 1.2M -50% to the same time before",
        "1.0M read (400k cached), 235k written",
        "97.0% of answers told theirs, the rest is estimated or unknown",
        "active 4 of 38 days, most on 2026-01-04 with 12 requests, best weekday Saturday",
        "streak longest 3 days (2026-01-03 to 2026-01-05)",
        "current none",
        "said 60 messages, 1 conversation, 4 sessions, 2 projects",
        "cost $1.50 3 requests without a price",
        "below list $1.25 against list prices (90.0% of remote requests compared)",
        "saved $3.20 against the same models sold (90.0% of local requests compared)",
        "-$0.25 against the paid model instead (100% of local requests compared)",
        "less electricity, as configured",
    ):
        assert line in lines


def test_the_chart_has_a_row_for_each_weekday_and_a_glyph_for_each_level(
    lair: Lair, gateway: ScriptedGateway
) -> None:
    lines = shown(lair, gateway).out.splitlines()
    begin = next(number for number, line in enumerate(lines) if "Jan" in line)
    assert lines[begin].split() == ["2026", "Jan", "Feb"]
    # 1 January 2026 was a Thursday. The first two days have no data; idle ones are dots.
    rows = [line[7:].rstrip() for line in lines[begin + 1 : begin + 8]]
    assert rows == [
        "  ▒▒··········",
        *["  ··········"] * 4,
        "░░▓▓········",
        "██··········",
    ]
    assert lines[begin + 9].split() == ["less", "··", "░░", "▒▒", "▓▓", "██", "more"]


def test_the_largest_come_first_and_the_rest_is_counted(
    lair: Lair, gateway: ScriptedGateway
) -> None:
    models = [share(f"m{n}", 10, 0.125) for n in range(7)]
    models[0] |= {"name": "evil\x1b[2J", "ratio": 0.5, "cost_usd": None}
    lines = shown(lair, gateway, dashboard(models=models), activity(), savings()).out.splitlines()
    assert "\x1b" not in "".join(lines)
    [worst] = [line for line in lines if "evil[2J" in line]
    assert worst.split() == ["evil[2J", "10", "50.0%", "██████", "10.0k", "unknown"]
    assert not any("m5" in line for line in lines)
    assert "  and 2 more" in lines


def test_nothing_to_compare_with_is_said(lair: Lair, gateway: ScriptedGateway) -> None:
    nothing = savings(same_model=comparison(None, 0), replacement=comparison(None, 0))
    out = shown(lair, gateway, dashboard(cost_usd=None, unpriced=0), activity(), nothing).out
    assert "nothing to compare local models with" in out
    assert "electricity" not in out
    assert "unknown" in out


def test_without_local_models_nothing_is_said_of_savings(
    lair: Lair, gateway: ScriptedGateway
) -> None:
    nothing = savings(requests=0, below_list=0.0)
    out = shown(lair, gateway, dashboard(before=None), activity(), nothing).out
    assert "list" not in out
    assert "saved" not in out
    assert "same time before" not in out


def test_a_time_without_requests_says_when_the_first_was(
    lair: Lair, gateway: ScriptedGateway
) -> None:
    empty = dashboard(requests=0, tokens=tokens(total=0), models=[], backends=[])
    out = shown(lair, gateway, empty, activity(), savings()).out
    assert "no requests in this time; the first was on 2026-01-03" in out
    out = shown(lair, gateway, empty, activity(started_date=None), savings()).out
    assert "lair has counted none yet" in out


def test_what_lair_refuses_is_told(lair: Lair, gateway: ScriptedGateway) -> None:
    gateway.answer_json({"error": {"message": "the key has no scope metrics"}}, status=403)
    ended = lair("stats")
    assert (ended.code, ended.out) == (1, "")
    assert "the key has no scope metrics" in ended.err


def test_options_before_a_command_say_where_they_belong(
    lair: Lair, gateway: ScriptedGateway
) -> None:
    ended = lair("stats", "--days", "3", "export")
    assert ended.code == 2
    assert "lair stats export" in ended.err
    assert gateway.asked == []
