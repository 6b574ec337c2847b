"""How many tokens a chat's prompt takes, estimated from its bytes. Pure.

A prompt takes its UTF-8 bytes over a ratio, plus what templates put around messages and
tools, plus a constant for each picture. The ratio begins at 3.8 and is learned for each
backend and model from the tokens that answers report. What a server counts exactly is in
`backends/counting.py`; what a window holds of a prompt in `prompt.py`.
"""

from __future__ import annotations

import math
from collections import OrderedDict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from lair.common.v1.chat_pb2 import ContentPart, Message
from lair.router.v1.chat_pb2 import ChatCall
from lair.router.v1.input_pb2 import TextInput

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
        return _tokens(size, self.ratio(backend, model))

    def of_messages(
        self, call: ChatCall, backend: str, model: str, *, scale: float = 1.0
    ) -> Callable[[Sequence[Message]], int]:
        """Return a function that estimates `call` as if it had other messages.

        `scale` is by how much the estimate of `call` itself is known to be wrong. Messages
        are measured once, however often they are estimated, and by what is known now: what
        is learned while somebody works with the function would belie the scale.
        """
        around, ratio = _around(call), self.ratio(backend, model)
        # With the message, so that its number stays its own.
        known: dict[int, tuple[Message, Size]] = {}

        def size_of(message: Message) -> Size:
            found = known.get(id(message))
            if found is None:
                found = known[id(message)] = (message, _message_size(message))
            return found[1]

        def estimate(messages: Sequence[Message]) -> int:
            size = _sum(around, map(size_of, messages))
            return math.ceil(_tokens(size, ratio) * scale)

        return estimate

    def learn(self, size: Size, backend: str, model: str, prompt_tokens: int) -> None:
        """Note that a prompt of `size`, as it was sent, took `prompt_tokens`.

        Prompts with pictures teach nothing, nor do counts that cannot be of all the text.
        """
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


def measure(call: ChatCall, messages: Iterable[Message] | None = None) -> Size:
    """Return what the prompt of `call` consists of, or would with other messages."""
    said = call.messages if messages is None else messages
    return _sum(_around(call), map(_message_size, said))


def measure_texts(texts: Iterable[TextInput], suffix: str = "") -> Size:
    """Return what the longest of several texts to complete consists of."""
    longest = max(texts, key=lambda text: _length(text.text) + len(text.tokens.ids))
    return Size(_length(longest.text) + _length(suffix), 0, len(longest.tokens.ids))


def size_of_texts(texts: Iterable[TextInput]) -> Size:
    """Return what several texts consist of together; ids of tokens are counted already."""
    text_bytes = tokens = 0
    for text in texts:
        text_bytes += _length(text.text)
        tokens += len(text.tokens.ids)
    return Size(text_bytes, 0, tokens)


def at_most(call: ChatCall) -> int:
    """Return more tokens than the prompt of `call` takes of any model, at a glance.

    Two for a byte are more than text and its template ever take.
    """
    media = sum(len(m.parts.parts) for m in call.messages if m.HasField("parts"))
    fixed = _TOOLS_TOKENS + _TOOL_TOKENS * len(call.tools) + _REPLY_TOKENS
    return 2 * call.ByteSize() + MEDIA_TOKENS * media + fixed


def is_close(estimate: int, window: int) -> bool:
    """Tell whether an estimate is so near a window that counting exactly is worth it."""
    return abs(estimate - window) <= _CLOSE * window


def _tokens(size: Size, ratio: float) -> int:
    text = math.ceil(size.text_bytes / ratio)
    return text + size.template_tokens + MEDIA_TOKENS * size.media_count


def _sum(first: Size, sizes: Iterable[Size]) -> Size:
    text_bytes, media_count = first.text_bytes, first.media_count
    tokens = first.template_tokens
    for size in sizes:
        text_bytes += size.text_bytes
        media_count += size.media_count
        tokens += size.template_tokens
    return Size(text_bytes, media_count, tokens)


def _message_size(message: Message) -> Size:
    # Absent fields read as empty, so asking which are there would only cost time.
    text_bytes = _length(message.text) + _length(message.reasoning)
    text_bytes += _length(message.refusal) + _length(message.name)
    media_count, tokens = 0, _MESSAGE_TOKENS
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


def _around(call: ChatCall) -> Size:
    """Return what stands in a prompt beside the messages."""
    text_bytes = 0
    for tool in call.tools:
        spec = tool.function
        text_bytes += _length(spec.name) + _length(spec.description)
        text_bytes += len(spec.parameters_json) + len(tool.extra_json)
    tools = _TOOLS_TOKENS + _TOOL_TOKENS * len(call.tools) if call.tools else 0
    return Size(text_bytes, 0, _REPLY_TOKENS + tools)


def _is_text(part: ContentPart) -> bool:
    return part.HasField("text") or part.type == "refusal"


def _length(text: str) -> int:
    """Return the bytes of `text`; most is ASCII, which needs no encoding to know them."""
    return len(text) if text.isascii() else len(text.encode())
