"""What is read out of each program's history, and what is left out."""

from __future__ import annotations

import json
import shutil
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from launcher.importing.conversation import (
    Imported,
    ImportedConversation,
    ImportedMessage,
    Malformed,
    Spent,
)
from launcher.importing.kinds import KINDS, looks_like
from launcher.importing.source import Meter, Source, UnreadableError
from launcher.importing.turns import path_to, turns_of
from svckit.times import to_timestamp
from tests.launcher.import_databases import open_webui_database, opencode_database
from tests.launcher.importing import FIXTURES

FILES = {
    "chatgpt": FIXTURES / "chatgpt" / "conversations.json",
    "claude": FIXTURES / "claude" / "conversations.json",
    "open-webui": FIXTURES / "open-webui" / "chats.json",
    "opencode": FIXTURES / "opencode",
    "claude-code": FIXTURES / "claude-code",
    "jsonl": FIXTURES / "jsonl" / "conversations.jsonl",
}


def read(kind: str, path: Path, person: str = "") -> list[Imported]:
    return list(KINDS[kind].read(Source(path, Meter(), person)))


def conversations(imported: list[Imported]) -> dict[str, ImportedConversation]:
    return {each.id: each for each in imported if isinstance(each, ImportedConversation)}


def faults(imported: list[Imported]) -> list[Malformed]:
    return [each for each in imported if isinstance(each, Malformed)]


def path_of(conversation: ImportedConversation) -> list[ImportedMessage]:
    """Return the messages that the conversation's program shows."""
    known = {message.key: message for message in conversation.messages}
    last = conversation.current or conversation.messages[-1].key
    return [known[key] for key in path_to(known, last)]


def said(messages: list[ImportedMessage]) -> Iterator[str]:
    for message in messages:
        calls = [f"{call.name}({call.arguments})" for call in message.calls]
        yield f"{message.role}: {' '.join([message.text, *calls]).strip()}"


def day_of(at_us: int | None) -> str:
    assert at_us is not None
    return to_timestamp(at_us).ToJsonString()[:19]


def test_chatgpt_shows_the_current_branch_and_hides_what_it_hides() -> None:
    imported = read("chatgpt", FILES["chatgpt"])
    bread, voice = conversations(imported).values()
    assert list(said(path_of(bread))) == [
        "user: Which sourdough hydration suits a beginner? 🍞",
        "assistant: Start with sixty-eight percent hydration; it is easy to shape.",
        "user: [image]\nIs this crumb all right? Wie schön ist die Kruste?\n[file: crumb.jpg]",
        "assistant: python(print(68 * 5))",
        "tool: 340",
        "assistant: The crumb is open; use 340 g of water next time.",
    ]
    assert [turn.key.rpartition("/")[2] for turn in turns_of(bread)] == ["a1", "a1b", "call", "a2"]
    assert {message.model for message in bread.messages} == {"", "gpt-4o", "o3"}
    assert day_of(path_of(bread)[0].at_us) == "2024-05-02T09:00:00"
    assert (bread.title, bread.id) == (
        "Sourdough hydration",
        "chatgpt:6634d2a0-0000-4000-8000-000000000001",
    )
    assert next(said(path_of(voice))) == "user: Name a harbour town in Brittany."
    everything = json.dumps([*said(list(bread.messages)), *said(list(voice.messages))])
    assert "Secret" not in everything
    assert "Hidden" not in everything


def test_claude_tells_branches_and_the_steps_of_an_answer() -> None:
    bees, rhyme = conversations(read("claude", FILES["claude"])).values()
    assert list(said(path_of(bees))) == [
        "user: When do I inspect a beehive?\nPasted: two hives, facing south.\n[file: hives.pdf]",
        "assistant: On warm afternoons.",
        "user: And what about swarming?",
        "assistant: Give the bees room before May to prevent swarming.",
    ]
    steps = [turn.messages + ((turn.reply,) if turn.reply else ()) for turn in turns_of(bees)]
    assert list(said(list(steps[1]))) == [
        "user: And what about varroa mites?",
        'assistant: I look that up. web_search({"query": "varroa threshold"})',
    ]
    assert list(said(list(steps[2]))) == [
        "tool: Threshold: 2 %",
        "assistant: Count varroa mites every month; treat above two percent.",
    ]
    counted = [turn.reply.counted for turn in turns_of(bees) if turn.reply]
    assert counted == [True, False, True, True]
    assert [message.text for message in path_of(rhyme)] == [
        "Rhyme on Rügen?",
        "Nothing rhymes on Rügen but lügen.",
    ]


def check_raised_bed(bed: ImportedConversation) -> None:
    assert list(said(path_of(bed))) == [
        "user: How deep should a raised bed be?\n[file: plan.pdf]\n[image]",
        "assistant: Forty centimetres for carrots.",
        "user: Which soil mix for carrots?",
        "assistant: Sandy loam without stones.",
    ]
    first, other, last = turns_of(bed)[1], turns_of(bed)[0], turns_of(bed)[2]
    assert other.reply
    assert other.reply.text == "Thirty centimetres for lettuce."
    assert first.reply
    assert (first.reply.model, first.reply.local) == ("llama3.1:8b", True)
    assert first.reply.spent == Spent(prompt=21, completion=9)
    assert last.reply
    assert last.reply.spent == Spent(prompt=40, completion=6)
    assert bed.title == "Raised garden beds"


def test_open_webui_exports_are_of_one_person() -> None:
    imported = read("open-webui", FILES["open-webui"])
    (bed,) = conversations(imported).values()
    check_raised_bed(bed)
    assert [fault.reason for fault in faults(imported)] == [
        "it is of another person; import theirs with --person u-bob --user NAME",
        "it has no id or no messages",
    ]
    (bobs,) = conversations(read("open-webui", FILES["open-webui"], "u-bob")).values()
    assert bobs.title == "Bob's chat"


@pytest.mark.parametrize("journal", ["delete", "wal"])
def test_open_webuis_database_is_read_and_left_as_it_was(tmp_path: Path, journal: str) -> None:
    database = open_webui_database(tmp_path, journal=journal)
    before = {each.name: each.read_bytes() for each in tmp_path.iterdir()}
    imported = read("open-webui", database, "ann@example.org")
    bed = conversations(imported)["open-webui:c0ffee00-1"]
    check_raised_bed(bed)
    assert bed.project == "Garden"
    assert [fault.where for fault in faults(imported)] == [
        *("webui.db, chat c0ffee00-3", "webui.db, chat torn")
    ]
    assert {each.name: each.read_bytes() for each in tmp_path.iterdir()} == before


def test_a_database_of_several_people_asks_whose(tmp_path: Path) -> None:
    database = open_webui_database(tmp_path)
    with pytest.raises(UnreadableError, match=r"--person: ann@example\.org, bob@example\.org"):
        read("open-webui", database)
    with pytest.raises(UnreadableError, match="--person"):
        read("open-webui", database, "carl@example.org")


def check_ledger(imported: list[Imported]) -> None:
    ledger, child = conversations(imported).values()
    assert list(said(path_of(ledger)))[:2] == [
        "user: Invoices round half a cent wrongly, fix it\n[file: invoice.py]",
        'assistant: I read the rounding code. read({"filePath": "invoice.py"})',
    ]
    result, answer = path_of(ledger)[2:]
    assert result.text.startswith("1: round(x, 2)\npad ")
    assert result.text.endswith("[4015 more characters were not imported]")
    assert answer.text == "Use decimal.ROUND_HALF_EVEN in invoice.py."
    assert (answer.model, answer.backend, answer.local) == ("qwen3:14b", "ollama", True)
    reply = turns_of(ledger)[0].reply
    assert reply
    assert reply.spent == Spent(
        prompt=2400,
        completion=50,
        cached=2000,
        cache_write=300,
        reasoning=10,
        nano_usd=12_300_000,
    )
    assert (ledger.title, ledger.project) == ("Fix the rounding of invoices", "ledger")
    assert (ledger.remembered, child.remembered) == (True, False)
    assert day_of(path_of(ledger)[0].at_us) == "2025-10-09T08:53:20"


def test_opencodes_folders_of_json() -> None:
    imported = read("opencode", FILES["opencode"])
    check_ledger(imported)
    assert [fault.where for fault in faults(imported)] == ["part/msg_3/prt_31.json"]
    assert read("opencode", FILES["opencode"] / "storage") == imported


def test_opencodes_database_says_the_same_as_the_folders(tmp_path: Path) -> None:
    database = opencode_database(tmp_path / "opencode.db", FILES["opencode"] / "storage")
    imported = read("opencode", database)
    check_ledger(imported)
    assert [fault.reason[:13] for fault in faults(imported)] == ["it is no JSON"]


def test_a_session_in_the_database_and_the_folders_is_read_once(tmp_path: Path) -> None:
    shutil.copytree(FILES["opencode"], tmp_path / "both")
    opencode_database(tmp_path / "both" / "opencode.db", FILES["opencode"] / "storage")
    assert len(read("opencode", tmp_path / "both")) == 3


def test_claude_codes_lines_become_messages() -> None:
    imported = read("claude-code", FILES["claude-code"])
    session, agents = conversations(imported).values()
    cart = (
        "assistant: I look at the cart reducer. "
        'Read({"file_path": "/home/ann/web/shop/cart.ts"}) Grep({"pattern": "badge"})'
    )
    assert list(said(path_of(session))) == [
        "user: The cart badge shows a wrong count after checkout, find out why",
        cart,
        "tool: export const cart = …",
        "tool: badge.tsx:4",
        "assistant: The badge counts lines instead of quantities.",
        "user: Write a regression test for the quantität badge\n[image]",
        "assistant: Added badge.test.tsx which covers quantities.",
    ]
    branch = turns_of(session)[2]
    assert list(said([*branch.messages])) == ["user: /review the badge fix"]
    assert path_of(session)[1].spent == Spent(
        prompt=5203, completion=25, cached=4000, cache_write=1200
    )
    assert (session.project, session.title) == ("shop", "Cart badge shows a wrong count")
    assert "hidden" not in json.dumps(list(said(list(session.messages))))
    assert (agents.remembered, len(agents.messages)) == (False, 1)
    assert [fault.where.rpartition(", ")[2] for fault in faults(imported)] == ["line 11", "line 19"]


def test_an_answer_that_grew_is_another_one(tmp_path: Path) -> None:
    (whole,) = FILES["claude-code"].rglob("*.jsonl")
    lines = whole.read_text().splitlines()
    (tmp_path / "half.jsonl").write_text("\n".join(lines[:7]))
    (half,) = conversations(read("claude-code", tmp_path)).values()
    full = next(iter(conversations(read("claude-code", whole)).values()))
    assert turns_of(half)[0].key != turns_of(full)[0].key
    assert turns_of(half)[0].messages == turns_of(full)[0].messages


def test_a_line_that_is_torn_leaves_the_rest_in_place(tmp_path: Path) -> None:
    (whole,) = FILES["claude-code"].rglob("*.jsonl")
    lines = whole.read_text().splitlines()
    (tmp_path / "gap.jsonl").write_text("\n".join([*lines[:11], *lines[12:]]))  # msg_02 is gone
    session = next(iter(conversations(read("claude-code", tmp_path)).values()))
    assert [message.role for message in path_of(session)] == [
        *("user", "assistant", "tool", "tool", "user", "assistant")
    ]


def test_openai_messages_line_by_line() -> None:
    imported = read("jsonl", FILES["jsonl"])
    guitar, capo = conversations(imported).values()
    assert list(said(path_of(guitar))) == [
        "user: How do I tune a guitar to open D?",
        'assistant: tuner({"to": "open D"})',
        "tool: DADF#AD",
        "assistant: Open D is D A D F♯ A D.",
    ]
    assert (guitar.title, guitar.project) == ("Tuning a guitar", "music")
    assert path_of(guitar)[-1].spent == Spent(prompt=30, completion=12)
    assert [message.text for message in path_of(capo)] == [
        "Describe this capo\n[image]",
        "A brass capo with a spring.",
    ]
    assert [fault.where.rpartition(", ")[2] for fault in faults(imported)] == [
        *("line 2", "line 3", "line 5")
    ]


@pytest.mark.parametrize("kind", ["chatgpt", "claude"])
def test_a_zip_and_a_folder_are_read_as_the_file_in_them(tmp_path: Path, kind: str) -> None:
    whole = json.loads(FILES[kind].read_text())
    archive = tmp_path / "export.zip"
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED) as file:
        file.writestr("user.json", "{}")
        file.writestr("conversations-000.json", json.dumps(whole[:1]))
        file.writestr("conversations-001.json", json.dumps(whole[1:]))
        file.writestr("__MACOSX/conversations-000.json", "junk")
    expected = conversations(read(kind, FILES[kind]))
    assert looks_like(archive) is KINDS[kind]
    for path in (archive, FILES[kind].parent):
        found = conversations(read(kind, path))
        assert list(found) == list(expected)
        assert [each.messages for each in found.values()] == [
            each.messages for each in expected.values()
        ]


@pytest.mark.parametrize("kind", FILES)
def test_each_history_looks_like_what_it_is(kind: str) -> None:
    assert looks_like(FILES[kind]) is KINDS[kind]


def test_databases_look_like_what_they_are(tmp_path: Path) -> None:
    assert looks_like(open_webui_database(tmp_path)) is KINDS["open-webui"]
    assert looks_like(tmp_path) is KINDS["open-webui"]
    database = opencode_database(tmp_path / "oc" / "opencode.db", FILES["opencode"] / "storage")
    assert looks_like(database) is KINDS["opencode"]
    assert looks_like(database.parent) is KINDS["opencode"]


@pytest.mark.parametrize("content", [b"", b"hello", b"[]", b'{"a": 1}', b"\x00\xff" * 100, b"PK"])
def test_what_is_no_history_looks_like_none(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "file").write_bytes(content)
    assert looks_like(tmp_path / "file") is None


def test_a_file_that_breaks_off_keeps_what_came_before(tmp_path: Path) -> None:
    broken = tmp_path / "conversations.json"
    whole = FILES["chatgpt"].read_bytes()
    broken.write_bytes(whole[: len(whole) - 400])
    imported = read("chatgpt", broken)
    assert len(conversations(imported)) == 1
    assert faults(imported)[-1] == Malformed(
        "conversations.json, after record 3", "the rest is no JSON: parse error: premature EOF"
    )


@pytest.mark.parametrize("kind", ["chatgpt", "claude", "open-webui", "jsonl"])
@pytest.mark.parametrize(
    "record",
    [
        *(1, None, [], {}, {"mapping": {}}, {"id": "x", "mapping": {"a": {"message": 5}}}),
        {"uuid": 3, "chat_messages": [1, {"uuid": "m", "sender": "human", "content": 7}]},
        {"uuid": "c", "chat_messages": [{"uuid": "m", "sender": "assistant", "content": [[], {}]}]},
        {"id": "x", "chat": {"history": {"messages": {"a": {"role": "user", "content": {}}}}}},
        {"messages": [3, {"role": "user"}, {"role": "assistant", "tool_calls": [{"function": 1}]}]},
        {"id": "x", "mapping": {"a": {"parent": "b", "message": {"author": {"role": "user"}}}}},
    ],
)
def test_no_record_stops_the_ones_behind_it(tmp_path: Path, kind: str, record: object) -> None:
    good = {
        "chatgpt": json.loads(FILES["chatgpt"].read_text())[-1],
        "claude": json.loads(FILES["claude"].read_text())[1],
        "open-webui": json.loads(FILES["open-webui"].read_text())[0],
        "jsonl": json.loads(FILES["jsonl"].read_text().splitlines()[0]),
    }[kind]
    path = tmp_path / "conversations.json"
    records = [record, good]
    path.write_text("\n".join(map(json.dumps, records)) if kind == "jsonl" else json.dumps(records))
    read_ = [each for each in conversations(read(kind, path)).values() if each.messages]
    assert read_[-1].title == good.get("title", good.get("name"))


def test_a_database_that_is_damaged_says_so(tmp_path: Path) -> None:
    database = open_webui_database(tmp_path)
    with database.open("r+b") as file:
        file.seek(4096)
        file.write(b"\xff" * 8192)
    with pytest.raises(UnreadableError, match="cannot read the database"):
        read("open-webui", database, "ann@example.org")
