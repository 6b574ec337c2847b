"""Texts for a model, as words or as tokens, in the JSON of an OpenAI-compatible server. Pure."""

from __future__ import annotations

from collections.abc import Sequence

from lair.router.v1.input_pb2 import TextInput


def input_json(texts: Sequence[TextInput]) -> str | list[int] | list[str | list[int]]:
    """Write texts; a single one alone and not as a list, which some servers do not take."""
    written = [list(text.tokens.ids) if text.HasField("tokens") else text.text for text in texts]
    return written[0] if len(written) == 1 else written
