"""Which backends may answer a request, in which order, and why. Pure.

What is meant: `X-Provider` and `X-Model`, else an exact model (`model` or
`backend/model`), an alias, or `auto`. Who may: every constraint of `CONSTRAINTS`
holds. In which order: `ORDER`, each entry deciding where the ones before it tie.
"""

from __future__ import annotations

import difflib
import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from router_svc.model import (
    AUTO,
    BackendView,
    Candidate,
    Refused,
    ServedModel,
    Standing,
    State,
)
from router_svc.prompt import Prompt
from svckit.errors import ServiceError

# Ollama's clients add a tag to every name.
_AUTO_NAMES = (AUTO, f"{AUTO}:latest", "")


@dataclass(frozen=True, slots=True)
class Wish:
    """What a request says about where it may go, and what it needs there."""

    model: str = AUTO
    backend: str = ""
    local_only: bool = False
    kind: str = "chat"
    tools: bool = False
    vision: bool = False
    json_schema: bool = False
    # The backend that answered the conversation's last turn, and its model.
    sticky: tuple[str, str] | None = None
    # What its key may use, by any name; empty for all.
    permitted: tuple[str, ...] = ()
    # What it takes of a window; None where windows do not matter.
    prompt: Prompt | None = None


@dataclass(frozen=True, slots=True)
class Decision:
    """The candidates, best first, and who was refused."""

    candidates: tuple[Candidate, ...]
    refused: tuple[Refused, ...]


class _Pair(NamedTuple):
    """A backend, a model of it, and how the request names the two."""

    view: BackendView
    standing: Standing
    model: ServedModel
    place: int
    named: str
    explicit: bool


@dataclass(frozen=True, slots=True)
class Catalogue:
    """All that is known when a request is decided about."""

    views: Sequence[BackendView]
    standings: Mapping[str, Standing] = field(default_factory=dict)
    # Names of the configuration (tiers, say) and what they stand for, best first.
    aliases: Mapping[str, Sequence[str]] = field(default_factory=dict)

    def pair(
        self, view: BackendView, model: ServedModel, place: int, named: str, *, explicit: bool
    ) -> _Pair:
        """Put together what a constraint looks at."""
        standing = self.standings.get(view.name, _AT_EASE)
        return _Pair(view, standing, model, place, named, explicit)


_AT_EASE = Standing()


def decide(wish: Wish, known: Catalogue, *, told: bool = True) -> Decision:
    """Return who may answer, best first, and who may not. Raises MODEL_NOT_FOUND.

    Each candidate has its short reason; all of them only where they are `told`.
    """
    refused: list[Refused] = []
    allowed: list[_Pair] = []
    checks = [check for matters, check in CONSTRAINTS if matters(wish)]
    for pairs in _meant(wish, known):
        for pair in pairs:
            against = [text for check in checks if (text := check(pair, wish))]
            if not against:
                allowed.append(pair)
                break
            _refuse(refused, pair, against)
    servers = [pair for pair in allowed if not pair.view.last_resort or pair.explicit]
    asked = [view for view in known.views if wish.backend in ("", view.name)]
    if not servers and any(not view.last_resort for view in asked):
        allowed = []  # the built-in answers stand in for no server, not for a refusing one
    may = servers or allowed
    if len(may) > 1:
        may = sorted(may, key=lambda pair: [key(pair, wish) for _, key in ORDER])
    return Decision(tuple([_candidate(pair, wish, told=told) for pair in may]), tuple(refused))


def _refuse(refused: list[Refused], pair: _Pair, against: Sequence[str]) -> None:
    """Note what stands against a pair; of a server's 300 models with one reason the first."""
    no = Refused(pair.view.name, pair.model.id, tuple(against))
    last = refused[-1] if refused else None
    if last is None or (last.backend, last.reasons) != (no.backend, no.reasons):
        refused.append(no)


def choose(wish: Wish, known: Catalogue) -> Decision:
    """Decide. Raises `ServiceError` where nobody may answer."""
    decision = decide(wish, known, told=False)
    if not decision.candidates:
        raise _nobody(wish, decision.refused, known.views)
    return decision


# -- what is meant -----------------------------------------------------------------


def _meant(wish: Wish, known: Catalogue) -> Iterator[Iterable[_Pair]]:
    """Yield what the request can mean, each time pairs of which the first that may is taken."""
    if wish.backend and all(view.name != wish.backend for view in known.views):
        names = ", ".join(view.name for view in known.views)
        message = f"X-Provider names the backend {wish.backend!r}; there are: {names}"
        raise ServiceError("INVALID_FIELD", message, field="X-Provider")
    if wish.model in _AUTO_NAMES:
        for place, view in enumerate(known.views):
            yield _of_auto(wish, known, view, place)
        return
    seen: set[tuple[str, str]] = set()
    for place, target in enumerate(known.aliases.get(wish.model, (wish.model,))):
        for view in known.views:
            model = view.by_name.get(target)
            if model and (view.name, model.id) not in seen:
                seen.add((view.name, model.id))
                yield (known.pair(view, model, place, wish.model, explicit=True),)
    if not seen:
        raise _unknown(wish.model, known)


def _of_auto(wish: Wish, known: Catalogue, view: BackendView, place: int) -> Iterator[_Pair]:
    """Yield a backend's models: that of the conversation, then all of the kind."""
    explicit = bool(wish.backend)
    last = view.by_name.get(wish.sticky[1]) if wish.sticky and wish.sticky[0] == view.name else None
    if last:
        yield known.pair(view, last, place, AUTO, explicit=explicit)
    for model in view.of_kind[wish.kind]:
        if model is not last:
            yield known.pair(view, model, place, AUTO, explicit=explicit)


_NOT_PERMITTED = "not among the models of the key"


# -- who may -----------------------------------------------------------------------


def _is_asked(pair: _Pair, wish: Wish) -> str:
    return "" if pair.view.name == wish.backend else f"X-Provider asks for {wish.backend}"


def _stays_in_the_house(pair: _Pair, _: Wish) -> str:
    stays = pair.view.local and not pair.model.remote
    return "" if stays else "X-Local-Only, and it is remote"


def _is_permitted(pair: _Pair, wish: Wish) -> str:
    names = (pair.named, pair.model.id, f"{pair.view.name}/{pair.model.id}")
    return "" if any(name in wish.permitted for name in names) else _NOT_PERMITTED


def _is_free_to_be_chosen(pair: _Pair, _: Wish) -> str:
    return "" if pair.explicit else pair.standing.explicit_only


def _has_kind(pair: _Pair, wish: Wish) -> str:
    able: bool | None = getattr(pair.model.capabilities, wish.kind, None)
    return f"no {wish.kind} model" if able is False else ""


def _has_tools(pair: _Pair, _: Wish) -> str:
    return "takes no tools" if pair.model.capabilities.tools is False else ""


def _sees(pair: _Pair, _: Wish) -> str:
    return "takes no images" if pair.model.capabilities.vision is False else ""


def _follows_schemas(pair: _Pair, _: Wish) -> str:
    return "follows no JSON schema" if pair.model.capabilities.json_schema is False else ""


def _fits(pair: _Pair, wish: Wish) -> str:
    prompt, window = wish.prompt, pair.model.context_length
    assert prompt is not None, "it matters only where there is one"
    needed = prompt.overflow(pair.view.name, pair.model.id, window)
    if not needed:
        return ""
    by_cap = " (X-Max-Context)" if prompt.cap and prompt.cap < (window or math.inf) else ""
    return f"context of {prompt.limit(window)} tokens{by_cap}, about {needed} needed"


# For which wishes it matters, and what stands against a pair, empty if nothing does. What
# a wish does not touch costs it nothing, however many backends there are.
CONSTRAINTS: tuple[tuple[Callable[[Wish], object], Callable[[_Pair, Wish], str]], ...] = (
    (lambda wish: wish.backend, _is_asked),
    (lambda wish: wish.local_only, _stays_in_the_house),
    (lambda wish: wish.permitted, _is_permitted),
    (lambda wish: not wish.backend, _is_free_to_be_chosen),
    (lambda _: True, _has_kind),
    (lambda wish: wish.tools, _has_tools),
    (lambda wish: wish.vision, _sees),
    (lambda wish: wish.json_schema, _follows_schemas),
    (lambda wish: wish.prompt, _fits),
)


# -- in which order ----------------------------------------------------------------

_SAME = "same as the conversation's last answer"
_RANK = {State.UP: 0, State.UNKNOWN: 1, State.LOADING: 2, State.DOWN: 3}


def _is_sticky(pair: _Pair, wish: Wish) -> bool:
    last = wish.sticky
    return last is not None and last[0] == pair.view.name and last[1] == pair.model.id


def _must_be_cut(pair: _Pair, wish: Wish) -> bool:
    prompt, model = wish.prompt, pair.model
    return prompt is not None and not prompt.fits(pair.view.name, model.id, model.context_length)


# A name for explaining, and a key: the lower goes first.
#
# "whole prompt" stands before "conversation": a conversation moves once, when it outgrows
# its window and a larger one is there, and then stays. Nothing warm is lost by that: a
# prompt whose oldest turns went no longer begins as the one in the cache. Among windows
# that are all too small it stays where its head is cached. What the owner wrote down
# (aliases' order) goes before it.
ORDER: tuple[tuple[str, Callable[[_Pair, Wish], float]], ...] = (
    ("state", lambda pair, _: _RANK[pair.view.snapshot.state]),
    ("resting", lambda pair, _: bool(pair.standing.resting)),
    ("alias order", lambda pair, _: pair.place if pair.named != AUTO else 0),
    ("whole prompt", _must_be_cut),
    ("conversation", lambda pair, wish: not _is_sticky(pair, wish)),
    ("loaded", lambda pair, _: pair.model.loaded is False),
    ("priority", lambda pair, _: -pair.view.priority),
    ("wait", lambda pair, _: (wait := pair.standing.expected_wait_seconds) and round(wait, 1)),
    ("price", lambda pair, _: pair.view.price),
    ("configuration", lambda pair, _: pair.place),
)


def _candidate(pair: _Pair, wish: Wish, *, told: bool) -> Candidate:
    reasons = tuple(filter(None, _notes(pair, wish))) if told else ()
    model = pair.model
    return Candidate(pair.view.name, model.id, _head(pair, wish), reasons, model.context_length)


def _head(pair: _Pair, wish: Wish) -> str:
    """Say why in a header's few words."""
    if pair.view.last_resort and not pair.explicit:
        return "auto: no LLM server was found"
    moved = _moved(pair, wish)
    if pair.named == AUTO:
        state = pair.view.snapshot.state.word
        return f"auto: {_SAME if _is_sticky(pair, wish) else moved or state}"
    return f"model {pair.named}, {moved}" if moved else f"model {pair.named}"


def _notes(pair: _Pair, wish: Wish) -> Iterator[str]:
    """Yield what speaks for a pair, what matters most first; empty where there is nothing."""
    view, standing = pair.view, pair.standing
    yield _SAME if _is_sticky(pair, wish) else _moved(pair, wish)
    yield view.snapshot.state.word
    yield standing.resting
    yield "loaded" if pair.model.loaded else "not loaded" if pair.model.loaded is False else ""
    yield f"priority {view.priority}" if view.priority else ""
    yield f"wait about {wait:.1f} s" if (wait := standing.expected_wait_seconds) else ""
    yield f"{view.price:g} USD a million tokens" if view.price else ""
    yield "the prompt must be cut to fit" if _must_be_cut(pair, wish) else ""


def _moved(pair: _Pair, wish: Wish) -> str:
    """Say that the conversation goes on elsewhere, if it does."""
    if wish.sticky is None or wish.sticky[0] == pair.view.name:
        return ""
    return f"moved from {wish.sticky[0]}"


# -- why nobody --------------------------------------------------------------------


def _nobody(wish: Wish, refused: Sequence[Refused], views: Sequence[BackendView]) -> ServiceError:
    listed = "; ".join(f"{r.backend}/{r.model}: {', '.join(r.reasons)}" for r in refused[:5])
    if refused and all(any("context of" in text for text in r.reasons) for r in refused):
        message = f"the prompt is too long for every model that may take it: {listed}"
        return ServiceError("CONTEXT_LENGTH_EXCEEDED", message, model=wish.model)
    if refused and all(_NOT_PERMITTED in r.reasons for r in refused):
        names = ", ".join(wish.permitted)
        message = f"the key may not use the model {wish.model!r}; it may use: {names}"
        return ServiceError("PERMISSION_DENIED", message, model=wish.model)
    if refused:
        message = f"no backend may take this request: {listed}"
        return ServiceError("NO_BACKEND", message, model=wish.model)
    names = ", ".join(view.name for view in views)
    message = f"no backend has a model for {wish.kind} just now (there are: {names}); see /health"
    return ServiceError("NO_BACKEND", message, model=wish.model)


def _unknown(model: str, known: Catalogue) -> ServiceError:
    names = [AUTO, *known.aliases, *(name for view in known.views for name in view.by_name)]
    near = difflib.get_close_matches(model, names, n=1, cutoff=0.5)
    hint = f"did you mean {near[0]!r}?" if near else "GET /v1/models lists what there is"
    blind = [view.name for view in known.views if not view.snapshot.models]
    if blind:
        hint += f" (not asked yet or down: {', '.join(blind)})"
    message = f"no backend serves the model {model!r}; {hint}"
    return ServiceError("MODEL_NOT_FOUND", message, model=model)
