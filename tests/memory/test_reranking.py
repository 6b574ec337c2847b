"""A cross-encoder puts what was found in order, if there is time and it works."""

import asyncio
from collections.abc import Sequence
from pathlib import Path

import pytest

from memory_svc.embedding.base import EmbeddingError, ModelStatus
from memory_svc.embedding.cross_encoder import CrossEncoder
from memory_svc.model import Passage
from memory_svc.reranking import MOST_RERANKED, Reranking
from tests.memory.chats import Memories, running, user
from tests.memory.tiny_models import make_tiny_cross_encoder

READY = ModelStatus("ready")


class Reader:
    """Finds that texts with more of the letter x answer better."""

    def __init__(self, status: ModelStatus = READY, error: str = "") -> None:
        self.status = status
        self.error = error
        self.read: list[str] = []
        self.may_answer = asyncio.Event()
        self.may_answer.set()

    async def scores(self, question: str, texts: Sequence[str]) -> list[float]:
        self.read += texts
        await self.may_answer.wait()
        if self.error:
            raise EmbeddingError(self.error)
        return [text.count("x") for text in texts]


def passage(text: str, score: float) -> Passage:
    return Passage(1, "c", "", "user", text, 0, score, None, None)


def texts(passages: Sequence[Passage]) -> list[str]:
    return [each.text for each in passages]


FOUND = [passage("a", 0.9), passage("xxx", 0.8), passage("x", 0.3)]


async def test_what_was_read_and_what_was_found_count_alike():
    passages, why_not = await Reranking(Reader(), seconds=5).rerank("q", FOUND)
    assert (texts(passages), why_not) == (["xxx", "a", "x"], "")
    assert [each.score for each in passages] == [0.9, 0.8, 0.3]


async def test_only_the_best_are_read_and_the_rest_stays_behind():
    reader = Reader()
    many = [passage(f"{n}", 1 - n / 100) for n in range(MOST_RERANKED)] + [passage("xxx", 0.1)]
    passages, _ = await Reranking(reader, seconds=5).rerank("q", many)
    assert len(reader.read) == MOST_RERANKED
    assert texts(passages) == texts(many)


async def test_of_a_long_passage_the_telling_part_is_read():
    reader = Reader()
    long = "Nothing to see. " * 500 + "The zebra is here. " + "Nothing to see. " * 500
    await Reranking(reader, seconds=5).rerank("zebra", [passage(long, 0.5)])
    assert "The zebra is here." in reader.read[0]
    assert len(reader.read[0]) < 1300


@pytest.mark.parametrize(
    ("reader", "reason"),
    [
        (Reader(ModelStatus("loading")), "rerank: the model is loading"),
        (Reader(ModelStatus("failed", "no such model")), "rerank: no such model"),
        (Reader(error="out of memory"), "rerank: out of memory"),
    ],
    ids=["loading", "failed", "broken"],
)
async def test_without_its_scores_the_order_stays_and_says_why(reader: Reader, reason: str):
    passages, why_not = await Reranking(reader, seconds=5).rerank("q", FOUND)
    assert (passages, why_not) == (FOUND, reason)


async def test_what_takes_too_long_is_not_waited_for():
    reader = Reader()
    reader.may_answer.clear()
    passages, why_not = await Reranking(reader, seconds=0.02).rerank("q", FOUND)
    assert (passages, why_not) == (FOUND, "rerank: it took longer than 20 ms")


async def test_nothing_found_is_nothing_to_read():
    assert await Reranking(Reader(), seconds=5).rerank("q", []) == ([], "")


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_tiny_cross_encoder(tmp_path_factory.mktemp("tiny") / "cross")


async def test_a_genuine_model_scores_pairs(tiny: Path):
    model = CrossEncoder(str(tiny))
    await model.load()
    assert model.status == READY
    scores = await model.scores("zebra", ["one", "two", "three", "four", "five"])
    model.close()
    assert len(set(scores)) == 5


async def test_a_model_that_is_not_there_says_so(tmp_path: Path):
    model = CrossEncoder(str(tmp_path))
    await model.load()
    model.close()
    assert model.status.state == "failed"
    assert "see memory.rerank_model in lair.toml" in model.status.error


async def test_a_search_is_reranked(tmp_path: Path, tiny: Path):
    """The tiny model's taste is arbitrary, and by it the order changes."""
    said = [f"the zebra number {n} {'and so on ' * n}" for n in range(12)]
    settings = {"rerank_model": str(tiny), "rerank_timeout_ms": 60_000}
    async with running(tmp_path) as memories:
        for n, text in enumerate(said):
            await memories.say(f"c{n}", [user(text)])
        plain = await memories.found("zebra", limit=12)
    async with running(tmp_path, **settings) as memories:
        await reranking(memories)
        reranked = await memories.found("zebra", limit=12)
        few = await memories.found("zebra", limit=3)
    assert sorted(reranked) == sorted(plain)
    assert reranked != plain
    assert few == reranked[:3]


async def reranking(memories: Memories) -> None:
    """Wait until the model is loaded."""
    while "loading" in (await memories.search("zebra")).degraded:
        pass  # asking lets it load
