"""Fits one chat into the window of whichever candidate is asked, when its turn has come.

A prompt that clearly fits goes as it is: nothing is counted, copied or awaited for it.
Of another the backend counts the tokens, if it can, and what is too much is cut.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Awaitable, Sequence
from contextlib import aclosing, suppress
from functools import partial
from typing import Protocol

from lair.common.v1.chat_pb2 import Message, Usage
from lair.router.v1.chat_pb2 import ChatCall, ChatCompletion, ChatEvent
from router_svc.backends.base import Backend, Counter
from router_svc.context import ContextOverflowError, Cut, Estimate, Fitted, fit
from router_svc.inserting import joined, with_messages
from router_svc.model import Candidate, UpstreamError
from router_svc.prompt import Prompt
from router_svc.tokens import is_close, measure

# How far beyond its window a prompt is taken to be that a backend refused and cannot count.
_BEYOND = 1.25


class Fit(Protocol):
    """What fits messages into a window's room as `context.fit` does, at its own pace."""

    async def __call__(
        self,
        messages: Sequence[Message],
        *,
        budget_tokens: int,
        estimate: Estimate,
        recall_index: int | None,
    ) -> Fitted:
        """Fit them. Raises `ContextOverflowError`."""
        ...


class Fitting:
    """A chat, with the history in front, and what its last attempt sent of it.

    `recall_index` is the place of what was recalled, in front of what the user says: a
    message that may be left out, and that is sent as part of the user's.
    """

    def __init__(
        self,
        call: ChatCall,
        prompt: Prompt,
        candidates: Sequence[Candidate],
        recall_index: int | None = None,
    ) -> None:
        self.candidates = candidates
        # What the last attempt left out; None where the prompt went as it is.
        self.cut: Cut | None = None
        self._call = call
        self._prompt = prompt
        self._recall_index = recall_index
        self._whole = self._of(call.messages) if recall_index is not None else call
        self._sent = self._whole
        # The tokens that the last attempt's backend counted of the whole prompt.
        self._counted: int | None = None
        # What was fitted ahead, for whom.
        self._ahead: tuple[str, str, Fitted] | None = None

    @property
    def sent(self) -> ChatCall:
        """What the last attempt sent."""
        return self._sent

    @property
    def counted_tokens(self) -> int | None:
        """The tokens of that, where the last attempt's backend counted them."""
        return self._counted if self._sent is self._whole else None

    def chat(self, backend: Backend, model: str) -> Awaitable[ChatCompletion]:
        """Ask for an answer at once, as a backend does. Raises `UpstreamError`."""
        if self._is_short(backend, model):
            return backend.chat(self._whole, model)
        return self._chat(backend, model)

    def stream(self, backend: Backend, model: str) -> AsyncGenerator[list[ChatEvent]]:
        """Ask for a stream, as a backend does. Raises `UpstreamError`."""
        if self._is_short(backend, model):
            return backend.stream(self._whole, model)
        return self._stream(backend, model)

    def learn(self, candidate: Candidate, usage: Usage | None) -> None:
        """Correct the estimates of who answered by what it counted of the prompt sent."""
        if usage is None or not usage.prompt_tokens or not self._prompt.measured:
            return
        size = self._prompt.size if self._sent is self._whole else measure(self._sent)
        name, model = candidate.backend, candidate.model
        self._prompt.estimator.learn(size, name, model, usage.prompt_tokens)

    async def fit_ahead(self, backend: Backend, fitting: Fit) -> None:
        """Fit the prompt for the first candidate, `backend`, by something that takes long.

        Ahead of its turn, as nobody else may use the device while a turn lasts. Who is asked
        after it gets a prompt that is simply cut.
        """
        model = self.candidates[0].model
        window = self._window(backend.name, model)
        room = self._prompt.room(window)
        if room is None or self._prompt.clearly_fits(backend.name, model, window):
            return
        estimate, _ = await self._estimate(backend, model)
        with suppress(ContextOverflowError):  # which its attempt meets too, and tells
            fitted = await fitting(
                self._call.messages,
                budget_tokens=room,
                estimate=estimate,
                recall_index=self._recall_index,
            )
            self._ahead = (backend.name, model, fitted)

    def _is_short(self, backend: Backend, model: str) -> bool:
        self.cut, self._sent, self._counted = None, self._whole, None
        return self._prompt.fits_at_a_glance(self._window(backend.name, model))

    async def _chat(self, backend: Backend, model: str) -> ChatCompletion:
        await self._fit(backend, model)
        try:
            return await backend.chat(self._sent, model)
        except UpstreamError as error:
            if not await self._fit_again(backend, model, error):
                raise
        return await backend.chat(self._sent, model)

    async def _stream(self, backend: Backend, model: str) -> AsyncGenerator[list[ChatEvent]]:
        await self._fit(backend, model)
        begun = False
        try:
            async with aclosing(backend.stream(self._sent, model)) as batches:
                async for events in batches:
                    begun = True
                    yield events
        except UpstreamError as error:
            if begun or not await self._fit_again(backend, model, error):
                raise
        else:
            return
        async with aclosing(backend.stream(self._sent, model)) as batches:
            async for events in batches:
                yield events

    async def _fit(self, backend: Backend, model: str) -> None:
        """Set what is sent, and what was cut of it."""
        ahead = self._ahead
        if ahead and ahead[:2] == (backend.name, model):
            self._send(ahead[2])
        elif not self._prompt.clearly_fits(backend.name, model, self._window(backend.name, model)):
            estimate, counted = await self._estimate(backend, model)
            self._send(self._fitted(backend, model, estimate, counted=counted))

    async def _fit_again(self, backend: Backend, model: str, error: UpstreamError) -> bool:
        """Fit what `backend` found too long, once; tell whether there was more to cut."""
        window = self._window(backend.name, model)
        if error.reason != "CONTEXT_LENGTH_EXCEEDED" or not window:
            return False
        estimate, counted = await self._estimate(backend, model)
        before, wanted = estimate(self._sent.messages), estimate
        if not counted:
            scale = max(1.0, _BEYOND * window / before)
            of_messages = self._prompt.estimator.of_messages
            wanted = of_messages(self._call, backend.name, model, scale=scale)
        try:
            self._send(self._fitted(backend, model, wanted, counted=counted))
        except UpstreamError:
            return False  # what the backend said is told
        # In tokens: what is sent now may be more messages, with turns in place of a summary.
        return estimate(self._sent.messages) < before

    def _send(self, fitted: Fitted) -> None:
        if fitted.cut:
            self.cut = fitted.cut
            self._sent = self._of(fitted.messages, recalled=not fitted.cut.recall)

    def _fitted(self, backend: Backend, model: str, estimate: Estimate, *, counted: bool) -> Fitted:
        prompt, window = self._prompt, self._window(backend.name, model)
        cut_to = partial(
            fit, list(self._call.messages), estimate=estimate, recall_index=self._recall_index
        )
        room, limit = prompt.room(window) or 0, prompt.limit(window) or 0
        try:
            return cut_to(budget_tokens=room)
        except ContextOverflowError as error:
            needed = error.needed_tokens
        # The room for the reply gives way before a message that must stay; and where the
        # estimate may be wrong, it is for the backend to refuse.
        if needed > limit and (counted or not is_close(needed, limit)):
            message = (
                f"the system prompt and the last turn take {'' if counted else 'about '}{needed} "
                f"tokens, and the prompt may have {limit}"
            )
            raise UpstreamError("CONTEXT_LENGTH_EXCEEDED", message)
        return cut_to(budget_tokens=needed)

    async def _estimate(self, backend: Backend, model: str) -> tuple[Estimate, bool]:
        """Return what estimates prompts there, and whether it rests on a count."""
        prompt, scale = self._prompt, 1.0
        estimator, name = prompt.estimator, backend.name
        counted = await backend.count(self._whole, model) if isinstance(backend, Counter) else None
        if counted:
            self._counted = counted
            estimator.learn(prompt.size, name, model, counted)
            scale = counted / prompt.tokens(name, model)
        return estimator.of_messages(self._call, name, model, scale=scale), bool(counted)

    def _of(self, messages: Sequence[Message], *, recalled: bool = True) -> ChatCall:
        """Return the call with these of its messages, and what is `recalled` in its place."""
        if self._recall_index is not None and recalled:
            # Whatever was cut stood in front of it.
            from_end = len(self._call.messages) - self._recall_index
            messages = joined(messages, len(messages) - from_end)
        return with_messages(self._call, messages)

    def _window(self, backend: str, model: str) -> int | None:
        for candidate in self.candidates:
            if candidate.backend == backend and candidate.model == model:
                return candidate.window
        return None
