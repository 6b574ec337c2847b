"""Shares, endings and tokens of groups."""

from typing import Any

from metrics_svc.model import Status
from metrics_svc.reports import shares
from metrics_svc.reports.shares import Share
from metrics_svc.reports.use import GroupUse


def group(**fields: Any) -> GroupUse:
    plain = dict.fromkeys(
        [
            *("requests", "all_requests", "told", "messages", "tokens"),
            *("prompt_tokens", "completion_tokens", "cached_tokens", "reasoning_tokens"),
        ],
        0,
    )
    texts = {"model": "", "backend": "", "local": False, "status": Status.OK}
    return GroupUse(**{**plain, **texts, **fields})


def test_models_are_listed_by_requests_and_what_reached_none_is_unrouted():
    groups = [
        group(requests=1, status=Status.NO_BACKEND),
        group(model="b", requests=1, tokens=5),
        group(model="a", requests=1, tokens=5),
        group(model="a", requests=1, status=Status.CLIENT_CANCELLED),
    ]
    assert shares.by_model(groups) == (
        Share("a", 2, 5, 0.5),
        Share("b", 1, 5, 0.25),
        Share("unrouted", 1, 0, 0.25),
    )


def test_backends_and_locations_leave_out_what_reached_none_but_are_parts_of_all():
    groups = [
        group(backend="here", local=True, requests=2, tokens=8),
        group(backend="there", requests=1),
        group(requests=1, status=Status.NO_BACKEND),
    ]
    assert shares.by_backend(groups) == (Share("here", 2, 8, 0.5), Share("there", 1, 0, 0.25))
    assert shares.by_location(groups) == (Share("local", 2, 8, 0.5), Share("remote", 1, 0, 0.25))


def test_a_model_only_lair_itself_used_has_tokens_but_no_requests():
    assert shares.by_model([group(model="embedder", all_requests=3, tokens=9)]) == (
        Share("embedder", 0, 9, 0.0),
    )


def test_requests_that_are_no_activity_and_used_nothing_have_no_share():
    assert shares.by_model([group(all_requests=3, status=Status.AUTH)]) == ()


def test_tokens_are_known_to_the_part_of_answers_that_told_them():
    groups = [
        group(all_requests=4, told=3, tokens=10, prompt_tokens=7, completion_tokens=3),
        group(all_requests=9, status=Status.UPSTREAM_ERROR),
    ]
    totals = shares.token_totals(groups)
    assert (totals.total, totals.prompt, totals.completion) == (10, 7, 3)
    assert totals.known_ratio == 0.75
    assert shares.token_totals([]).known_ratio == 0


def test_endings_are_counted_over_all_groups():
    groups = [
        group(all_requests=2, model="a"),
        group(all_requests=3, model="b"),
        group(all_requests=1, status=Status.AUTH),
    ]
    assert shares.by_status(groups) == ((Status.OK, 5), (Status.AUTH, 1))
