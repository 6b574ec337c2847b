"""Adds to a conversation's tree what is missing of what was said.

Where in the tree that begins for a client which leaves parts out is `rejoining.py`'s.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import aiosqlite

from memory_svc.boilerplate import own_words
from memory_svc.model import Message, Usage
from memory_svc.storage.local.compressing import packed_text
from memory_svc.storage.local.indexing import index_message
from memory_svc.storage.local.instructions import is_instruction
from memory_svc.storage.local.rejoining import Node, is_on_path, rejoin
from memory_svc.storage.local.request_ids import packed_id
from memory_svc.storage.local.rows import first_row, split_message
from memory_svc.tree import SYSTEM_ROLES, chain

# Only what people and models said to each other is worth finding; tools' output
# and instructions would drown it.
_SEARCHABLE_ROLES = ("user", "assistant")


@dataclass(frozen=True, slots=True)
class Place:
    """Where and when a turn's new messages go in."""

    owner: int
    conversation: int
    request_id: str
    at_us: int


@dataclass(frozen=True, slots=True)
class Said:
    """A message, and for an answer what produced it."""

    message: Message
    model: str = ""
    backend: str = ""
    usage: Usage | None = None
    finish_reason: str = ""
    generated: bool = False


@dataclass(frozen=True, slots=True)
class Walk:
    """Where messages are in the tree: they begin at the position `first` and end in `end`.

    `beside` are the system messages among them that the tree does not have.
    """

    end: Node
    first: int
    beside: tuple[Message, ...] = ()

    @property
    def count(self) -> int:
        """How many messages there are from the first to the last."""
        return self.end.position - self.first + 1


async def find_node(tx: aiosqlite.Connection, conversation: int, node_hash: bytes) -> Node | None:
    """Return the message of that hash; None if there is none."""
    row = await first_row(
        tx,
        "select id, hash, position from message where conversation = ? and hash = ?",
        (conversation, node_hash),
    )
    return Node(*row) if row else None


async def walk(
    tx: aiosqlite.Connection,
    place: Place,
    start: Node,
    said: Sequence[Said],
    *,
    partial: bool = False,
) -> Walk:
    """Follow `said` from `start`, adding what is missing.

    A stored node has all its ancestors stored, system messages apart, so looking from
    the end finds where the new ones begin in one or two steps. Of a history that may be
    `partial`, what goes on elsewhere in the tree is looked for there.
    """
    hashes = chain(start.hash, (each.message for each in said))
    node, known = await _known(tx, place, start, hashes)
    first = start.position + 1
    if partial and known < len(said):
        rest = [each.message for each in said[known:]]
        if rejoined := await rejoin(tx, place.conversation, node, rest):
            first = first if known else rejoined.first
            known += rejoined.count
            hashes[known:] = chain(rejoined.end.hash, rest[rejoined.count :])
            node, further = await _known(tx, place, rejoined.end, hashes[known:])
            known += further
    beside = await _not_in_tree(tx, place, node, said[:known], hashes)
    for node_hash, each in zip(hashes[known:], said[known:], strict=True):
        if each.message.role not in SYSTEM_ROLES:
            node = await _add(tx, place, node, node_hash, each)
        elif await is_on_path(tx, node.id, each.message):
            continue  # it has only been moved
        elif await is_instruction(tx, place.conversation, each.message):
            beside.append(each.message)
        else:
            node = await _add(tx, place, node, node_hash, each)
    return Walk(node, first, tuple(beside))


async def _known(
    tx: aiosqlite.Connection, place: Place, start: Node, hashes: Sequence[bytes]
) -> tuple[Node, int]:
    """Return the last node that is stored, and how many of the messages lead to it."""
    for known in range(len(hashes), 0, -1):
        stored = await find_node(tx, place.conversation, hashes[known - 1])
        if stored is not None:
            return stored, known
    return start, 0


async def _not_in_tree(
    tx: aiosqlite.Connection,
    place: Place,
    end: Node,
    said: Sequence[Said],
    hashes: Sequence[bytes],
) -> list[Message]:
    """Return the system messages among stored ones that stand nowhere on their path."""
    return [
        each.message
        for node_hash, each in zip(hashes, said, strict=False)
        if each.message.role in SYSTEM_ROLES
        and await find_node(tx, place.conversation, node_hash) is None
        and not await is_on_path(tx, end.id, each.message)
    ]


async def _add(
    tx: aiosqlite.Connection, place: Place, parent: Node, node_hash: bytes, said: Said
) -> Node:
    text, body = split_message(said.message)
    role = said.message.role
    generated = said.generated or await _was_generated(tx, place.owner, role, text)
    spoken = own_words(text) if role == "user" and text else text
    says_something = spoken is not None and not spoken.isspace() and spoken != ""
    searchable = role in _SEARCHABLE_ROLES and says_something and not generated
    cursor = await tx.execute(
        "insert into message (conversation, parent, position, hash, role, text, body, created_us,"
        " request_id, model, backend, usage, finish_reason, generated, searchable, spoken)"
        " values (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
        (
            *(place.conversation, parent.id, parent.position + 1, node_hash, role),
            # What lair made is looked for by its text.
            *(text if generated else packed_text(text), body),
            *(place.at_us, packed_id(place.request_id), said.model, said.backend),
            said.usage and said.usage.SerializeToString(),
            *(said.finish_reason, generated, searchable),
            packed_text(spoken) if searchable and spoken != text else None,
        ),
    )
    assert cursor.lastrowid is not None
    if searchable:
        await index_message(tx, cursor.lastrowid)
    return Node(cursor.lastrowid, node_hash, parent.position + 1)


async def _was_generated(tx: aiosqlite.Connection, owner: int, role: str, text: str | None) -> bool:
    """Tell whether a client sends back an answer that lair itself made out of memory.

    Without this such an answer would become searchable as soon as a client edits
    an earlier message and so begins another branch.
    """
    if role != "assistant" or text is None:
        return False
    found = await first_row(
        tx,
        # Crossed, for SQLite would rather walk all that its owner has.
        "select 1 from message as m cross join conversation as c on c.key = m.conversation"
        " where m.generated = 1 and length(m.text) = length(?) and m.text = ? and c.owner = ?",
        (text, text, owner),
    )
    return found is not None
