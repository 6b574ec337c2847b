"""Two keys, two users: neither gets at anything of the other's, whatever they try."""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from tests.e2e.crowd import aside, became
from tests.e2e.prying import Attempt, Prey, attempts
from tests.e2e.stack import Lair, lair_up
from tests.e2e.test_keys import keys
from tests.fakes.answers import Answer, completion, reply
from tests.fakes.openai_server import OpenAIServer

# Alice says these and nobody else does, so where one shows up, something of hers does.
SECRETS = ("zebra-7741", "heron-5520", "otter-3318", "lynx-9906", "raven-1207", "stork-4471")
_SAID, _ANSWERED, _TITLED, _NOTED, _LISTED, _REMEMBERED = SECRETS


# It tells of requests as they happen: what it has to say at once must do.
ENDLESS = "/metrics/live"


class Person:
    """Somebody with a key."""

    def __init__(self, lair: Lair, session: aiohttp.ClientSession, secret: str) -> None:
        self._url = lair.url
        self._session = session
        self._authorization = {"Authorization": f"Bearer {secret}"}

    async def asks(
        self, method: str, path: str, body: Any = None, headers: dict[str, str] | None = None
    ) -> tuple[int, str]:
        """Send a request; return the status, and everything that came back as one text."""
        data = body if isinstance(body, bytes) or body is None else json.dumps(body).encode()
        sent = {"content-type": "application/json", **self._authorization, **(headers or {})}
        url = self._url + path
        async with self._session.request(method, url, data=data, headers=sent) as got:
            text = await (_beginning(got) if url.count(ENDLESS) else got.text())
            return got.status, f"{text}\n{dict(got.headers)}"

    async def gets(
        self, method: str, path: str, body: Any = None, headers: dict[str, str] | None = None
    ) -> dict[str, Any]:
        """Send a request that must succeed; return its JSON."""
        status, text = await self.asks(method, path, body, headers)
        assert status in (200, 201), (method, path, text)
        found: dict[str, Any] = json.loads(text.rpartition("\n")[0])
        return found

    async def tries(self, attempt: Attempt) -> tuple[int, str]:
        return await self.asks(attempt.method, attempt.path, attempt.body, attempt.headers)


async def _beginning(got: aiohttp.ClientResponse) -> str:
    said = b""
    with suppress(TimeoutError):
        async with asyncio.timeout(0.3):
            async for piece in got.content.iter_any():
                said += piece
    return said.decode()


def _answer(body: dict[str, Any]) -> Answer:
    """Answer Alice with a secret; nobody else's prompt has what makes it hers."""
    said = json.dumps(body)
    if "input" in body:
        entry = {"object": "embedding", "index": 0, "embedding": [0.5, 0.5]}
        return reply({"object": "list", "model": "tiny", "data": [entry]})
    return completion(f"Understood: {_ANSWERED}" if _SAID in said else "I do not know.")


@pytest.fixture
async def people(tmp_path: Path) -> AsyncIterator[tuple[Person, Person, OpenAIServer]]:
    async with _lair(tmp_path) as (lair, session, server):
        alice, bob = [
            Person(lair, session, await keys(tmp_path, "create", name, "--user", name))
            for name in ("alice", "bob")
        ]

        stranger = Person(lair, session, "lair_of-nobody")

        async def keys_are_needed() -> bool:
            return (await stranger.asks("GET", "/v1/models"))[0] == 401

        await became(keys_are_needed, "the keys are in force")
        assert (await bob.asks("GET", "/v1/models"))[0] == 200
        yield alice, bob, server


@asynccontextmanager
async def _lair(
    folder: Path,
) -> AsyncIterator[tuple[Lair, aiohttp.ClientSession, OpenAIServer]]:
    async with OpenAIServer("tiny") as server:
        server.script(_answer)
        options = aside(lair_up(folder, "--single-process", backends={"tiny": server.url}))
        async with options as lair, aiohttp.ClientSession() as session:
            yield lair, session, server


async def settle_in(alice: Person) -> Prey:
    """Have Alice leave something by every way there is; return all of its names."""
    project, session, repeat = "vaults", "alice-session", "alice-once"
    said = f"The vault code is {_SAID}."
    own = {"X-Conversation-ID": "alice-chat", "X-Project": project, "X-Session-ID": session}
    chat = {"model": "tiny", "messages": [{"role": "user", "content": said}]}
    await alice.gets("POST", "/v1/chat/completions", chat, own | {"Idempotency-Key": repeat})
    stored = await alice.gets(
        *("POST", "/v1/chat/completions"),
        chat | {"store": True, "metadata": {"note": _NOTED}},
    )
    response = await alice.gets("POST", "/v1/responses", {"model": "tiny", "input": said})
    item = {"type": "message", "role": "user", "content": said}
    listed = await alice.gets(
        "POST", "/v1/conversations", {"metadata": {"note": _LISTED}, "items": [item]}
    )
    titled = await alice.gets(
        "POST", "/memory/conversations", {"title": f"Vault {_TITLED}", "tags": ["safe"]}
    )

    note = await alice.gets(
        *("POST", "/memory/notes"),
        {"text": f"The vault's spare code is {_REMEMBERED}.", "project": project, "pinned": True},
    )

    async def answers() -> tuple[int, int, int]:
        asked, _ = await alice.asks("GET", f"/v1/responses/{response['id']}")
        found = await alice.gets("GET", "/memory/search?q=vault")
        counted = await alice.gets("GET", "/metrics/recent")
        return asked, len(found["passages"]), len(counted["requests"])

    async def kept() -> bool:
        status, passages, requests = await answers()
        return status == 200 and passages > 0 and requests >= 3

    await became(kept, "what Alice said is stored and counted")
    assert (await answers())[2] == 3
    items = await alice.gets("GET", f"/v1/conversations/{listed['id']}/items")
    recent = await alice.gets("GET", "/metrics/recent")
    names = (
        *("alice-chat", stored["id"], response["id"], listed["id"], titled["id"]),
        *(each["id"] for each in items["data"]),
        recent["requests"][0]["request_id"],
    )
    chat_kept = await alice.gets("GET", "/memory/conversations/alice-chat")
    numbers = (note["message_id"], *(message["id"] for message in chat_kept["messages"]))
    return Prey("alice", project, session, names, numbers, repeat)


async def everything_of(person: Person, prey: Prey) -> dict[str, str]:
    """Return what somebody sees of their own, without what changes by looking."""
    paths = ["/memory/conversations", "/memory/stats", "/metrics/recent", "/metrics/dashboard"]
    paths += ["/v1/chat/completions", "/memory/search?q=vault", "/memory/notes"]
    paths += [f"/memory/conversations/{name}" for name in prey.ids]
    paths += [f"/v1/responses/{name}" for name in prey.ids]
    paths += [f"/v1/conversations/{name}/items" for name in prey.ids]
    return {path: (await person.asks("GET", path))[1].rpartition("\n")[0] for path in paths}


async def test_neither_of_two_users_gets_at_anything_of_the_other(
    people: tuple[Person, Person, OpenAIServer],
) -> None:
    alice, bob, server = people
    prey = await settle_in(alice)
    before = await everything_of(alice, prey)
    asked_before = len(server.received)
    document = await bob.gets("GET", "/openapi.json")
    leaks, statuses = [], Counter[int]()
    for attempt in attempts(document, prey):
        status, text = await bob.tries(attempt)
        statuses[status] += 1
        leaks += [(attempt, status, text) for secret in SECRETS if secret in text]
    assert leaks == []
    assert max(statuses) < 500, statuses
    assert statuses.total() > 1000, "hardly anything was tried"
    reached = [json.dumps(each.body) for each in server.received[asked_before:]]
    assert reached, "no chat of his was answered"
    assert not [body for body in reached for secret in SECRETS if secret in body]
    after = await everything_of(alice, prey)
    assert without_ids(after) == without_ids(before)


async def test_a_stranger_to_whom_nothing_happened_counts_nothing(
    people: tuple[Person, Person, OpenAIServer],
) -> None:
    alice, bob, _ = people
    await settle_in(alice)
    assert (await bob.gets("GET", "/metrics/dashboard"))["requests"] == 0
    assert (await bob.gets("GET", "/metrics/recent"))["requests"] == []
    assert (await bob.gets("GET", "/memory/stats"))["conversations"] == 0
    assert (await bob.gets("GET", "/memory/conversations"))["conversations"] == []


async def test_what_is_tried_does_reach_the_owner_of_the_data(
    people: tuple[Person, Person, OpenAIServer],
) -> None:
    """Else the test above would pass with an address that never was right."""
    alice, _, _ = people
    prey = await settle_in(alice)
    document = await alice.gets("GET", "/openapi.json")
    found: dict[str, set[str]] = {}
    for attempt in attempts(document, prey):
        if attempt.method != "GET" and attempt.operation != "POST /v1/responses":
            continue  # she would change what she looks for
        _, text = await alice.tries(attempt)
        found.setdefault(attempt.operation, set()).update(s for s in SECRETS if s in text)
    operations = {operation for operation, secrets in found.items() if secrets}
    assert operations >= {
        "GET /memory/conversations",
        "GET /memory/conversations/{id}",
        "GET /memory/notes",
        "GET /memory/search",
        "GET /v1/chat/completions",
        "GET /v1/chat/completions/{id}",
        "GET /v1/chat/completions/{id}/messages",
        "GET /v1/conversations/{id}",
        "GET /v1/conversations/{id}/items",
        "GET /v1/responses/{id}",
        "GET /v1/responses/{id}/input_items",
        "POST /v1/responses",
    }
    assert set().union(*found.values()) == set(SECRETS)


def without_ids(seen: dict[str, str]) -> dict[str, str]:
    """Leave out what names the request that asked, where it was refused."""
    return {path: text for path, text in seen.items() if '"error"' not in text}
