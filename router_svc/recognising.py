"""Which conversation a chat belongs to whose client gives it no id.

The first message of the user names it, as it stays the same. Where that is gone, because
the client's window is full, the last answer and what it answers tell. What was answered is
known in memory only: after a restart such a client begins another conversation.
"""

from __future__ import annotations

import hashlib
from collections import OrderedDict
from collections.abc import Iterable, Sequence

from lair.common.v1.caller_pb2 import IDENTITY_SOURCE_DERIVED, Caller
from lair.common.v1.chat_pb2 import Message
from lair.memory.v1.conversation_pb2 import Turn
from lair.router.v1.chat_pb2 import ChatCall

_MOST = 10_000
_AMBIGUOUS = ""
_SYSTEM_ROLES = ("system", "developer")
# How many messages tell a conversation, the last answer included: as many as the client sends.
_TELLING = (4, 2)


class Recognising:
    """The conversations that were named here of late, and the last answers in them."""

    def __init__(self, most: int = _MOST) -> None:
        self._most = most
        self._names: OrderedDict[str, None] = OrderedDict()
        self._answers: OrderedDict[bytes, str] = OrderedDict()

    def name(self, call: ChatCall) -> str:
        """Return the conversation of a call that names none."""
        derived = derived_id(call)
        if derived in self._names:
            return derived
        said = _plain(call.messages)
        ends = (n for n in range(len(said), 0, -1) if said[n - 1].role == "assistant")
        end = next(ends, 0)
        for count in _TELLING:
            if count <= end:
                told = _digest(call.caller, said[end - count : end])
                return self._answers.get(told) or derived
        return derived

    def note(self, turn: Turn) -> None:
        """Remember a finished request of a conversation that was named here."""
        self._names[turn.conversation_id] = None
        self._names.move_to_end(turn.conversation_id)
        if turn.HasField("reply"):
            said = [*_plain(turn.messages), turn.reply]
            for count in _TELLING:
                if count <= len(said):
                    self._note_answer(_digest(turn.caller, said[-count:]), turn.conversation_id)
        for known in (self._names, self._answers):
            while len(known) > self._most:
                known.popitem(last=False)

    def _note_answer(self, told: bytes, name: str) -> None:
        other = self._answers.get(told, name) != name
        self._answers[told] = _AMBIGUOUS if other else name
        self._answers.move_to_end(told)


def derived_id(call: ChatCall) -> str:
    """Name the conversation of a call by its first message of the user."""
    first = next((m for m in call.messages if m.role == "user"), Message())
    begun = _owner(call.caller) + first.SerializeToString(deterministic=True)
    return f"conv-{hashlib.blake2b(begun, digest_size=12).hexdigest()}"


def _owner(caller: Caller) -> bytes:
    # A session that was only made of how the chat begins ends with a pause, the chat does not.
    session = "" if caller.session_source == IDENTITY_SOURCE_DERIVED else caller.session_id
    return f"{caller.user_id}\x1f{session}\x1f".encode()


def _plain(messages: Iterable[Message]) -> list[Message]:
    return [message for message in messages if message.role not in _SYSTEM_ROLES]


def _digest(caller: Caller, said: Iterable[Message]) -> bytes:
    gist = "\x1f".join(part for message in said for part in _gist(message))
    return hashlib.blake2b(_owner(caller) + gist.encode(), digest_size=16).digest()


def _gist(message: Message) -> Sequence[str]:
    """Return what stays the same of a message when its client sends it back."""
    texts = [part.text for part in message.parts.parts if part.HasField("text")]
    called = [call.function.name for call in message.tool_calls]
    return message.role, "\n".join((message.text, *texts)).strip(), ",".join(called)
