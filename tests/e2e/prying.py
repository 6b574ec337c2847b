"""What somebody may try to get at another's data by HTTP: every operation, every way to say it.

The operations come from the document a lair serves, so a new one is tried as soon as it is
there; one that takes a body needs an entry in `BODIES`.
"""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote, urlencode

Document = Mapping[str, Any]

_CHAT = {"model": "tiny", "messages": [{"role": "user", "content": "What is the vault code?"}]}
_WANTED = {"metadata": {"note": "mine now"}, "title": "mine now"}


@dataclass(frozen=True, slots=True)
class Prey:
    """Another user's data, by every name it has."""

    user: str
    project: str
    session: str
    # Ids of conversations, responses, stored completions, items and requests.
    ids: tuple[str, ...]
    # Numbers of messages.
    messages: tuple[int, ...]
    idempotency_key: str


@dataclass(frozen=True, slots=True)
class Attempt:
    """One request: the operation as the document names it, and how it is asked."""

    operation: str
    method: str
    path: str
    body: bytes | None
    headers: dict[str, str]


def bodies(prey: Prey, name: str) -> dict[str, list[Any]]:
    """Return what is sent to each operation that takes a body; `name` is an id to try."""
    return {
        "POST /v1/chat/completions": [_CHAT, {**_CHAT, "store": True, "user": prey.user}],
        "POST /v1/chat/completions/{id}": [{"metadata": {"note": "mine now"}}],
        "POST /v1/completions": [{"model": "tiny", "prompt": "The vault code is"}],
        "POST /v1/embeddings": [{"model": "tiny", "input": "vault"}],
        "POST /v1/messages": [
            {**_CHAT, "max_tokens": 9, "metadata": {"user_id": prey.user}},
        ],
        "POST /v1/messages/count_tokens": [_CHAT],
        "POST /v1/responses": [
            {"model": "tiny", "input": "What is the vault code?", "conversation": name},
            {"model": "tiny", "input": "What is the vault code?", "previous_response_id": name},
            {"model": "tiny", "input": [{"type": "item_reference", "id": name}, _item()]},
            {"model": "tiny", "input": "x", "previous_response_id": name, "store": False},
        ],
        "POST /v1/responses/input_tokens": [
            {"model": "tiny", "input": "x", "conversation": name},
            {"model": "tiny", "input": "x", "previous_response_id": name},
        ],
        "POST /v1/conversations": [{"metadata": {"note": "hello"}}, {"items": [_item()]}],
        "POST /v1/conversations/{id}": [{"metadata": {"note": "mine now"}}],
        "POST /v1/conversations/{id}/items": [{"items": [_item()]}],
        "POST /v1/routing/explain": [_CHAT],
        "POST /gaming-mode": [{}],
        "POST /memory/conversations": [{"title": "hello"}, {"id": name, "title": "mine now"}],
        "PATCH /memory/conversations/{id}": [_WANTED],
        "POST /memory/notes": [
            {"text": "The vault is empty."},
            {"text": "The vault is empty.", "project": prey.project, "pinned": True},
        ],
        "PATCH /memory/messages/{message_id}": [
            {"pinned": True, "project": prey.project},
            {"text": "The vault is empty."},
        ],
        "POST /memory/forget": [
            *({"messages": [number]} for number in prey.messages),
            {"conversation_id": name},
            {"project": prey.project},
            {"topic": "vault", "preview": True},
            {"topic": "vault"},
            {"everything": True},
        ],
        "POST /memory/search": _searches(prey, name),
        "POST /metrics/query": _counts(prey),
    }


def _searches(prey: Prey, name: str) -> list[Any]:
    return [
        {"q": "vault"},
        {"q": "vault", "conversation_id": name},
        {"q": "vault", "project": prey.project, "session_id": prey.session},
    ]


def _counts(prey: Prey) -> list[Any]:
    return [
        {"measures": ["requests"], "dimensions": ["user", "project", "key"]},
        {"measures": ["requests"], "filters": [f"user={prey.user}"]},
    ]


def attempts(document: Document, prey: Prey) -> Iterator[Attempt]:
    """Yield every request that may reach for the prey."""
    for path, methods in document["paths"].items():
        for method, operation in methods.items():
            name = f"{method.upper()} {path}"
            for place, query, headers, body in _ways(name, operation, path, prey):
                target = f"{place}?{urlencode(query)}" if query else place
                data = None if body is None else json.dumps(body).encode()
                yield Attempt(name, method.upper(), target, data, headers)


def _ways(
    name: str, operation: Mapping[str, Any], path: str, prey: Prey
) -> Iterator[tuple[str, dict[str, str], dict[str, str], Any]]:
    parameters = operation.get("parameters", ())
    names = (*prey.messages, *prey.ids) if "{message_id}" in path else prey.ids
    targets = map(str, (name, *names))
    for target in targets if "{" in path or "requestBody" in operation else (name,):
        place = path
        for parameter in parameters:
            if parameter["in"] == "path":
                place = place.replace(f"{{{parameter['name']}}}", quote(target, safe=""))
        wanted = bodies(prey, target)[name] if "requestBody" in operation else [None]
        first, *others = _headers(prey, target)
        queries = [{}, *_queries(parameters, prey, target)]
        for form in (place, f"/p/{prey.project}{place}"):
            for query, body in itertools.product(queries, wanted):
                yield form, query, first, body
        for headers, body in itertools.product(others, wanted):
            yield place, {}, headers, body


def _headers(prey: Prey, name: str) -> list[dict[str, str]]:
    return [
        {},
        {"X-User-ID": prey.user},
        {"X-Enable-Memory": "true", "X-Conversation-ID": name},
        {"X-Session-ID": prey.session, "X-Project": prey.project, "X-Enable-Memory": "true"},
        {"Idempotency-Key": prey.idempotency_key},
        {"X-Memory-Policy": "full", "OpenAI-Project": prey.project},
    ]


def _queries(
    parameters: Sequence[Mapping[str, Any]], prey: Prey, name: str
) -> Iterator[dict[str, str]]:
    values = {
        "user_id": prey.user,
        "project": prey.project,
        "session_id": prey.session,
        "conversation_id": name,
        "after": name,
        "page_token": name,
        "q": "vault",
        "tag": "safe",
        "model": "tiny",
    }
    taken = {each["name"] for each in parameters if each["in"] == "query"}
    needed = {"q": "vault"} if "q" in taken else {}
    for key in sorted(taken & values.keys()):
        yield needed | {key: values[key]}


def _item() -> dict[str, Any]:
    return {"type": "message", "role": "user", "content": "What is the vault code?"}
