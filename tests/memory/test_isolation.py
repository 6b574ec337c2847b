"""Nobody finds what is another's, what is deleted, or what they did not ask for.

Whatever people say, edit, pin, correct, delete and forget, however often the process is
started anew and whatever is cancelled in its midst: what is found is what a naive memory
lets them find, and all that is derived from the messages agrees with them.
"""

from __future__ import annotations

import os
from contextlib import suppress
from itertools import cycle
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from memory_svc.embedding.sentence import SentenceEmbedder
from memory_svc.kept import NoteFilter
from memory_svc.model import Probe, SearchFilter
from memory_svc.recall import Prompt
from memory_svc.search import CHANNELS, MEANING, WORDS
from memory_svc.storage.local import gathering, vectors
from svckit.errors import ServiceError
from tests.memory.chats import user
from tests.memory.checking import disagreements, shelf_disagreements
from tests.memory.people import (
    CONVERSATION,
    FAR,
    PICK,
    PROJECT,
    SESSION,
    TAGS,
    TOPIC,
    TOPICS,
    USER,
    USERS,
    Living,
    left,
)

# More examples find more, and take minutes.
EXAMPLES = int(os.environ.get("LAIR_TEST_ISOLATION", "12"))
CHANNEL = st.sampled_from((CHANNELS, (WORDS,), (MEANING,)))


class People(Living):
    """What they find, whatever happened.

    A large memory `chooses` among its messages; all of a small one's are candidates.
    """

    chooses = False

    def __init__(self) -> None:
        super().__init__()
        self.recalled: list[tuple[str, str]] = []
        self.views = cycle(
            (who, channels) for channels in (CHANNELS, (WORDS,), (MEANING,)) for who in USERS
        )

    # -- looking ---------------------------------------------------------------

    @rule(who=USER, topic=TOPIC, steps=st.integers(0, 40))
    def look_and_leave(self, who, topic, steps) -> None:
        self.run(left(self.search.find(who, topic, SearchFilter(), 9), steps))

    @rule(who=USER, topic=TOPIC, channels=CHANNEL, pick=PICK, where=st.data())
    def look(self, who, topic, channels, pick, where) -> None:
        filters = self.filter_of(pick, where)
        found = self.run(self.search.find(who, topic, filters, 50, channels=channels))
        self.check_found(who, filters, found.passages)

    @precondition(lambda self: any(map(self.naive.texts, USERS)))
    @rule(pick=PICK, where=st.data())
    def what_is_there_is_found_by_its_words(self, pick, where) -> None:
        who, text, _ = self.picked_message(pick)
        filters = self.filter_of(pick, where)
        word = self.naive.as_found(text).split()[1]
        found = self.run(self.search.find(who, word, filters, 50, channels=(WORDS,)))
        is_found = self.naive.as_found(text) in [each.text for each in found.passages]
        assert is_found == (text in self.naive.findable(who, filters))

    @rule(who=USER, topic=TOPIC, project=PROJECT, pick=PICK, where=st.data())
    def recall(self, who, topic, project, pick, where) -> None:
        filters = self.filter_of(pick, where)
        name = f"recall {len(self.recalled)}"
        messages = [user(f"what about {topic}?")]
        prompt = Prompt(who, messages, filters, request_id=name, project=project)
        recall = self.run(self.recalls.recall(prompt))
        self.recalled.append((who, name))
        notes = {
            self.naive.as_found(text): pin
            for text, pin in self.naive.notes(who).items()
            if pin.pinned and pin.project in ("", project)
        }
        pinned = {each.text for each in recall.candidates if each.pinned}
        # What its own chat says already is left out.
        own = filters.exclude_conversation_id
        assert pinned <= set(notes)
        assert own or pinned == set(notes)
        unpinned = [each for each in recall.candidates if not each.pinned]
        self.check_found(who, filters, unpinned)
        assert {quote.passage.text for quote in recall.quotes} <= {
            each.text for each in recall.candidates
        }

    # -- what is true ----------------------------------------------------------

    @invariant()
    def candidates_are_what_may_be_found(self) -> None:
        who, channels = next(self.views)
        numbers = self.run(self.numbers())
        for filters in self.some_filters():
            vector = self.run(self.model.embed_query("red teal gold"))
            probe = Probe(
                words=TOPICS if WORDS in channels else (),
                vector=vector if MEANING in channels else None,
                bare_vector=vector if MEANING in channels else None,
                model=self.model.model,
            )
            found = self.run(self.store.evidence(who, probe, filters, 50))
            findable = self.naive.findable(who, filters)
            candidates, all_of_them = found.message_ids.tolist(), map(numbers.get, findable)
            assert len(set(candidates)) == len(candidates)
            assert self.chooses or sorted(candidates) == sorted(all_of_them)
            assert set(candidates) <= set(map(numbers.get, findable))

    @invariant()
    def explained_recalls_hold_what_isleft(self) -> None:
        for who, name in self.recalled[-3:]:
            with suppress(ServiceError):
                told = self.run(self.recalls.explain(who, name))
                stored = {self.naive.as_found(text) for text in self.naive.texts(who)}
                assert {each.text for each in told.candidates} <= stored
            for other in USERS:
                if other != who:
                    with pytest.raises(ServiceError):
                        self.run(self.recalls.explain(other, name))

    @invariant()
    def notes_are_listed(self) -> None:
        for who in USERS:
            listed = self.run(self.notes.page(who, NoteFilter(), None, FAR))
            assert {each.text: (each.project, each.pinned) for each in listed} == {
                self.naive.as_found(text): (pin.project, pin.pinned)
                for text, pin in self.naive.notes(who).items()
            }

    @invariant()
    def everything_derived_agrees(self) -> None:
        found = disagreements(self.path) + self.run(shelf_disagreements(self.store))
        assert not found, found

    def filter_of(self, pick: int, draw: Any) -> SearchFilter:
        times = sorted(self.naive.said_us.values()) or [0]
        moment = times[pick % len(times)]
        return draw.draw(
            st.builds(
                SearchFilter,
                project=PROJECT,
                session_id=SESSION,
                conversation_id=st.just("") | CONVERSATION,
                exclude_conversation_id=st.just("") | CONVERSATION,
                roles=st.sampled_from(((), (), ("user",), ("assistant",), ("user", "assistant"))),
                start_us=st.sampled_from((None, None, moment)),
                end_us=st.sampled_from((None, None, moment)),
                tags=st.just(()) | TAGS,
            )
        )

    def some_filters(self) -> list[SearchFilter]:
        return [SearchFilter(), SearchFilter(project="p"), SearchFilter(roles=("user",))]

    def check_found(self, who: str, filters: SearchFilter, passages: Any) -> None:
        findable = self.naive.findable(who, filters)
        allowed = {self.naive.as_found(text): where for text, (_, where) in findable.items()}
        found = {each.text: each.conversation_id for each in passages}
        assert found.items() <= allowed.items()


OPTIONS = settings(
    max_examples=EXAMPLES,
    stateful_step_count=30,
    deadline=None,
    suppress_health_check=list(HealthCheck),
)
People.TestCase.settings = OPTIONS
TestPeople = People.TestCase


def test_it_holds_where_candidates_are_chosen(monkeypatch: pytest.MonkeyPatch) -> None:
    class Choosing(People):
        chooses = True

    # As in a memory of a million messages: the best few of them, out of groups of vectors.
    monkeypatch.setattr(gathering, "_ALL_CANDIDATES", 2)
    monkeypatch.setattr(gathering, "_LEAST_BY_WORDS", 4)
    monkeypatch.setattr(gathering, "_LEAST_BY_MEANING", 4)
    monkeypatch.setattr(vectors, "_MOST_COMPARED", 6)
    monkeypatch.setattr(vectors, "_FEW", 0)
    run_state_machine_as_test(Choosing, settings=settings(OPTIONS, max_examples=EXAMPLES // 2))


def test_it_holds_with_the_real_model(models: Path) -> None:
    class WithTheModel(People):
        embedder = staticmethod(lambda: SentenceEmbedder("all-MiniLM-L6-v2", models))

    run_state_machine_as_test(WithTheModel, settings=settings(OPTIONS, max_examples=2))
