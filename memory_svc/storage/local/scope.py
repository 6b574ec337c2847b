"""Which of an owner's messages a search may find, told without reading any message."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from memory_svc.model import SearchFilter
from memory_svc.retrieval.evidence import Bools, Ints
from memory_svc.storage.local.shelf import Shelf
from svckit.sqlite import Database

_CONVERSATIONS = """
select c.key from conversation as c
where c.owner = :owner
  and (:project = '' or c.project = :project)
  and (:session_id = '' or c.session_id = :session_id)
  and (:conversation_id = '' or c.id = :conversation_id)
  and (:tags = '[]' or exists (
    select 1 from json_each(c.tags) as has join json_each(:tags) as wanted
    where has.value = wanted.value))
"""

_CONVERSATION = "select key from conversation where owner = :owner and id = :exclude"


@dataclass(frozen=True, slots=True)
class Scope:
    """A filter with its conversations by key: all of them unless `conversations` names some."""

    where: SearchFilter
    conversations: Ints | None
    excluded: int | None

    def allowed(self, shelf: Shelf) -> Bools | None:
        """Tell which places may be found; None for all."""
        where, parts = self.where, []
        if self.conversations is not None:
            parts.append(np.isin(shelf.conversations, self.conversations))
        if self.excluded is not None:
            parts.append(shelf.conversations != self.excluded)
        if where.roles:
            parts.append(np.where(shelf.by_user, "user" in where.roles, "assistant" in where.roles))
        if where.start_us is not None:
            parts.append(shelf.created_us >= where.start_us)
        if where.end_us is not None:
            parts.append(shelf.created_us < where.end_us)
        return np.logical_and.reduce(parts) if parts else None


async def read_scope(database: Database, owner: int, where: SearchFilter) -> Scope:
    """Look up the conversations that a filter names."""
    conversations, excluded = None, None
    parameters = parameters_of(owner, where)
    if where.project or where.session_id or where.conversation_id or where.tags:
        rows = await database.fetch(_CONVERSATIONS, parameters)
        conversations = np.array([row["key"] for row in rows], dtype=np.int64)
    if where.exclude_conversation_id:
        rows = await database.fetch(_CONVERSATION, parameters)
        excluded = int(rows[0]["key"]) if rows else None
    return Scope(where, conversations, excluded)


def parameters_of(owner: int, where: SearchFilter) -> Mapping[str, Any]:
    """Return a filter as parameters of a query."""
    return {
        "owner": owner,
        "project": where.project,
        "session_id": where.session_id,
        "conversation_id": where.conversation_id,
        "exclude": where.exclude_conversation_id,
        "roles": json.dumps(where.roles),
        "start_us": where.start_us,
        "end_us": where.end_us,
        "tags": json.dumps(where.tags),
    }
