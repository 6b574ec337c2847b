"""`lair memory search`, `list`, `show`, `stats`, against a scripted gateway."""

from __future__ import annotations

import json
from urllib.parse import parse_qs, urlsplit

import pytest

from tests.launcher.memories import conversation, found, message, page, passage
from tests.launcher.scripted_gateway import ScriptedGateway
from tests.launcher.support import Lair

STATS = {
    "users": 1,
    "conversations": 2,
    "messages": 5,
    "user_messages": 3,
    "assistant_messages": 2,
    "tokens": 70,
    "text_bytes": 2_500_000,
    "first_at": "2026-07-01T12:00:00Z",
    "last_at": None,
    "index": {"model": "mini", "state": "ready", "error": None, "indexed": 4, "pending": 1},
}


def test_a_search_asks_what_was_typed(lair: Lair, gateway: ScriptedGateway) -> None:
    gateway.answer_json(found())
    lair(
        *("memory", "search", "green", "tea", "--limit", "3", "--project", "p"),
        *("--conversation", "c", "--role", "user", "--since", "2026-07-01"),
        *("--until", "2026-07-02", "--user", "ana ben"),
    )
    [(path, _, body)] = gateway.asked
    assert path == "/memory/search?user_id=ana+ben"
    assert body == {
        "q": "green tea",
        "limit": 3,
        "project": "p",
        "conversation_id": "c",
        "role": ["user"],
        "from": "2026-07-01",
        "to": "2026-07-02",
    }


def test_what_was_not_said_is_not_asked(lair: Lair, gateway: ScriptedGateway) -> None:
    gateway.answer_json(found())
    assert "nothing that was said" in lair("memory", "search", "tea").out
    assert gateway.asked[0][0] == "/memory/search"
    assert gateway.asked[0][2] == {"q": "tea", "limit": 10}


def test_a_passage_comes_with_all_that_tells_it_apart(lair: Lair, gateway: ScriptedGateway) -> None:
    gateway.answer_json(
        found(passage(7, "Green tea.\nNo milk.", pinned=True), degraded="meaning: off")
    )
    ended = lair("memory", "search", "tea")
    title, *text = ended.out.splitlines()
    for part in ("2026-07-01", "user", "The trip", "trip", "#7", "0.91", "pinned"):
        assert part in title
    assert "corrected" not in title
    assert text == ["    Green tea.", "    No milk."]
    assert ended.err == "not searched: meaning: off\n"


def test_of_a_long_text_the_part_that_fits_is_shown(lair: Lair, gateway: ScriptedGateway) -> None:
    text = "x " * 2000 + "matcha" + " y" * 2000
    gateway.answer_json(found(passage(7, text)))
    shown = lair("memory", "search", "matcha").out.splitlines()[1]
    assert "matcha" in shown
    assert shown.strip().startswith("…")
    assert shown.endswith("…")
    assert len(shown) < 500
    assert text.strip() in lair("memory", "search", "matcha", "--whole").out


def test_nothing_that_was_said_steers_the_terminal(lair: Lair, gateway: ScriptedGateway) -> None:
    gateway.answer_json(found(passage(7, "\x1b[2Jtea \x07[bold]", conversation_title="a\x1b]0;b")))
    out = lair("memory", "search", "tea").out
    assert "\x1b" not in out
    assert "\x07" not in out
    assert "[2Jtea [bold]" in out


def test_json_is_lairs_own(lair: Lair, gateway: ScriptedGateway) -> None:
    for command, body in (
        (("search", "tea"), found(passage(7, "Tee für zwei"))),
        (("list",), page(conversation("trip"))),
        (("show", "trip"), conversation("trip", messages=[])),
        (("stats",), STATS),
    ):
        gateway.answer_json(body)
        ended = lair("memory", *command, "--json")
        assert json.loads(ended.out) == body


def test_a_list_asks_what_was_typed(lair: Lair, gateway: ScriptedGateway) -> None:
    gateway.answer_json(page())
    ended = lair(
        *("memory", "list", "the", "trip", "--project", "p", "--limit", "3", "--user", "ana"),
        *("--since", "2026-07-01"),
    )
    path = urlsplit(gateway.asked[0][0])
    assert path.path == "/memory/conversations"
    assert parse_qs(path.query) == {
        "q": ["the trip"],
        "project": ["p"],
        "limit": ["3"],
        "from": ["2026-07-01"],
        "user_id": ["ana"],
    }
    assert "there are no such conversations" in ended.out


def test_a_list_has_a_line_for_each_and_says_how_many_more_there_are(
    lair: Lair, gateway: ScriptedGateway
) -> None:
    gateway.answer_json(page(conversation("trip"), conversation("tea", message_count=4), total=9))
    ended = lair("memory", "list")
    heading, trip, tea = ended.out.splitlines()
    assert "user" not in heading
    assert "About trip" in trip
    assert "4" in tea.split()
    assert ended.err.startswith("7 more")


def test_a_list_of_several_users_tells_whose_each_is(lair: Lair, gateway: ScriptedGateway) -> None:
    gateway.answer_json(page(conversation("a", user_id="ana"), conversation("b", user_id="ben")))
    heading, first, second = lair("memory", "list").out.splitlines()
    assert "user" in heading
    assert (first.split()[-1], second.split()[-1]) == ("ana", "ben")


def test_a_conversation_is_shown_with_all_that_is_in_it(
    lair: Lair, gateway: ScriptedGateway
) -> None:
    call = {"function": {"name": "look", "arguments": '{"where": "here"}'}}
    picture = [{"type": "text", "text": "See:"}, {"type": "image_url", "image_url": {"url": "x"}}]
    gateway.answer_json(
        conversation(
            "a/b",
            tags=["one", "two"],
            project="home",
            messages=[
                message(1, "user", picture),
                message(2, "assistant", None, tool_calls=[call], model="tiny"),
                message(3, "tool", "Nothing\nhere"),
                message(4, "user", "Well.", name="Ana"),
                message(5, "assistant", ""),
            ],
        )
    )
    out = lair("memory", "show", "a/b").out
    assert gateway.asked[0][0] == "/memory/conversations/a%2Fb"
    assert out.startswith("About a/b\n")
    for part in ("one, two", "home", "#1", "    See:", "    [image_url]", "tiny", "Ana"):
        assert part in out
    assert '    → look({"where": "here"})' in out
    assert "    Nothing\n    here\n" in out
    assert "    (nothing)" in out


def test_stats_say_what_there_is(lair: Lair, gateway: ScriptedGateway) -> None:
    gateway.answer_json(STATS)
    out = lair("memory", "stats", "--user", "ana").out
    assert gateway.asked[0][0] == "/memory/stats?user_id=ana"
    for part in ("5: 3 by people, 2 by models", "2.5 MB", "mini is ready, 1 messages wait"):
        assert part in out


@pytest.mark.parametrize(
    "arguments",
    [
        ["search"],
        ["search", "x", "--limit", "0"],
        ["search", "x", "--since", "yesterday"],
        ["search", "x", "--role", "robot"],
        ["show"],
        ["serach", "x"],
        ["--port", "9000", "search", "x"],
    ],
)
def test_what_makes_no_sense_is_a_usage_error(
    lair: Lair, gateway: ScriptedGateway, arguments: list[str]
) -> None:
    assert lair("memory", *arguments).code == 2
    assert gateway.asked == []


def test_a_refusal_is_told_in_lairs_words(lair: Lair, gateway: ScriptedGateway) -> None:
    gateway.answer_json({"error": {"message": "there is no conversation 'x'"}}, status=404)
    ended = lair("memory", "show", "x")
    assert (ended.code, ended.out) == (1, "")
    assert ended.err == "lair: there is no conversation 'x'\n"


def test_without_a_lair_the_remedy_is_told(lair: Lair, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LAIR_GATEWAY__PORT", "1")
    ended = lair("memory", "search", "x")
    assert ended.code == 1
    assert "start it with: lair up" in ended.err
