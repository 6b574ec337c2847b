"""What `lair stats` shows: figures, the chart of days, who did how much."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence

from rich.console import Console
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from launcher.stats.figures import (
    WEEKDAYS,
    change,
    compact,
    count,
    counted,
    dollars,
    percent,
    run,
)
from launcher.stats.heatmap import chart
from launcher.stats.rest import Json
from launcher.tables import Column, Room, print_table

_INDENT = 2
_PIPE_WIDTH = 100
_TOP = 5
_BAR = 12
_EIGHTHS = " ▏▎▍▌▋▊▉"
_SURENESS = {
    "measured": "less electricity, as measured",
    "configured": "less electricity, as configured",
    "default": "less electricity, by lair's guess",
    "unknown": "electricity is not known (all of it or some), and not taken off",
}

Line = tuple[str, str]


def print_stats(summary: Json, *, project: str = "", user: str = "") -> None:
    """Print what was used, for a person to read."""
    console = Console(width=None if sys.stdout.isatty() else _PIPE_WIDTH, highlight=False)
    used, activity = summary["dashboard"], summary["activity"]
    console.print(_title(summary, project, user), soft_wrap=True)
    console.print()
    if not used["requests"]:
        began = activity["started_date"]
        since = f"the first was on {began}" if began else "lair has counted none yet"
        console.print(f"  no requests in this time; {since}")
        return
    _print_lines(console, list(_figures(used, activity)))
    console.print()
    for line in chart(activity["days"], console.width - 2 * _INDENT):
        console.print(Text(" " * _INDENT).append_text(line), soft_wrap=True)
    for title, shares in (("model", used["models"]), ("provider", used["backends"])):
        _print_shares(console, title, shares)
    console.print()
    _print_lines(console, list(_money(used, summary["savings"])))


def _title(summary: Json, project: str, user: str) -> Text:
    used = summary["dashboard"]
    days = [day["date"] for day in summary["activity"]["days"]]
    about = [f"{days[0]} to {days[-1]}" if days else "", used["time_zone"]]
    about += [f"project {project}" if project else "", f"user {user}" if user else ""]
    return Text.assemble(
        ("lair", "bold green"), f"  {'  ·  '.join(part for part in about if part)}"
    )


def _figures(used: Json, activity: Json) -> Iterator[Line]:
    before = used["before"] or {"requests": 0, "tokens": 0}
    tokens = used["tokens"]
    yield "requests", _joined(count(used["requests"]), change(used["requests"], before["requests"]))
    yield "answered", _joined(_success(used), _failures(used["statuses"]))
    yield "tokens", _joined(compact(tokens["total"]), change(tokens["total"], before["tokens"]))
    yield "", _parts(tokens)
    yield "", _known(tokens["known_ratio"])
    yield "active", _active(used, activity)
    yield "streak", f"longest {run(activity['longest_streak'])}"
    yield "", f"current {run(activity['current_streak'])}"
    yield "said", _said(used)


def _success(used: Json) -> str:
    rate = used["success_rate"]
    return "unknown" if rate is None else percent(rate)


def _failures(statuses: Json) -> str:
    """Say how the others ended, the most frequent first."""
    others = [(number, name) for name, number in statuses.items() if name != "ok" and number]
    said = [f"{count(number)} {name.replace('_', ' ')}" for number, name in sorted(others)[::-1]]
    return ", ".join(said)


def _parts(tokens: Json) -> str:
    prompt, answer = compact(tokens["prompt"]), compact(tokens["completion"])
    cached, reasoning = tokens["cached"], tokens["reasoning"]
    of_prompt = f" ({compact(cached)} cached)" if cached else ""
    of_answer = f" ({compact(reasoning)} reasoning)" if reasoning else ""
    return f"{prompt} read{of_prompt}, {answer} written{of_answer}"


def _known(ratio: float) -> str:
    rest = ", the rest is estimated or unknown" if ratio < 1 else ""
    return f"{percent(ratio)} of answers told theirs{rest}"


def _active(used: Json, activity: Json) -> str:
    known = sum(day["known"] for day in activity["days"])
    parts = [f"{count(activity['active_days'])} of {counted(known, 'day')}"]
    if busiest := used["most_active_day"]:
        parts.append(f"most on {busiest['date']} with {counted(busiest['requests'], 'request')}")
    if activity["best_weekday"] is not None:
        parts.append(f"best weekday {WEEKDAYS[activity['best_weekday']]}")
    return ", ".join(parts)


def _said(used: Json) -> str:
    nouns = ("messages", "conversations", "sessions", "projects")
    return ", ".join(counted(used[noun], noun.removesuffix("s")) for noun in nouns)


def _money(used: Json, savings: Json) -> Iterator[Line]:
    unpriced = used["unpriced"]
    without = f"{counted(unpriced, 'request')} without a price" if unpriced else ""
    yield "cost", _joined(_cost(used), without)
    total, listed = savings["total"], savings["remote"]["list_price"]
    if listed["saved_usd"]:  # mostly they cost what the list says
        part = f"{percent(listed['known_ratio'])} of remote requests compared"
        yield "below list", f"{dollars(listed['saved_usd'])} against list prices ({part})"
    if not total["requests"]:
        return
    label = "saved"
    for name, against in (
        ("same_model", "the same models sold"),
        ("replacement", "the paid model instead"),
    ):
        compared = total[name]
        if compared["saved_usd"] is not None:
            part = f"{percent(compared['known_ratio'])} of local requests compared"
            yield label, f"{dollars(compared['saved_usd'])} against {against} ({part})"
            label = ""
    if label:
        yield label, "nothing to compare local models with; docs/metrics.md says how"
    else:
        yield "", _SURENESS.get(total["confidence"], total["confidence"])


def _cost(report: Json) -> str:
    return "unknown" if report["cost_usd"] is None else dollars(report["cost_usd"])


def _joined(*parts: str) -> str:
    return "   ".join(part for part in parts if part)


def _print_lines(console: Console, lines: Sequence[Line]) -> None:
    table = Table(box=None, pad_edge=False, show_header=False)
    table.add_column(style="dim", no_wrap=True)
    table.add_column()
    for label, text in lines:
        table.add_row(label, Text(text))
    console.print(Padding(table, (0, 0, 0, _INDENT), expand=False))


def _print_shares(console: Console, title: str, shares: Sequence[Json]) -> None:
    if not shares:
        return
    console.print()
    columns = (
        Column(title, Room.CUT),
        *(Column(name, right=True) for name in ("requests", "share")),
        Column(""),
        *(Column(name, right=True) for name in ("tokens", "cost")),
    )
    rows = [
        (
            share["name"] or "(unnamed)",
            count(share["requests"]),
            percent(share["ratio"]),
            _bar(share["ratio"]),
            compact(share["tokens"]),
            _cost(share),
        )
        for share in shares[:_TOP]
    ]
    print_table(columns, rows)
    if len(shares) > _TOP:
        console.print(Text(f"  and {count(len(shares) - _TOP)} more", style="dim"))


def _bar(ratio: float) -> str:
    """Draw a part of a whole, to an eighth of a character."""
    whole, eighth = divmod(round(min(ratio, 1) * _BAR * 8), 8)
    return "█" * whole + (_EIGHTHS[eighth] if eighth else "")
