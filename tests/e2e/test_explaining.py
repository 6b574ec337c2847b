"""Where a prompt would go, and why: the same by `lair route`, by gRPC and by HTTP."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.crowd import Client, aside, clients, lair_command
from tests.e2e.stack import Lair, free_ports, lair_up, request
from tests.e2e.test_grpc import call

EXPLAIN = "lair.router.v1.RouterService/ExplainRoute"
PROMPT = "Count to 5"
IMAGE = {"type": "image_url", "image_url": {"url": "data:image/png;base64,AA=="}}


@dataclass
class House:
    """A lair before four backends, of which one is genuine and up."""

    lair: Lair
    client: Client

    def by_http(
        self, body: dict[str, Any], headers: dict[str, str] | None = None
    ) -> list[dict[str, Any]]:
        """Return the candidates of the explanation by HTTP; check who is chosen."""
        url = f"{self.lair.url}/v1/routing/explain"
        status, decision = request("POST", url, body, headers)
        assert status == 200, decision
        candidates: list[dict[str, Any]] = decision["candidates"]
        first = next((found for found in candidates if found["eligible"]), None)
        assert decision["chosen"] == first
        return candidates

    def by_grpc(self, chat: dict[str, Any]) -> list[dict[str, Any]]:
        """Return the same by gRPC, where what is false is left out."""
        answer = call(self.lair.port + 1, EXPLAIN, {"call": chat})
        return [{"eligible": False, **found} for found in answer["candidates"]]

    async def by_command(self, *words: str) -> list[list[str]]:
        """Return the rows of the table: place, backend, model, reasons."""
        _, *rows = (await lair_command(self.lair, "route", *words)).splitlines()
        return [row.strip().split(maxsplit=3) for row in rows]


@pytest.fixture(scope="module")
def backends(llama: str) -> dict[str, dict[str, Any]]:
    nobody = f"http://127.0.0.1:{free_ports(1)}/v1"
    small = {"models": ["tiny-chat"], "url": nobody}
    return {
        "gone": {**small, "priority": 5},
        "tiny": {"url": llama},
        "cloud": {**small, "local": False, "price": 2.5},
        "kept": {**small, "explicit_only": True},
    }


@pytest.fixture
async def house(backends: dict[str, dict[str, Any]], tmp_path: Path) -> AsyncIterator[House]:
    async with aside(lair_up(tmp_path, backends=backends)) as lair, clients(lair) as client:
        yield House(lair, client)


def user(content: Any) -> dict[str, Any]:
    return {"role": "user", "content": content}


async def test_the_table_http_and_grpc_tell_the_same(house: House) -> None:
    by_http = house.by_http({"model": "auto", "messages": [user(PROMPT)]})
    by_grpc = house.by_grpc({"model": "auto", "messages": [{"role": "user", "text": PROMPT}]})
    rows = await house.by_command(PROMPT)
    as_json = json.loads(await lair_command(house.lair, "route", PROMPT, "--json"))

    assert by_grpc == as_json["candidates"] == by_http
    places = [str(place) if c["eligible"] else "no" for place, c in enumerate(by_http, start=1)]
    assert rows == [
        [place, c["backend"], c["model"], ", ".join(c["reasons"])]
        for place, c in zip(places, by_http, strict=True)
    ]
    assert [(c["backend"], c["eligible"]) for c in by_http] == [
        ("tiny", True),
        ("gone", True),
        ("cloud", True),
        ("kept", False),
    ]
    why = {c["backend"]: c["reasons"] for c in by_http}
    assert why["tiny"][:2] == ["up", "loaded"]
    assert "context of 1024" in why["tiny"][2]
    assert why["gone"] == ["down", "priority 5"]
    assert why["cloud"] == ["down", "2.5 USD a million tokens"]
    assert why["kept"] == ["explicit_only in the configuration"]
    assert await house.client.get("/metrics/recent") == {"requests": [], "next_page_token": None}


async def test_hints_and_needs_change_the_explanation_the_same_way(house: House) -> None:
    picture = [{"type": "text", "text": "What is it?"}, IMAGE]
    by_http = house.by_http({"messages": [user(picture)]}, {"X-Local-Only": "true"})
    parts = [
        {"type": "text", "text": "What is it?"},
        {"type": "image_url", "imageUrl": {"url": IMAGE["image_url"]["url"]}},  # type: ignore[index]  # of the literal above
    ]
    chat = {"messages": [{"role": "user", "parts": {"parts": parts}}], "route": {"localOnly": True}}
    assert house.by_grpc(chat) == by_http
    refused = {c["backend"]: c["reasons"] for c in by_http if not c["eligible"]}
    assert refused == {
        "tiny": ["takes no images"],
        "cloud": ["X-Local-Only, and it is remote"],
        "kept": ["explicit_only in the configuration"],
    }


@pytest.mark.parametrize("user_id", ["ann", ""], ids=["a named user", "the default user"])
async def test_a_chat_goes_where_its_explanation_says(house: House, user_id: str) -> None:
    headers = {"X-Conversation-ID": "c", **({"X-User-ID": user_id} if user_id else {})}
    body = {"messages": [user(PROMPT)]}
    [before, *_] = house.by_http(body, headers)
    reply = await house.client.ask(PROMPT, headers=headers)
    assert (reply.backend, reply.headers["x-lair-model"]) == (before["backend"], before["model"])

    again = await house.client.ask(PROMPT, headers=headers)
    assert again.headers["x-lair-route"] == "auto: same as the conversation's last answer"
    [after, *_] = house.by_http(body, headers)
    chat = {
        "messages": [{"role": "user", "text": PROMPT}],
        "memory": {"conversationId": "c"},
        "caller": {"userId": user_id},
    }
    assert house.by_grpc(chat)[0] == after
    assert after["reasons"][0] == "same as the conversation's last answer"


async def test_an_unknown_model_is_told_in_the_same_words(house: House) -> None:
    body = {"model": "tiny-chart", "messages": [user(PROMPT)]}
    status, answer = request("POST", f"{house.lair.url}/v1/routing/explain", body)
    assert (status, answer["error"]["code"]) == (404, "model_not_found")
    with pytest.raises(AssertionError, match="did you mean 'tiny-chat'"):
        await house.by_command(PROMPT, "--model", "tiny-chart")
    with pytest.raises(AssertionError, match="did you mean 'tiny-chat'"):
        house.by_grpc({"model": "tiny-chart", "messages": [{"role": "user", "text": PROMPT}]})
