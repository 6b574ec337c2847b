"""Constraints and order of the policy, against a plain statement of what they mean."""

from __future__ import annotations

from dataclasses import dataclass

import pytest
from hypothesis import given
from hypothesis import strategies as st

from router_svc.model import BackendView, Capabilities, ServedModel, Snapshot, Standing, State
from router_svc.policy import Catalogue, Wish, choose, decide
from svckit.errors import ServiceError

_RANKS = (State.UP, State.UNKNOWN, State.LOADING, State.DOWN)
maybe = st.sampled_from([None, True, False])
capabilities = st.builds(Capabilities, tools=maybe, vision=maybe, json_schema=maybe)


@dataclass(frozen=True)
class House:
    """Backends that all serve the model `m`, and how they stand."""

    known: Catalogue

    def view(self, name: str) -> BackendView:
        return next(view for view in self.known.views if view.name == name)

    def standing(self, name: str) -> Standing:
        return self.known.standings.get(name, Standing())

    def model(self, name: str) -> ServedModel:
        return self.view(name).snapshot.models[0]


@st.composite
def houses(draw: st.DrawFn) -> House:
    views, standings = [], {}
    for number in range(draw(st.integers(1, 6))):
        model = ServedModel(
            id="m",
            context_length=draw(st.sampled_from([None, 100, 1000])),
            loaded=draw(maybe),
            capabilities=draw(capabilities),
        )
        name = f"b{number}"
        views.append(
            BackendView(
                name=name,
                local=draw(st.booleans()),
                priority=draw(st.integers(-1, 1)),
                snapshot=Snapshot(draw(st.sampled_from(list(State))), (model,)),
                price=draw(st.sampled_from([0.0, 1.5])),
            )
        )
        standings[name] = Standing(
            explicit_only=draw(st.sampled_from(["", "", "gaming mode"])),
            resting=draw(st.sampled_from(["", "", "failed repeatedly"])),
            expected_wait_seconds=draw(st.sampled_from([0.0, 0.0, 4.0])),
        )
    return House(Catalogue(views, standings))


wishes = st.builds(
    Wish,
    model=st.sampled_from(["auto", "m"]),
    local_only=st.booleans(),
    tools=st.booleans(),
    vision=st.booleans(),
    json_schema=st.booleans(),
    sticky=st.sampled_from([None, ("b0", "m"), ("b1", "m")]),
    estimate=st.sampled_from([lambda _b, _m: 50, lambda _b, _m: 500, lambda _b, _m: 5000]),
)


def may_answer(house: House, name: str, wish: Wish) -> bool:
    able, window = house.model(name).capabilities, house.model(name).context_length
    return not (
        (wish.local_only and not house.view(name).local)
        or (wish.model == "auto" and house.standing(name).explicit_only)
        or (wish.tools and able.tools is False)
        or (wish.vision and able.vision is False)
        or (wish.json_schema and able.json_schema is False)
        or (window is not None and wish.estimate(name, "m") > window)
    )


def rank(house: House, name: str, wish: Wish) -> tuple[float, ...]:
    view, standing = house.view(name), house.standing(name)
    return (
        _RANKS.index(view.snapshot.state),
        bool(standing.resting),
        wish.sticky != (name, "m"),
        house.model(name).loaded is False,
        -view.priority,
        standing.expected_wait_seconds,
        view.price,
    )


@given(houses(), wishes)
def test_exactly_those_that_may_are_candidates_and_the_rest_are_told_why(
    house: House, wish: Wish
) -> None:
    decision = decide(wish, house.known)
    names = {view.name for view in house.known.views}
    allowed = {name for name in names if may_answer(house, name, wish)}
    assert {candidate.backend for candidate in decision.candidates} == allowed
    assert {refused.backend for refused in decision.refused} == names - allowed
    assert all(refused.reasons for refused in decision.refused)


@given(houses(), wishes)
def test_the_order_is_the_tables(house: House, wish: Wish) -> None:
    ranks = [rank(house, c.backend, wish) for c in decide(wish, house.known).candidates]
    assert ranks == sorted(ranks)


@given(houses(), wishes, st.randoms(use_true_random=False))
def test_the_order_of_dictionaries_does_not_matter(
    house: House, wish: Wish, random: object
) -> None:
    items = list(house.known.standings.items())
    random.shuffle(items)  # type: ignore[attr-defined]  # hypothesis' Random
    shuffled = Catalogue(house.known.views, dict(items))
    assert decide(wish, shuffled) == decide(wish, house.known)


def view(name: str, model: ServedModel, **other: object) -> BackendView:
    return BackendView(name, True, 0, Snapshot(State.UP, (model,)), **other)  # type: ignore[arg-type]  # fields of a view


def test_a_prompt_too_long_for_all_is_the_clients_error_with_the_numbers() -> None:
    wish = Wish("m", estimate=lambda _backend, _model: 9000)
    with pytest.raises(ServiceError) as caught:
        choose(wish, Catalogue([view("a", ServedModel("m", context_length=4096))]))
    assert caught.value.reason == "CONTEXT_LENGTH_EXCEEDED"
    assert "4096" in caught.value.message
    assert "9000" in caught.value.message


def test_a_refusing_server_is_not_replaced_by_built_in_answers() -> None:
    blind = ServedModel("m", capabilities=Capabilities(vision=False))
    recall = BackendView("lair", True, 0, Snapshot(State.UP, (ServedModel("lair/recall"),)), True)
    with pytest.raises(ServiceError) as caught:
        choose(Wish(vision=True), Catalogue([view("a", blind), recall]))
    assert caught.value.reason == "NO_BACKEND"
    assert "takes no images" in caught.value.message


@pytest.mark.parametrize("name", ["auto", "auto:latest", ""])
def test_auto_goes_by_the_names_that_clients_make_of_it(name: str) -> None:
    found = choose(Wish(name), Catalogue([view("a", ServedModel("m"))]))
    assert found.candidates[0].backend == "a"


def test_auto_takes_the_model_that_is_in_memory() -> None:
    cold, warm = ServedModel("cold", loaded=False), ServedModel("warm", loaded=True)
    snapshot = Snapshot(State.UP, (cold, warm))
    found = choose(Wish(), Catalogue([BackendView("a", True, 0, snapshot)]))
    assert found.candidates[0].model == "warm"


def test_a_backends_alias_names_its_model() -> None:
    aliased = view("a", ServedModel("qwen3:30b"), aliases={"gpt-4o": "qwen3:30b"})
    assert choose(Wish("gpt-4o"), Catalogue([aliased])).candidates[0].model == "qwen3:30b"
