"""How many tokens a chat's prompt takes, estimated from its bytes. Pure.

A prompt takes its UTF-8 bytes over a ratio, plus what templates put around messages and
tools, plus a constant for each picture. The ratio begins at 3.8 and is learned for each
backend and model from the tokens that answers report. What a server counts exactly is in
`backends/counting.py`.
"""

from __future__ import annotations

import math
from collections import OrderedDict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from lair.common.v1.chat_pb2 import ContentPart, Message
from lair.router.v1.chat_pb2 import ChatCall, Tool

START_RATIO = 3.8
MIN_RATIO = 1.5
MAX_RATIO = 8.0

# A picture takes 85 tokens of some models and 3,000 of others; a megapixel takes about
# this of most. Sounds and files are taken for pictures: nothing tells their length.
MEDIA_TOKENS = 1024

# What ChatML and its kin put around a message, before the reply, around a call of a tool,
# around a tool's specification, and once in front of all of them.
_MESSAGE_TOKENS = 5
_REPLY_TOKENS = 3
_CALL_TOKENS = 12
_TOOL_TOKENS = 20
_TOOLS_TOKENS = 60

# How far one answer moves the ratio, and the bytes from which on it does so fully: a short
# prompt's tokens are mostly its template's.
_WEIGHT = 0.25
_TELLING_BYTES = 2000
# A report above this left out what the backend had cached.
_IMPLAUSIBLE_RATIO = 2 * MAX_RATIO

_CLOSE = 0.15


@dataclass(frozen=True, slots=True)
class Size:
    """What a prompt, or a part of one, consists of."""

    text_bytes: int = 0
    media_count: int = 0
    template_tokens: int = 0

    def __add__(self, other: Size) -> Size:
        return Size(
            self.text_bytes + other.text_bytes,
            self.media_count + other.media_count,
            self.template_tokens + other.template_tokens,
        )


class TokenEstimator:
    """Estimates prompts, and learns from what backends count.

    Remembers the ratios of the `maximum` pairs of backend and model that answered last.
    """

    def __init__(self, maximum: int = 1024) -> None:
        self._ratios: OrderedDict[tuple[str, str], float] = OrderedDict()
        self._maximum = maximum

    def estimate(self, call: ChatCall, backend: str, model: str) -> int:
        """Return the tokens that the prompt of `call` takes."""
        return self.tokens(measure(call), backend, model)

    def tokens(self, size: Size, backend: str, model: str) -> int:
        """Return the tokens of what `measure` found: it need not look twice for two backends."""
        text = math.ceil(size.text_bytes / self.ratio(backend, model))
        return text + size.template_tokens + MEDIA_TOKENS * size.media_count

    def of_messages(
        self, call: ChatCall, backend: str, model: str
    ) -> Callable[[Sequence[Message]], int]:
        """Return a function that estimates `call` as if it had other messages."""
        tools = _tools_size(call.tools)
        return lambda messages: self.tokens(tools + _messages_size(messages), backend, model)

    def learn(self, call: ChatCall, backend: str, model: str, prompt_tokens: int) -> None:
        """Note that the prompt of `call`, as it was sent, took `prompt_tokens`.

        Prompts with pictures teach nothing, nor do counts that cannot be of all the text.
        """
        size = measure(call)
        text_tokens = prompt_tokens - size.template_tokens
        if size.media_count or text_tokens <= 0:
            return
        observed = size.text_bytes / text_tokens
        if observed > _IMPLAUSIBLE_RATIO:
            return
        ratio = self.ratio(backend, model)
        weight = _WEIGHT * min(1.0, size.text_bytes / _TELLING_BYTES)
        ratio += weight * (min(max(observed, MIN_RATIO), MAX_RATIO) - ratio)
        self._ratios[backend, model] = ratio
        self._ratios.move_to_end((backend, model))
        if len(self._ratios) > self._maximum:
            self._ratios.popitem(last=False)

    def ratio(self, backend: str, model: str) -> float:
        """Return the bytes of text that a token of the model stands for."""
        return self._ratios.get((backend, model), START_RATIO)


def measure(call: ChatCall) -> Size:
    """Return what the prompt of `call` consists of."""
    return _tools_size(call.tools) + _messages_size(call.messages)


def is_close(estimate: int, window: int) -> bool:
    """Tell whether an estimate is so near a window that counting exactly is worth it."""
    return abs(estimate - window) <= _CLOSE * window


def _messages_size(messages: Iterable[Message]) -> Size:
    text_bytes = media_count = 0
    tokens = _REPLY_TOKENS
    for message in messages:
        tokens += _MESSAGE_TOKENS
        # Absent fields read as empty, so asking which are there would only cost time.
        text_bytes += _length(message.text) + _length(message.reasoning)
        text_bytes += _length(message.refusal) + _length(message.name)
        for call in message.tool_calls:
            tokens += _CALL_TOKENS
            text_bytes += _length(call.function.name) + _length(call.function.arguments)
        if message.HasField("parts"):
            for part in message.parts.parts:
                if _is_text(part):
                    text_bytes += _length(part.text) or len(part.extra_json)
                else:
                    media_count += 1
    return Size(text_bytes, media_count, tokens)


def _tools_size(tools: Sequence[Tool]) -> Size:
    text_bytes = 0
    for tool in tools:
        spec = tool.function
        text_bytes += _length(spec.name) + _length(spec.description)
        text_bytes += len(spec.parameters_json) + len(tool.extra_json)
    tokens = _TOOLS_TOKENS + _TOOL_TOKENS * len(tools) if tools else 0
    return Size(text_bytes, 0, tokens)


def _is_text(part: ContentPart) -> bool:
    return part.HasField("text") or part.type == "refusal"


def _length(text: str) -> int:
    """Return the bytes of `text`; most is ASCII, which needs no encoding to know them."""
    return len(text) if text.isascii() else len(text.encode())
