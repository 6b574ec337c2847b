"""Conditions of SQL from what a question asks for: fixed texts, and values as parameters."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from metrics_svc.model import Scope
from metrics_svc.query import DIMENSIONS, Question, Value
from metrics_svc.storage.combos import KINDS
from metrics_svc.storage.ranges import Quarters

Parameters = dict[str, Any]

_EVERYTHING = "true"


def alike(question: Question, table: str, known: Sequence[str]) -> tuple[str, Parameters]:
    """Return the condition that a row of `table` is of the question's scope and filters.

    `known` are the dimensions that the table has. Raises `ValueError` for others.
    """
    wanted: dict[str, Sequence[Value]] = dict(question.filters)
    conditions, parameters = [], {}
    for name in (*wanted, *question.dimensions):
        if name not in known or name not in DIMENSIONS:
            raise ValueError(f"{name!r} is none of {', '.join(known)}")
    for number, (name, values) in enumerate(wanted.items()):
        conditions.append(_one_of(f"{table}.{name}", name, f"filter{number}"))
        parameters[f"filter{number}"] = json.dumps(list(values))
    more, owner = of_scope(question.scope, table)
    return " and ".join([*conditions, more]), {**parameters, **owner}


def of_scope(scope: Scope, table: str) -> tuple[str, Parameters]:
    """Return the condition that a row of `table` is of the scope, its time aside."""
    owner = {"user": scope.user, "project": scope.project, "key": scope.key}
    used = {name: value for name, value in owner.items() if value}
    conditions = [
        f"{table}.{name} = (select id from dim where kind = {KINDS[name]:d} and value = :{name})"  # noqa: S608  # fixed names
        for name in used
    ]
    return " and ".join(conditions) or _EVERYTHING, used


def of_time(column: str, part: Quarters) -> tuple[str, Parameters]:
    """Return the condition that a column of buckets lies in whole buckets of a range.

    Without bounds there must be no condition, or SQLite would look up every row.
    """
    bounds = {"first": (">=", part.first), "after": ("<", part.after)}
    used = {name: it for name, it in bounds.items() if it[1] is not None}
    conditions = [f"{column} {sign} :{name}" for name, (sign, _) in used.items()]
    return " and ".join(conditions) or _EVERYTHING, {name: at for name, (_, at) in used.items()}


def _one_of(column: str, name: str, parameter: str) -> str:
    listed = f"select value from json_each(:{parameter})"  # noqa: S608  # fixed names
    if name not in KINDS:
        return f"{column} in ({listed})"
    return (
        f"({column} in (select id from dim where kind = {KINDS[name]:d} and value in ({listed}))"  # noqa: S608  # fixed names
        f" or ({column} = 0 and '' in ({listed})))"
    )


def columns(dimensions: Sequence[str], table: str) -> Mapping[str, str]:
    """Return what dimensions are in SQL."""
    return {name: f"{table}.{name}" for name in dimensions}
