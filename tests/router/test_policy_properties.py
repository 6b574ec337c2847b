"""What holds for every decision in houses where a backend serves several models.

The statements are made of a wish's plain meaning, and look at nothing inside the policy.
"""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TypeVar

from hypothesis import example, given
from hypothesis import strategies as st

from router_svc.model import (
    BackendView,
    Capabilities,
    ServedModel,
    Snapshot,
    Standing,
    State,
    serves,
)
from router_svc.policy import Catalogue, Decision, Wish, decide
from router_svc.prompt import Prompt
from router_svc.tokens import Size, TokenEstimator
from svckit.errors import ServiceError

T = TypeVar("T")

_WINDOW = 1000
_SHORT, _LONG = 50, 5000  # tokens of a prompt, far from the window on either side


@dataclass(frozen=True)
class Case:
    """A wish, and the house it is made in."""

    wish: Wish
    house: Catalogue
    tokens: int

    def decision(self) -> Decision:
        """Return the decision; nobody where the names of the wish mean nothing."""
        try:
            return decide(self.wish, self.house)
        except ServiceError as error:
            if error.reason not in ("MODEL_NOT_FOUND", "INVALID_FIELD"):
                raise
            return Decision((), ())

    def found(self) -> list[tuple[str, str]]:
        """Return backend and model of each candidate, best first."""
        return [(found.backend, found.model) for found in self.decision().candidates]

    def able(self) -> set[tuple[str, str]]:
        """Return backend and model of all that are meant and may."""
        return {
            (view.name, model.id)
            for view in self.house.views
            for model in view.snapshot.models
            if self.is_meant(view, model) and self.may_answer(view, model)
        }

    def is_meant(self, view: BackendView, model: ServedModel) -> bool:
        """Tell whether the wish's name can stand for a model there."""
        if self.wish.model == "auto":
            return serves(model, self.wish.kind)
        ids = [served.id for served in view.snapshot.models]
        for target in self.house.aliases.get(self.wish.model, (self.wish.model,)):
            aliased = view.aliases.get(target) if target not in ids else None
            if model.id in (target, aliased) or f"{view.name}/{model.id}" in (target, aliased):
                return True
        return False

    def may_answer(self, view: BackendView, model: ServedModel) -> bool:
        """Tell whether no hard constraint stands against a model."""
        wish, able = self.wish, model.capabilities
        held = self.house.standings.get(view.name, Standing()).explicit_only
        return not (
            (wish.backend and wish.backend != view.name)
            or (wish.local_only and not view.local)
            or (held and wish.model == "auto" and not wish.backend)
            or getattr(able, wish.kind) is False
            or (wish.tools and able.tools is False)
            or (wish.vision and able.vision is False)
            or (wish.json_schema and able.json_schema is False)
            or self.tokens > (model.context_length or self.tokens)
        )


# -- houses and wishes ---------------------------------------------------------

ABLE = Capabilities(chat=True, tools=True, vision=True, json_schema=True)
capabilities = st.sampled_from(
    [
        Capabilities(),
        ABLE,
        replace(ABLE, tools=False),
        replace(ABLE, vision=False),
        replace(ABLE, json_schema=False),
        replace(ABLE, chat=False, embeddings=True),
    ]
)
standings = st.builds(
    Standing,
    explicit_only=st.sampled_from(["", "", "gaming mode"]),
    resting=st.sampled_from(["", "failed repeatedly"]),
    expected_wait_seconds=st.sampled_from([0.0, 4.0]),
)
targets = st.lists(
    st.sampled_from(["m", "x", "b0/m", "b1/x", "gpt"]), min_size=1, max_size=3, unique=True
)


def served(name: str) -> st.SearchStrategy[ServedModel]:
    return st.builds(
        ServedModel,
        id=st.just(name),
        context_length=st.sampled_from([None, _WINDOW, 2 * _LONG]),
        loaded=st.sampled_from([None, True, False]),
        capabilities=capabilities,
    )


def backend(name: str) -> st.SearchStrategy[BackendView]:
    models = [served(model) for model in ("m", "x", "org/m")]
    some = st.lists(st.sampled_from(models), min_size=1, max_size=3, unique=True)
    return st.builds(
        BackendView,
        name=st.just(name),
        local=st.booleans(),
        priority=st.integers(-1, 1),
        snapshot=st.builds(
            Snapshot, st.sampled_from(State), some.flatmap(lambda few: st.tuples(*few))
        ),
        aliases=st.dictionaries(
            st.sampled_from(["gpt", "fast", "m"]), st.sampled_from(["m", "x", "b0/m"]), max_size=2
        ),
        price=st.sampled_from([0.0, 1.5]),
    )


def prompt_of(tokens: int) -> Prompt:
    """Return a prompt of which nothing may go."""

    def size() -> Size:
        return Size(template_tokens=tokens)

    return Prompt(
        TokenEstimator(), cap=0, reply_tokens=0, glance=lambda: 2 * tokens, whole=size, least=size
    )


@st.composite
def cases(draw: st.DrawFn, *names: str) -> Case:
    """Draw a house, and a request for one of `names` in it."""
    backends = [f"b{number}" for number in range(draw(st.integers(1, 3)))]
    house = Catalogue(
        [draw(backend(name)) for name in backends],
        draw(st.dictionaries(st.sampled_from(backends), standings)),
        draw(st.dictionaries(st.sampled_from(["tier", "fast"]), targets)),
    )
    tokens = draw(st.sampled_from([_SHORT, _LONG]))
    kind = draw(st.sampled_from(["chat", "chat", "embeddings"]))
    wish = Wish(
        model=draw(st.sampled_from(names)),
        backend=draw(st.sampled_from(["", "", "b0"])),
        local_only=draw(st.booleans()),
        kind=kind,
        tools=draw(st.booleans()),
        vision=draw(st.booleans()),
        json_schema=draw(st.booleans()),
        # Only a chat has a turn before it.
        sticky=draw(st.sampled_from([None, ("b0", "m"), ("b1", "x")])) if kind == "chat" else None,
        prompt=prompt_of(tokens),
    )
    return Case(wish, house, tokens)


def house_of(*models: ServedModel, **aliases: Sequence[str]) -> Catalogue:
    """Return a house of one backend, which is up."""
    return Catalogue([BackendView("b0", True, 0, Snapshot(State.UP, models))], aliases=aliases)


BLIND = replace(ABLE, vision=False)
A_PICTURE_FOR_THE_SECOND = Case(
    Wish(vision=True), house_of(ServedModel("m", capabilities=BLIND), ServedModel("x")), _SHORT
)
ONE_BY_TWO_NAMES = Case(Wish("tier"), house_of(ServedModel("m"), tier=("m", "b0/m")), _SHORT)
STAYS_IN = Case(Wish(local_only=True), house_of(ServedModel("m")), _SHORT)

named = cases("m", "org/m", "b1/m", "b0/x", "gpt", "fast", "tier")
auto = cases("auto")


# -- never dropped, never violated ---------------------------------------------


@given(named)
def test_exactly_the_models_that_are_named_and_may_are_candidates(case: Case) -> None:
    assert set(case.found()) == case.able()


@example(A_PICTURE_FOR_THE_SECOND)
@given(auto)
def test_auto_finds_a_model_on_every_backend_that_has_one_for_the_request(case: Case) -> None:
    assert {name for name, _ in case.able()} == {name for name, _ in case.found()}


@given(named | auto)
def test_no_candidate_violates_a_constraint(case: Case) -> None:
    assert set(case.found()) <= case.able()


@example(STAYS_IN)
@given(named | auto)
def test_what_must_stay_in_the_house_reaches_no_model_that_is_served_outside(case: Case) -> None:
    first, *others = case.house.views
    passed_on = tuple(replace(model, remote=True) for model in first.snapshot.models)
    cloud = BackendView("b0", True, 0, replace(first.snapshot, models=passed_on))
    house = replace(case.house, views=[cloud, *others])
    case = replace(case, wish=replace(case.wish, local_only=True), house=house)
    assert "b0" not in {name for name, _ in case.found()}


@example(ONE_BY_TWO_NAMES)
@given(named | auto)
def test_nobody_is_a_candidate_twice(case: Case) -> None:
    assert len(case.found()) == len(set(case.found()))


@given(named | auto)
def test_everybody_is_told_why(case: Case) -> None:
    decision = case.decision()
    assert all(candidate.reason and candidate.reasons for candidate in decision.candidates)
    assert all(refused.reasons for refused in decision.refused)
    refused = {(refused.backend, refused.model) for refused in decision.refused}
    assert not set(case.found()) & refused


# -- order ---------------------------------------------------------------------


@given(named | auto, st.randoms(use_true_random=False))
def test_the_order_of_no_dictionary_matters(case: Case, rng: random.Random) -> None:
    house = Catalogue(
        [with_aliases(view, shuffled(view.aliases, rng)) for view in case.house.views],
        shuffled(case.house.standings, rng),
        shuffled(case.house.aliases, rng),
    )
    assert replace(case, house=house).decision() == case.decision()


def test_an_alias_of_an_alias_means_the_same_whichever_stands_first() -> None:
    chain = {"fast": "small", "small": "m"}
    [view] = house_of(ServedModel("m")).views
    forth, back = (
        Case(Wish("fast"), Catalogue([with_aliases(view, aliases)]), _SHORT).found()
        for aliases in (chain, dict(reversed(chain.items())))
    )
    assert forth == back


def with_aliases(view: BackendView, aliases: Mapping[str, str]) -> BackendView:
    return BackendView(
        view.name, view.local, view.priority, view.snapshot, aliases=aliases, price=view.price
    )


def shuffled(mapping: Mapping[str, T], rng: random.Random) -> dict[str, T]:
    items: Sequence[tuple[str, T]] = list(mapping.items())
    return dict(rng.sample(items, len(items)))
