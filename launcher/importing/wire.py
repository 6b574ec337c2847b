"""Imported turns in the contracts' terms: as memory keeps them, and as metrics counts them.

The same source gives the same request ids, always: that is what makes an import that is
repeated, or was broken off, add only what is new.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from uuid import UUID

from lair.common.v1.caller_pb2 import Caller
from lair.common.v1.chat_pb2 import FunctionCall, Message, ToolCall, Usage
from lair.memory.v1.conversation_pb2 import Turn
from lair.metrics.v1 import usage_pb2
from launcher.importing.conversation import ImportedConversation, ImportedMessage, Spent
from launcher.importing.turns import ImportedTurn
from svckit.times import to_timestamp

ENDPOINT = "import"
_LONGEST_TITLE, _LONGEST_ID, _LONGEST_PROJECT = 1000, 256, 200


@dataclass(frozen=True, slots=True)
class Owner:
    """To whom imported conversations belong.

    An empty `project` is the one that the source says; `at_us` is taken for the time of
    what has none.
    """

    user: str
    kind: str
    project: str = ""
    at_us: int = 0


@dataclass(frozen=True, slots=True)
class Sendable:
    """A turn for each service, None where that one has no use for it."""

    turn: Turn | None
    record: usage_pb2.RequestRecord | None
    where: str


def sendable(
    conversation: ImportedConversation, turns: Iterable[ImportedTurn], owner: Owner
) -> Iterator[Sendable]:
    """Word the turns of a conversation in order."""
    ids: dict[str, str] = {}
    caller = Caller(
        user_id=owner.user[:_LONGEST_ID],
        project=(owner.project or conversation.project)[:_LONGEST_PROJECT],
        session_id=conversation.session[:_LONGEST_ID],
        client=owner.kind,
    )
    for turn in turns:
        request_id = ids[turn.key] = request_id_of(owner, turn)
        asked = _Asked(
            request_id=request_id,
            after=ids[turn.after] if turn.after else "",
            at_us=turn.at_us or owner.at_us,
            caller=caller,
            conversation=conversation,
        )
        counted = turn.reply is not None and turn.reply.counted
        yield Sendable(
            _turn(turn, asked) if conversation.remembered else None,
            _record(turn.reply, turn.new, asked) if turn.reply and counted else None,
            conversation.where,
        )


def request_id_of(owner: Owner, turn: ImportedTurn) -> str:
    """Return a UUIDv7 of the turn's time, its random bits a hash of whose it is and what."""
    named = f"{owner.user}\0{owner.kind}\0{turn.key}".encode()
    digest = int.from_bytes(hashlib.blake2b(named, digest_size=10).digest())
    milliseconds = (turn.at_us or 0) // 1000 % 2**48
    random = digest & ~(0xF << 76) & ~(0b11 << 62)
    return str(UUID(int=milliseconds << 80 | 7 << 76 | 0b10 << 62 | random))


@dataclass(frozen=True, slots=True, kw_only=True)
class _Asked:
    """What both services are told of a turn's request."""

    request_id: str
    after: str
    at_us: int
    caller: Caller
    conversation: ImportedConversation


def _turn(turn: ImportedTurn, asked: _Asked) -> Turn:
    reply = turn.reply
    return Turn(
        request_id=asked.request_id,
        caller=asked.caller,
        conversation_id=asked.conversation.id[:_LONGEST_ID],
        after_request_id=asked.after,
        messages=map(_message, turn.messages),
        reply=_message(reply) if reply else None,
        model=reply.model if reply else "",
        backend=reply.backend if reply else "",
        usage=_usage(reply.spent) if reply and reply.spent.known else None,
        request_time=to_timestamp(asked.at_us),
        finish_reason=_finish_reason(reply) if reply else "",
        endpoint=ENDPOINT,
        conversation_title=asked.conversation.title[:_LONGEST_TITLE],
    )


def _record(reply: ImportedMessage, new: int, asked: _Asked) -> usage_pb2.RequestRecord:
    known = reply.spent.known
    return usage_pb2.RequestRecord(
        request_id=asked.request_id,
        request_time=to_timestamp(asked.at_us),
        caller=asked.caller,
        conversation_id=asked.conversation.id[:_LONGEST_ID],
        endpoint=ENDPOINT,
        origin=usage_pb2.ORIGIN_IMPORT,
        requested_model=reply.model,
        model=reply.model,
        backend=reply.backend,
        local=reply.local,
        status=usage_pb2.STATUS_OK,
        tool_call_count=len(reply.calls),
        usage=_usage(reply.spent) if known else None,
        usage_source=usage_pb2.USAGE_SOURCE_UPSTREAM if known else usage_pb2.USAGE_SOURCE_MISSING,
        new_message_count=new,
        finish_reason=_finish_reason(reply),
        billed_nano_usd=reply.spent.nano_usd,
    )


def _message(said: ImportedMessage) -> Message:
    message = Message(role=said.role)
    if said.text or not said.calls:
        message.text = said.text
    message.tool_calls.extend(
        ToolCall(
            id=call.id,
            type="function",
            function=FunctionCall(name=call.name, arguments=call.arguments),
        )
        for call in said.calls
    )
    if said.call_id:
        message.tool_call_id = said.call_id
    return message


def _usage(spent: Spent) -> Usage:
    return Usage(
        prompt_tokens=spent.prompt,
        completion_tokens=spent.completion,
        cached_tokens=spent.cached,
        cache_write_tokens=spent.cache_write,
        reasoning_tokens=spent.reasoning,
    )


def _finish_reason(reply: ImportedMessage) -> str:
    return "tool_calls" if reply.calls else "stop"
