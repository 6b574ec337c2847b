"""How much of a model's window a request's prompt takes, and what the window holds. Pure.

Nothing is measured before a window asks for it, and then once; a prompt that is short for
a window at a glance is not measured at all. What is cut, and how, is `context.py`'s.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import cached_property, partial

from lair.router.v1.chat_pb2 import ChatCall
from lair.router.v1.completion_pb2 import CompletionCall
from router_svc.context import turns, without
from router_svc.tokens import Size, TokenEstimator, at_most, is_close, measure, measure_texts

# Kept free of a window for a reply whose length the client does not limit: a quarter of it,
# no more than this many tokens.
REPLY_SHARE = 4
REPLY_TOKENS = 4096
# A client that allows itself more than half of a window does not expect to get it.
_MOST_SHARE = 2

_FITS = (True, 0)


class Prompt:
    """A prompt, its cap of `cap` tokens and its reply's of `reply_tokens`; 0 is none of either.

    `glance` returns more tokens than it takes, `whole` its size, and `least` what is left
    of it when all is cut that may go.
    """

    def __init__(
        self,
        estimator: TokenEstimator,
        *,
        cap: int,
        reply_tokens: int,
        glance: Callable[[], int],
        whole: Callable[[], Size],
        least: Callable[[], Size],
    ) -> None:
        self.estimator = estimator
        self.cap = cap
        self._reply_tokens = reply_tokens
        self._measure_glance = glance
        self._measure_whole = whole
        self._measure_least = least
        # By the bytes of a token, which of most models are a first guess, and the window.
        self._weighed: dict[tuple[float, int | None], tuple[bool, int]] = {}
        # The smallest window found so far that it fits at a glance: so do all larger ones.
        self._enough: float = math.inf

    @cached_property
    def size(self) -> Size:
        """What it consists of."""
        return self._measure_whole()

    @property
    def measured(self) -> bool:
        """Whether a window came near enough for measuring it."""
        return "size" in self.__dict__

    def tokens(self, backend: str, model: str) -> int:
        """Return the tokens it takes as a whole."""
        return self.estimator.tokens(self.size, backend, model)

    def limit(self, window: int | None) -> int | None:
        """Return the tokens it may have at most; None for any number."""
        if not window:
            return self.cap or None
        return min(window, self.cap) if self.cap else window

    def room(self, window: int | None) -> int | None:
        """Return the tokens it may have beside the reply; None for any number."""
        return self._room(window) if window else self.cap or None

    def fits_at_a_glance(self, window: int | None) -> bool:
        """Tell whether it is so short that it fits, whatever the model's tokens are."""
        if not window:
            return not self.cap or self._glance <= self.cap
        if window >= self._enough:
            return True
        if self._glance > self._room(window):
            return False
        self._enough = window
        return True

    def fits(self, backend: str, model: str, window: int | None) -> bool:
        """Tell whether nothing of it need be cut."""
        return self._weigh(backend, model, window)[0]

    def clearly_fits(self, backend: str, model: str, window: int | None) -> bool:
        """Tell whether it fits by so much that counting it would be for nothing."""
        if self.fits_at_a_glance(window):
            return True
        room, tokens = self.room(window), self.tokens(backend, model)
        return room is None or (tokens <= room and not is_close(tokens, room))

    def overflow(self, backend: str, model: str, window: int | None) -> int:
        """Return the tokens of what cannot be cut, if they are surely too many; else 0.

        Where the estimate may be wrong the backend decides: it counts, or it refuses.
        """
        return self._weigh(backend, model, window)[1]

    def _weigh(self, backend: str, model: str, window: int | None) -> tuple[bool, int]:
        """Return what `fits` and `overflow` do; a house has many models and few windows."""
        if window and window >= self._enough:
            return _FITS
        kind = (self.estimator.ratio(backend, model), window)
        weighed = self._weighed.get(kind)
        if weighed is None:
            weighed = self._weighed[kind] = self._weigh_anew(backend, model, window)
        return weighed

    def _weigh_anew(self, backend: str, model: str, window: int | None) -> tuple[bool, int]:
        room, limit = self.room(window), self.limit(window)
        if room is None or limit is None or self.fits_at_a_glance(window):
            return _FITS
        tokens = self.tokens(backend, model)
        if tokens <= limit:
            return tokens <= room, 0
        least = self.estimator.tokens(self._least, backend, model)
        return False, least if least > limit and not is_close(least, limit) else 0

    def _room(self, window: int) -> int:
        if self._reply_tokens:
            reply = min(self._reply_tokens, window // _MOST_SHARE)
        else:
            reply = min(window // REPLY_SHARE, REPLY_TOKENS)
        room = window - reply
        return min(room, self.cap) if self.cap else room

    @cached_property
    def _glance(self) -> int:
        return self._measure_glance()

    @cached_property
    def _least(self) -> Size:
        return self._measure_least()


def chat_prompt(
    call: ChatCall, estimator: TokenEstimator, recall_index: int | None = None
) -> Prompt:
    """Return the prompt of a chat, of which old turns may go, and before them what was recalled."""
    return Prompt(
        estimator,
        cap=max(0, call.route.max_context_tokens),
        reply_tokens=max(0, call.max_completion_tokens or call.max_tokens),
        glance=partial(at_most, call),
        whole=partial(measure, call),
        least=partial(_measure_least, call, recall_index),
    )


def text_prompt(call: CompletionCall, estimator: TokenEstimator) -> Prompt:
    """Return the prompt of a text to complete, of which nothing may go."""
    whole = partial(measure_texts, call.prompts, call.suffix)
    return Prompt(
        estimator,
        cap=max(0, call.route.max_context_tokens),
        reply_tokens=max(0, call.max_tokens),
        glance=lambda: 2 * call.ByteSize(),
        whole=whole,
        least=whole,
    )


def _measure_least(call: ChatCall, recall_index: int | None) -> Size:
    gone = {place for turn in turns(call.messages, recall_index)[:-1] for place in turn}
    if recall_index is not None:
        gone.add(recall_index)
    return measure(call, without(call.messages, gone))
