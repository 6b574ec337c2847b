"""`lair memory export`, against a scripted gateway."""

from __future__ import annotations

import json
import stat
from pathlib import Path

from tests.launcher.memories import JULY, conversation, message, page
from tests.launcher.scripted_gateway import ScriptedGateway
from tests.launcher.support import Lair

HI = message(1, "user", "Tee für zwei", request_id="r")
HELLO = message(2, "assistant", None, request_id="r", backend="b", finish_reason="stop") | {
    "tool_calls": [{"id": "call", "function": {"name": "look"}}],
    "model": "tiny",
    "usage": {"total_tokens": 3},
}


def script(gateway: ScriptedGateway) -> None:
    """Answer with three conversations on two pages; nothing was said in the last."""
    gateway.answer_first(
        page(conversation("trip", user_id="ana"), token="more", total=3),
        conversation("trip", user_id="ana", tags=["t"], metadata={"a": 1}, messages=[HI, HELLO]),
        page(conversation("tea"), conversation("empty"), total=3),
        conversation("tea", messages=[HI]),
        conversation("empty", messages=[]),
    )


def test_each_conversation_is_a_line_of_openai_messages(
    lair: Lair, gateway: ScriptedGateway
) -> None:
    script(gateway)
    ended = lair("memory", "export")
    first, second = map(json.loads, ended.out.splitlines())
    assert first == {
        "id": "trip",
        "title": "About trip",
        "created_at": JULY,
        "updated_at": JULY,
        "project": "",
        "session_id": "",
        "tags": ["t"],
        "metadata": {"a": 1},
        "user": "ana",
        "messages": [
            {"role": "user", "content": "Tee für zwei", "created_at": JULY},
            {
                "role": "assistant",
                "content": None,
                "tool_calls": [{"id": "call", "function": {"name": "look"}}],
                "created_at": JULY,
                "model": "tiny",
                "usage": {"total_tokens": 3},
            },
        ],
    }
    assert (second["id"], len(second["messages"])) == ("tea", 1)
    assert ended.err == "exported 2 conversations with 3 messages\n"


def test_a_conversation_is_asked_for_as_its_users(lair: Lair, gateway: ScriptedGateway) -> None:
    script(gateway)
    lair("memory", "export", "--project", "p")
    assert [path for path, _, _ in gateway.asked] == [
        "/memory/conversations?project=p&limit=500",
        "/memory/conversations/trip?user_id=ana",
        "/memory/conversations?project=p&limit=500&page_token=more",
        "/memory/conversations/tea?user_id=local",
        "/memory/conversations/empty?user_id=local",
    ]


def test_a_file_is_this_users_alone(lair: Lair, gateway: ScriptedGateway, tmp_path: Path) -> None:
    script(gateway)
    target = tmp_path / "out.jsonl"
    ended = lair("memory", "export", "-o", str(target))
    assert ended.out == ""
    assert f"to {target}" in ended.err
    assert len(target.read_text().splitlines()) == 2
    assert stat.S_IMODE(target.stat().st_mode) == 0o600
    assert "Tee für zwei" in target.read_text(encoding="utf-8")


def test_a_broken_export_leaves_the_file_that_was_there(
    lair: Lair, gateway: ScriptedGateway, tmp_path: Path
) -> None:
    target = tmp_path / "out.jsonl"
    target.write_text("before")
    gateway.answer_first(page(conversation("trip"), conversation("tea")))
    gateway.answer_first(conversation("trip", messages=[HI]))
    gateway.answer_json({"error": {"message": "broken"}}, status=503)
    ended = lair("memory", "export", "-o", str(target))
    assert (ended.code, ended.err) == (1, "lair: broken\n")
    assert target.read_text() == "before"
    assert [path.name for path in tmp_path.glob("*out*")] == ["out.jsonl"]


def test_what_is_forgotten_meanwhile_is_left_out(lair: Lair, gateway: ScriptedGateway) -> None:
    gateway.answer_first(page(conversation("gone"), conversation("tea")))
    gateway.answer_first({"error": {"message": "there is none"}}, status=404)
    gateway.answer_json(conversation("tea", messages=[HI]))
    ended = lair("memory", "export")
    assert [json.loads(line)["id"] for line in ended.out.splitlines()] == ["tea"]
    assert ended.code == 0


def test_a_file_that_cannot_be_written_is_named(lair: Lair, tmp_path: Path) -> None:
    target = tmp_path / "nowhere" / "out.jsonl"
    ended = lair("memory", "export", "-o", str(target))
    assert ended.code == 1
    assert str(target) in ended.err
    assert "No such file" in ended.err
