"""Open WebUI's chats, exported as JSON or in its own database (webui.db).

A chat's `history` has `messages` by id, each with its parent, and `currentId`. Left out:
instructions, and the thoughts and tools that stand as <details> in an answer.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from launcher.importing.conversation import (
    NOTHING_KNOWN,
    Imported,
    ImportedConversation,
    ImportedMessage,
    Malformed,
    Spent,
)
from launcher.importing.database import columns_of, is_database, opened
from launcher.importing.source import Source, UnreadableError, file_part, json_records
from launcher.importing.tree import Tree
from launcher.importing.values import Json, joined, mapping, number, objects, text, time_us

_BACKEND = "open-webui"
_DETAILS = re.compile(
    r'<details type="(?:reasoning|tool_calls|code_interpreter)".*?</details>', re.DOTALL
)
# What only servers in the house tell of an answer: Ollama and llama.cpp.
_LOCAL_FACTS = ("eval_count", "prompt_eval_count", "timings", "predicted_n")


def read(source: Source) -> Iterator[Imported]:
    """Yield the chats of a JSON export or a database. Raises `UnreadableError`."""
    path = database_in(source.path)
    yield from _of_database(path, source) if path else _of_export(source)


def database_in(path: Path) -> Path | None:
    """Return the database that a path is, or is the folder of; None if there is none."""
    path = path / "webui.db" if path.is_dir() else path
    return path if is_database(path) else None


def _of_export(source: Source) -> Iterator[Imported]:
    person = source.person
    for each in json_records(file_part(source.path), source.meter):
        if isinstance(each, Malformed):
            yield each
            continue
        where, record = each
        whose = text(mapping(record).get("user_id"))
        person = person or whose
        if whose in ("", person):
            yield from _chat(where, record)
        elif not source.person:
            yield Malformed(
                where, f"it is of another person; import theirs with --person {whose} --user NAME"
            )


def _of_database(path: Path, source: Source) -> Iterator[Imported]:
    with opened(path) as database:
        if "chat" not in columns_of(database, "chat"):
            raise UnreadableError(f"{path} is no database of Open WebUI: it has no chats")
        person = _person(database, source.person)
        folders = _folders(database)
        for row in database.execute("select * from chat where user_id is ?", (person,)):
            where = f"{path.name}, chat {row['id']}"
            record = dict(row)
            try:
                record["chat"] = json.loads(record["chat"])
            except (TypeError, ValueError, RecursionError) as error:
                yield Malformed(where, f"the column chat is no JSON: {error}")
                continue
            source.meter.advance(len(row["chat"]))
            yield from _chat(where, record, folders.get(record.get("folder_id"), ""))


def _person(database: Any, asked: str) -> str | None:
    """Return the id of the person whose chats to read. Raises `UnreadableError`."""
    people = [row[0] for row in database.execute("select distinct user_id from chat")]
    emails: dict[str, str] = {}
    if "email" in columns_of(database, "user"):
        emails = dict(database.execute("select id, email from user").fetchall())
    if not asked and len(people) <= 1:
        return people[0] if people else None
    for person in people:
        if asked and asked in (person, emails.get(person)):
            return str(person)
    names = ", ".join(sorted(emails.get(person) or str(person) for person in people))
    raise UnreadableError(f"these people have chats in it, name one with --person: {names}")


def _folders(database: Any) -> dict[str | None, str]:
    if not {"id", "name"} <= columns_of(database, "folder"):
        return {}
    return {row["id"]: text(row["name"]) for row in database.execute("select id, name from folder")}


def _chat(where: str, record: Any, project: str = "") -> Iterator[Imported]:
    record = mapping(record)
    chat = mapping(record.get("chat")) or record
    history = mapping(chat.get("history"))
    nodes = history.get("messages")
    if not isinstance(nodes, dict):
        nodes = {text(each.get("id")): each for each in objects(chat.get("messages"))}
    chat_id = text(record.get("id")) or text(chat.get("id"))
    if not chat_id or (not nodes and "messages" not in (*history, *chat)):
        yield Malformed(where, "it has no id or no messages")
        return
    tree = Tree()
    for key, node in nodes.items():
        if not isinstance(node, dict):
            yield Malformed(where, f"the message {key} is no object")
            continue
        parent = node.get("parentId")
        message = _message(f"{chat_id}/{key}", node)
        tree.add(key, parent if isinstance(parent, str) else None, (message,) if message else ())
    yield ImportedConversation(
        id=f"open-webui:{chat_id}",
        where=where,
        messages=tree.messages(),
        current=tree.last_said(text(history.get("currentId"))),
        title=text(record.get("title")) or text(chat.get("title")),
        project=project,
        at_us=time_us(record.get("created_at")) or time_us(chat.get("timestamp")),
    )


def _message(key: str, node: Json) -> ImportedMessage | None:
    role, at_us = node.get("role"), time_us(node.get("timestamp"))
    words = _words(node.get("content"))
    if role == "user":
        said = joined([words, *_files(node)])
        return (
            ImportedMessage(key=key, parent=None, role="user", text=said, at_us=at_us)
            if said
            else None
        )
    words = _DETAILS.sub("", words).strip()
    if role != "assistant" or not words:
        return None
    spent, local = _spent(node)
    return ImportedMessage(
        key=key,
        parent=None,
        role="assistant",
        text=words,
        at_us=at_us,
        model=text(node.get("model")) or text(node.get("modelName")),
        backend=_BACKEND,
        local=local,
        spent=spent,
    )


def _words(content: Any) -> str:
    if isinstance(content, str):
        return text(content)
    return joined(text(part.get("text")) for part in objects(content))


def _files(node: Json) -> Iterator[str]:
    for each in objects(node.get("files")):
        image = each.get("type") == "image"
        yield "[image]" if image else f"[file: {text(each.get('name')) or 'without a name'}]"


def _spent(node: Json) -> tuple[Spent, bool]:
    """Return what an answer used, and whether it was made in the house."""
    info = mapping(node.get("info"))
    used = mapping(node.get("usage")) or mapping(info.get("usage")) or info
    local = any(name in used for name in _LOCAL_FACTS)
    counts = [
        next((count for name in names if (count := number(used.get(name))) is not None), None)
        for names in (
            ("prompt_tokens", "input_tokens", "prompt_eval_count"),
            ("completion_tokens", "output_tokens", "eval_count"),
        )
    ]
    if counts == [None, None]:
        return NOTHING_KNOWN, local
    return Spent(prompt=counts[0], completion=counts[1]), local


def size_of(path: Path) -> int:
    """Return how many bytes reading will go through."""
    return (database_in(path) or path).stat().st_size
