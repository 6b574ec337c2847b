"""What of a text is speech: what is embedded of it. Pure.

Code and what no person says (base64, hashes) is left out, and found by its words alone. A
long text is embedded in parts, so that what stands in its middle is found by its meaning.
"""

from __future__ import annotations

import re

# What a model reads at once, and what it reads of a part; parts overlap.
_HEAD, _STEP, _OVERLAP = 900, 1000, 60  # characters
_MOST_PARTS = 24
_LEAST_WORDS = 20
_CODE = re.compile(r"```.*?(?:```|\Z)", re.DOTALL)
_BLOB = re.compile(r"[!-~]{80,}")


def beginning(text: str, most_words: int) -> str:
    """Return the first words of a text's speech, of all of it if it has none."""
    read = text[: _HEAD + _STEP * _MOST_PARTS]
    return " ".join((_speech(read).split() or read.split())[:most_words])


def parts(text: str) -> list[int]:
    """Return the numbers, from 0, of the parts behind the beginning in which something is said."""
    speech = _speech(text[: _HEAD + _STEP * _MOST_PARTS])
    count = max(-(-(len(speech) - _HEAD) // _STEP), 0)
    return [n for n in range(count) if len(_cut(speech, n).split()) >= _LEAST_WORDS]


def part(text: str, number: int) -> str:
    """Return the speech of a part."""
    return " ".join(_cut(_speech(text), number).split())


def _speech(text: str) -> str:
    """Blank out what is no speech; what is left stays where it is."""
    for pattern in (_CODE, _BLOB):
        text = pattern.sub(lambda found: " " * len(found[0]), text)
    return text


def _cut(speech: str, number: int) -> str:
    first = _HEAD + _STEP * number
    return speech[first - _OVERLAP : first + _STEP + _OVERLAP]
