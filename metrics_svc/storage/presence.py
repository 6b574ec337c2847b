"""How many different sessions, conversations and sittings there were.

These do not add up, so what took part in each quarter of an hour is kept apart; for what
a range has of one at its ends, the requests themselves are asked.
"""

from __future__ import annotations

import asyncio
import json
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import replace

from metrics_svc.model import BUCKET_US
from metrics_svc.periods import DAY_KEYS, periods
from metrics_svc.query import WHO, Distinct, DistinctRow, Question, SumRow, Value
from metrics_svc.storage.conditions import Parameters, alike
from metrics_svc.storage.crowds import Crowd, crowd_of, together
from metrics_svc.storage.ranges import Quarters, Spans, clamped, quarters
from metrics_svc.storage.sums import Key, Source, Totals, named_rows, period_of, read_sums

# Where something begins and ends, and what stands for it.
Part = tuple[int, int, int | None]
Place = tuple[int | None, tuple[Value, ...]]

_RANGE = """
with sitting as materialized (
  select value ->> 0 as first, value ->> 1 as after, value ->> 2 as key from json_each(:sittings)
), period as materialized (
  select value ->> 0 as first, value ->> 1 as after, value ->> 2 as key from json_each(:periods)
), tail as materialized (
  select value ->> 0 as start, value ->> 1 as stop, value ->> 2 as key from json_each(:ends)
),
"""
_TAIL = """
from tail cross join request on second >= tail.start / 1000000
  and second <= tail.stop / 1000000 and ts_us >= tail.start and ts_us < tail.stop
cross join combo on combo.id = request.combo and combo.active and not request.superseded
"""
_BUCKETS = "on bucket >= period.first and bucket < period.after"

_SEEN = f"""{_RANGE} seen as (
  select period.key as time, who, session, conversation
  from period cross join presence15 {_BUCKETS}
  union all
  select tail.key, combo.who, ifnull(session, 0), ifnull(conversation, 0) {_TAIL}
)
"""  # noqa: S608  # fixed names

# The days that are whole come packed; what is beside them is added to them one by one.
_EACH = """
select {columns}, session, conversation
from seen cross join who on who.id = seen.who where {owner}
"""
_COUNTED = """
select {columns}, count(distinct session) filter (where session),
  count(distinct conversation) filter (where conversation),
  count(distinct conversation) filter (where conversation and not session)
from seen cross join who on who.id = seen.who where {owner} group by {columns}
"""
_DAYS = """
select day, {columns}, sessions, conversations, loose_conversations
from presence_day as seen cross join who on who.id = seen.who
where day >= :first_day and day < :after_day and {owner}
"""

# A silence of more than 30 minutes ends a sitting of one user, key and project.
_SITTINGS = f"""{_RANGE} loose as (
  select sitting.key as time, who, bucket, first_us, last_us
  from sitting cross join sitting15 on bucket >= sitting.first and bucket < sitting.after
  union all
  select tail.key, combo.who, request.bucket, ts_us, ts_us {_TAIL}
  where not ifnull(session, 0) and not ifnull(conversation, 0)
), sat as (
  select time, user, project, key, {{client}} as client, bucket,
    min(first_us) as first_us, max(last_us) as last_us
  from loose cross join who on who.id = loose.who where {{owner}} group by 1, 2, 3, 4, 5, 6
), begun as (
  select *, first_us - lag(last_us) over (
    partition by time, user, project, key, client order by bucket
  ) as silence from sat
)
select {{columns}}, sum(silence is null or silence > 1800000000) from begun group by {{columns}}
"""  # noqa: S608  # fixed names

_NEVER = 2**40


async def read_distincts(source: Source, question: Question) -> tuple[DistinctRow, ...]:
    """Count what took part in activity. Raises `ValueError` for a dimension beyond `WHO`."""
    owner, parameters = alike(question, "who", WHO)
    days, spans = await _range(source, question)
    parameters |= spans
    texts = {"owner": owner, "columns": ", ".join(("time", *question.dimensions))}
    if days is None:
        width = 1 + len(question.dimensions)
        rows = await source.rows(_SEEN + _COUNTED.format(**texts), parameters)
        counts = {row[:width]: [*row[width:], 0] for row in rows}
    else:
        found = await _crowds(source, question, texts, parameters)
        counts = {key: [*crowd.counts(), 0] for key, crowd in found.items()}
    await _add_sittings(source, question, texts, parameters, counts)
    people = await _people(source, question)
    return tuple(
        DistinctRow(row.time, row.keys, _distinct(row, people))
        for row in await named_rows(source, question, counts)
        if any(row.sums)
    )


async def _crowds(
    source: Source, question: Question, texts: Mapping[str, str], parameters: Parameters
) -> Mapping[Key, Crowd]:
    """Return who took part in each part: of whole days, and of what is beside them."""
    blobs: defaultdict[Key, list[Sequence[bytes]]] = defaultdict(list)
    beside: defaultdict[Key, list[tuple[int, int]]] = defaultdict(list)
    key_of = DAY_KEYS[question.grain] if question.grain else lambda _: None
    columns = ", ".join(("null", *question.dimensions))
    sql = _DAYS.format(owner=texts["owner"], columns=columns)
    for day, _, *found in await source.rows(sql, parameters):
        blobs[(key_of(day), *found[:-3])].append(found[-3:])
    for row in await source.rows(_SEEN + _EACH.format(**texts), parameters):
        beside[row[:-2]].append((row[-2], row[-1]))
    for key, seen in beside.items():
        blobs[key].append(crowd_of(seen).packed())
    # Sorting a year of them would hold up everybody else.
    return await asyncio.to_thread(lambda: {key: together(it) for key, it in blobs.items()})


async def _add_sittings(
    source: Source,
    question: Question,
    texts: Mapping[str, str],
    parameters: Parameters,
    counts: Totals,
) -> None:
    client = "client" if "client" in question.dimensions else "0"
    width = 1 + len(question.dimensions)
    for row in await source.rows(_SITTINGS.format(client=client, **texts), parameters):
        counts.setdefault(row[:width], [0, 0, 0, 0])[-1] = row[width] or 0


async def _people(source: Source, question: Question) -> Mapping[str, Counter[Place]]:
    """Count different users and projects of each part; the sums tell them."""
    finer = replace(question, dimensions=(*question.dimensions, "user", "project"))
    rows = await read_sums(source, finer, ("active",))
    active = [((row.time, row.keys[:-2]), *row.keys[-2:]) for row in rows if row.sums[0]]
    return {
        "user": Counter(place for place, name in {(it[0], it[1]) for it in active} if name),
        "project": Counter(place for place, name in {(it[0], it[2]) for it in active} if name),
    }


def _distinct(row: SumRow, people: Mapping[str, Counter[Place]]) -> Distinct:
    sessions, conversations, loose, sittings = row.sums
    return Distinct(
        users=people["user"][row.time, row.keys],
        projects=people["project"][row.time, row.keys],
        conversations=conversations,
        sessions=sessions,
        loose_conversations=loose,
        inferred_sessions=sittings,
    )


async def _range(source: Source, question: Question) -> tuple[Spans | None, Parameters]:
    """Return the days, buckets and ends of a question's range, with what stands for them.

    The days are None where the question tells finer times apart, or days of another zone.
    """
    parts = quarters(question.scope, source.sealed)
    whole = Quarters(parts.first, parts.after)
    days, beside = source.days_of(question, whole)
    listed = [it for part in beside for it in await _listed(source, question, part)]
    sittings = await _listed(source, question, whole)
    ends = [(*end, period_of(question, end[0] // BUCKET_US)) for end in parts.ends]
    found = {"periods": listed, "sittings": sittings, "ends": ends}
    first_day, after_day = days[0] if days else (0, 0)
    json_of = {name: json.dumps(value) for name, value in found.items()}
    return days, {"first_day": first_day, "after_day": after_day, **json_of}


async def _listed(source: Source, question: Question, part: Quarters) -> list[Part]:
    """Return the periods that buckets are told apart by; one where they are not."""
    if question.grain is None:
        return [(part.first or 0, _NEVER if part.after is None else part.after, None)]
    first, after = clamped(part, await source.known())
    found = periods(question.zone, question.grain, first, after)
    return [(it.first, it.after, it.key) for it in found]
