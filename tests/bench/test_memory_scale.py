"""The measuring of large memories: what it stores and asks, and the page about it."""

import random
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

from bench.memory_client import Times, questions
from bench.memory_filling import Pool, fill, turns_of, user_id
from bench.memory_report import remembering
from bench.memory_turns import Chat, chats, question
from memory_svc.model import Probe, SearchFilter
from memory_svc.storage.local.store import open_local_store
from memory_svc.words import content_words


@pytest.fixture(scope="module")
def made() -> list[Chat]:
    return list(chats(400, 3))


def test_as_many_turns_are_made_as_are_wanted(made: list[Chat]):
    assert sum(chat.turns for chat in made) == 400
    assert {chat.user for chat in made} == {0, 1, 2}
    assert len({chat.number for chat in made}) == len(made)


def test_the_same_seed_makes_the_same(made: list[Chat]):
    assert list(chats(400, 3)) == made
    assert list(chats(400, 3, seed=2)) != made


def test_they_read_like_chats(made: list[Chat]):
    exchanges = [exchange for chat in made for exchange in chat.exchanges]
    said, answers = (
        [len(text.split()) for text in texts]
        for texts in zip(*((exchange.said, exchange.answer) for exchange in exchanges), strict=True)
    )
    assert np.median(said) == pytest.approx(20, abs=4)
    assert np.median(answers) == pytest.approx(60, abs=12)
    words = {word.lower() for exchange in exchanges for word in exchange.answer.split()}
    assert len(words) > 2500
    assert any("```python" in exchange.answer for exchange in exchanges)
    assert all(one.at_us < other.at_us for chat in made for one, other in pairwise(chat.exchanges))


def test_a_question_has_words_of_what_it_asks_for(made: list[Chat]):
    chance = random.Random(1)
    for chat in made:
        for exchange in chat.exchanges:
            asked = question(exchange, chance)
            assert any(word.lower() in asked.lower() for word in exchange.telling)
            assert content_words(asked)


def test_each_request_sends_all_that_was_said(made: list[Chat]):
    [*_, last] = turns_of(made[0])
    assert [message.text for message in last.messages] == [
        *(text for e in made[0].exchanges[:-1] for text in (e.said, e.answer)),
        made[0].exchanges[-1].said,
    ]


def test_questions_are_of_those_who_have_turns():
    asked = questions(400, 3, 50)
    assert len(asked) == 50
    assert {each.user_id for each in asked} == {user_id(n) for n in range(3)}


async def test_a_filled_database_can_be_searched(tmp_path: Path):
    rows = np.random.default_rng(1).normal(size=(20, 16)).astype(np.float32)
    pool = Pool("m", rows / np.linalg.norm(rows, axis=1, keepdims=True))
    told: list[tuple[str, int]] = []
    await fill(tmp_path / "memory.db", pool, 120, 2, lambda what, n: told.append((what, n)))
    assert ("stored", 120) in told
    async with open_local_store(tmp_path / "memory.db") as store:
        counts = await store.index_counts("m")
        assert (counts.indexed, counts.pending) == (120, 0)
        asked = questions(120, 2, 1)[0]
        probe = Probe(content_words(asked.text), vector=rows[0], bare_vector=rows[0], model="m")
        evidence = await store.evidence(asked.user_id, probe, SearchFilter(), 10)
        assert evidence.matched.max() > 0
        assert evidence.near.max() > 0


def test_percentiles_are_those_of_the_calls():
    assert Times([float(n) for n in range(100)]).summary() == {"p50": 50.0, "p99": 99.0}


def test_the_page_tells_what_was_found_and_which_bars_are_met():
    times = {"p50": 4.0, "p99": 9.0}
    row = {"words_per_turn": 46, "bytes_per_turn": 1600, "first_ms": 900.0, "rss_mb": 350}
    row |= dict.fromkeys(("search_ms", "recall_ms", "recall_with_embedding_ms"), times)
    running = {
        "turns": 100_000,
        "start_to_first_recall_s": 3.5,
        "rss_mb": 380,
        "ingest": {
            "seconds": 60.0,
            "messages_per_s": 50.0,
            "append_ms": times,
            "recall_ms": times,
            "queue": {"begin": 0, "most": 12, "end": 4},
        },
    }
    facts = {"date": "2026-01-01", "cores": 2, "system": "Linux", "python": "3.11.1", "load": 0.1}
    sizes = [{"turns": 100_000, "users": 1, **row}, {"turns": 1_000_000, "users": 1_000, **row}]
    page = remembering({"facts": facts, "questions": 9, "sizes": sizes, "running": running})
    assert "| 1,000,000 | 1,000 | 4.0 | 9.0 |" in page
    assert "| recall p99 at 100,000 turns of one user, ms | 9 | 15 | met |" in page
    assert "| process start to first recall, s | 3.5 | 3 | **not met** |" in page
    assert "| 600,000 turns, GB | 0.96 | 1 | met |" in page
    assert "it keeps up" in page
