"""OpenCode's sessions: its database (opencode.db), and the folders of JSON files before it.

A session has messages, a message has parts. A session that another one began was asked by
a model: what it used is counted, and nobody said it.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from typing import Any

from launcher.importing.conversation import (
    NOTHING_KNOWN,
    Call,
    Imported,
    ImportedConversation,
    ImportedMessage,
    Malformed,
    Spent,
)
from launcher.importing.database import columns_of, is_database, opened
from launcher.importing.source import Meter, Source, UnreadableError
from launcher.importing.steps import NextStep, Piece, Result, messages_of
from launcher.importing.tree import Tree
from launcher.importing.values import (
    Json,
    joined,
    last_name,
    mapping,
    number,
    text,
    time_us,
    written,
)

# Names that OpenCode gives to a session before its model does.
_NAMELESS = ("New session -", "Child session -")
_IN_THE_HOUSE = (
    *("ollama", "lmstudio", "llama.cpp", "llamacpp", "llama-cpp", "llama-server", "vllm"),
    *("localai", "koboldcpp", "local"),
)
# The parts of all messages of a session in one walk, in the order they were made.
_MESSAGES = "select id, data from message where session_id = ? order by time_created, id"
_PARTS = """
select message_id, data from part where session_id = ? order by message_id, id
"""


@dataclass(frozen=True, slots=True)
class _Session:
    """A session as either storage has it: its messages, and by message the parts."""

    where: str
    facts: Json
    messages: Sequence[Json]
    parts: Mapping[str, Sequence[Json]]


def read(source: Source) -> Iterator[Imported]:
    """Yield the sessions of the database and of the folders. Raises `UnreadableError`."""
    database, folder = database_in(source.path), _folder(source.path)
    if not (database or folder):
        raise UnreadableError(f"{source.path} has neither an opencode.db nor OpenCode's storage")
    seen: set[str] = set()
    if database:
        for each in _of_database(database, source.meter):
            if isinstance(each, _Session):
                seen.add(text(each.facts.get("id")))
            yield from _imported(each)
    if folder:
        for each in _of_folder(folder, source.meter, seen):
            yield from _imported(each)


def database_in(path: Path) -> Path | None:
    """Return the database that a path is, or is the folder of; None if there is none."""
    path = path / "opencode.db" if path.is_dir() else path
    return path if is_database(path) else None


def size_of(path: Path) -> int:
    """Return how many bytes reading will go through."""
    database, folder = database_in(path), _folder(path)
    files = folder.rglob("*.json") if folder else ()
    return (database.stat().st_size if database else 0) + sum(each.stat().st_size for each in files)


def _folder(path: Path) -> Path | None:
    """Return the folder of `session`, `message` and `part`; None if there is none."""
    for folder in (path, path / "storage"):
        if (folder / "session").is_dir() and (folder / "message").is_dir():
            return folder
    return None


def _of_database(path: Path, meter: Meter) -> Iterator[_Session | Malformed]:
    with opened(path) as database:
        if not {"session_id", "data"} <= columns_of(database, "message"):
            raise UnreadableError(f"{path} is no database of OpenCode: it has no messages")
        for row in database.execute("select * from session order by id"):
            where, faults = f"{path.name}, session {row['id']}", list[Malformed]()
            messages: list[Json] = []
            for message_id, data in database.execute(_MESSAGES, (row["id"],)):
                meter.advance(len(data))
                messages.append(
                    {**_parsed(data, f"{where}, message {message_id}", faults), "id": message_id}
                )
            parts: dict[str, list[Json]] = {}
            for message_id, rows in groupby(
                database.execute(_PARTS, (row["id"],)), key=lambda part: str(part["message_id"])
            ):
                datas = [part["data"] for part in rows]
                meter.advance(sum(map(len, datas)))
                place = f"{where}, a part of message {message_id}"
                parts[message_id] = [_parsed(data, place, faults) for data in datas]
            yield from faults
            yield _Session(where, _facts_of(dict(row)), messages, parts)


def _facts_of(row: dict[str, Any]) -> Json:
    """Return a row of `session` as the file of a session has it."""
    return {
        "id": row.get("id"),
        "parentID": row.get("parent_id"),
        "title": row.get("title"),
        "directory": row.get("directory"),
        "time": {"created": row.get("time_created")},
    }


def _parsed(data: str | bytes, where: str, faults: list[Malformed]) -> Json:
    """Return the object in a text; an empty one and a fault where there is none."""
    try:
        value = json.loads(data)
    except (TypeError, ValueError, RecursionError) as error:
        faults.append(Malformed(where, f"it is no JSON: {error}"))
        return {}
    if not isinstance(value, dict):
        faults.append(Malformed(where, "it is no JSON object"))
    return mapping(value)


def _of_folder(folder: Path, meter: Meter, seen: set[str]) -> Iterator[_Session | Malformed]:
    for path in sorted((folder / "session").rglob("*.json")):
        if path.stem in seen:
            continue
        faults: list[Malformed] = []
        facts = _loaded(path, folder, meter, faults)
        messages = [
            {**_loaded(each, folder, meter, faults), "id": each.stem}
            for each in sorted((folder / "message" / path.stem).glob("*.json"))
        ]
        messages.sort(key=lambda message: (_created(message) or 0, message["id"]))
        parts = {
            message["id"]: [
                _loaded(each, folder, meter, faults)
                for each in sorted((folder / "part" / message["id"]).glob("*.json"))
            ]
            for message in messages
        }
        yield from faults
        if facts:
            name = path.relative_to(folder).as_posix()
            yield _Session(name, {"id": path.stem, **facts}, messages, parts)


def _loaded(path: Path, folder: Path, meter: Meter, faults: list[Malformed]) -> Json:
    where = path.relative_to(folder).as_posix()
    try:
        data = path.read_bytes()
    except OSError as error:
        faults.append(Malformed(where, f"it cannot be read: {error.strerror}"))
        return {}
    meter.advance(len(data))
    return _parsed(data, where, faults)


def _imported(session: _Session | Malformed) -> Iterator[Imported]:
    if isinstance(session, Malformed):
        yield session
        return
    tree, before = Tree(), None
    for message in session.messages:
        key = text(message.get("id"))
        tree.add(key, before, _said(key, message, session.parts.get(key, ())))
        before = key
    facts, session_id = session.facts, text(session.facts.get("id"))
    title = text(facts.get("title"))
    yield ImportedConversation(
        id=f"opencode:{session_id}",
        where=session.where,
        messages=tree.messages(),
        title="" if title.startswith(_NAMELESS) else title,
        project=last_name(facts.get("directory")),
        session=session_id,
        at_us=_created(facts),
        remembered=not facts.get("parentID"),
    )


def _said(key: str, message: Json, parts: Iterable[Json]) -> list[ImportedMessage]:
    at_us = _created(message)
    if message.get("role") == "user":
        said = joined(_written_by_user(parts))
        if not said:
            return []
        return [ImportedMessage(key=key, parent=None, role="user", text=said, at_us=at_us)]
    # A summary is what OpenCode goes on with when the window is full: nobody asked for it.
    if message.get("role") != "assistant" or message.get("summary"):
        return []
    provider = text(message.get("providerID"))
    answer = ImportedMessage(
        key=key,
        parent=None,
        role="assistant",
        text="",
        at_us=at_us,
        model=text(message.get("modelID")),
        backend=provider,
        local=provider.lower() in _IN_THE_HOUSE,
        spent=_spent(message),
    )
    return messages_of(answer, _pieces(parts))


def _written_by_user(parts: Iterable[Json]) -> Iterator[str]:
    for part in parts:
        if part.get("type") == "text" and not (part.get("synthetic") or part.get("ignored")):
            yield text(part.get("text"))
        elif part.get("type") == "file":
            yield f"[file: {text(part.get('filename')) or 'without a name'}]"


def _pieces(parts: Iterable[Json]) -> Iterator[Piece]:
    for part in parts:
        match part.get("type"):
            case "text":
                yield text(part.get("text"))
            case "step-start":
                yield NextStep()
            case "tool":
                state, call_id = mapping(part.get("state")), text(part.get("callID"))
                yield Call(call_id, text(part.get("tool")), written(state.get("input") or {}))
                if state.get("status") in ("completed", "error"):
                    yield Result(call_id, text(state.get("output")) or text(state.get("error")))


def _created(facts: Json) -> int | None:
    return time_us(mapping(facts.get("time")).get("created"))


def _spent(message: Json) -> Spent:
    tokens = mapping(message.get("tokens"))
    cache = mapping(tokens.get("cache"))
    read_, written_ = number(cache.get("read")) or 0, number(cache.get("write")) or 0
    fresh, said = number(tokens.get("input")), number(tokens.get("output"))
    thought = number(tokens.get("reasoning")) or 0
    if not (fresh or said or read_ or written_):
        return NOTHING_KNOWN  # an answer that was broken off has zeros
    cost = message.get("cost")
    return Spent(
        prompt=(fresh or 0) + read_ + written_,
        completion=(said or 0) + thought,
        cached=read_,
        cache_write=written_,
        reasoning=thought,
        nano_usd=round(cost * 1e9) if isinstance(cost, int | float) and cost > 0 else None,
    )
