"""Three people who talk, change their minds and forget, and the memory they share.

What happens is here, and the naive memory that it is told to as well; what must be true of
it is `test_isolation.py`'s.
"""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import Callable, Coroutine
from contextlib import AsyncExitStack, suppress
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    precondition,
    rule,
)

from memory_svc.conversations import Conversations
from memory_svc.embedding.base import Embedder
from memory_svc.forgetting import Forgetting, Topic
from memory_svc.ingest import embedded_text
from memory_svc.kept import Everything, NewNote, OneProject, TheseMessages
from memory_svc.model import ConversationChange, Fate, SearchFilter, Turn, Unembedded
from memory_svc.notes import Notes, notes_conversation
from memory_svc.recall import Recalls
from memory_svc.recall_log import RecallLog
from memory_svc.search import Search
from memory_svc.storage.local.store import open_local_store
from memory_svc.turns import Turns
from svckit.errors import ServiceError
from svckit.times import now_us
from tests.memory.chats import WordEmbedder, assistant, system, user
from tests.memory.naive_memory import Path as TreePath
from tests.memory.naive_people import Chat, NaivePeople, Pin

FAR = 10**6
FILLER = "and so on and on it goes "

USERS = ("ann", "bob", "eve")
TOPICS = ("red", "teal", "gold")
USER = st.sampled_from(USERS)
TOPIC = st.sampled_from(TOPICS)
CONVERSATION = st.sampled_from(("c", "d", "e"))
PROJECT = st.sampled_from(("", "p", "q"))
SESSION = st.sampled_from(("", "s"))
TAGS = st.lists(st.sampled_from(("x", "y")), max_size=2, unique=True).map(tuple)
PICK = st.integers(0, 10**6)


class Living(RuleBasedStateMachine):
    """Three people who talk of the same things in conversations of the same names."""

    embedder: Callable[[], Embedder] = WordEmbedder

    def __init__(self) -> None:
        super().__init__()
        self.loop = asyncio.new_event_loop()
        self.folder = tempfile.TemporaryDirectory()
        self.path = Path(self.folder.name) / "memory.db"
        self.naive = NaivePeople()
        self.turns: list[Turn] = []
        self.held: list[tuple[Unembedded, Any]] = []
        self.said = 0
        self.run(self.open())

    def teardown(self) -> None:
        try:
            self.run(self.what_was_indexed_on_the_way_is_what_is_indexed_anew())
        finally:
            self.run(self.opened.aclose())
            self.folder.cleanup()
            self.loop.close()

    def run(self, work: Any) -> Any:
        return self.loop.run_until_complete(work)

    async def open(self) -> None:
        self.opened = AsyncExitStack()
        self.store = await self.opened.enter_async_context(open_local_store(self.path))
        self.model = self.embedder()
        self.opened.callback(self.model.close)
        await self.model.load()
        self.search = Search(self.store, self.model, threshold=0.35)
        self.log = RecallLog(self.store)
        self.recalls = Recalls(self.store, self.search, self.log, passages=5, tokens=800)
        self.conversations = Conversations(self.store, on_stored=lambda: None)
        self.notes = Notes(self.store, on_changed=lambda: None)
        self.forgetting = Forgetting(self.store, self.log)

    # -- what happens ----------------------------------------------------------

    def new_text(self, topic: str) -> str:
        self.said += 1
        # Some are long enough to be indexed in parts.
        much_more = f" {FILLER * 90}" if not self.said % 5 else ""
        return f"{topic} w{self.said}{much_more}"

    @rule(who=USER, where=CONVERSATION, topic=TOPIC, project=PROJECT, session=SESSION, cut=PICK)
    def say(self, *, who, where, topic, project, session, cut) -> None:
        chat = self.naive.chats.setdefault((who, where), Chat())
        chat.project = chat.project or project
        chat.session = chat.session or session
        kept: TreePath = chat.tree.head[: cut % (len(chat.tree.head) + 1)]
        asked, answered = self.new_text(topic), self.new_text(topic)
        sent = (*kept, ("user", asked), *([("tool", self.new_text(topic))] if cut % 3 else ()))
        turn = Turn(
            f"r{len(self.turns)}",
            *(who, where),
            (system(f"{topic} instructions"), *(_message(each) for each in sent)),
            now_us(),
            reply=assistant(answered),
            project=project,
            session_id=session,
            generated_from_memory=not cut % 5,
        )
        assert self.run(self.store.append([turn])) == [Fate.STORED]
        self.turns.append(turn)
        chat.tree.append(turn.request_id, start=(), system="", sent=sent, reply=answered, tokens=0)
        for _, text in (*sent[len(kept) :], ("assistant", answered)):
            self.naive.said_us[text] = turn.at_us
        if turn.generated_from_memory:
            self.naive.generated.add(answered)

    @precondition(lambda self: self.turns)
    @rule(pick=PICK)
    def deliver_again(self, pick) -> None:
        fates = self.run(self.store.append([self.turns[pick % len(self.turns)]]))
        assert fates[0] in (Fate.DUPLICATE, Fate.DELETED)

    @precondition(lambda self: self.naive.chats)
    @rule(pick=PICK, tags=TAGS)
    def tag(self, pick, tags) -> None:
        who, where = self.picked_place(pick)
        change = ConversationChange(tags=tags)
        self.run(self.conversations.update(who, where, change))
        chat = self.naive.chats[who, where]
        chat.tags, chat.kept = tags, True

    @precondition(lambda self: self.naive.chats)
    @rule(pick=PICK)
    def delete_a_conversation(self, pick) -> None:
        place = self.picked_place(pick)
        self.run(self.conversations.delete(*place))
        del self.naive.chats[place]

    @precondition(lambda self: self.naive.chats)
    @rule(pick=PICK, steps=st.integers(0, 60))
    def delete_a_conversation_and_leave(self, pick, steps) -> None:
        place = self.picked_place(pick)
        self.run(left(self.conversations.delete(*place), steps))
        # What came of it is chance, and what is done next must not depend on that.
        if self.run(self.store.conversation(*place)) is not None:
            self.run(self.conversations.delete(*place))
        del self.naive.chats[place]

    @precondition(lambda self: self.naive.chats)
    @rule(pick=PICK)
    def delete_a_turn(self, pick) -> None:
        place = self.picked_place(pick)
        names = sorted(self.naive.chats[place].tree.turns)
        if names:
            name = names[pick % len(names)]
            self.run(Turns(self.store).delete(place[0], name))
            self.naive.delete_turn(place, name)

    @precondition(lambda self: any(map(self.naive.texts, USERS)))
    @rule(pick=PICK)
    def delete_a_message(self, pick) -> None:
        who, text, number = self.picked_message(pick)
        place = self.naive.texts(who)[text]
        self.run(self.conversations.delete_message(*place, number))
        tree = self.naive.chats[place].tree
        tree.delete_message(self.naive.chats[place].texts()[text])

    @rule(who=USER, topic=TOPIC, project=PROJECT, pinned=st.booleans())
    def remember(self, who, topic, project, pinned) -> None:
        text = self.new_text(topic)
        note = self.run(self.notes.remember(who, NewNote(text, project, pinned)))
        place = (who, notes_conversation(project))
        chat = self.naive.chats.setdefault(place, Chat(project, kept=True))
        chat.tree.clock += 1
        chat.tree.head = (*chat.tree.head, ("user", text))
        chat.tree.ages[chat.tree.head] = chat.tree.clock
        self.naive.said_us[text] = note.created_us
        self.naive.pins[text] = Pin(project, pinned, written=True)

    @precondition(lambda self: any(map(self.naive.texts, USERS)))
    @rule(pick=PICK, project=PROJECT, unpin=st.booleans())
    def pin(self, pick, project, unpin) -> None:
        who, text, number = self.picked_message(pick)
        pin = self.naive.pins.get(text)
        if unpin:
            self.run(self.notes.unpin(who, number))
            if pin and pin.written:
                pin.pinned = False
            else:
                self.naive.pins.pop(text, None)
        else:
            self.run(self.notes.pin(who, number, project))
            self.naive.pins[text] = Pin(project, True, written=bool(pin and pin.written))

    @precondition(lambda self: any(map(self.naive.texts, USERS)))
    @rule(pick=PICK, topic=TOPIC, take_back=st.booleans())
    def correct(self, pick, topic, take_back) -> None:
        who, text, number = self.picked_message(pick)
        right = "" if take_back else self.new_text(topic)
        self.run(self.notes.correct(who, number, right))
        self.naive.corrected.pop(text, None)
        if right:
            self.naive.corrected[text] = right

    @precondition(lambda self: any(map(self.naive.texts, USERS)))
    @rule(pick=PICK, others=st.lists(PICK, max_size=2))
    def forget_messages(self, pick, others) -> None:
        picked = [self.picked_message(each) for each in (pick, *others)]
        who = picked[0][0]
        target = TheseMessages(tuple(number for *_, number in picked))
        self.run(self.forgetting.forget(who, target))
        self.naive.forget_messages(who, [text for _, text, _ in picked])

    @precondition(lambda self: any(map(self.naive.texts, USERS)))
    @rule(pick=PICK)
    def forget_a_topic(self, pick) -> None:
        who, text, _ = self.picked_message(pick)
        word = self.naive.as_found(text).split()[1]
        found = text in self.naive.findable(who, SearchFilter())
        forgotten = self.run(self.forgetting.forget(who, Topic(word)))
        assert forgotten.messages == found
        if found:
            self.naive.forget_messages(who, [text])

    @rule(who=USER, project=st.sampled_from(("p", "q")))
    def forget_a_project(self, who, project) -> None:
        self.run(self.forgetting.forget(who, OneProject(project)))
        self.naive.forget_project(who, project)

    @precondition(lambda self: self.said > 20)
    @rule(who=USER)
    def forget_everything(self, who) -> None:
        self.run(self.forgetting.forget(who, Everything()))
        self.naive.forget_everything(who)
        assert self.run(self.store.stats(who)).messages == 0

    @precondition(lambda self: any(map(self.naive.texts, USERS)))
    @rule(pick=PICK, who=USER)
    def meddle_with_what_is_anothers(self, pick, who) -> None:
        owner, text, number = self.picked_message(pick)
        if owner == who:
            return
        where = self.naive.texts(owner)[text][1]
        self.run(self.forgetting.forget(who, TheseMessages((number,))))
        for deed in (
            self.notes.pin(who, number, ""),
            self.notes.unpin(who, number),
            self.notes.correct(who, number, "gold nonsense"),
            self.conversations.delete_message(who, where, number),
        ):
            with pytest.raises(ServiceError):
                self.run(deed)

    # -- indexing --------------------------------------------------------------

    @rule(count=st.integers(1, 20))
    def begin_to_embed(self, count) -> None:
        waiting = self.run(self.store.unembedded(count))
        if waiting:
            rows = self.run(self.model.embed([embedded_text(each) for each in waiting]))
            self.held = list(zip(waiting, rows, strict=True))

    @rule()
    def end_embedding(self) -> None:
        self.run(self.store.put_vectors(self.model.model, self.held))
        self.held = []

    @rule()
    def embed_everything(self) -> None:
        self.run(self.embed_all(self.model.model))

    async def what_was_indexed_on_the_way_is_what_is_indexed_anew(self) -> None:
        await self.embed_all(self.model.model)
        before = await self.vectors()
        await self.store.await_vectors("anew")
        await self.embed_all("anew")
        after = await self.vectors()
        assert before.keys() == after.keys()
        unlike = [each for each in before if not _is_alike(before[each], after[each])]
        assert not unlike, unlike

    async def embed_all(self, name: str) -> None:
        while waiting := await self.store.unembedded(FAR):
            rows = await self.model.embed([embedded_text(each) for each in waiting])
            await self.store.put_vectors(name, list(zip(waiting, rows, strict=True)))

    async def vectors(self) -> dict[tuple[int, int], bytes]:
        rows = await self.store._database.fetch("select message, kind, vector from vector")
        return {(row["message"], row["kind"]): row["vector"] for row in rows}

    @rule()
    def start_anew(self) -> None:
        self.run(self.opened.aclose())
        self.run(self.open())
        self.run(self.store.await_vectors(self.model.model))

    @rule()
    def tidy_up(self) -> None:
        self.run(self.store.tidy())

    # -- by what ---------------------------------------------------------------

    async def numbers(self) -> dict[str, int]:
        rows = await self.store._database.fetch("select id, plain(text) as text from message")
        return {row["text"]: row["id"] for row in rows}

    def picked_place(self, pick: int) -> tuple[str, str]:
        places = sorted(self.naive.chats)
        return places[pick % len(places)]

    def picked_message(self, pick: int) -> tuple[str, str, int]:
        texts = [(who, text) for who in USERS for text in self.naive.texts(who)]
        who, text = texts[pick % len(texts)]
        return who, text, self.run(self.numbers())[text]


async def left(work: Coroutine[Any, Any, Any], steps: int) -> None:
    """Begin some work, and give it up after so many turns of the loop."""
    task = asyncio.ensure_future(work)
    for _ in range(steps):
        await asyncio.sleep(0)
    task.cancel()
    with suppress(asyncio.CancelledError):
        await task


def _is_alike(one: bytes, other: bytes) -> bool:
    a, b = (np.frombuffer(each, dtype=np.int8).astype(np.float32) for each in (one, other))
    # Texts that are embedded together are rounded together; those of others are far away.
    return bool(a @ b >= 0.95 * np.linalg.norm(a) * np.linalg.norm(b))


def _message(said: tuple[str, str]) -> Any:
    role, text = said
    message = user(text)
    message.role = role
    return message
