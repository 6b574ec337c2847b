"""Whether an exported model says the same as the model it was made of.

Texts of every kind that people store, some of them odd, are embedded by both; the
cosines of the two tell how much the export lost.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from memory_svc.embedding.base import Encoder

LEAST_MEAN, LEAST = 0.97, 0.93

TEXTS = (
    "My puppy keeps chewing on the furniture.",
    "Ann (14 November 2023): I moved to Oslo in spring, and I love the fjords!",
    "haha yeah same here, see you at 5?",
    "The quarterly report is due on Friday; ask Priya for the numbers of the third quarter.",
    "I prefer oat milk, and I'm allergic to peanuts and to cats.",
    "Sure! Here are three ideas:\n\n1. **Hiking** near the lake\n2. A museum\n3. A day of reading",
    "Diversification lowers the risk of a portfolio: assets that do not move together balance "
    "one another, so that losses of one are made up for by the gains of others. " * 4,
    "def area(radius: float) -> float:\n    return math.pi * radius**2",
    "SELECT name, count(*) FROM trips WHERE year = 2024 GROUP BY name;",
    "TypeError: unsupported operand type(s) for +: 'int' and 'str'",
    "https://example.org/a/path?page=2&sort=asc, 192.168.0.1, 0xDEADBEEF",
    "$1,234.56 on 2024-05-17 at 09:30, that is 12.5 % more than in 2023",
    '{"id": 17, "tags": ["red", "blue"], "open": true}',
    "Was haben wir letzte Woche über Geldanlage besprochen? Größe und Maße.",
    "Qu'est-ce que tu as mangé hier soir ? C'était très bon.",
    "Мы встретились в Праге прошлым летом.",
    "我们上周讨论了股票交易。",
    "昨日は雨が降りました。",
    "👍🏽 🎉",
    "ok",
    "?!",
    "",
    "word " * 2000,
    "a" * 5000,
)
QUESTIONS = (
    "What did we discuss last week about trading?",
    "young dog bites tables and chairs",
    "Where does Ann live now?",
    "oat milk",
    "Which error did I get when I added a string to a number?",
    "Wann ist der Bericht fällig?",
)


@dataclass(frozen=True, slots=True)
class Agreement:
    """Cosines of the vectors of two models for the same texts."""

    mean: float
    least: float

    @property
    def is_good(self) -> bool:
        """Whether one model may stand for the other."""
        return self.mean >= LEAST_MEAN and self.least >= LEAST

    def __str__(self) -> str:
        return f"cosines of {self.mean:.3f} on average and {self.least:.3f} at least"


def agreement(one: Encoder, other: Encoder) -> Agreement:
    """Compare what two models make of the same texts."""
    cosines = np.array(
        [
            float(np.dot(*(encoder.encode([text], query=query)[0] for encoder in (one, other))))
            for texts, query in ((TEXTS, False), (QUESTIONS, True))
            for text in texts
        ]
    )
    # A vector that is not finite agrees with nothing.
    cosines = np.nan_to_num(cosines, nan=-1.0, posinf=-1.0, neginf=-1.0)
    return Agreement(float(cosines.mean()), float(cosines.min()))
