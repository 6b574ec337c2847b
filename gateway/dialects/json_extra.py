"""The split of one JSON object into typed fields and `extra_json`, and the way back.

A typed field takes what it can carry exactly. All else stays behind: fields we do
not know, an explicit null, an empty string where the contract cannot tell it from
an absent one.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

from gateway.dialects.json_body import shown
from svckit.errors import ServiceError, invalid_field

INT32_MAX = 2**31 - 1
INT64_MIN, INT64_MAX = -(2**63), 2**63 - 1


class Fields:
    """The fields of one JSON object: each is taken once, the rest is its extra.

    A taken field is None where the object lacks it or holds null. `path` names the
    object in messages, as the caller would write it.
    """

    __slots__ = ("_left", "_path")

    def __init__(self, value: object, path: str) -> None:
        if not isinstance(value, dict):
            raise wrong(path, value, "an object")
        self._left: dict[str, Any] = dict(value)
        self._path = path

    def __bool__(self) -> bool:
        """Tell whether anything is left."""
        return bool(self._left)

    def __contains__(self, name: str) -> bool:
        """Tell whether a field is left, null included."""
        return name in self._left

    def path(self, name: str) -> str:
        """Return the path of the field `name`."""
        return f"{self._path}.{name}" if self._path else name

    def peek(self, name: str) -> Any:
        """Return a field as it came, and leave it."""
        return self._left.get(name)

    def take(self, name: str) -> Any:
        """Take a field as it came, null included."""
        return self._left.pop(name, None)

    def text(self, name: str, *, expected: str = "a string") -> str | None:
        """Take a string."""
        value = self._left.get(name)
        if value is None:
            return None
        if not isinstance(value, str):
            raise wrong(self.path(name), value, expected)
        del self._left[name]
        return value

    def plain_text(self, name: str) -> str | None:
        """Take a string for a field without presence: an empty one stays behind."""
        return self.text(name) if self._left.get(name) != "" else None

    def required_text(self, name: str, *, expected: str = "a string") -> str:
        """Take a string that must be there."""
        value = self.text(name, expected=expected)
        if value is None:
            raise self.absent(name, expected)
        return value

    def flag(self, name: str) -> bool | None:
        """Take true or false."""
        value = self._left.get(name)
        if value is None:
            return None
        if not isinstance(value, bool):
            raise wrong(self.path(name), value, "true or false")
        del self._left[name]
        return value

    def integer(self, name: str, low: int, high: int) -> int | None:
        """Take an integer from `low` to `high`."""
        value = self._left.get(name)
        if value is None:
            return None
        if not isinstance(value, int) or isinstance(value, bool) or not low <= value <= high:
            raise wrong(self.path(name), value, f"an integer {_range(low, high)}")
        del self._left[name]
        return value

    def number(self, name: str, low: float, high: float) -> float | None:
        """Take a number from `low` to `high`."""
        value = self._left.get(name)
        if value is None:
            return None
        if (
            not isinstance(value, (int, float))  # a union of types is made anew each time
            or isinstance(value, bool)
            or not low <= value <= high
        ):
            raise wrong(self.path(name), value, f"a number from {low:g} to {high:g}")
        del self._left[name]
        return float(value)

    def items(self, name: str) -> list[Any]:
        """Take a list; an empty one stays behind, for a repeated field has no presence."""
        value = self._left.get(name)
        if value is None:
            return []
        if not isinstance(value, list):
            raise wrong(self.path(name), value, "a list")
        if value:
            del self._left[name]
        return value

    def object(self, name: str) -> Mapping[str, Any] | None:
        """Take an object."""
        value = self._left.get(name)
        if value is None:
            return None
        if not isinstance(value, dict):
            raise wrong(self.path(name), value, "an object")
        del self._left[name]
        return value

    def absent(self, name: str, expected: str) -> ServiceError:
        """Say that a field must be there."""
        field = self.path(name)
        state = "null" if name in self._left else "missing"
        return invalid_field(field, f"{field} is {state}; send {expected}")

    def extra(self) -> bytes:
        """Return what was not taken, as JSON; empty if that is nothing."""
        return msgspec.json.encode(self._left) if self._left else b""


def wrong(field: str, value: object, expected: str) -> ServiceError:
    """Say what was sent in a field and what to send instead."""
    return invalid_field(field, f"{field} is {shown(value)}; send {expected}")


def optional_json(data: bytes) -> Any:
    """Decode JSON bytes of the contract; empty means null."""
    return msgspec.json.decode(data) if data else None


def _range(low: int, high: int) -> str:
    if high in (INT32_MAX, INT64_MAX):
        return "of 64 bits" if low == INT64_MIN else f"of at least {low}"
    return f"from {low} to {high}"
