"""Who did how much: models, backends, locations, endings, and the tokens of all."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from metrics_svc.model import GroupUse, Status

UNROUTED = "unrouted"


@dataclass(frozen=True, slots=True)
class Share:
    """One item's part: `ratio` of all requests that are activity, 0 to 1."""

    name: str
    requests: int
    tokens: int
    ratio: float


@dataclass(frozen=True, slots=True, kw_only=True)
class TokenTotals:
    """Known tokens. `known_ratio` is the told part of answered requests, 0 to 1."""

    total: int
    prompt: int
    completion: int
    cached: int
    reasoning: int
    known_ratio: float


def by_model(groups: Iterable[GroupUse]) -> tuple[Share, ...]:
    """Share the use among models; what reached none is `unrouted`."""
    return _shares(groups, lambda group: group.model or UNROUTED)


def by_backend(groups: Iterable[GroupUse]) -> tuple[Share, ...]:
    """Share the use among backends; what reached none is left out."""
    return _shares(groups, lambda group: group.backend)


def by_location(groups: Iterable[GroupUse]) -> tuple[Share, ...]:
    """Share the use between `local` and `remote`; what reached neither is left out."""
    return _shares(groups, lambda group: group.backend and ("local" if group.local else "remote"))


def by_status(groups: Iterable[GroupUse]) -> tuple[tuple[Status, int], ...]:
    """Count all requests by how they ended."""
    counts: defaultdict[Status, int] = defaultdict(int)
    for group in groups:
        counts[group.status] += group.all_requests
    return tuple((status, count) for status, count in sorted(counts.items()) if count)


def token_totals(groups: Iterable[GroupUse]) -> TokenTotals:
    """Add up the tokens of all groups."""
    groups = tuple(groups)
    answered = [group for group in groups if group.status is Status.OK]
    return TokenTotals(
        total=sum(group.tokens for group in groups),
        prompt=sum(group.prompt_tokens for group in groups),
        completion=sum(group.completion_tokens for group in groups),
        cached=sum(group.cached_tokens for group in groups),
        reasoning=sum(group.reasoning_tokens for group in groups),
        known_ratio=_ratio(
            sum(group.told for group in answered), sum(group.all_requests for group in answered)
        ),
    )


def _shares(groups: Iterable[GroupUse], name_of: Callable[[GroupUse], str]) -> tuple[Share, ...]:
    """Add up by name, the most requests first; items without any use are left out."""
    requests: defaultdict[str, int] = defaultdict(int)
    tokens: defaultdict[str, int] = defaultdict(int)
    for group in groups:
        requests[name_of(group)] += group.requests
        tokens[name_of(group)] += group.tokens
    every = sum(requests.values())
    shares = (
        Share(name, requests[name], tokens[name], _ratio(requests[name], every))
        for name in requests
        if name and (requests[name] or tokens[name])
    )
    return tuple(sorted(shares, key=lambda share: (-share.requests, -share.tokens, share.name)))


def _ratio(part: int, whole: int) -> float:
    return part / whole if whole else 0.0
