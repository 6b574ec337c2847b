"""Whose data a key reaches."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from lair.memory.v1.conversation_pb2 import Conversation
from svckit.keys import SCOPES
from tests.gateway.conftest import Stack
from tests.gateway.keyed import add_key, bearer, owner_token

ALL = frozenset(SCOPES)
LISTS = ["/memory/conversations", "/metrics/dashboard", "/metrics/recent"]


@pytest.fixture
def secrets(data_dir: Path) -> dict[str, str]:
    """Keys by what they are: of Ana and of Ben, of nobody, of nobody and administering."""
    keys: dict[str, Any] = {
        "ana": {"user_id": "ana"},
        "ana-admin": {"user_id": "ana", "scopes": ALL},
        "ben": {"user_id": "ben"},
        "any": {},
        "any-admin": {"scopes": ALL},
    }
    return {name: add_key(data_dir, name=name, **fields) for name, fields in keys.items()}


@pytest.fixture
async def keyed(secrets: dict[str, str]) -> AsyncIterator[Stack]:
    async with Stack().running() as running:
        running.memory.conversations = [Conversation(id="c", user_id="ben")]
        yield running


def asked(stack: Stack, path: str) -> tuple[str, bool]:
    """Return the user that a service was asked about last, and whether about everyone."""
    if path.startswith("/memory"):
        last = stack.memory.requests[-1]
        return last.user_id, last.all_users
    user_id = stack.metrics.requests[-1].scope.user_id
    return user_id, not user_id


@pytest.mark.parametrize("path", LISTS)
@pytest.mark.parametrize(
    "read",
    [
        ("ana", "", "ana"),
        ("ana", "ana", "ana"),
        ("ana-admin", "", "ana"),
        ("any", "", "local"),
        ("any", "cleo", "cleo"),
        ("any-admin", "", ""),
        ("any-admin", "cleo", "cleo"),
    ],
)
async def test_a_key_reads_as_its_user_or_as_the_one_it_may_name(keyed: Stack, secrets, path, read):
    who, named, user = read
    ways: list[tuple[str, dict[str, str]]] = [(path, {"X-User-ID": named} if named else {})]
    if named:
        ways.append((f"{path}?user_id={named}", {}))
    for address, headers in ways:
        status, _ = await keyed.get(address, **headers, **bearer(secrets[who]))
        assert status == 200
        assert asked(keyed, path) == (user, not user)


@pytest.mark.parametrize("path", LISTS)
@pytest.mark.parametrize("who", ["ana", "ana-admin"])
async def test_a_key_of_one_user_may_not_name_another(keyed: Stack, secrets, path, who):
    key = bearer(secrets[who])
    status, body = await keyed.get(path, **{"X-User-ID": "ben"}, **key)
    assert (status, body["error"]["param"]) == (403, "X-User-ID")
    assert "the header X-User-ID names 'ben'" in body["error"]["message"]
    status, body = await keyed.get(f"{path}?user_id=ben", **key)
    assert (status, body["error"]["param"]) == (403, "user_id")
    status, _ = await keyed.get(f"{path}?user_id=ben", **{"X-User-ID": "ana"}, **key)
    assert status == 403
    assert keyed.memory.requests == keyed.metrics.requests == []


async def test_the_owner_sees_everyones(keyed: Stack, data_dir):
    owner = bearer(owner_token(data_dir))
    for path in LISTS:
        await keyed.get(path, **owner)
        assert asked(keyed, path) == ("", True)


@pytest.mark.parametrize("method", ["GET", "DELETE"])
@pytest.mark.parametrize(
    ("who", "status"), [("ben", 200), ("ana", 404), ("ana-admin", 404), ("any", 404)]
)
async def test_a_conversation_is_found_by_its_users_key_only(
    keyed: Stack, secrets, method, who, status
):
    url = f"{keyed.url}/memory/conversations/c"
    async with keyed.http.request(method, url, headers=bearer(secrets[who])) as reply:
        assert reply.status == status
    assert all(not getattr(request, "all_users", False) for request in keyed.memory.requests)


async def test_a_key_that_may_administer_all_finds_anybodys(keyed: Stack, secrets):
    status, body = await keyed.get("/memory/conversations/c", **bearer(secrets["any-admin"]))
    assert (status, body["user_id"]) == (200, "ben")


async def test_a_model_is_asked_as_the_keys_user(keyed: Stack, secrets):
    async with keyed.chat(headers=bearer(secrets["ana"])) as reply:
        assert reply.status == 200
    [call] = keyed.router.calls
    assert call.caller.user_id == "ana"
    assert call.caller.key_id
    async with keyed.chat(headers=bearer(secrets["ana"]) | {"X-User-ID": "ben"}) as reply:
        assert reply.status == 403
    assert len(keyed.router.calls) == 1
