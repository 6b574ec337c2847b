"""What can be done with a stored request: find it again, change its record, delete it."""

from __future__ import annotations

from typing import TypeVar

from memory_svc.model import StoredTurn, TurnFilter
from memory_svc.records import record_fault
from memory_svc.storage.base import MemoryStore
from svckit.errors import ServiceError, invalid_field
from svckit.times import now_us

T = TypeVar("T")


class Turns:
    """The use cases over one store."""

    def __init__(self, store: MemoryStore) -> None:
        self._store = store

    async def get(self, user_id: str | None, request_id: str) -> StoredTurn:
        """Return one turn with its content, anybody's if `user_id` is None."""
        return _existing(await self._store.turn(user_id, request_id), request_id)

    async def page(
        self,
        where: TurnFilter,
        *,
        place: tuple[int, int] | None,
        after_request_id: str,
        limit: int,
    ) -> tuple[list[StoredTurn], bool]:
        """List turns from behind `place`, and tell whether there are more.

        Without a place, which a page before told, from behind `after_request_id`.
        """
        if place is None and after_request_id:
            after = await self.get(where.user_id, after_request_id)
            place = after.created_us, after.key
        return await self._store.turns(where, place, limit)

    async def update(self, user_id: str, request_id: str, record: bytes) -> StoredTurn:
        """Put another record in a turn and return it."""
        if fault := record_fault(record):
            raise invalid_field("record_json", f"{fault}; send a smaller or another one")
        updated = await self._store.update_turn(user_id, request_id, record)
        _existing(updated or None, request_id)
        return await self.get(user_id, request_id)

    async def delete(self, user_id: str, request_id: str) -> int:
        """Delete a turn; return how many messages are gone with it."""
        deleted = await self._store.delete_turn(user_id, request_id, now_us())
        return _existing(deleted, request_id)


def turn_not_found(request_id: str, where: str = "this user has") -> ServiceError:
    """Say that there is no such turn."""
    return ServiceError(
        "TURN_NOT_FOUND",
        f"{where} no stored answer to the request {request_id!r}",
        request_id=request_id,
    )


def _existing(found: T | None, request_id: str) -> T:
    if found is None:
        raise turn_not_found(request_id)
    return found
