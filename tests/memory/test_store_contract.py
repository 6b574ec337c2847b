"""What every MemoryStore does; each implementation is a parameter of `store`."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from memory_svc.model import (
    ConversationChange,
    ConversationFilter,
    Fate,
    IndexCounts,
    NewConversation,
    Probe,
    SearchFilter,
    Usage,
)
from memory_svc.storage.base import MemoryStore
from memory_svc.storage.local.store import open_local_store
from tests.memory.chats import DAY_US, NOW_US, assistant, user
from tests.memory.stores import EVERYTHING, MODEL, by_meaning, by_words, embed, turn, unit


class TestConversations:
    async def test_what_was_created_is_read_back(self, store: MemoryStore):
        new = NewConversation("ann", "c", "Trip", "p", "s", ("a", "b"), {"n": [1.5, None]})
        created = await store.create(new, NOW_US)
        assert created is not None
        assert await store.conversation("ann", "c") == created
        assert (created.title, created.tags, created.metadata) == (
            new.title,
            new.tags,
            new.metadata,
        )
        assert (created.message_count, created.created_us) == (0, NOW_US)

    async def test_an_id_is_taken_once_for_each_user(self, store: MemoryStore):
        assert await store.create(NewConversation("ann", "c"), 1)
        assert await store.create(NewConversation("ann", "c"), 2) is None
        assert await store.create(NewConversation("bob", "c"), 3)

    async def test_another_users_conversation_does_not_exist(self, store: MemoryStore):
        await store.append([turn("r1", "hi")])
        assert await store.conversation("bob", "c") is None
        assert await store.active_path("bob", "c") is None
        assert await store.update("bob", "c", ConversationChange(title="x"), 1) is None
        assert await store.delete("bob", "c", NOW_US) is None
        assert await store.conversation("ann", "c") is not None

    async def test_all_users_means_the_latest_changed(self, store: MemoryStore):
        await store.append([turn("r1", "hi", at_us=2)])
        await store.append([turn("r2", "ho", user_id="bob", at_us=1)])
        found = await store.conversation(None, "c")
        assert found is not None
        assert found.user_id == "ann"

    async def test_a_change_leaves_what_it_does_not_name(self, store: MemoryStore):
        await store.create(NewConversation("ann", "c", "old", tags=("t",)), 1)
        changed = await store.update("ann", "c", ConversationChange(title="new"), 5)
        assert changed is not None
        assert (changed.title, changed.tags, changed.updated_us) == ("new", ("t",), 5)
        changed = await store.update("ann", "c", ConversationChange(tags=()), 6)
        assert changed is not None
        assert (changed.title, changed.tags) == ("new", ())

    async def test_pages_go_on_behind_the_last_one_even_at_the_same_time(self, store: MemoryStore):
        for n in range(5):
            await store.create(NewConversation("ann", f"c{n}"), 7)
        await store.create(NewConversation("bob", "b"), 8)
        where = ConversationFilter("ann")
        first = await store.conversations(where, None, 3)
        rest = await store.conversations(where, (first[-1].updated_us, first[-1].key), 3)
        assert [c.id for c in (*first, *rest)] == ["c4", "c3", "c2", "c1", "c0"]
        assert await store.count_conversations(where) == 5
        assert await store.count_conversations(ConversationFilter(None)) == 6

    async def test_a_list_is_narrowed_by_project_and_session(self, store: MemoryStore):
        await store.create(NewConversation("ann", "a", project="p", session_id="s"), 1)
        await store.create(NewConversation("ann", "b", project="p"), 2)
        await store.create(NewConversation("ann", "c"), 3)
        for where, ids in [
            (ConversationFilter("ann", project="p"), ["b", "a"]),
            (ConversationFilter("ann", session_id="s"), ["a"]),
        ]:
            assert [c.id for c in await store.conversations(where, None, 9)] == ids
            assert await store.count_conversations(where) == len(ids)


class TestTurns:
    async def test_a_turn_is_stored_once(self, store: MemoryStore):
        again = turn("r1", "something else")
        assert await store.append([turn("r1", "hi"), again]) == [Fate.STORED, Fate.DUPLICATE]
        assert await store.append([again]) == [Fate.DUPLICATE]
        path = await store.active_path("ann", "c")
        assert path is not None
        assert [node.message.text for node in path.nodes] == ["hi"]

    async def test_two_users_may_use_the_same_request_id(self, store: MemoryStore):
        assert await store.append([turn("r1", "hi"), turn("r1", "ho", user_id="bob")]) == [
            Fate.STORED,
            Fate.STORED,
        ]

    async def test_a_long_path_keeps_its_order_and_can_be_deleted(self, store: MemoryStore):
        texts = [f"text {n}" for n in range(1500)]
        await store.append([turn("r1", *texts)])
        path = await store.active_path("ann", "c")
        assert path is not None
        assert [node.message.text for node in path.nodes] == texts
        assert await store.delete("ann", "c", NOW_US) == 1500

    async def test_an_answer_keeps_what_produced_it(self, store: MemoryStore):
        usage = Usage(prompt_tokens=3, completion_tokens=4, extra_json=b'{"x":1}')
        answered = replace(
            turn("r1", "hi"), reply=assistant("ho"), model="q", backend="b", usage=usage
        )
        await store.append([answered])
        conversation = await store.conversation("ann", "c")
        assert conversation is not None
        assert (conversation.token_count, conversation.message_count) == (7, 2)
        asked, said = await store.messages(conversation.key, -1, 9, include_inactive=False)
        assert (asked.model, asked.backend, asked.usage) == ("", "", None)
        assert (said.model, said.backend, said.usage) == ("q", "b", usage)
        assert (said.parent_id, said.position, said.request_id) == (asked.id, 1, "r1")
        assert said.created_us == NOW_US

    async def test_absurd_counts_of_tokens_do_not_stop_a_batch(self, store: MemoryStore):
        for n, tokens in enumerate([2**63 - 1, 2**63 - 1, -5]):
            usage = Usage(total_tokens=tokens)
            answered = replace(turn(f"r{n}", "hi"), reply=assistant(f"{n}"), usage=usage)
            assert await store.append([answered]) == [Fate.STORED]

    async def test_reopening_changes_nothing(self, tmp_path: Path):
        async with open_local_store(tmp_path / "m.db") as store:
            await store.append([turn("r1", "I like teal", "so do I")])
            before = await store.conversation("ann", "c"), await store.active_path("ann", "c")
        async with open_local_store(tmp_path / "m.db") as store:
            after = await store.conversation("ann", "c"), await store.active_path("ann", "c")
            assert after == before
            assert await by_words(store, "teal") == {"I like teal": 1}
            assert await store.append([turn("r1", "I like teal")]) == [Fate.DUPLICATE]


class TestWords:
    async def test_words_are_stemmed_and_counted(self, store: MemoryStore):
        await store.append([turn("r1", "The dogs were running", "A dog barks", "Cats sleep")])
        assert await by_words(store, "dog", "run") == {"The dogs were running": 2, "A dog barks": 1}

    async def test_rare_words_score_higher(self, store: MemoryStore):
        await store.append([turn("r1", *(f"dog number {n}" for n in range(9)), "dog called Rex")])
        found = await store.candidates("ann", Probe(("dog", "rex"), None, MODEL), EVERYTHING, 50)
        best = max(found, key=lambda each: each.bm25)
        assert best.text == "dog called Rex"

    @pytest.mark.parametrize(
        "word",
        ['"', "'", "*", "a OR b", "NEAR(", "owner:", "-", "^", "", "u1", "\x00", "()", "é"],
        ids=repr,
    )
    async def test_no_word_is_taken_for_syntax(self, store: MemoryStore, word: str):
        await store.append([turn("r1", "plain text")])
        assert await by_words(store, word) == {}
        assert await by_words(store, word, "plain") == {"plain text": 1}

    async def test_other_users_are_never_found(self, store: MemoryStore):
        await store.append([turn("r1", "my dog"), turn("r2", "his dog", user_id="bob")])
        assert await by_words(store, "dog") == {"my dog": 1}
        assert await by_words(store, "dog", user_id="eve") == {}

    async def test_only_what_people_and_models_say_is_searchable(self, store: MemoryStore):
        said = turn("r1", "dog")
        tool = type(said.messages[0])(role="tool", text="dog of a tool")
        late = type(said.messages[0])(role="system", text="dog of a system")
        blank = user(" \n")
        await store.append([replace(said, messages=(said.messages[0], tool, late, blank))])
        assert await by_words(store, "dog") == {"dog": 1}
        assert len(await store.unembedded(9)) == 1

    async def test_answers_made_of_memory_are_never_searchable(self, store: MemoryStore):
        made = replace(
            turn("r1", "dog?"), reply=assistant("a dog it was"), generated_from_memory=True
        )
        await store.append([made])
        # The client edits its question and sends the answer back on a new branch.
        await store.append([turn("r2", "dog??", "a dog it was", "thanks")])
        assert await by_words(store, "dog") == {"dog?": 1, "dog??": 1}
        assert {each.text for each in await store.unembedded(9)} == {"dog?", "dog??", "thanks"}


FILTERS: dict[str, tuple[SearchFilter, set[str]]] = {
    "none": (EVERYTHING, {"dog one", "dog two", "dog three"}),
    "project": (SearchFilter(project="p"), {"dog one"}),
    "session": (SearchFilter(session_id="s"), {"dog three"}),
    "conversation": (SearchFilter(conversation_id="c1"), {"dog one", "dog two"}),
    "excluded": (SearchFilter(exclude_conversation_id="c1"), {"dog three"}),
    "role": (SearchFilter(roles=("assistant", "tool")), {"dog two"}),
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
    await embed(store, **{"dog one": unit(1, 0), "dog two": unit(1, 1), "dog three": unit(1, 2)})
    if name in ("project", "nothing"):
        await store.append([turn("r3", "dog one", conversation_id="c3", project="p")])
        await embed(store, **{"dog one": unit(1, 0)})
    assert (await by_words(store, "dog", where=where)).keys() == expected
    assert (await by_meaning(store, unit(1, 0), where=where)).keys() == expected


class TestMeaning:
    async def test_the_nearest_come_with_their_cosine(self, store: MemoryStore):
        await store.append([turn("r1", "east", "north", "west")])
        await embed(store, east=unit(1, 0), north=unit(0, 1), west=unit(-1, 0))
        assert await by_meaning(store, unit(1, 1), limit=2) == {"east": 0.707, "north": 0.707}

    async def test_nearest_equals_brute_force(self, store: MemoryStore):
        chance = np.random.default_rng(1)
        texts = [f"text {n}" for n in range(200)]
        await store.append([turn("r1", *texts)])
        vectors = chance.normal(size=(200, 16)).astype(np.float32)
        vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
        waiting = await store.unembedded(200)
        given = [(w.message_id, v) for w, v in zip(waiting, vectors, strict=True)]
        await store.put_vectors(MODEL, given)
        best = np.argsort(-(vectors @ vectors[7]))[:10]
        found = await by_meaning(store, vectors[7], limit=10)
        assert found.keys() == {texts[n] for n in best}

    async def test_what_is_found_by_words_is_compared_by_meaning_too(self, store: MemoryStore):
        await store.append([turn("r1", "east", "north", "dog")])
        await embed(store, east=unit(1, 0), north=unit(1, 1), dog=unit(-1, 0))
        found = await store.candidates("ann", Probe(("dog",), unit(1, 0), MODEL), EVERYTHING, 1)
        assert {each.text: each.cosine for each in found} == {"east": 1.0, "dog": -1.0}

    async def test_vectors_added_after_a_search_are_found(self, store: MemoryStore):
        await store.append([turn("r1", "east")])
        await embed(store, east=unit(1, 0))
        assert await by_meaning(store, unit(1, 0)) == {"east": 1.0}
        await store.append([turn("r2", "north", conversation_id="d")])
        await embed(store, north=unit(0, 1))
        assert await by_meaning(store, unit(1, 0)) == {"east": 1.0, "north": 0.0}

    async def test_other_users_and_models_are_never_found(self, store: MemoryStore):
        await store.append([turn("r1", "east"), turn("r2", "north", user_id="bob")])
        await embed(store, east=unit(1, 0), north=unit(0, 1))
        assert await by_meaning(store, unit(1, 0)) == {"east": 1.0}
        assert await by_meaning(store, unit(1, 0), model="other") == {}

    async def test_vectors_of_another_length_are_left_out(self, store: MemoryStore):
        await store.append([turn("r1", "east", "north")])
        await embed(store, east=unit(1, 0))
        await embed(store, north=unit(0, 1, 0))
        assert await by_meaning(store, unit(1, 0)) == {"east": 1.0}


class TestQueue:
    async def test_a_message_waits_until_it_has_its_vector(self, store: MemoryStore):
        await store.append([turn("r1", "one", "two")])
        assert await store.index_counts(MODEL) == IndexCounts(0, 2)
        await embed(store, one=unit(1, 0))
        assert [w.text for w in await store.unembedded(9)] == ["two"]
        assert await store.index_counts(MODEL) == IndexCounts(1, 1)

    async def test_another_model_wants_vectors_of_its_own(self, store: MemoryStore):
        await store.append([turn("r1", "one")])
        await embed(store, one=unit(1, 0))
        await store.await_vectors(MODEL)
        assert await store.unembedded(9) == []
        await store.await_vectors("other")
        assert [w.text for w in await store.unembedded(9)] == ["one"]
        assert await store.index_counts("other") == IndexCounts(0, 1)

    async def test_the_third_failure_gives_a_message_up_for_this_model(self, store: MemoryStore):
        await store.append([turn("r1", "bad", "good")])
        [bad, _] = await store.unembedded(9)
        for _ in range(3):
            assert "bad" in [w.text for w in await store.unembedded(9)]
            await store.embedding_failed(MODEL, bad.message_id, "why")
        await store.await_vectors(MODEL)
        assert [w.text for w in await store.unembedded(9)] == ["good"]
        await store.await_vectors("other")
        assert [w.text for w in await store.unembedded(9)] == ["bad", "good"]

    async def test_the_speaker_is_the_name_or_the_role(self, store: MemoryStore):
        named = user("hi")
        named.name = "Ann"
        await store.append([replace(turn("r1"), messages=(named,), reply=assistant("ho"))])
        assert [w.speaker for w in await store.unembedded(9)] == ["Ann", "assistant"]

    async def test_a_vector_of_a_deleted_message_is_dropped(self, store: MemoryStore):
        await store.append([turn("r1", "one")])
        [waiting] = await store.unembedded(9)
        await store.delete("ann", "c", NOW_US)
        await store.put_vectors(MODEL, [(waiting.message_id, unit(1, 0))])
        assert await store.index_counts(MODEL) == IndexCounts(0, 0)
