"""What becomes of a conversation's tree when one message is taken out of it.

What followed it follows what it followed, and so has other hashes (`tree`). Where the
tree has the same path already, the two become one.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from memory_svc.model import Message
from memory_svc.tree import node_hash


@dataclass(frozen=True, slots=True)
class Node:
    """A place in the tree: a message's number and the hash of the path that ends in it."""

    id: int
    hash: bytes


@dataclass(frozen=True, slots=True)
class Follower:
    """A message somewhere behind the one that is taken out."""

    id: int
    parent: int
    message: Message


@dataclass(frozen=True, slots=True)
class Moved:
    """A message's new place: its parent and its hash."""

    id: int
    parent: int
    hash: bytes


@dataclass(frozen=True, slots=True)
class Regrown:
    """The messages that move, parents first, and those that are one with another now."""

    moved: list[Moved] = field(default_factory=list)
    merged: dict[int, int] = field(default_factory=dict)


def regrow(
    removed: int, parent: Node, followers: Iterable[Follower], others: dict[bytes, int]
) -> Regrown:
    """Place the followers of `removed` anew, which come parents first.

    `others` are the messages that stay where they are, by their hashes.
    """
    regrown = Regrown()
    taken = dict(others)
    places = {removed: parent}
    for follower in followers:
        above = places[follower.parent]
        node = Node(follower.id, node_hash(above.hash, follower.message))
        same = taken.setdefault(node.hash, node.id)
        if same == node.id:
            regrown.moved.append(Moved(node.id, above.id, node.hash))
        else:
            regrown.merged[node.id] = same
        places[node.id] = Node(same, node.hash)
    return regrown
