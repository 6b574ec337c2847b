"""The REST of memory and metrics on a real lair: what one endpoint takes in, another gives out."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any
from urllib.parse import urlencode

import pytest

from gateway.dialects.usage_names import DIMENSIONS, MEASURES
from tests.e2e.stack import Lair, eventually, request

ANA = {"X-User-ID": "rest-ana"}
BEN = {"X-User-ID": "rest-ben"}


class Rest:
    """lair's own endpoints, asked as one user; what is begun is forgotten at the end."""

    def __init__(self, lair: Lair, user: dict[str, str]) -> None:
        self._lair = lair
        self._user = user
        self.begun: list[str] = []

    def ask(self, method: str, path: str, body: Any = None, **query: Any) -> tuple[int, Any]:
        address = f"{self._lair.url}{path}?{urlencode(query, doseq=True)}"
        return request(method, address, body, self._user)

    def begin(self, **body: Any) -> Any:
        status, made = self.ask("POST", "/memory/conversations", body)
        assert status == 201, made
        self.begun.append(made["id"])
        return made

    def listed(self, **query: Any) -> list[str]:
        status, page = self.ask("GET", "/memory/conversations", **query)
        assert status == 200, page
        return [found["id"] for found in page["conversations"]]


@pytest.fixture
def ana(lair: Lair) -> Iterator[Rest]:
    rest = Rest(lair, ANA)
    yield rest
    for name in rest.begun:
        rest.ask("DELETE", f"/memory/conversations/{name}")


def test_a_conversation_is_begun_changed_found_and_forgotten(lair: Lair, ana: Rest) -> None:
    made = ana.begin(title="Green tea", tags=["drinks", "hot"], metadata={"cups": 2})
    address = f"/memory/conversations/{made['id']}"
    status, changed = ana.ask("PATCH", address, {"title": "Black tea", "tags": ["drinks"]})
    assert (status, changed["title"], changed["tags"]) == (200, "Black tea", ["drinks"])
    assert changed["metadata"] == {"cups": 2}
    status, whole = ana.ask("GET", address)
    assert (status, whole["title"], whole["messages"]) == (200, "Black tea", [])
    ben = Rest(lair, BEN)
    for method, body in (("GET", None), ("PATCH", {"title": "mine"}), ("DELETE", None)):
        assert ben.ask(method, address, body)[0] == 404
    assert ana.ask("DELETE", address)[0] == 200
    assert ana.ask("GET", address)[0] == 404


def test_an_id_is_taken_once(ana: Rest) -> None:
    ana.begin(id="rest-once")
    status, body = ana.ask("POST", "/memory/conversations", {"id": "rest-once"})
    assert (status, body["error"]["code"]) == (400, "conversation_exists")


def test_conversations_are_filtered(ana: Rest) -> None:
    tea = ana.begin(title="Green TEA", project="kitchen", session_id="s1", tags=["a"])["id"]
    rum = ana.begin(title="Rum", project="cellar", session_id="s2", tags=["b", "c"])["id"]
    today = datetime.now(UTC).date().isoformat()
    assert set(ana.listed()) == {tea, rum}
    assert ana.listed(q="tea") == [tea]
    assert ana.listed(project="cellar") == [rum]
    assert ana.listed(session_id="s1") == [tea]
    assert ana.listed(tag=["c"]) == [rum]
    assert set(ana.listed(tag=["a", "c"])) == {tea, rum}
    assert set(ana.listed(**{"from": today, "tz": "UTC"})) == {tea, rum}
    assert ana.listed(to="2001-01-01") == []
    assert ana.listed(q="tea", tag="b") == []


def test_a_list_is_walked_page_by_page(ana: Rest) -> None:
    made = {ana.begin(title=f"Page {number}")["id"] for number in range(5)}
    seen: list[str] = []
    token = ""
    while True:
        _, page = ana.ask("GET", "/memory/conversations", limit=2, page_token=token)
        assert page["total_count"] == 5
        seen += [found["id"] for found in page["conversations"]]
        token = page["next_page_token"]
        if not token:
            break
    assert (len(seen), set(seen)) == (5, made)


def test_what_was_said_is_found_and_counted(lair: Lair, ana: Rest) -> None:
    lair.chat("The teapot is xylophone blue", **ANA, **{"X-Conversation-ID": "rest-teapot"})
    ana.begun.append("rest-teapot")

    def found() -> list[Any]:
        _, answer = ana.ask("GET", "/memory/search", q="xylophone", role="user")
        passages: list[Any] = answer["passages"]
        return passages

    [passage] = eventually(found, what="the chat is found")
    assert passage["text"] == "The teapot is xylophone blue"
    assert passage["conversation_id"] == "rest-teapot"
    for narrowed, roles in (
        ({"role": ["assistant"]}, {"assistant"}),  # the reply to it: it stands beside the word
        ({"role": ["user"], "conversation_id": "rest-teapot"}, {"user"}),
        ({"conversation_id": "rest-other"}, set()),
    ):
        status, answer = ana.ask("POST", "/memory/search", {"q": "xylophone", **narrowed})
        assert status == 200
        assert {passage["role"] for passage in answer["passages"]} == roles
    assert Rest(lair, BEN).ask("GET", "/memory/search", q="xylophone")[1]["passages"] == []
    _, stats = ana.ask("GET", "/memory/stats")
    assert (stats["users"], stats["conversations"], stats["messages"]) == (1, 1, 2)
    assert (stats["user_messages"], stats["assistant_messages"]) == (1, 1)


def test_what_was_used_is_the_same_in_every_report(lair: Lair, ana: Rest) -> None:
    lair.chat("Hi", **ANA, **{"X-Project": "rest-reports", "X-Enable-Memory": "false"})
    scope = {"project": "rest-reports", "tz": "UTC"}

    def counted() -> Any:
        _, dashboard = ana.ask("GET", "/metrics/dashboard", **scope)
        return dashboard if dashboard["requests"] else None

    dashboard = eventually(counted, what="the request is counted")
    reports = {
        name: ana.ask("GET", f"/metrics/{name}", **scope)[1]
        for name in ("daily", "activity", "models", "providers", "latency", "recent")
    }
    [day] = reports["daily"]["days"]
    assert (day["requests"], day["active"]) == (1, True)
    assert day["tokens"] == dashboard["tokens"]["total"] > 0
    last = reports["activity"]["days"][-1]
    assert (last["date"], last["requests"], last["level"]) == (day["date"], 1, 1)
    assert reports["activity"]["all_time_longest_streak"]["first"] == day["date"]
    assert len(reports["activity"]["days"]) == 365
    assert reports["models"]["models"] == dashboard["models"]
    assert reports["providers"]["locations"] == dashboard["locations"]
    assert reports["latency"]["total"]["requests"] == 1
    [record] = reports["recent"]["requests"]
    p50 = reports["latency"]["total"]["duration_ms"]["p50"]
    assert p50 == pytest.approx(record["duration_ms"], rel=0.2)


def test_any_figure_is_asked_for_by_name(lair: Lair, ana: Rest) -> None:
    lair.chat("Hi", **ANA, **{"X-Project": "rest-figures", "X-Enable-Memory": "false"})
    scope = {"project": "rest-figures", "tz": "Asia/Kathmandu"}
    names = list(MEASURES)

    def counted() -> Any:
        _, table = ana.ask("GET", "/metrics/query", measures=names, **scope)
        return table if table["rows"][0]["values"][0] else None

    table = eventually(counted, what="the request is counted")
    [row] = table["rows"]
    figures = dict(zip(table["measures"], row["values"], strict=True))
    assert (figures["requests"], figures["ok"], figures["success_rate"]) == (1, 1, 1)
    # The backend is in the house, so that its cost is known to be nothing.
    assert (figures["cost_usd"], figures["unpriced"], figures["users"]) == (0, 0, 1)
    assert figures["tokens"] == figures["prompt_tokens"] + figures["completion_tokens"] > 0
    assert figures["duration_ms_p50"] == pytest.approx(figures["duration_ms"], rel=0.011)
    body = {"measures": ["tokens"], "dimensions": list(DIMENSIONS), "granularity": "day", **scope}
    _, by_day = ana.ask("POST", "/metrics/query", body)
    assert [row["values"] for row in by_day["rows"]] == [[figures["tokens"]]]
    status, refused = ana.ask("GET", "/metrics/query", measures="beauty")
    assert (status, refused["error"]["param"]) == (400, "measures")
    assert "those are requests, " in refused["error"]["message"]


def test_where_requests_went_and_what_they_saved_is_told(lair: Lair, ana: Rest) -> None:
    lair.chat("Hi", **ANA, **{"X-Project": "rest-savings", "X-Enable-Memory": "false"})
    scope = {"project": "rest-savings", "tz": "UTC"}

    def counted() -> Any:
        routes = ana.ask("GET", "/metrics/routing", **scope)[1]["routes"]
        return routes or None

    [route] = eventually(counted, what="the request is counted")
    assert (route["requests"], route["ok"]) == (1, 1)
    _, saved = ana.ask("GET", "/metrics/savings", **scope)
    assert (saved["total"]["requests"], saved["total"]["confidence"]) == (1, "unknown")
    assert [it["model"] for it in saved["models"]] == [route["model"]]
    assert [it["watts"] for it in saved["backends"] if it["backend"] == route["backend"]] == [None]
    assert ana.ask("GET", "/metrics/unpriced", **scope) == (200, {"models": []})
    year = datetime.now(UTC).year
    _, card = ana.ask("GET", f"/metrics/wrapped/{year}", hide_names="true", **scope)
    assert (card["requests"], card["models"][0]["name"]) == (1, "")
