"""Who may answer a request, and in which order."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from router_svc import policy
from router_svc.model import BackendView, Candidate, ServedModel, Snapshot, State
from router_svc.policy import Catalogue, Wish
from svckit.errors import ServiceError

_RANKS = (State.UP, State.UNKNOWN, State.LOADING, State.DOWN)


def view(
    name: str,
    *models: str,
    state: State = State.UP,
    priority: int = 0,
    local: bool = True,
    last_resort: bool = False,
) -> BackendView:
    snapshot = Snapshot(state, tuple(ServedModel(id=model) for model in models))
    return BackendView(name, local, priority, snapshot, last_resort)


RECALL = view("lair", "lair/recall", priority=-1000, last_resort=True)


def choose(wish: Wish, views: Sequence[BackendView]) -> list[Candidate]:
    return list(policy.choose(wish, Catalogue(views)).candidates)


def chosen(wish: Wish, *views: BackendView) -> list[str]:
    return [f"{found.backend}:{found.model}" for found in choose(wish, views)]


def refused(wish: Wish, *views: BackendView) -> ServiceError:
    with pytest.raises(ServiceError) as caught:
        choose(wish, views)
    return caught.value


# -- tables --------------------------------------------------------------------


@pytest.mark.parametrize(
    ("wish", "views", "expected"),
    [
        (Wish("m"), [view("a", "m"), view("b", "x", "m")], ["a:m", "b:m"]),
        (Wish("b/m"), [view("a", "m"), view("b", "m")], ["b:m"]),
        (Wish("org/m"), [view("a", "org/m"), view("b", "m")], ["a:org/m"]),
        (Wish("m", backend="b"), [view("a", "m"), view("b", "m")], ["b:m"]),
        (Wish("m", local_only=True), [view("a", "m", local=False), view("b", "m")], ["b:m"]),
        (Wish("auto"), [view("a", "x", "y"), view("b", "z")], ["a:x", "b:z"]),
        (Wish(""), [view("a", "x")], ["a:x"]),
        (Wish("auto"), [view("a", "nomic-embed-text", "x")], ["a:x"]),
        (Wish("auto", backend="b"), [view("a", "x"), view("b", "y")], ["b:y"]),
    ],
    ids=["name", "backend and name", "slash", "provider", "local", "auto", "-", "embed", "auto at"],
)
def test_who_may_answer(wish: Wish, views: Sequence[BackendView], expected: list[str]) -> None:
    assert chosen(wish, *views) == expected


@pytest.mark.parametrize("model", ["m", "auto"])
def test_up_comes_first_then_priority_then_the_order_of_the_configuration(model: str) -> None:
    views = [
        view("down", "m", state=State.DOWN, priority=9),
        view("loading", "m", state=State.LOADING, priority=9),
        view("unknown", "m", state=State.UNKNOWN, priority=9),
        view("first", "m"),
        view("second", "m"),
        view("preferred", "m", priority=1),
    ]
    names = [found.backend for found in choose(Wish(model), views)]
    assert names == ["preferred", "first", "second", "unknown", "loading", "down"]


def test_the_reason_of_each_candidate_is_told() -> None:
    [candidate] = policy.decide(Wish("m"), Catalogue([view("a", "m")])).candidates
    assert (candidate.reason, candidate.reasons) == ("model m", ("up",))
    [candidate] = choose(Wish("auto"), [view("a", "m", state=State.LOADING)])
    assert candidate.reason == "auto: loading"


def test_auto_prefers_any_server_to_recall() -> None:
    assert chosen(Wish("auto"), RECALL, view("a", "m", state=State.DOWN)) == ["a:m"]


def test_auto_falls_to_recall_where_there_is_no_server() -> None:
    [candidate] = choose(Wish("auto"), [RECALL])
    assert (candidate.backend, candidate.model) == ("lair", "lair/recall")
    assert candidate.reason == "auto: no LLM server was found"


def test_auto_does_not_answer_from_memory_where_a_server_serves_nothing_yet() -> None:
    error = refused(Wish("auto"), RECALL, view("a", state=State.DOWN))
    assert error.reason == "NO_BACKEND"
    assert "/health" in error.message


def test_recall_can_be_asked_for_by_name() -> None:
    assert chosen(Wish("lair/recall"), RECALL, view("a", "m")) == ["lair:lair/recall"]


def test_an_unknown_model_names_the_nearest() -> None:
    error = refused(Wish("lama3"), view("a", "qwen2", "llama3"), RECALL)
    assert (error.reason, error.metadata) == ("MODEL_NOT_FOUND", {"model": "lama3"})
    assert "did you mean 'llama3'?" in error.message


def test_an_unknown_model_like_no_other_points_at_the_list_and_the_silent() -> None:
    error = refused(Wish("zzzz"), view("a", "llama3"), view("b", state=State.DOWN))
    assert "GET /v1/models" in error.message
    assert "not asked yet or down: b" in error.message


def test_an_unknown_provider_is_the_clients_mistake() -> None:
    error = refused(Wish("m", backend="nope"), view("a", "m"), view("b", "m"))
    assert (error.reason, error.metadata) == ("INVALID_FIELD", {"field": "X-Provider"})
    assert "there are: a, b" in error.message


def test_local_only_with_no_local_backend_has_nobody() -> None:
    error = refused(Wish("m", local_only=True), view("a", "m", local=False))
    assert error.reason == "NO_BACKEND"


# -- properties ----------------------------------------------------------------

models = st.lists(st.sampled_from(["m", "x", "org/m", "embed-1"]), max_size=3, unique=True)


@st.composite
def inventories(draw: st.DrawFn) -> list[BackendView]:
    """Draw backends of distinct names, with one of last resort."""
    views = [
        view(
            f"b{number}",
            *draw(models),
            state=draw(st.sampled_from(list(State))),
            priority=draw(st.integers(-2, 2)),
            local=draw(st.booleans()),
        )
        for number in range(draw(st.integers(0, 5)))
    ]
    return [*views, RECALL]


wishes = st.builds(
    Wish,
    model=st.sampled_from(["", "auto", "m", "org/m", "b1/m", "lair/recall"]),
    backend=st.sampled_from(["", "", "b0", "b1"]),
    local_only=st.booleans(),
)


def candidates(wish: Wish, views: Sequence[BackendView]) -> list[Candidate]:
    try:
        return choose(wish, views)
    except ServiceError:
        return []


def satisfies(candidate: BackendView, wish: Wish) -> bool:
    """Say by the wish's plain meaning whether a server may answer it."""
    if (wish.backend and candidate.name != wish.backend) or (wish.local_only > candidate.local):
        return False
    served = [model.id for model in candidate.snapshot.models]
    if wish.model in ("", "auto"):
        return not candidate.last_resort and any("embed" not in name for name in served)
    return any(wish.model in (name, f"{candidate.name}/{name}") for name in served)


@given(wishes, inventories())
def test_a_healthy_backend_that_satisfies_the_wish_is_never_dropped(
    wish: Wish, views: list[BackendView]
) -> None:
    found = {candidate.backend for candidate in candidates(wish, views)}
    able = {v.name for v in views if v.snapshot.state is State.UP and satisfies(v, wish)}
    assert able <= found


@given(wishes, inventories())
def test_no_candidate_violates_the_wish(wish: Wish, views: list[BackendView]) -> None:
    by_name = {v.name: v for v in views}
    servers = [v for v in views if not v.last_resort and v.local >= wish.local_only]
    for candidate in candidates(wish, views):
        backend = by_name[candidate.backend]
        assert not wish.backend or backend.name == wish.backend
        assert backend.local or not wish.local_only
        assert candidate.model in [model.id for model in backend.snapshot.models]
        if wish.model in ("", "auto"):
            assert not (backend.last_resort and servers)
        else:
            assert wish.model in (candidate.model, f"{backend.name}/{candidate.model}")


@given(wishes, inventories(), st.randoms(use_true_random=False))
def test_the_order_of_backends_matters_among_equals_only(
    wish: Wish, views: list[BackendView], random: object
) -> None:
    shuffled = list(views)
    random.shuffle(shuffled)  # type: ignore[attr-defined]  # hypothesis' Random
    by_name = {v.name: v for v in views}

    def standing(candidate: Candidate) -> tuple[int, int]:
        backend = by_name[candidate.backend]
        return _RANKS.index(backend.snapshot.state), -backend.priority

    before, after = candidates(wish, views), candidates(wish, shuffled)
    assert sorted(before, key=repr) == sorted(after, key=repr)
    assert [standing(c) for c in before] == [standing(c) for c in after]
    assert [standing(c) for c in before] == sorted(standing(c) for c in before)
