"""Try every client and write docs/compatibility.md: `python -m tests.compat [NAME …]`.

With names, only the clients that have one of them in theirs, and no page.
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

from tests.compat.document import document_path
from tests.compat.page import PAGE, page, table
from tests.compat.roster import CLIENTS
from tests.compat.running import Outcome, run
from tests.compat.world import world


def main(names: list[str]) -> int:
    """Run them one after the other; return the exit code."""
    chosen = [each for each in CLIENTS if not names or any(name in each.name for name in names)]
    outcomes = []
    with tempfile.TemporaryDirectory() as folder, world(Path(folder)) as lair:
        for client in chosen:
            outcomes.append(run(client, lair, Path(folder)))
            _tell(outcomes[-1])
    _say("\n".join(("", *table(outcomes), "")))
    judge = document_path() or "the types of the openai package"
    replies = sum(outcome.verdict.replies for outcome in outcomes)
    events = sum(outcome.verdict.events for outcome in outcomes)
    _say(f"{replies} replies and {events} events validated by {judge}")
    if not names:
        PAGE.write_text(page(outcomes), encoding="utf-8")
        _say(f"wrote docs/{PAGE.name}")
    return int(any(outcome.failures or outcome.verdict.violations for outcome in outcomes))


def _tell(outcome: Outcome) -> None:
    _say(f"{outcome.client.name} {outcome.client.version}: {len(outcome.cases)} cases")
    for line in (*outcome.failures, *outcome.verdict.violations):
        _say(f"  {line}")


def _say(line: str) -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
