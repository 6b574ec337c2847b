"""A memory of turns, played as its contract promises it, and a router that gives it its turns.

`RememberingRouter` does what the real one does around a chat: the past in front, and
afterwards the turn to memory, at once or when `deliver` is called.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import Any

from lair.common.v1.chat_pb2 import FunctionCall, Message, ToolCall
from lair.memory.v1 import conversation_service_pb2 as pb
from lair.memory.v1.conversation_pb2 import Conversation, StoredMessage, StoredTurn, Turn
from lair.router.v1 import router_service_pb2 as router_pb
from lair.router.v1.chat_pb2 import MEMORY_POLICY_FULL, MEMORY_POLICY_STORE, ChatCall
from svckit.errors import ServiceError
from tests.gateway.scripted import NOW, ScriptedMemory, ScriptedRouter

_HEAD = ("system", "developer")


@dataclass
class TurnMemory(ScriptedMemory):
    """Keeps turns in one list of messages a conversation; branches share its beginning."""

    kept: dict[tuple[str, str], Conversation] = field(default_factory=dict)
    turns: dict[tuple[str, str], Turn] = field(default_factory=dict)
    stored: dict[tuple[str, str], StoredTurn] = field(default_factory=dict)
    tree: dict[int, tuple[tuple[str, str], StoredMessage]] = field(default_factory=dict)
    heads: dict[tuple[str, str], int] = field(default_factory=dict)
    down: bool = False
    # Set when a turn was asked for that is not there.
    missed: asyncio.Event = field(default_factory=asyncio.Event)
    history_requests: list[pb.GetHistoryRequest] = field(default_factory=list)

    async def CreateConversation(self, request: pb.CreateConversationRequest, _: Any) -> Any:
        made = Conversation(id=request.id, user_id=request.user_id, metadata=request.metadata)
        made.create_time.seconds = NOW
        self.kept[request.user_id, request.id] = made
        return pb.CreateConversationResponse(conversation=made)

    async def GetConversation(self, request: pb.GetConversationRequest, _: Any) -> Any:
        return pb.GetConversationResponse(conversation=self._conversation(request))

    async def UpdateConversation(self, request: pb.UpdateConversationRequest, _: Any) -> Any:
        conversation = self._conversation(request)
        conversation.metadata.CopyFrom(request.metadata)
        return pb.UpdateConversationResponse(conversation=conversation)

    async def DeleteConversation(self, request: pb.DeleteConversationRequest, _: Any) -> Any:
        conversation = self._conversation(request)
        del self.kept[conversation.user_id, conversation.id]
        return pb.DeleteConversationResponse()

    async def AppendTurns(self, request: pb.AppendTurnsRequest, _: Any) -> Any:
        for turn in request.turns:
            self._append(turn)
        return pb.AppendTurnsResponse(stored_count=len(request.turns))

    async def GetHistory(self, request: pb.GetHistoryRequest, _: Any) -> Any:
        self.history_requests.append(request)
        if self.down:
            raise ServiceError("SERVICE_UNAVAILABLE", "memory is down", service="memory")
        key = (request.user_id, request.conversation_id)
        resent = any(message.role == "assistant" for message in request.messages)
        if resent and not request.after_request_id:
            return pb.GetHistoryResponse()
        end = self.heads.get(key, 0)
        if request.after_request_id:
            end = self._turn(request.user_id, request.after_request_id).reply.id
        path = self._path(end)
        head = self._instructions(key, path)
        return pb.GetHistoryResponse(
            history=[*head, *(stored.message for stored in path)], head=f"head-{end}"
        )

    async def GetTurn(self, request: pb.GetTurnRequest, _: Any) -> Any:
        return pb.GetTurnResponse(turn=self._turn(request.user_id, request.request_id))

    async def DeleteTurn(self, request: pb.DeleteTurnRequest, _: Any) -> Any:
        self._turn(request.user_id, request.request_id)
        del self.stored[request.user_id, request.request_id]
        return pb.DeleteTurnResponse()

    async def ListMessages(self, request: pb.ListMessagesRequest, _: Any) -> Any:
        conversation = self._conversation(request)
        path = self._path(self.heads.get((conversation.user_id, conversation.id), 0))
        begin = int(request.page_token or 0)
        more = begin + 2 < len(path)
        return pb.ListMessagesResponse(
            messages=path[begin : begin + 2], next_page_token=str(begin + 2) if more else ""
        )

    async def DeleteMessage(self, request: pb.DeleteMessageRequest, _: Any) -> Any:
        conversation = self._conversation(request)
        key, gone = self.tree.pop(request.message_id)
        for _key, stored in self.tree.values():
            if stored.parent_id == gone.id:
                stored.parent_id = gone.parent_id
        if self.heads[key] == gone.id:
            self.heads[key] = gone.parent_id
        return pb.DeleteMessageResponse(conversation=conversation)

    def _append(self, turn: Turn) -> None:
        key = (turn.caller.user_id, turn.conversation_id)
        if key not in self.kept:
            self.kept[key] = Conversation(id=key[1], user_id=key[0])
            self.kept[key].create_time.seconds = NOW
        self.turns[key[0], turn.request_id] = turn
        parent = self.heads.get(key, 0) if turn.parent_head else 0
        if turn.parent_head.startswith("head-"):
            parent = int(turn.parent_head.removeprefix("head-"))
        kept = StoredTurn(
            request_id=turn.request_id,
            conversation_id=turn.conversation_id,
            endpoint=turn.endpoint,
            record_json=turn.record_json,
        )
        for message in turn.messages:
            if not kept.input and message.role in _HEAD:
                continue
            parent = self._place(key, parent, message, turn, StoredMessage())
            kept.input.append(self.tree[parent][1])
        if turn.HasField("reply"):
            said = StoredMessage(
                model=turn.model, usage=turn.usage, finish_reason=turn.finish_reason
            )
            parent = self._place(key, parent, turn.reply, turn, said)
            kept.reply.CopyFrom(self.tree[parent][1])
        self.heads[key] = parent
        self.stored[key[0], turn.request_id] = kept

    def _place(
        self, key: tuple[str, str], parent: int, message: Message, turn: Turn, said: StoredMessage
    ) -> int:
        for number, (place, stored) in self.tree.items():
            same = _hashed(stored.message) == _hashed(message)
            if place == key and stored.parent_id == parent and same:
                return number
        number = max(self.tree, default=0) + 1
        said.id, said.parent_id, said.request_id = number, parent, turn.request_id
        said.message.CopyFrom(message)
        self.tree[number] = key, said
        return number

    def _path(self, end: int) -> list[StoredMessage]:
        path = []
        while end:
            path.append(self.tree[end][1])
            end = path[-1].parent_id
        return path[::-1]

    def _instructions(self, key: tuple[str, str], path: list[StoredMessage]) -> list[Message]:
        """Return what the last turn on a path began with."""
        for stored in reversed(path):
            turn = self.turns.get((key[0], stored.request_id))
            head = [m for m in turn.messages if m.role in _HEAD] if turn else []
            if head:
                return head
        return []

    def _turn(self, user_id: str, request_id: str) -> StoredTurn:
        found = self.stored.get((user_id, request_id))
        if found is None:
            self.missed.set()
            raise ServiceError("TURN_NOT_FOUND", f"no turn {request_id!r}", request_id=request_id)
        return found

    def _conversation(self, request: Any) -> Conversation:
        found = self.kept.get((request.user_id, request.conversation_id))
        if found is None:
            name = request.conversation_id
            raise ServiceError("CONVERSATION_NOT_FOUND", f"none {name!r}", conversation_id=name)
        return found


@dataclass
class RememberingRouter(ScriptedRouter):
    """Answers from its script, and keeps turns as the real one does."""

    memory: TurnMemory = field(default_factory=TurnMemory)
    # What is answered, as it came to the backend: with the past in front.
    prompts: list[list[Message]] = field(default_factory=list)
    # Not empty: turns wait here for `deliver`.
    undelivered: list[Turn] | None = None
    token_counts: list[ChatCall] = field(default_factory=list)

    async def Chat(self, request: router_pb.ChatRequest, context: Any) -> Any:
        turn = await self._begin_turn(request.call)
        answer = await super().Chat(request, context)
        choice = answer.completion.choices[0]
        answer.memory.conversation_id = turn.conversation_id
        turn.reply.CopyFrom(choice.message)
        turn.finish_reason = choice.finish_reason
        turn.model = answer.completion.model
        if answer.completion.HasField("usage"):
            turn.usage.CopyFrom(answer.completion.usage)
        self._end_turn(turn)
        return answer

    async def ChatStream(
        self, request: router_pb.ChatStreamRequest, context: Any
    ) -> AsyncIterator[router_pb.ChatStreamResponse]:
        turn = await self._begin_turn(request.call)
        async for reply in super().ChatStream(request, context):
            for event in reply.events:
                _note(turn, event)
            if reply.events[-1].HasField("completed"):
                self._end_turn(turn)
            yield reply

    async def CountTokens(self, request: router_pb.CountTokensRequest, _: Any) -> Any:
        self.token_counts.append(request.call)
        return router_pb.CountTokensResponse(token_count=17, exact=True)

    def deliver(self) -> None:
        """Give memory what waits."""
        for turn in self.undelivered or ():
            self.memory._append(turn)
        self.undelivered = None

    async def _begin_turn(self, call: ChatCall) -> Turn:
        turn = Turn(
            request_id=call.request_id,
            caller=call.caller,
            conversation_id=call.memory.conversation_id,
            messages=call.messages,
            endpoint=call.endpoint,
            record_json=call.memory.record_json,
        )
        prompt = list(call.messages)
        is_kept = call.memory.policy in (MEMORY_POLICY_STORE, MEMORY_POLICY_FULL)
        if is_kept and not turn.conversation_id:
            turn.conversation_id = "derived"
        elif is_kept and not self.memory.down:
            past = await self.memory.GetHistory(
                pb.GetHistoryRequest(
                    user_id=call.caller.user_id,
                    conversation_id=call.memory.conversation_id,
                    messages=call.messages,
                    after_request_id=call.memory.after_request_id,
                ),
                None,
            )
            own_head = [m for m in prompt if m.role in _HEAD]
            history = [m for m in past.history if not (own_head and m.role in _HEAD)]
            prompt[len(own_head) : len(own_head)] = history
            turn.parent_head = past.head
        if not is_kept:
            turn.conversation_id = ""
        self.prompts.append(prompt)
        return turn

    def _end_turn(self, turn: Turn) -> None:
        if not turn.conversation_id:
            return
        if self.undelivered is not None:
            self.undelivered.append(turn)
        else:
            self.memory._append(turn)


def _note(turn: Turn, event: Any) -> None:
    reply = turn.reply
    reply.role = "assistant"
    if event.HasField("started"):
        turn.model = event.started.model
    elif event.HasField("finish"):
        turn.finish_reason = event.finish.reason
    elif event.HasField("completed") and event.completed.HasField("usage"):
        turn.usage.CopyFrom(event.completed.usage)
    elif event.HasField("delta"):
        delta = event.delta
        for name in ("text", "reasoning", "refusal"):
            if getattr(delta, name):
                setattr(reply, name, getattr(reply, name) + getattr(delta, name))
        for piece in delta.tool_calls:
            if piece.index == len(reply.tool_calls):
                function = FunctionCall(name=piece.name)
                reply.tool_calls.append(ToolCall(id=piece.id, type="function", function=function))
            reply.tool_calls[piece.index].function.arguments += piece.arguments


def _hashed(message: Message) -> bytes:
    plain = Message()
    plain.CopyFrom(message)
    plain.ClearField("reasoning")
    plain.ClearField("refusal")
    return plain.SerializeToString(deterministic=True)
