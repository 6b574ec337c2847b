"""What every MemoryStore brings up for a search, and for whom."""

from dataclasses import replace

import numpy as np
import pytest

from memory_svc.model import ConversationChange, Probe, SearchFilter
from memory_svc.storage.base import MemoryStore
from tests.memory.chats import DAY_US, NOW_US, assistant, user
from tests.memory.stores import (
    EVERYTHING,
    MODEL,
    by_meaning,
    by_words,
    embed,
    texts_of,
    turn,
    unit,
    waiting_texts,
)


class TestWords:
    async def test_words_are_stemmed_and_counted(self, store: MemoryStore):
        await store.append([turn("r1", "The dogs were running", "A dog barks", "Cats sleep")])
        assert await by_words(store, "dog", "run") == {"The dogs were running": 2, "A dog barks": 1}

    async def test_rare_words_score_higher(self, store: MemoryStore):
        for n in range(9):
            await store.append([turn(f"r{n}", f"dog number {n}", conversation_id=f"c{n}")])
        await store.append([turn("r", "dog called Rex", conversation_id="c")])
        found = await store.evidence("ann", Probe(("dog", "rex")), EVERYTHING, 50)
        best = found.message_ids[np.argmax(found.turn)]
        assert await texts_of(store, [int(best)]) == ["dog called Rex"]
        assert found.coverage.max() == pytest.approx(1)
        assert sorted(found.coverage)[-2] < 0.3

    @pytest.mark.parametrize(
        "word",
        ['"', "'", "*", "a OR b", "NEAR(", "owner:", "-", "^", "", "u1", "\x00", "()", "é"],
        ids=repr,
    )
    async def test_no_word_is_taken_for_syntax(self, store: MemoryStore, word: str):
        await store.append([turn("r1", "plain text")])
        assert await by_words(store, word) == {}
        assert await by_words(store, word, "plain") == {"plain text": 1}

    async def test_a_phrase_is_found_as_it_stands(self, store: MemoryStore):
        for n, text in enumerate(("call parse_config_v2 first", "parse the v2 of a config")):
            await store.append([turn(f"r{n}", text, conversation_id=f"c{n}")])
        probe = Probe(("parse", "config", "v2"), ("parse_config_v2",))
        found = await store.evidence("ann", probe, EVERYTHING, 50)
        assert list(found.matched) == [3, 3]
        assert found.turn[0] > 1.1 * found.turn[1]

    async def test_the_end_of_a_long_message_is_found_and_counts_less(self, store: MemoryStore):
        padding = "lorem ipsum " * 100
        await store.append([turn("r1", f"zebra {padding} giraffe")])
        found = await store.evidence("ann", Probe(("zebra",)), EVERYTHING, 50)
        last = await store.evidence("ann", Probe(("giraffe",)), EVERYTHING, 50)
        assert (found.matched[0], last.matched[0]) == (1, 1)
        assert 0 < last.coverage[0] < found.coverage[0]

    @pytest.mark.parametrize("length", range(880, 906))
    async def test_no_word_is_lost_where_a_long_message_is_divided(
        self, store: MemoryStore, length: int
    ):
        text = "x" * length + " indivisible " + "y" * 50
        await store.append([turn("r1", text)])
        assert await by_words(store, "indivisible") == {text: 1}

    async def test_a_turn_is_found_in_the_window_of_its_neighbours(self, store: MemoryStore):
        texts = ("zebra", "one", "two", "three", "four", "five")
        await store.append([turn("r1", *texts)])
        found = await store.evidence("ann", Probe(("zebra",)), EVERYTHING, 50)
        assert list(found.matched) == [1, 0, 0, 0, 0, 0]
        assert list(found.coverage) == [1, 1, 1, 0, 0, 0]
        assert list(found.wide > 0) == [True] * 5 + [False]

    async def test_windows_follow_the_branch_and_leave_out_tools(self, store: MemoryStore):
        tool = type(user(""))(role="tool", text="noise")
        await store.append([turn("r1", messages=(user("zebra"), tool, assistant("one")))])
        await store.append([turn("r2", messages=(user("zebra"), tool, assistant("two")))])
        found = await store.evidence("ann", Probe(("zebra",)), EVERYTHING, 50)
        assert list(found.coverage) == [1, 1, 1]

    async def test_other_users_are_never_found(self, store: MemoryStore):
        await store.append([turn("r1", "my dog"), turn("r2", "his dog", user_id="bob")])
        assert await by_words(store, "dog") == {"my dog": 1}
        assert await by_words(store, "dog", user_id="eve") == {}

    async def test_another_users_message_is_never_shown(self, store: MemoryStore):
        await store.append([turn("r1", "my dog"), turn("r2", "his dog", user_id="bob")])
        his = await store.evidence("bob", Probe(("dog",)), EVERYTHING, 50)
        ids = his.message_ids.tolist()
        assert [each.text for each in await store.said("bob", ids, EVERYTHING)] == ["his dog"]
        assert await store.said("ann", ids, EVERYTHING) == []
        assert await store.said("eve", ids, EVERYTHING) == []

    async def test_only_what_people_and_models_say_is_searchable(self, store: MemoryStore):
        said = turn("r1", "dog")
        tool = type(said.messages[0])(role="tool", text="dog of a tool")
        late = type(said.messages[0])(role="system", text="dog of a system")
        blank = user(" \n")
        await store.append([replace(said, messages=(said.messages[0], tool, late, blank))])
        assert await by_words(store, "dog") == {"dog": 1}
        assert await waiting_texts(store) == ["dog"]

    async def test_answers_made_of_memory_are_never_searchable(self, store: MemoryStore):
        made = replace(
            turn("r1", "dog?"), reply=assistant("a dog it was"), generated_from_memory=True
        )
        await store.append([made])
        # The client edits its question and sends the answer back on a new branch.
        await store.append([turn("r2", "dog??", "a dog it was", "thanks")])
        assert await by_words(store, "dog") == {"dog?": 1, "dog??": 1}
        assert set(await waiting_texts(store)) == {"dog?", "dog??", "thanks"}


FILTERS: dict[str, tuple[SearchFilter, set[str]]] = {
    "none": (EVERYTHING, {"dog one", "dog two", "dog three"}),
    "project": (SearchFilter(project="p"), {"dog one"}),
    "session": (SearchFilter(session_id="s"), {"dog three"}),
    "conversation": (SearchFilter(conversation_id="c1"), {"dog one", "dog two"}),
    "excluded": (SearchFilter(exclude_conversation_id="c1"), {"dog three"}),
    "role": (SearchFilter(roles=("assistant", "tool")), {"dog two"}),
    "both roles": (SearchFilter(roles=("assistant", "user")), {"dog one", "dog two", "dog three"}),
    "other role": (SearchFilter(roles=("tool",)), set()),
    "start": (SearchFilter(start_us=NOW_US + 1), {"dog three"}),
    "end": (SearchFilter(end_us=NOW_US + DAY_US), {"dog one", "dog two"}),
    "tags": (SearchFilter(tags=("x", "fun")), {"dog three"}),
    "nothing": (SearchFilter(project="p", session_id="s"), set()),
}


@pytest.mark.parametrize("name", FILTERS)
async def test_filters_narrow_both_channels(store: MemoryStore, name: str):
    where, expected = FILTERS[name]
    await store.append([turn("r1", "dog one", "dog two", conversation_id="c1")])
    later = turn("r2", "dog three", conversation_id="c2", at_us=NOW_US + DAY_US, session_id="s")
    await store.append([later])
    await store.update("ann", "c2", ConversationChange(tags=("fun", "old")), 1)
    if name in ("project", "nothing"):
        await store.append([turn("r3", "dog one", conversation_id="c3", project="p")])
    await embed(store, **{"dog one": unit(1, 0), "dog two": unit(1, 1), "dog three": unit(1, 2)})
    assert (await by_words(store, "dog", where=where)).keys() == expected
    assert (await by_meaning(store, unit(1, 0), where=where)).keys() == expected


class TestMeaning:
    async def test_candidates_come_with_their_cosine(self, store: MemoryStore):
        await store.append([turn("r1", "east", "north", "west")])
        await embed(store, east=unit(1, 0), north=unit(0, 1), west=unit(-1, 0))
        found = await by_meaning(store, unit(2, 1))
        assert found == {"east": 0.89, "north": 0.45, "west": -0.89}

    async def test_a_turn_knows_its_vicinity_and_the_question_before_it(self, store: MemoryStore):
        await store.append([turn("r1", "Where is east?", "there", "thanks")])
        vectors = {"Where is east?": unit(1, 0), "there": unit(1, 1), "thanks": unit(0, 1)}
        await embed(store, **vectors)
        probe = Probe(vector=unit(1, 0), bare_vector=unit(1, 0), model=MODEL)
        found = await store.evidence("ann", probe, EVERYTHING, 50)
        assert found.vicinity == pytest.approx([1.71 / 2, 1.71 / 3, 0.71 / 2], abs=0.01)
        assert found.asked == pytest.approx([0, 1, 0], abs=0.01)

    async def test_vectors_and_messages_that_come_after_a_search_are_found(
        self, store: MemoryStore
    ):
        await store.append([turn("r1", "east")])
        await embed(store, east=unit(1, 0))
        assert await by_meaning(store, unit(2, 1)) == {"east": 0.89}
        await store.append([turn("r2", "north", conversation_id="d")])
        assert await by_meaning(store, unit(2, 1)) == {"east": 0.89}
        await embed(store, north=unit(0, 1))
        assert await by_meaning(store, unit(2, 1)) == {"east": 0.89, "north": 0.45}

    async def test_a_vector_that_is_made_again_replaces_the_old_one(self, store: MemoryStore):
        await store.append([turn("r1", "east", "north")])
        waiting = await store.unembedded(9)
        await store.put_vectors(MODEL, [(each, unit(1, 0)) for each in waiting])
        assert await by_meaning(store, unit(2, 1)) == {"east": 0.89, "north": 0.89}
        await store.put_vectors(MODEL, [(each, unit(0, 1)) for each in waiting])
        assert await by_meaning(store, unit(2, 1)) == {"east": 0.45, "north": 0.45}

    async def test_other_users_and_models_are_never_found(self, store: MemoryStore):
        await store.append([turn("r1", "east"), turn("r2", "north", user_id="bob")])
        await embed(store, east=unit(1, 0), north=unit(0, 1))
        assert await by_meaning(store, unit(2, 1)) == {"east": 0.89}
        assert await by_meaning(store, unit(2, 1), model="other") == {}
        assert await by_meaning(store, unit(2, 1)) == {"east": 0.89}

    async def test_vectors_of_another_length_are_left_out(self, store: MemoryStore):
        await store.append([turn("r1", "east", "north")])
        await embed(store, east=unit(1, 0))
        await embed(store, north=unit(0, 1, 0))
        assert await by_meaning(store, unit(2, 1)) == {"east": 0.89}
        assert await by_meaning(store, unit(0, 1, 0)) == {"north": 1.0}


async def test_the_speakers_are_those_with_a_name(store: MemoryStore):
    ann, rex = user("hi"), assistant("woof")
    ann.name, rex.name = "Ann", "Rex"
    await store.append([turn("r1", messages=(ann, rex, user("nobody")))])
    await store.append([turn("r2", "hi", user_id="bob")])
    assert sorted(await store.speakers("ann")) == ["Ann", "Rex"]
    assert await store.speakers("bob") == await store.speakers("eve") == ()
    found = await store.evidence("ann", Probe(("hi", "woof"), named="Rex"), EVERYTHING, 9)
    assert list(found.by_named) == [False, True, False]
    assert list(found.by_user) == [True, False, True]


async def test_of_a_large_memory_the_best_are_candidates(store: MemoryStore):
    chance = np.random.default_rng(1)
    texts = [f"text {n} {'common ' * (n % 7)}{'rare' if n % 500 == 3 else ''}" for n in range(1500)]
    await store.append([turn("r1", *texts)])
    vectors = chance.normal(size=(len(texts), 16)).astype(np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    places = {text: n for n, text in enumerate(texts)}
    waiting = await store.unembedded(5000)
    await store.put_vectors(MODEL, [(each, vectors[places[each.line.text]]) for each in waiting])
    probe = Probe(("rare", "common"), vector=vectors[7], bare_vector=vectors[7], model=MODEL)
    found = await store.evidence("ann", probe, EVERYTHING, 10)
    ids = (await store.evidence("ann", Probe(), EVERYTHING, 1)).message_ids
    assert len(ids) == 0, "nothing speaks for any of them"
    listed = await texts_of(store, found.message_ids.tolist())
    assert len(listed) < len(texts)
    nearest = np.argsort(-(vectors @ vectors[7]))[:10]
    assert {texts[n] for n in nearest} | {texts[n] for n in (3, 503, 1003)} <= set(listed)
    cosines = dict(zip(listed, found.near, strict=True))
    for n in nearest:
        assert cosines[texts[n]] == pytest.approx(vectors[n] @ vectors[7], abs=0.01)
