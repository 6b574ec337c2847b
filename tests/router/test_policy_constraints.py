"""Constraints and order of the policy, against a plain statement of what they mean."""

from __future__ import annotations

from dataclasses import dataclass

import pytest
from hypothesis import given
from hypothesis import strategies as st

from router_svc.model import BackendView, Capabilities, ServedModel, Snapshot, Standing, State
from router_svc.policy import Catalogue, Wish, choose, decide
from router_svc.prompt import Prompt
from router_svc.tokens import Size, TokenEstimator, is_close
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


@dataclass(frozen=True)
class Need:
    """A prompt of `whole` tokens everywhere, of which `least` must stay."""

    whole: int
    least: int
    cap: int = 0
    reply: int = 0

    def prompt(self) -> Prompt:
        return Prompt(
            TokenEstimator(),
            cap=self.cap,
            reply_tokens=self.reply,
            glance=lambda: 2 * self.whole,
            whole=lambda: Size(template_tokens=self.whole),
            least=lambda: Size(template_tokens=self.least),
        )

    def may_fit(self, window: int | None) -> bool:
        bounds = [bound for bound in (window, self.cap) if bound]
        return all(self.least <= bound or is_close(self.least, bound) for bound in bounds)

    def fits_whole(self, window: int | None) -> bool:
        within_cap = not self.cap or self.whole <= self.cap
        if window is None:
            return within_cap
        reply = min(self.reply, window // 2) if self.reply else min(window // 4, 4096)
        return within_cap and self.whole + reply <= window


@dataclass(frozen=True)
class Asked:
    """A wish, and what its prompt needs."""

    wish: Wish
    need: Need


@st.composite
def asks(draw: st.DrawFn) -> Asked:
    whole = draw(st.sampled_from([30, 90, 110, 500, 1100, 5000]))
    least = draw(st.sampled_from([whole, whole // 2, whole // 20]))
    cap, reply = draw(st.sampled_from([0, 0, 80, 2000])), draw(st.sampled_from([0, 10, 9000]))
    need = Need(whole, least, cap, reply)
    wish = Wish(
        model=draw(st.sampled_from(["auto", "m"])),
        local_only=draw(st.booleans()),
        tools=draw(st.booleans()),
        vision=draw(st.booleans()),
        json_schema=draw(st.booleans()),
        sticky=draw(st.sampled_from([None, ("b0", "m"), ("b1", "m")])),
        permitted=draw(st.sampled_from([(), (), ("m",), ("b0/m", "x"), ("auto",), ("x",)])),
        prompt=need.prompt(),
    )
    return Asked(wish, need)


def may_answer(house: House, name: str, asked: Asked) -> bool:
    wish, able = asked.wish, house.model(name).capabilities
    names = {wish.model, "m", f"{name}/m"}
    return not (
        (wish.local_only and not house.view(name).local)
        or (wish.permitted and not names & set(wish.permitted))
        or (wish.model == "auto" and house.standing(name).explicit_only)
        or (wish.tools and able.tools is False)
        or (wish.vision and able.vision is False)
        or (wish.json_schema and able.json_schema is False)
        or not asked.need.may_fit(house.model(name).context_length)
    )


def rank(house: House, name: str, asked: Asked) -> tuple[float, ...]:
    view, standing, model = house.view(name), house.standing(name), house.model(name)
    return (
        _RANKS.index(view.snapshot.state),
        bool(standing.resting),
        not asked.need.fits_whole(model.context_length),
        asked.wish.sticky != (name, "m"),
        model.loaded is False,
        -view.priority,
        standing.expected_wait_seconds,
        view.price,
    )


@given(houses(), asks())
def test_exactly_those_that_may_are_candidates_and_the_rest_are_told_why(
    house: House, asked: Asked
) -> None:
    decision = decide(asked.wish, house.known)
    names = {view.name for view in house.known.views}
    allowed = {name for name in names if may_answer(house, name, asked)}
    assert {candidate.backend for candidate in decision.candidates} == allowed
    assert {refused.backend for refused in decision.refused} == names - allowed
    assert all(refused.reasons for refused in decision.refused)


@given(houses(), asks())
def test_the_order_is_the_tables(house: House, asked: Asked) -> None:
    found = decide(asked.wish, house.known).candidates
    ranks = [rank(house, candidate.backend, asked) for candidate in found]
    assert ranks == sorted(ranks)


@given(houses(), asks(), st.randoms(use_true_random=False))
def test_the_order_of_dictionaries_does_not_matter(
    house: House, asked: Asked, random: object
) -> None:
    items = list(house.known.standings.items())
    random.shuffle(items)  # type: ignore[attr-defined]  # hypothesis' Random
    shuffled = Catalogue(house.known.views, dict(items))
    assert decide(asked.wish, shuffled) == decide(asked.wish, house.known)


def view(name: str, model: ServedModel, **other: object) -> BackendView:
    return BackendView(name, True, 0, Snapshot(State.UP, (model,)), **other)  # type: ignore[arg-type]  # fields of a view


def test_a_prompt_too_long_for_all_is_the_clients_error_with_the_numbers() -> None:
    wish = Wish("m", prompt=Need(9000, 9000).prompt())
    with pytest.raises(ServiceError) as caught:
        choose(wish, Catalogue([view("a", ServedModel("m", context_length=4096))]))
    assert caught.value.reason == "CONTEXT_LENGTH_EXCEEDED"
    assert "4096" in caught.value.message
    assert "9000" in caught.value.message


def test_a_cap_too_low_for_the_prompt_is_told_as_the_cap() -> None:
    wish = Wish("m", prompt=Need(900, 900, cap=100).prompt())
    with pytest.raises(ServiceError, match=r"100 tokens \(X-Max-Context\), about 900") as caught:
        choose(wish, Catalogue([view("a", ServedModel("m"))]))
    assert caught.value.reason == "CONTEXT_LENGTH_EXCEEDED"


def test_a_conversation_leaves_a_window_it_outgrew_for_one_that_takes_it_whole() -> None:
    small, large = ServedModel("m", context_length=1000), ServedModel("m", context_length=4000)
    known = Catalogue([view("small", small), view("large", large), view("tiny", small)])

    def order(whole: int) -> list[str]:
        wish = Wish("m", sticky=("tiny", "m"), prompt=Need(whole, 100).prompt())
        return [candidate.backend for candidate in choose(wish, known).candidates]

    assert order(700) == ["tiny", "small", "large"]
    assert order(800) == ["large", "tiny", "small"]
    assert order(9000) == ["tiny", "small", "large"]


def test_the_order_of_an_alias_goes_before_a_larger_window() -> None:
    small, large = ServedModel("s", context_length=1000), ServedModel("l", context_length=4000)
    known = Catalogue([view("a", large), view("b", small)], aliases={"tier": ("s", "l")})
    first, second = decide(Wish("tier", prompt=Need(3000, 100).prompt()), known).candidates
    assert (first.backend, second.backend) == ("b", "a")
    assert "the prompt must be cut to fit" in first.reasons
    assert "the prompt must be cut to fit" not in second.reasons


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


def test_a_key_without_the_model_is_told_which_it_may_use() -> None:
    with pytest.raises(
        ServiceError, match="may not use the model 'm'; it may use: small, x"
    ) as told:
        choose(Wish("m", permitted=("small", "x")), Catalogue([view("a", ServedModel("m"))]))
    assert told.value.reason == "PERMISSION_DENIED"


def test_a_key_may_use_what_an_alias_of_its_stands_for() -> None:
    known = Catalogue([view("a", ServedModel("m"))], aliases={"small": ("m",)})
    assert choose(Wish("small", permitted=("small",)), known).candidates[0].model == "m"
    with pytest.raises(ServiceError, match="may not use"):
        choose(Wish("m", permitted=("small",)), known)
