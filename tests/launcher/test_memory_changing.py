"""`lair memory remember`, `notes`, `pin`, `correct`, `forget`, against a scripted gateway."""

from __future__ import annotations

import io
import json
import sys
from typing import Any

import pytest

from tests.launcher.memories import forgotten, note, passage
from tests.launcher.scripted_gateway import ScriptedGateway
from tests.launcher.support import Lair


class Person(io.StringIO):
    """Somebody at a terminal, and what they type."""

    def isatty(self) -> bool:
        return True


def test_a_text_is_remembered(lair: Lair, gateway: ScriptedGateway) -> None:
    gateway.answer_json(note(7, "Answer in\nGerman."), status=201)
    ended = lair(
        *("memory", "remember", "Answer in\nGerman.", "--pin"),
        *("--project", "p", "--user", "ana"),
    )
    assert ended.out == "remembered #7: Answer in German.\n"
    [(path, _, body)] = gateway.asked
    assert path == "/memory/notes?user_id=ana"
    assert body == {"text": "Answer in\nGerman.", "pinned": True, "project": "p"}


def test_a_text_that_begins_with_a_dash_can_be_remembered(
    lair: Lair, gateway: ScriptedGateway
) -> None:
    gateway.answer_json(note(7, "-1"), status=201)
    assert lair("memory", "remember", "--", "-1").code == 0
    assert gateway.asked[0][2] == {"text": "-1"}


@pytest.mark.parametrize(
    ("command", "body", "said"),
    [
        (["pin", "7"], {"pinned": True, "project": ""}, "pinned #7: Tea"),
        (["pin", "7", "--project", "p"], {"pinned": True, "project": "p"}, "pinned #7: Tea"),
        (["unpin", "7"], {"pinned": False}, "unpinned #7: Tea"),
        (["correct", "7", "Tea"], {"text": "Tea"}, "corrected #7: Tea"),
        (["correct", "7", ""], {"text": ""}, "corrected #7: Tea"),
    ],
)
def test_a_message_is_changed(
    lair: Lair, gateway: ScriptedGateway, command: list[str], body: Any, said: str
) -> None:
    gateway.answer_json(note(7, "Tea"))
    ended = lair("memory", *command)
    assert ended.out == f"{said}\n"
    assert gateway.methods == ["PATCH"]
    assert gateway.asked[0][::2] == ("/memory/messages/7", body)
    assert json.loads(lair("memory", *command, "--json").out) == note(7, "Tea")


def test_all_notes_are_listed_page_by_page(lair: Lair, gateway: ScriptedGateway) -> None:
    first = note(8, "Answer in German.", pinned=True, project="p")
    second = note(7, "Said by a model", role="assistant")
    pages = (
        {"notes": [first], "next_page_token": "more"},
        {"notes": [second], "next_page_token": None},
    )
    gateway.answer_first(*pages, *pages)
    _, shown, other = lair("memory", "notes", "--project", "p", "--pinned").out.splitlines()
    assert shown.rstrip().split(None, 3) == ["8", "yes", "p", "Answer in German."]
    assert other.split()[-1] == "assistant"
    assert [path for path, _, _ in gateway.asked] == [
        "/memory/notes?project=p&pinned=true&limit=500",
        "/memory/notes?project=p&pinned=true&limit=500&page_token=more",
    ]
    assert json.loads(lair("memory", "notes", "--json").out) == {"notes": [first, second]}


def test_who_has_no_notes_is_told_how_to_write_one(lair: Lair, gateway: ScriptedGateway) -> None:
    gateway.answer_json({"notes": [], "next_page_token": None})
    assert "lair memory remember" in lair("memory", "notes").out


@pytest.mark.parametrize(
    ("options", "target"),
    [
        (["7", "8"], {"messages": [7, 8]}),
        (["--conversation", "trip"], {"conversation_id": "trip"}),
        (["--project", "p"], {"project": "p"}),
        (["--everything"], {"everything": True}),
    ],
)
def test_what_was_named_is_looked_at_and_then_forgotten(
    lair: Lair, gateway: ScriptedGateway, options: list[str], target: dict[str, Any]
) -> None:
    gateway.answer_json(forgotten(messages=2, conversations=1, recalls=1))
    ended = lair("memory", "forget", *options, "--yes", "--user", "ana")
    counts = "2 messages, 1 whole conversation, 1 kept recall"
    assert ended.out == f"to forget of ana: {counts}\nforgotten: {counts}\n"
    assert [body for _, _, body in gateway.asked] == [
        target | {"preview": True},
        target | {"preview": False},
    ]
    assert {path for path, _, _ in gateway.asked} == {"/memory/forget?user_id=ana"}


def test_of_a_topic_those_messages_are_forgotten_that_were_shown(
    lair: Lair, gateway: ScriptedGateway, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "stdin", Person("y\n"))
    shown = [passage(7, "My tea"), passage(9, "No tea")]
    gateway.answer_first(forgotten(messages=2, passages=shown))
    gateway.answer_json(forgotten(messages=2))
    out = lair("memory", "forget", "--topic", "tea").out
    assert out.index("My tea") < out.index("No tea") < out.index("to forget: 2 messages")
    assert out.endswith("forgotten: 2 messages\n")
    assert [body for _, _, body in gateway.asked] == [
        {"topic": "tea", "preview": True},
        {"messages": [7, 9], "preview": False},
    ]


@pytest.mark.parametrize("typed", ["n\n", "\n"])
def test_a_person_who_does_not_agree_loses_nothing(
    lair: Lair, gateway: ScriptedGateway, monkeypatch: pytest.MonkeyPatch, typed: str
) -> None:
    monkeypatch.setattr(sys, "stdin", Person(typed))
    gateway.answer_json(forgotten(messages=2))
    assert lair("memory", "forget", "7").out.endswith("nothing was forgotten\n")
    assert len(gateway.asked) == 1


def test_without_a_person_nothing_is_forgotten_but_by_yes(
    lair: Lair, gateway: ScriptedGateway
) -> None:
    gateway.answer_json(forgotten(messages=2))
    ended = lair("memory", "forget", "--everything")
    assert ended.code == 1
    assert "say --yes" in ended.err
    assert [body["preview"] for _, _, body in gateway.asked] == [True]


def test_a_preview_changes_nothing(lair: Lair, gateway: ScriptedGateway) -> None:
    gateway.answer_json(forgotten(preview=True, messages=2))
    assert lair("memory", "forget", "7", "--preview").out == "to forget: 2 messages\n"
    shown = json.loads(lair("memory", "forget", "7", "--preview", "--json").out)
    assert shown == forgotten(preview=True, messages=2)
    assert [body["preview"] for _, _, body in gateway.asked] == [True, True]


def test_nothing_to_forget_is_no_error(lair: Lair, gateway: ScriptedGateway) -> None:
    gateway.answer_json(forgotten())
    ended = lair("memory", "forget", "--topic", "tea", "--yes")
    assert (ended.code, ended.out) == (0, "there is nothing to forget\n")
    assert len(gateway.asked) == 1
    assert json.loads(lair("memory", "forget", "7", "--yes", "--json").out) == forgotten()


def test_a_script_gets_what_was_forgotten(lair: Lair, gateway: ScriptedGateway) -> None:
    gateway.answer_json(forgotten(messages=2, passages=[passage(7, "My tea")]))
    out = lair("memory", "forget", "--topic", "tea", "--yes", "--json").out
    assert json.loads(out)["messages"] == 2


@pytest.mark.parametrize(
    "options",
    [
        [],
        ["7", "--topic", "tea"],
        ["--everything", "--project", "p"],
        ["seven"],
        ["0"],
        ["7", "--json"],
    ],
)
def test_what_to_forget_has_to_be_clear(
    lair: Lair, gateway: ScriptedGateway, options: list[str]
) -> None:
    assert lair("memory", "forget", *options).code == 2
    assert gateway.asked == []
