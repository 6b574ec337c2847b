"""What was saved: what the same tokens cost elsewhere, less their own costs.

Elsewhere is, for local models, where the same model or another is sold, and for remote ones
their provider's list: who bills less, or takes no money for single requests, saves that.

A saving may be negative: a card that draws 350 W makes some answers dearer than they are
sold for. Electricity is that of the time in which a backend worked, shared among its models
by what they wrote; idle hours and the price of the machine are in none of it.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import IntEnum

from metrics_svc.model import Scope
from metrics_svc.query import BusyRow, Question, SumRow
from metrics_svc.storage.base import Ledger

_SUMS = (
    *("records", "tokens", "completion_tokens", "upstream_us", "cost_nano"),
    *("ref1_priced", "ref1_nano", "ref2_priced", "ref2_nano"),
)
_WORK = ("completion_tokens", "upstream_us")
_LOCAL, _REMOTE = {"local": (1,)}, {"local": (0,)}
# What was priced when there was no list to compare with has another version.
_ALIKE = ("model_used", "backend", "cost_source", "price_version")
_REMOTE_SUMS = ("records", "tokens", "priced", "cost_nano", "ref1_priced", "ref1_nano")
# Quotes a user's own memory: no model that saves anything, nor a device that draws anything.
_BUILT_IN = "lair"
_UJ_PER_KWH = 3.6e12
_NANO = 1e9


class Confidence(IntEnum):
    """How sure the electricity of savings is. The numbers are the contract's."""

    UNKNOWN = 1
    DEFAULT = 2
    CONFIGURED = 3
    MEASURED = 4


@dataclass(frozen=True, slots=True)
class Work:
    """What a share of a backend's electricity is counted by."""

    completion_tokens: int
    upstream_us: int


@dataclass(frozen=True, slots=True, kw_only=True)
class LocalUse:
    """The use of one model of one backend; `ref1` and `ref2` are the prices elsewhere."""

    model: str
    backend: str
    records: int
    tokens: int
    completion_tokens: int
    upstream_us: int
    cost_nano: int
    ref1_priced: int
    ref1_nano: int
    ref2_priced: int
    ref2_nano: int


@dataclass(frozen=True, slots=True, kw_only=True)
class RemoteUse:
    """The use of one remote model whose costs are known from one source; `ref1` is its list."""

    records: int
    tokens: int
    priced: int
    cost_nano: int
    ref1_priced: int
    ref1_nano: int


@dataclass(frozen=True, slots=True, kw_only=True)
class SavingsUse:
    """All that savings are made of.

    `work` is all the work of each backend, whoever asked it, as `busy` is.
    """

    local: tuple[LocalUse, ...]
    remote: tuple[RemoteUse, ...]
    work: Mapping[str, Work]
    busy: tuple[BusyRow, ...]


@dataclass(frozen=True, slots=True)
class Comparison:
    """What `known` of all requests, 0 to 1, would have cost elsewhere, and what that saved."""

    known: float
    reference: int | None
    saved: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Saving:
    """What one model saved, or all; money is in billionths of a US dollar."""

    model: str
    records: int
    tokens: int
    cost: int
    electricity: int | None
    kwh: float | None
    same: Comparison
    instead: Comparison
    confidence: Confidence


@dataclass(frozen=True, slots=True)
class Remote:
    """What remote models cost, and what they would have by their providers' lists."""

    records: int
    tokens: int
    cost: int  # of those that are compared
    listed: Comparison


@dataclass(frozen=True, slots=True)
class Savings:
    """What local models saved, the most used first, and what remote ones cost below their list."""

    total: Saving
    models: tuple[Saving, ...]
    remote: Remote
    kwh_usd: float | None
    backends: tuple[BusyRow, ...]


async def read_savings(ledger: Ledger, scope: Scope) -> SavingsUse:
    """Read the use of local models in `scope`, and all the work of their backends."""
    question = Question(scope=scope, filters=_LOCAL, dimensions=("model_used", "backend"))
    time = Scope(start_us=scope.start_us, end_us=scope.end_us)
    everyone = Question(scope=time, filters=_LOCAL, dimensions=("backend",))
    work = await ledger.sums(everyone, _WORK)
    by_source = Question(scope=scope, filters=_REMOTE, dimensions=_ALIKE)
    remote = await ledger.sums(by_source, _REMOTE_SUMS)
    return SavingsUse(
        remote=tuple(
            RemoteUse(**dict(zip(_REMOTE_SUMS, row.sums, strict=True)))
            for row in remote
            if row.keys[1]
        ),
        local=tuple(
            _local(row)
            for row in await ledger.sums(question, _SUMS)
            if row.keys[1] not in ("", _BUILT_IN)
        ),
        work={row.keys[0]: Work(*row.sums) for row in work},
        busy=tuple(row for row in await ledger.busy(time) if row.backend != _BUILT_IN),
    )


def savings(use: SavingsUse, kwh_usd: float | None) -> Savings:
    """Tell what was saved, where a kilowatt-hour costs `kwh_usd`, None unknown."""
    energy = _energy(use.busy)
    parts: defaultdict[str, list[LocalUse]] = defaultdict(list)
    for each in use.local:
        parts[each.model].append(each)
    models = [_saving(model, part, use, energy, kwh_usd) for model, part in parts.items()]
    models.sort(key=lambda saving: (-saving.tokens, -saving.records, saving.model))
    return Savings(_total(models), tuple(models), _remote(use.remote), kwh_usd, use.busy)


def _remote(use: Iterable[RemoteUse]) -> Remote:
    parts = list(use)
    # What has a list price has a cost; where others have one as well, only nothing is known to
    # be of the same: what fails has no tokens, and so no list price, and is free all the same.
    compared = [
        it for it in parts if it.ref1_priced and (it.ref1_priced == it.priced or not it.cost_nano)
    ]
    cost = sum(it.cost_nano for it in compared)
    records = sum(it.records for it in parts)
    priced = [(it.ref1_priced, it.ref1_nano) for it in compared]
    return Remote(
        records=records,
        tokens=sum(it.tokens for it in parts),
        cost=cost,
        listed=_compared(records, priced, cost),
    )


def _local(row: SumRow) -> LocalUse:
    model, backend = row.keys
    return LocalUse(model=model, backend=backend, **dict(zip(_SUMS, row.sums, strict=True)))


def _energy(busy: Iterable[BusyRow]) -> Mapping[str, float | None]:
    """Return the kilowatt-hours of each backend; None where any of it is unknown."""
    found: dict[str, float | None] = {}
    for row in busy:
        before = found.get(row.backend, 0.0)
        known = before is not None and row.watts is not None
        kwh = row.busy_us * (row.watts or 0.0) / _UJ_PER_KWH
        found[row.backend] = (before or 0.0) + kwh if known else None
    return found


def _saving(
    model: str,
    part: Sequence[LocalUse],
    use: SavingsUse,
    energy: Mapping[str, float | None],
    kwh_usd: float | None,
) -> Saving:
    drawn = [_share(each, use.work, energy) for each in part]
    known = [kwh for kwh in drawn if kwh is not None]
    kwh = sum(known) if known else None
    electricity = None if kwh is None or kwh_usd is None else round(kwh * kwh_usd * _NANO)
    records = sum(each.records for each in part)
    cost = sum(each.cost_nano for each in part)
    own = cost + (electricity or 0)
    sure = electricity is not None and len(known) == len(drawn)
    return Saving(
        model=model,
        records=records,
        tokens=sum(each.tokens for each in part),
        cost=cost,
        electricity=electricity,
        kwh=kwh,
        same=_compared(records, [(each.ref1_priced, each.ref1_nano) for each in part], own),
        instead=_compared(records, [(each.ref2_priced, each.ref2_nano) for each in part], own),
        confidence=Confidence.CONFIGURED if sure else Confidence.UNKNOWN,
    )


def _share(
    each: LocalUse, work: Mapping[str, Work], energy: Mapping[str, float | None]
) -> float | None:
    """Return a model's part of its backend's kilowatt-hours: by the tokens it wrote.

    Where nobody wrote any, as embeddings do not, by the time it was waited for.
    """
    kwh, whole = energy.get(each.backend), work[each.backend]
    if kwh is None:
        return None
    if whole.completion_tokens:
        return kwh * each.completion_tokens / whole.completion_tokens
    return kwh * each.upstream_us / whole.upstream_us if whole.upstream_us else None


def _compared(records: int, priced: Sequence[tuple[int, int]], own: int) -> Comparison:
    count = sum(known for known, _ in priced)
    if not count:
        return Comparison(0.0, None, None)
    reference = sum(nano for _, nano in priced)
    return Comparison(count / records, reference, reference - own)


def _total(models: Sequence[Saving]) -> Saving:
    sure = bool(models) and all(it.confidence is Confidence.CONFIGURED for it in models)
    electricity = [it.electricity for it in models if it.electricity is not None]
    kwh = [it.kwh for it in models if it.kwh is not None]
    records = sum(it.records for it in models)
    return Saving(
        model="",
        records=records,
        tokens=sum(it.tokens for it in models),
        cost=sum(it.cost for it in models),
        electricity=sum(electricity) if electricity else None,
        kwh=sum(kwh) if kwh else None,
        same=_together(records, [(it.records, it.same) for it in models]),
        instead=_together(records, [(it.records, it.instead) for it in models]),
        confidence=Confidence.CONFIGURED if sure else Confidence.UNKNOWN,
    )


def _together(records: int, parts: Sequence[tuple[int, Comparison]]) -> Comparison:
    """Add up comparisons; what has nothing to compare with is in neither sum."""
    found = [it for _, it in parts if it.reference is not None]
    if not found:
        return Comparison(0.0, None, None)
    return Comparison(
        sum(count * it.known for count, it in parts) / records,
        sum(it.reference or 0 for it in found),
        sum(it.saved or 0 for it in found),
    )
