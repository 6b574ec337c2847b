"""Whatever is stored, continued, branched and deleted: a store holds what a naive one would."""

from __future__ import annotations

import asyncio
import tempfile
from pathlib import Path
from typing import Any

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from lair.common.v1.chat_pb2 import Message, Usage
from memory_svc.conversations import Conversations
from memory_svc.model import (
    Fate,
    Probe,
    StoredMessage,
    StoredTurn,
    Turn,
    TurnFilter,
    VectorKind,
)
from memory_svc.storage.base import MemoryStore
from memory_svc.storage.local.store import open_local_store
from memory_svc.tree import ROOT, chain
from tests.memory import naive_memory as naive
from tests.memory.chats import NOW_US, system
from tests.memory.stores import EVERYTHING, MODEL, unit

# Few words, so that branches often become the same.
WORDS = ("red", "teal")
SAID = st.tuples(st.sampled_from(("user", "user", "assistant", "tool")), st.sampled_from(WORDS))
SENT = st.lists(SAID, max_size=3).map(tuple)
REPLY = st.none() | st.sampled_from(WORDS)
SYSTEM = st.sampled_from(("", "", "be brief", "be long"))
PICK = st.integers(0, 10**6)
FAR = 10**6


def message(said: naive.Said) -> Message:
    return Message(role=said[0], text=said[1])


class Life(RuleBasedStateMachine):
    """One conversation of one user beside one of another, who says the same and stays."""

    def __init__(self) -> None:
        super().__init__()
        self.loop = asyncio.new_event_loop()
        self.folder = tempfile.TemporaryDirectory()
        self.opened = open_local_store(Path(self.folder.name) / "memory.db")
        self.store: MemoryStore = self.run(self.opened.__aenter__())
        self.naive = naive.NaiveConversation()
        self.named: dict[str, int] = {}  # when each stored turn was stored
        self.deleted: list[Turn] = []
        self.sent: dict[str, Turn] = {}
        bobs = Turn("r0", "bob", "c", (message(("user", "red")),), NOW_US, record=b"{}")
        self.run(self.store.append([bobs]))

    def teardown(self) -> None:
        self.run(self.opened.__aexit__(None, None, None))
        self.folder.cleanup()
        self.loop.close()

    def run(self, work: Any) -> Any:
        return self.loop.run_until_complete(work)

    # -- what happens ----------------------------------------------------------

    def append(self, start: naive.Path, head: str, said: tuple[str, naive.Path, str | None]):
        instructions, sent, reply = said
        if not (instructions or sent or reply):
            return
        name = f"r{len(self.named)}"
        leading = [system(instructions)] if instructions else []
        turn = Turn(
            name,
            "ann",
            "c",
            (*leading, *map(message, sent)),
            NOW_US + len(self.named),
            parent_head=head,
            reply=None if reply is None else message(("assistant", reply)),
            model=f"model {name}",
            usage=Usage(total_tokens=len(self.named)),
        )
        assert self.run(self.store.append([turn, turn])) == [Fate.STORED, Fate.DUPLICATE]
        self.naive.append(
            name, start=start, system=instructions, sent=sent, reply=reply, tokens=len(self.named)
        )
        self.sent[name] = turn
        self.named[name] = len(self.named)

    @rule(sent=SENT, reply=REPLY, instructions=SYSTEM)
    def begin_anew(self, sent, reply, instructions) -> None:
        self.append((), "", (instructions, sent, reply))

    @rule(sent=SENT, reply=REPLY, instructions=SYSTEM)
    def go_on(self, sent, reply, instructions) -> None:
        self.append(self.naive.before_attempt(sent), "active", (instructions, sent, reply))

    @rule(cut=st.integers(0, 3), sent=SENT, reply=REPLY, instructions=SYSTEM)
    def send_it_all_again(self, cut, sent, reply, instructions) -> None:
        kept = self.naive.head[: max(0, len(self.naive.head) - cut)]
        self.append((), "", (instructions, kept + sent, reply))

    @precondition(lambda self: self.naive.turns)
    @rule(pick=PICK, sent=SENT, reply=REPLY, instructions=SYSTEM)
    def go_on_after(self, pick, sent, reply, instructions) -> None:
        name = self.turn(pick)
        use = Conversations(self.store, on_stored=lambda: None)
        history = self.run(use.history("ann", "c", [], after_request_id=name))
        end = self.naive.turns[name].end()
        told = self.naive.system_of(name)
        expected = [*([system(told)] if told else []), *map(message, end)]
        assert list(history.messages) == expected
        assert history.head == (chain(ROOT, map(message, end))[-1].hex() if end else "")
        self.append(end, history.head, (instructions, sent, reply))

    @precondition(lambda self: self.naive.turns)
    @rule(pick=PICK)
    def delete_a_turn(self, pick) -> None:
        name = self.turn(pick)
        gone = self.naive.delete_turn(name)
        assert self.run(self.store.delete_turn("ann", name, NOW_US)) == gone
        assert self.run(self.store.append([self.sent[name]])) == [Fate.DELETED]
        assert self.run(self.store.delete_turn("ann", name, NOW_US)) is None

    @precondition(lambda self: self.naive.ages)
    @rule(pick=PICK)
    def delete_a_message(self, pick) -> None:
        paths = sorted(self.naive.ages)
        path = paths[pick % len(paths)]
        found = self.run(self.store.conversation("ann", "c"))
        by_path = {each: stored.id for each, stored in self.paths().items()}
        self.naive.delete_message(path)
        deleted = self.store.delete_message(found.key, by_path[path], NOW_US)
        assert self.run(deleted) is True
        assert self.run(self.store.delete_message(found.key, by_path[path], NOW_US)) is False

    @rule()
    def embed(self) -> None:
        waiting = self.run(self.store.unembedded(FAR))
        paths = {stored.id: path for path, stored in self.paths().items()}
        for each in waiting:
            if each.kind == VectorKind.WINDOW and each.message_id in paths:  # not bob's
                heard = [said for said in paths[each.message_id][:-1] if said[0] != "tool"]
                assert (each.before and each.before.text) == (heard[-1][1] if heard else None)
        vectors = [(each, unit(1, WORDS.index(each.line.text))) for each in waiting]
        self.run(self.store.put_vectors(MODEL, vectors))

    def turn(self, pick: int) -> str:
        names = sorted(self.naive.turns)
        return names[pick % len(names)]

    # -- what is true ----------------------------------------------------------

    def paths(self) -> dict[naive.Path, StoredMessage]:
        """Return the stored messages by their paths."""
        found = self.run(self.store.conversation("ann", "c"))
        if found is None:
            return {}
        stored = self.run(self.store.messages(found.key, -1, FAR, include_inactive=True))
        by_id = {each.id: each for each in stored}

        def path(each: StoredMessage) -> naive.Path:
            above = path(by_id[each.parent_id]) if each.parent_id else ()
            return (*above, (each.message.role, each.message.text))

        paths = {path(each): each for each in stored}
        assert len(paths) == len(stored)
        assert all(each.position == len(path) - 1 for path, each in paths.items())
        return paths

    @invariant()
    def the_tree_is_the_same(self) -> None:
        paths = self.paths()
        assert set(paths) == set(self.naive.ages)
        active = {self.naive.head[:length] for length in range(1, len(self.naive.head) + 1)}
        assert {path for path, each in paths.items() if each.active} == active
        found = self.run(self.store.active_path("ann", "c"))
        told = self.naive.last_system()
        assert [each.text for each in (found.system if found else ())] == ([told] if told else [])
        hashes = [node.hash for node in found.nodes] if found else []
        assert hashes == chain(ROOT, map(message, self.naive.head))
        conversation = self.run(self.store.conversation("ann", "c"))
        assert (conversation is None) == (not self.naive.ages and not self.naive.turns)
        if conversation:
            assert conversation.message_count == len(self.naive.head)
            tokens = sum(turn.tokens for turn in self.naive.turns.values())
            assert conversation.token_count == tokens

    @invariant()
    def every_turn_is_found_as_it_was_sent(self) -> None:
        listed, more = self.run(self.store.turns(TurnFilter("ann"), None, FAR))
        assert not more
        assert [turn.request_id for turn in listed] == sorted(
            self.naive.turns, key=self.named.__getitem__
        )
        paths = {each.id: path for path, each in self.paths().items()}
        for turn in listed:
            self.check_turn(turn, paths)

    def check_turn(self, turn: StoredTurn, paths: dict[int, naive.Path]) -> None:
        expected = self.naive.turns[turn.request_id]
        sent = list(turn.input)
        if expected.system:
            first = sent.pop(0)
            assert first.message == system(expected.system)
            assert first.id not in paths
        begin = len(expected.sent) - expected.count
        assert [paths[each.id] for each in sent] == [
            expected.sent[: begin + n + 1] for n in range(expected.count)
        ]
        assert (turn.reply and paths[turn.reply.id]) == expected.answer
        if turn.reply:
            assert turn.reply.model == f"model {turn.request_id}"
        assert self.run(self.store.turn("ann", turn.request_id)) == turn
        assert self.run(self.store.turn("eve", turn.request_id)) is None

    @invariant()
    def what_is_found_is_what_is_there(self) -> None:
        there = {p: each.id for p, each in self.paths().items() if p[-1][0] != "tool"}
        texts = {number: path[-1][1] for path, number in there.items()}
        probe = Probe(WORDS, vector=unit(1, 1), bare_vector=unit(1, 1), model=MODEL)
        found = self.run(self.store.evidence("ann", probe, EVERYTHING, FAR))
        assert sorted(found.message_ids.tolist()) == sorted(there.values())
        assert all(count == 1 for count in found.matched)
        rows = zip(found.message_ids.tolist(), found.near.tolist(), strict=True)
        for number, cosine in rows:  # 0 where it waits for its vector
            expected = unit(1, 1) @ unit(1, WORDS.index(texts[number]))
            assert cosine == 0 or abs(cosine - expected) < 0.01
        counts = self.run(self.store.index_counts(MODEL))
        alone = self.run(self.store.unembedded(FAR))
        waiting = sum(each.kind == VectorKind.ALONE for each in alone)
        assert counts.indexed + waiting == len(there) + 1  # and bob's
        stats = self.run(self.store.stats("ann"))
        assert stats.messages == len(self.naive.ages)
        assert stats.text_bytes == sum(len(path[-1][1]) for path in self.naive.ages)

    @invariant()
    def another_users_are_untouched(self) -> None:
        bobs = self.run(self.store.turn("bob", "r0"))
        assert [each.message.text for each in bobs.input] == ["red"]
        assert self.run(self.store.stats("bob")).messages == 1


Life.TestCase.settings = settings(max_examples=30, stateful_step_count=25, deadline=None)
TestLife = Life.TestCase
