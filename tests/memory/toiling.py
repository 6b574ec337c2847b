"""Somebody who uses a memory without pause, and knows what it must hold.

When the memory dies, at most one deed of theirs is in doubt. They do that one again, as
clients and the router's journal do, and after that it must have been done once.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass, field
from random import Random
from typing import Any, TypeVar

import grpc

from lair.memory.v1 import conversation_service_pb2 as conversation
from lair.memory.v1 import memory_service_pb2 as memory
from svckit.times import now_us
from tests.memory.chats import Memories, a_turn, assistant, user

_T = TypeVar("_T")
_FILLER = "and so on and on it goes "
_TOPICS = ("red", "teal", "gold", "poison")


class MemoryDiedError(Exception):
    """The memory did not answer any more."""


@dataclass
class Deed:
    """Something to be done, again if need be; `texts` are the texts it is about."""

    do: Callable[[Memories], Awaitable[object]]
    done: Callable[[], None]
    texts: frozenset[str]


@dataclass
class Chat:
    """A conversation: the texts of each turn, and whether no message was taken out of it."""

    turns: dict[str, list[str]] = field(default_factory=dict)
    is_whole: bool = True

    def texts(self) -> set[str]:
        return {text for texts in self.turns.values() for text in texts}


@dataclass
class Toiler:
    """One user; `stored` are their conversations, `gone` is what they deleted."""

    name: str
    chance: Random
    stored: dict[str, Chat] = field(default_factory=dict)
    gone: set[str] = field(default_factory=set)
    found_as: dict[str, str] = field(default_factory=dict)  # what was corrected, by what was said
    doubt: Deed | None = None
    count: int = 0

    async def toil(self, memories: Memories) -> None:
        """Do one deed after the other until the memory dies. Raises `MemoryDiedError`."""
        while True:
            await self.resolve(memories)
            deeds = [self._say, self._say, self._say, self._note]
            if self.stored:
                deeds += [self._delete_chat, self._delete_turn, self._forget_messages]
                deeds += [self._forget_topic, self._correct, self._delete_message, self._say]
            deed = self.chance.choice(deeds)
            self.doubt = await alive(deed(memories))
            await alive(self._look(memories))

    async def resolve(self, memories: Memories) -> None:
        """Do again what is in doubt."""
        if self.doubt is None:
            return
        try:
            await alive(self.doubt.do(memories))
        except grpc.aio.AioRpcError as error:
            if error.code() != grpc.StatusCode.NOT_FOUND:  # it was deleted the first time
                raise
        self.doubt.done()
        self.doubt = None

    async def check(self, memories: Memories) -> None:
        """Compare all that is stored with what must be; nothing may be in doubt but `doubt`."""
        open_to_doubt = self.doubt.texts if self.doubt else frozenset()
        for name, chat in self.stored.items():
            texts = Counter(await self._listed(memories, name))
            kept = chat.texts()
            assert set(texts) - open_to_doubt == kept - open_to_doubt, name
            assert not [text for text, count in texts.items() if count > 1], name
        for text in self.chance.sample(sorted(self.gone), min(3, len(self.gone))):
            assert text not in await self._found(memories, text), text
        for text in self._some_stored(3):
            if text not in open_to_doubt:
                found_as = self.found_as.get(text, text)
                # Meanings weigh as well where they are compared, and these have hardly any.
                found = await self._found(memories, found_as, channels=["words"])
                assert found_as in found, text

    async def _look(self, memories: Memories) -> None:
        """Search and recall; nothing that is deleted may come up."""
        topic = self.chance.choice(_TOPICS[:3])
        found = await self._found(memories, topic)
        recalled = await memories.recalled(f"what about {topic}?", user_id=self.name)
        found += [passage.text for passage in recalled.passages]
        stored = {text for chat in self.stored.values() for text in chat.texts()}
        allowed = stored | {self.found_as[text] for text in stored & self.found_as.keys()}
        doubted = self.doubt.texts if self.doubt else frozenset()
        assert set(found) <= allowed | doubted

    # -- deeds -----------------------------------------------------------------

    async def _say(self, _: Memories) -> Deed:
        is_new = len(self.stored) < 3 or self.chance.random() < 0.2
        name = self._new("chat") if is_new else self.chance.choice(sorted(self.stored))
        said = {self._new("turn"): [self._text(), self._text()] for _ in range(1 + self.count % 4)}
        turns = [
            a_turn(
                f"{self.name} {turn}",
                name,
                [user(asked)],
                reply=assistant(answered),
                parent_head="active",
                user_id=self.name,
                project=self.name,
                at_us=now_us(),
            )
            for turn, (asked, answered) in said.items()
        ]

        async def do(memories: Memories) -> None:
            appended = await memories.append(*turns)
            assert appended.stored_count in (0, len(turns)), "some turns were stored without others"
            assert appended.stored_count + appended.duplicate_count == len(turns)

        def done() -> None:
            self.stored.setdefault(name, Chat()).turns.update(said)

        return Deed(do, done, frozenset(text for texts in said.values() for text in texts))

    async def _note(self, _: Memories) -> Deed:
        text = self._text()
        notes = f"lair:notes:{self.name}"

        def done() -> None:
            chat = self.stored.setdefault(notes, Chat(is_whole=False))
            chat.turns[self._new("note")] = [text]

        return Deed(
            lambda memories: memories.remember(text, user_id=self.name, project=self.name),
            done,
            frozenset((text,)),
        )

    async def _delete_chat(self, _: Memories) -> Deed:
        name = self.chance.choice(sorted(self.stored))
        gone = self.stored[name].texts()
        by_name = {"user_id": self.name, "conversation_id": name}
        if self.chance.random() < 0.5:
            asked = conversation.DeleteConversationRequest(**by_name)
            return self._deletion(lambda m: m.conversations.DeleteConversation(asked), gone)
        return self._deletion(lambda m: m.forget(**by_name), gone)

    async def _delete_turn(self, memories: Memories) -> Deed:
        whole = [name for name, chat in self.stored.items() if chat.is_whole and chat.turns]
        if not whole:
            return await self._say(memories)
        last, gone = list(self.stored[self.chance.choice(sorted(whole))].turns.items())[-1]
        asked = conversation.DeleteTurnRequest(user_id=self.name, request_id=f"{self.name} {last}")
        return self._deletion(lambda m: m.conversations.DeleteTurn(asked), gone)

    async def _delete_message(self, memories: Memories) -> Deed:
        name = self.chance.choice(sorted(self.stored))
        numbers = await self._numbers(memories, name)
        if not numbers:
            return await self._say(memories)
        text = self.chance.choice(sorted(numbers))
        self.stored[name].is_whole = False
        asked = conversation.DeleteMessageRequest(
            user_id=self.name, conversation_id=name, message_id=numbers[text]
        )
        return self._deletion(lambda m: m.conversations.DeleteMessage(asked), [text])

    async def _forget_messages(self, memories: Memories) -> Deed:
        name = self.chance.choice(sorted(self.stored))
        numbers = await self._numbers(memories, name)
        gone = self.chance.sample(sorted(numbers), min(3, len(numbers)))
        self.stored[name].is_whole = False
        ids = memory.MessageIds(ids=[numbers[text] for text in gone])
        return self._deletion(lambda m: m.forget(user_id=self.name, messages=ids), gone)

    async def _forget_topic(self, memories: Memories) -> Deed:
        stored = self._some_stored(1)
        if not stored:
            return await self._say(memories)
        for chat in self.stored.values():
            chat.is_whole = chat.is_whole and stored[0] not in chat.texts()
        word = self.found_as.get(stored[0], stored[0]).split()[-1]
        return self._deletion(lambda m: m.forget(user_id=self.name, topic=word), stored)

    async def _correct(self, memories: Memories) -> Deed:
        name = self.chance.choice(sorted(self.stored))
        numbers = await self._numbers(memories, name)
        if not numbers:
            return await self._say(memories)
        said, right = self.chance.choice(sorted(numbers)), self._text()

        def done() -> None:
            self.found_as[said] = right

        return Deed(
            lambda m: m.correct(numbers[said], right, user_id=self.name),
            done,
            frozenset((said, right)),
        )

    def _deletion(self, do: Callable[[Memories], Awaitable[object]], gone: Iterable[str]) -> Deed:
        texts = frozenset(gone)
        as_found = {self.found_as[text] for text in texts & self.found_as.keys()}

        def done() -> None:
            for name, chat in list(self.stored.items()):
                turns = {
                    turn: [t for t in said if t not in texts] for turn, said in chat.turns.items()
                }
                chat.turns = {turn: said for turn, said in turns.items() if said}
                if not chat.turns:
                    del self.stored[name]
            self.gone |= texts | as_found

        return Deed(do, done, texts | as_found)

    # -- what there is ---------------------------------------------------------

    def _new(self, kind: str) -> str:
        self.count += 1
        return f"{kind}{self.count}"

    def _text(self) -> str:
        topic = self.chance.choices(_TOPICS, (9, 9, 9, 1))[0]
        # Some are long enough to be indexed in parts.
        word = self._new(f"{self.name}x")
        # What begins alike is taken for the same.
        much_more = f"{word} {_FILLER * 90}" if self.chance.random() < 0.1 else ""
        return f"{topic} {much_more}{word}"

    def _some_stored(self, count: int) -> list[str]:
        texts = sorted(text for chat in self.stored.values() for text in chat.texts())
        return self.chance.sample(texts, min(count, len(texts)))

    async def _found(self, memories: Memories, text: str, **request: Any) -> list[str]:
        word = text.rsplit(maxsplit=1)[-1]
        return await memories.found(word, user_id=self.name, limit=50, **request)

    async def _listed(self, memories: Memories, name: str) -> list[str]:
        return list((await self._messages(memories, name)).values())

    async def _numbers(self, memories: Memories, name: str) -> dict[str, int]:
        return {text: number for number, text in (await self._messages(memories, name)).items()}

    async def _messages(self, memories: Memories, name: str) -> dict[int, str]:
        try:
            listed = await memories.messages(
                name, user_id=self.name, include_inactive=True, page_size=1000
            )
        except grpc.aio.AioRpcError as error:
            if error.code() == grpc.StatusCode.NOT_FOUND:
                return {}
            raise
        return {each.id: each.message.text for each in listed}


async def alive(work: Awaitable[_T]) -> _T:
    """Wait for an answer. Raises `MemoryDiedError` if there is none."""
    try:
        return await work
    except grpc.aio.AioRpcError as error:
        if error.code() != grpc.StatusCode.UNAVAILABLE:
            raise
        raise MemoryDiedError from error
