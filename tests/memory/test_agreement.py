"""Only a model that says nearly the same may stand for another."""

from collections.abc import Sequence

import numpy as np
import pytest

from memory_svc.embedding.agreement import QUESTIONS, TEXTS, agreement
from memory_svc.model import Vector


class Chance:
    """Gives each text a direction of its own, off by `noise`; wrong for one of them."""

    model, dimensions = "chance", 64

    def __init__(self, noise: float = 0.0, wrong: str = "nothing", number: float = 1.0) -> None:
        self._noise, self._wrong, self._number = noise, wrong, number

    def encode(self, texts: Sequence[str], *, query: bool) -> Vector:
        return np.stack([self._vector(text, query=query) for text in texts])

    def _vector(self, text: str, *, query: bool) -> Vector:
        seed = [*text.encode(), int(query)]
        vector = np.random.default_rng(seed).normal(size=64)
        off = np.random.default_rng([*seed, 1]).normal(size=64)
        sign = -self._number if text == self._wrong else 1.0
        mixed = sign * (vector + self._noise * off)
        return (mixed / np.linalg.norm(mixed)).astype(np.float32)


def test_a_model_agrees_with_itself():
    found = agreement(Chance(), Chance())
    assert (round(found.mean, 5), round(found.least, 5)) == (1.0, 1.0)
    assert found.is_good


def test_a_little_noise_is_borne_and_much_is_not():
    assert agreement(Chance(), Chance(0.1)).is_good
    assert not agreement(Chance(), Chance(0.5)).is_good


@pytest.mark.parametrize("wrong", ["ok", "oat milk"])
@pytest.mark.parametrize("number", [1.0, np.nan, np.inf])
def test_one_text_that_comes_out_wrong_is_enough(wrong: str, number: float):
    with np.errstate(invalid="ignore"):
        found = agreement(Chance(), Chance(wrong=wrong, number=number))
    assert found.least == pytest.approx(-1.0)
    assert found.mean > 0.9
    assert not found.is_good
    assert "at least" in str(found)


def test_the_texts_are_of_every_kind():
    longest = max(map(len, TEXTS))
    assert longest > 4000
    assert "" in TEXTS
    assert any(not text.isascii() for text in TEXTS)
    assert len({*TEXTS, *QUESTIONS}) == len(TEXTS) + len(QUESTIONS)
