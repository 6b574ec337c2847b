"""Who did how much: models, backends, locations, endings, and the tokens of all."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from metrics_svc.model import Status
from metrics_svc.reports.cost import NO_COST, Cost
from metrics_svc.reports.use import GroupUse

UNROUTED = "unrouted"

# Requests that ended so were no success, and no failure of anything but their sender.
_NO_VERDICT = (Status.CLIENT_CANCELLED, Status.INVALID_REQUEST, Status.AUTH)


@dataclass(frozen=True, slots=True)
class Share:
    """One item's part: `ratio` of all requests that are activity, 0 to 1."""

    name: str
    requests: int
    tokens: int
    ratio: float
    cost: Cost = NO_COST


@dataclass(frozen=True, slots=True, kw_only=True)
class TokenTotals:
    """Known tokens. `known_ratio` is the told part of answered requests, 0 to 1."""

    total: int
    prompt: int
    completion: int
    cached: int
    reasoning: int
    known_ratio: float


@dataclass(frozen=True, slots=True)
class Piece:
    """Some use of an item that shares are made of."""

    name: str
    requests: int
    tokens: int
    cost: Cost


def by_model(groups: Iterable[GroupUse]) -> tuple[Share, ...]:
    """Share the use among models; what reached none is `unrouted`."""
    return _by(groups, lambda group: group.model or UNROUTED)


def by_backend(groups: Iterable[GroupUse]) -> tuple[Share, ...]:
    """Share the use among backends; what reached none is left out."""
    return _by(groups, lambda group: group.backend)


def by_location(groups: Iterable[GroupUse]) -> tuple[Share, ...]:
    """Share the use between `local` and `remote`; what reached neither is left out."""
    return _by(groups, lambda group: group.backend and ("local" if group.local else "remote"))


def by_status(groups: Iterable[GroupUse]) -> tuple[tuple[Status, int], ...]:
    """Count all requests by how they ended."""
    counts: defaultdict[Status, int] = defaultdict(int)
    for group in groups:
        counts[group.status] += group.all_requests
    return tuple((status, count) for status, count in sorted(counts.items()) if count)


def success_ratio(statuses: Iterable[tuple[Status, int]]) -> float | None:
    """Return the answered part of the requests that could be; None if there are none."""
    judged = [(status, count) for status, count in statuses if status not in _NO_VERDICT]
    whole = sum(count for _, count in judged)
    return sum(count for status, count in judged if status is Status.OK) / whole if whole else None


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


def total_cost(costs: Iterable[Cost]) -> Cost:
    """Add up what is known of `costs`."""
    costs = tuple(costs)
    known = [cost.nano for cost in costs if cost.nano is not None]
    return Cost(sum(known) if known else None, sum(cost.unpriced for cost in costs))


def shared(pieces: Iterable[Piece]) -> tuple[Share, ...]:
    """Add up by name, the most requests first; items without any use are left out."""
    items: defaultdict[str, list[Piece]] = defaultdict(list)
    for piece in pieces:
        items[piece.name].append(piece)
    every = sum(piece.requests for parts in items.values() for piece in parts)
    shares = (_share(name, parts, every) for name, parts in items.items() if name)
    return tuple(
        sorted(
            (share for share in shares if share.requests or share.tokens),
            key=lambda share: (-share.requests, -share.tokens, share.name),
        )
    )


def _by(groups: Iterable[GroupUse], name_of: Callable[[GroupUse], str]) -> tuple[Share, ...]:
    return shared(
        Piece(name_of(group), group.requests, group.tokens, group.cost) for group in groups
    )


def _share(name: str, parts: Iterable[Piece], every: int) -> Share:
    parts = tuple(parts)
    requests = sum(piece.requests for piece in parts)
    return Share(
        name=name,
        requests=requests,
        tokens=sum(piece.tokens for piece in parts),
        ratio=_ratio(requests, every),
        cost=total_cost(piece.cost for piece in parts),
    )


def _ratio(part: int, whole: int) -> float:
    return part / whole if whole else 0.0
