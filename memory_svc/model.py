"""The values memory_svc thinks in: plain, frozen, without SQL or RPC.

A message's payload is the contract's own `Message`: it is kept exactly as it
came, and nothing here interprets more of it than its role and text.
Times are microseconds since 1970 UTC.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum, IntEnum, auto

import numpy as np
from numpy.typing import NDArray

from lair.common.v1 import chat_pb2
from memory_svc.retrieval.dates import Time

Message = chat_pb2.Message
Usage = chat_pb2.Usage
Vector = NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Conversation:
    """A conversation without its messages; `key` is its number inside the store."""

    key: int
    user_id: str
    id: str
    project: str
    session_id: str
    title: str
    tags: tuple[str, ...]
    metadata: dict[str, object]
    created_us: int
    updated_us: int
    message_count: int
    token_count: int


@dataclass(frozen=True, slots=True)
class NewConversation:
    """A conversation to begin."""

    user_id: str
    id: str
    title: str = ""
    project: str = ""
    session_id: str = ""
    tags: tuple[str, ...] = ()
    metadata: dict[str, object] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class ConversationChange:
    """What to change of a conversation; None leaves it."""

    title: str | None = None
    tags: tuple[str, ...] | None = None
    metadata: dict[str, object] | None = None


@dataclass(frozen=True, slots=True)
class ConversationFilter:
    """Which conversations to list; None for all users, empty for all of the others."""

    user_id: str | None
    project: str = ""
    session_id: str = ""
    title_query: str = ""
    tags: tuple[str, ...] = ()
    start_us: int | None = None
    end_us: int | None = None


@dataclass(frozen=True, slots=True)
class Turn:
    """One finished request to store: the client's messages and the answer."""

    request_id: str
    user_id: str
    conversation_id: str
    messages: tuple[Message, ...]
    at_us: int
    parent_head: str = ""
    reply: Message | None = None
    project: str = ""
    session_id: str = ""
    model: str = ""
    backend: str = ""
    usage: Usage | None = None
    generated_from_memory: bool = False
    finish_reason: str = ""
    endpoint: str = ""
    other_replies: tuple[Message, ...] = ()
    record: bytes = b""
    after_request_id: str = ""
    title: str = ""


class Fate(Enum):
    """What became of a turn that can be stored."""

    STORED = auto()
    DUPLICATE = auto()  # it had been stored before
    DELETED = auto()  # it was deleted, or its conversation was after it was asked


@dataclass(frozen=True, slots=True)
class Refusal:
    """A turn that can never be stored, and why."""

    request_id: str
    message: str


@dataclass(frozen=True, slots=True)
class StoredMessage:
    """A message with its place in the conversation's tree and what produced it."""

    id: int
    parent_id: int
    position: int
    message: Message
    created_us: int
    model: str
    backend: str
    usage: Usage | None
    request_id: str
    active: bool
    finish_reason: str = ""


@dataclass(frozen=True, slots=True)
class StoredTurn:
    """A finished request as it is kept; `key` is its number inside the store.

    `input` is what its client sent, leading system messages included.
    """

    key: int
    user_id: str
    request_id: str
    conversation_id: str
    endpoint: str
    created_us: int
    input: tuple[StoredMessage, ...]
    reply: StoredMessage | None
    other_replies: tuple[Message, ...]
    record: bytes


@dataclass(frozen=True, slots=True)
class TurnFilter:
    """Which turns to list, and in which order; empty for all, a user of None for everybody's."""

    user_id: str | None
    endpoint: str = ""
    model: str = ""
    recorded_only: bool = False
    metadata: dict[str, str] = field(default_factory=dict)
    newest_first: bool = False


@dataclass(frozen=True, slots=True)
class Stats:
    """How much is kept; the times are None where nothing is."""

    conversations: int
    messages: int
    user_messages: int
    assistant_messages: int
    tokens: int
    text_bytes: int
    first_us: int | None
    last_us: int | None
    users: int


@dataclass(frozen=True, slots=True)
class PathNode:
    """A message of the active path and the hash of the path that ends in it.

    The `finish_reason` is an answer's, as in `StoredMessage`.
    """

    hash: bytes
    message: Message
    finish_reason: str = ""


@dataclass(frozen=True, slots=True)
class TreePath:
    """What a next message of a conversation continues, oldest first.

    Where it is `resent`, the client sends it by itself.
    """

    system: tuple[Message, ...]
    nodes: tuple[PathNode, ...]
    resent: bool = False


@dataclass(frozen=True, slots=True)
class History:
    """What goes in front of a client's new messages."""

    messages: tuple[Message, ...] = ()
    insert_index: int = 0
    head: str = ""


@dataclass(frozen=True, slots=True)
class SearchFilter:
    """Which passages may be found; every field narrows, its default does not."""

    project: str = ""
    session_id: str = ""
    conversation_id: str = ""
    exclude_conversation_id: str = ""
    roles: tuple[str, ...] = ()
    start_us: int | None = None
    end_us: int | None = None
    tags: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Probe:
    """What to compare passages with: words, and vectors of `model` unless None.

    `phrases` are found as they stand. `bare_vector` is the question's without names, for
    turns alone; `vector` is its own, for turns with their neighbours. `named` is the
    speaker whom the question is about, and `times` are when.
    """

    words: tuple[str, ...] = ()
    phrases: tuple[str, ...] = ()
    vector: Vector | None = None
    bare_vector: Vector | None = None
    model: str = ""
    named: str = ""
    times: tuple[Time, ...] = ()


@dataclass(frozen=True, slots=True)
class Said:
    """A message that may be shown, and where it stands."""

    message_id: int
    conversation_id: str
    conversation_title: str
    role: str
    text: str
    created_us: int
    pinned: bool = False
    corrected: bool = False


@dataclass(frozen=True, slots=True)
class Passage:
    """A passage that was found; scores lie in 0..1, None where nothing was compared.

    What is `pinned` is in every recall of its scope; of what is `corrected`, `text` is not
    what was said.
    """

    message_id: int
    conversation_id: str
    conversation_title: str
    role: str
    text: str
    created_us: int
    score: float
    lexical_score: float | None
    dense_score: float | None
    pinned: bool = False
    corrected: bool = False


def passage_of(
    said: Said,
    *,
    score: float,
    lexical_score: float | None = None,
    dense_score: float | None = None,
) -> Passage:
    """Return a message as a passage that was found."""
    return Passage(
        message_id=said.message_id,
        conversation_id=said.conversation_id,
        conversation_title=said.conversation_title,
        role=said.role,
        text=said.text,
        created_us=said.created_us,
        score=score,
        lexical_score=lexical_score,
        dense_score=dense_score,
        pinned=said.pinned,
        corrected=said.corrected,
    )


@dataclass(frozen=True, slots=True)
class Found:
    """The passages, best first, and what was not searched (empty: everything was)."""

    passages: tuple[Passage, ...]
    degraded: str


@dataclass(frozen=True, slots=True)
class Quote:
    """A passage, and the lines that stand for it in a prompt."""

    passage: Passage
    text: str


@dataclass(frozen=True, slots=True)
class Recall:
    """What was recalled for a request of the conversation, and out of what.

    `candidates` are what is pinned and then the passages that were found, best first;
    `degraded` as in `Found`.
    """

    user_id: str
    request_id: str
    conversation_id: str
    at_us: int
    query: str
    candidates: tuple[Passage, ...] = ()
    quotes: tuple[Quote, ...] = ()
    degraded: str = ""
    project: str = ""


class VectorKind(IntEnum):
    """What a vector is of."""

    ALONE = 0  # a message
    WINDOW = 1  # a message with the ones before and after it


# From this kind on vectors are of the parts of a long message, in their order.
FIRST_PART = 2


@dataclass(frozen=True, slots=True)
class Line:
    """What somebody says in a text to embed."""

    speaker: str
    text: str


@dataclass(frozen=True, slots=True)
class Unembedded:
    """A message that waits for a vector of a kind, and its neighbours; None for none.

    The `version` tells whether any of them was corrected since.
    """

    message_id: int
    kind: int
    line: Line
    before_id: int = 0
    after_id: int = 0
    before: Line | None = None
    after: Line | None = None
    version: int = 0


@dataclass(frozen=True, slots=True)
class IndexCounts:
    """How many messages have a vector of the model, and how many wait for one.

    `failed` are given up for the model; `failure` says why the latest of them is.
    """

    indexed: int
    pending: int
    failed: int = 0
    failure: str = ""
