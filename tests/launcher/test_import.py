"""`lair import` into a real memory_svc and metrics_svc."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e.stack import eventually, free_ports
from tests.launcher.import_databases import open_webui_database, opencode_database
from tests.launcher.importing import FIXTURES, Services, services
from tests.launcher.test_import_formats import FILES

pytestmark = pytest.mark.e2e


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Services]:
    """Both services, for all tests: each imports for a user of its own."""
    with services(tmp_path_factory.mktemp("data"), free_ports(5)) as running:
        yield running


@pytest.mark.parametrize(
    ("kind", "counts", "search", "days"),
    [
        (
            *("chatgpt", (5, 5)),
            ("harbour town in Brittany", "Douarnenez is a harbour town in Brittany."),
            {"2024-05-02": 4, "2024-05-03": 1},
        ),
        (
            *("claude", (5, 4)),
            (
                "how to prevent swarming of bees",
                "Give the bees room before May to prevent swarming.",
            ),
            {"2023-12-24": 1, "2024-07-01": 3},
        ),
        (
            *("open-webui", (3, 3)),
            ("soil mix for carrots", "Sandy loam without stones."),
            {"2024-10-01": 3},
        ),
        (
            *("opencode", (2, 3)),
            ("decimal.ROUND_HALF_EVEN", "Use decimal.ROUND_HALF_EVEN in invoice.py."),
            {"2025-10-09": 3},
        ),
        (
            *("claude-code", (4, 5)),
            ("regression test quantities badge", "Added badge.test.tsx which covers quantities."),
            {"2025-11-03": 5},
        ),
        (
            *("jsonl", (3, 3)),
            ("tune a guitar to open D", "Open D is D A D F♯ A D."),
            {"2025-02-01": 2, "2025-02-02": 1},
        ),
    ],
)
def test_importing_twice_is_importing_once(
    running: Services,
    kind: str,
    counts: tuple[int, int],
    search: tuple[str, str],
    days: dict[str, int],
) -> None:
    user, (turns, counted), (words, text) = f"twice-{kind}", counts, search
    first = running.imported(kind, FILES[kind], user)
    kept = running.conversations(user)
    messages = {each: running.messages(user, each, include_inactive=True) for each in kept}
    assert (first["new"], first["already_there"], first["deleted_earlier"]) == (turns, 0, 0)
    assert first["counted"] == counted
    assert first["malformed"] == len(first["faults"]) > 0
    again = running.imported(kind, FILES[kind], user)
    assert (again["new"], again["already_there"], again["counted"]) == (0, turns, 0)
    assert running.conversations(user) == kept
    assert {each: running.messages(user, each, include_inactive=True) for each in kept} == messages
    assert text in running.found(user, words)
    assert running.found("somebody-else", words) == []
    assert {date: count for date, count in running.days(user).items() if count} == days


def test_what_is_imported_is_as_its_program_has_it(running: Services) -> None:
    running.imported("chatgpt", FILES["chatgpt"], "ann")
    kept = running.conversations("ann")
    bread = kept["chatgpt:6634d2a0-0000-4000-8000-000000000001"]
    assert (bread.title, bread.message_count) == ("Sourdough hydration", 6)
    assert bread.create_time.ToJsonString() == "2024-05-02T09:00:00.500Z"
    assert bread.update_time.ToJsonString() == "2024-05-02T09:01:44.500Z"
    assert running.path("ann", bread.id) == [
        "user: Which sourdough hydration suits a beginner? 🍞",
        "assistant: Start with sixty-eight percent hydration; it is easy to shape.",
        "user: [image]\nIs this crumb all right? Wie schön ist die Kruste?\n[file: crumb.jpg]",
        "assistant: python(print(68 * 5))",
        "tool: 340",
        "assistant: The crumb is open; use 340 g of water next time.",
    ]
    everything = running.messages("ann", bread.id, include_inactive=True)
    (other,) = [each for each in everything if not each.active]
    assert other.message.text == "Try eighty-five percent hydration."
    assert other.parent_id == everything[0].id
    assert running.found("ann", "secret instruction hidden thought") == []


def test_metrics_know_what_the_source_knows_and_no_more(running: Services) -> None:
    running.imported("claude-code", FILES["claude-code"], "bea")
    running.imported("opencode", FILES["opencode"], "bea")
    first, *_ = [each for each in running.requests("bea") if each.usage.completion_tokens == 50]
    assert first.billed_nano_usd == 12_300_000
    assert (first.model, first.backend) == ("claude-sonnet-4-5", "anthropic")
    assert not any(each.HasField("duration_us") for each in running.requests("bea"))
    board = running.dashboard("bea")
    assert board.tokens.prompt_count == 5203 + 5205 + 5305 + 5416 + 7 + 2400 + 500 + 50
    assert {share.name for share in board.locations} == {"local", "remote"}
    assert board.session_count == 3
    assert running.conversations("bea")["opencode:ses_1"].project == "ledger"


def test_databases_import_as_the_files_do(running: Services, tmp_path: Path) -> None:
    running.imported("opencode", FILES["opencode"], "dora")
    database = opencode_database(tmp_path / "opencode.db", FILES["opencode"] / "storage")
    again = running.imported("opencode", database, "dora")
    assert (again["new"], again["already_there"]) == (0, 2)
    chats = open_webui_database(tmp_path)
    said = running.imported("open-webui", chats, "dora", "--person", "ann@example.org")
    assert said["new"] == 3
    assert running.conversations("dora")["open-webui:c0ffee00-1"].project == "Garden"


def test_a_source_that_grew_adds_what_is_new(running: Services, tmp_path: Path) -> None:
    (whole,) = FILES["claude-code"].rglob("*.jsonl")
    lines = whole.read_text().splitlines()
    transcript = tmp_path / whole.name
    transcript.write_text("\n".join(lines[:13]))  # to the question of /review
    assert running.imported("claude-code", transcript, "eva")["new"] == 3
    conversation = f"claude-code:{whole.stem}"
    assert running.path("eva", conversation)[-1] == "user: /review the badge fix"
    transcript.write_text("\n".join(lines))
    grown = running.imported("claude-code", transcript, "eva")
    assert (grown["new"], grown["already_there"]) == (2, 2)
    running.imported("claude-code", whole, "eva-at-once")
    assert running.path("eva", conversation) == running.path("eva-at-once", conversation)
    texts = [each.message.text for each in running.messages("eva", conversation)]
    assert len(texts) == len(set(texts)) == 7


def test_what_the_user_deleted_stays_deleted(running: Services) -> None:
    running.imported("claude", FILES["claude"], "fay")
    running.delete("fay", "claude:0aa0-c1")
    again = running.imported("claude", FILES["claude"], "fay")
    assert (again["new"], again["already_there"], again["deleted_earlier"]) == (0, 1, 4)
    assert list(running.conversations("fay")) == ["claude:0aa0-c2"]


def test_without_metrics_nothing_is_counted(running: Services) -> None:
    said = running.imported("jsonl", FILES["jsonl"], "gus", "--no-metrics", "--project", "songs")
    assert (said["new"], said["counted"]) == (3, 0)
    assert running.requests("gus") == []
    assert {each.project for each in running.conversations("gus").values()} == {"songs"}


def test_a_person_reads_what_came_of_it(running: Services) -> None:
    done = running.lair("import", str(FILES["jsonl"]), "--user", "hal")
    lines = [" ".join(line.split()) for line in done.stdout.splitlines()]
    assert lines == [
        f"imported {FILES['jsonl']} (OpenAI messages)",
        "conversations 2",
        "messages 6",
        "turns 3",
        "new 3",
        "already there 0",
        "deleted earlier 0",
        "counted 3",
        "malformed 3",
    ]
    assert "100%" in done.stderr
    assert 'lair: conversations.jsonl, line 3: it has no "messages"' in done.stderr


def test_a_dry_run_needs_no_lair_and_changes_nothing(running: Services) -> None:
    nowhere = Services({**running.environment, "LAIR_GATEWAY__PORT": "1"}, *_channels(running))
    said = nowhere.imported("chatgpt", FILES["chatgpt"], "ida", "--dry-run")
    assert (said["dry_run"], said["conversations"], said["messages"]) == (True, 2, 9)
    assert running.conversations("ida") == {}


def test_where_no_lair_runs_it_says_how_to_start_one(running: Services) -> None:
    port = free_ports(5)
    nowhere = Services(
        {**running.environment, "LAIR_GATEWAY__PORT": str(port)}, *_channels(running)
    )
    done = nowhere.lair("import", "chatgpt", str(FILES["chatgpt"]), code=1)
    told = [line for line in done.stderr.splitlines() if line.startswith("lair:")]
    assert told == [f"lair: lair is not running at 127.0.0.1:{port + 2}; start it with: lair up"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            ["claude", str(FILES["chatgpt"])],
            f"{FILES['chatgpt']} is no history of Claude.ai; it looks like one of ChatGPT: lair ",
        ),
        (["chatgpt", "/nowhere/x.zip"], "there is no file or folder /nowhere/x.zip"),
        (["chatgpt"], "say what to import: lair import chatgpt PATH"),
        (["gemini", "x"], "there is no kind 'gemini'; choose of: chatgpt, claude, open-webui, "),
        ([str(FIXTURES / "README.md")], "cannot tell what "),
    ],
)
def test_what_cannot_be_imported_is_told_in_one_line(
    running: Services, arguments: list[str], message: str
) -> None:
    done = running.lair("import", *arguments, code=1)
    (line,) = done.stderr.splitlines()
    assert line.startswith(f"lair: {message}")


def test_nothing_readable_is_a_failure(running: Services, tmp_path: Path) -> None:
    path = tmp_path / "conversations.json"
    path.write_text('[{"mapping": 1, "current_node": 2}]')
    done = running.lair("import", "chatgpt", str(path), "--user", "jo", code=1)
    assert done.stderr.splitlines()[-1] == (
        f"lair: there is no conversation in {path} that could be read"
    )


def test_ctrl_c_keeps_what_was_imported_and_the_rest_follows(
    running: Services, tmp_path: Path
) -> None:
    path, count = tmp_path / "chats.jsonl", 8000
    with path.open("w") as file:
        for n in range(count):
            said = {"role": "user", "content": f"the sea on day {n}"}
            print(json.dumps({"id": str(n), "messages": [said]}), file=file)
    command = [sys.executable, "-m", "launcher", "import", "jsonl", str(path), "--user", "kim"]
    process = subprocess.Popen(
        command, env=running.environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    eventually(lambda: running.conversations("kim"), seconds=60, what="some are stored")
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=60)
    assert process.returncode == 130, (out, err)
    assert "the same command goes on from there" in out
    assert "Traceback" not in err
    rest = running.imported("jsonl", path, "kim")
    assert rest["new"] + rest["already_there"] == rest["conversations"] == count
    assert 0 < rest["already_there"] < count


def _channels(running: Services) -> tuple[object, object]:
    return running.memory, running.metrics
