"""Requests as text: CSV for spreadsheets, JSON lines for programs."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Sequence
from typing import Protocol
from zoneinfo import ZoneInfo

import msgspec

from metrics_svc.exporting.columns import (
    ATTEMPT,
    REQUEST,
    Value,
    attempt_values,
    request_values,
)
from metrics_svc.model import RequestRow

# What a spreadsheet would take for the beginning of a formula, or strip before looking for one.
_FORMULA = frozenset("=+-@\t\r\n＝＋－＠")  # noqa: RUF001  # wide ones do as well
_MARK = "'"


class Sheet(Protocol):
    """One kind of file. What `head` and `add` return makes its text, and `rows` its size."""

    rows: int

    def head(self) -> bytes:
        """Return what comes before all rows."""

    def add(self, requests: Sequence[RequestRow]) -> bytes:
        """Return the rows of these requests."""


class Requests:
    """CSV with a row for each request."""

    def __init__(self, zone: ZoneInfo) -> None:
        self.rows = 0
        self._zone = zone

    def head(self) -> bytes:
        """Return the names of the columns."""
        return csv_lines([REQUEST])

    def add(self, requests: Sequence[RequestRow]) -> bytes:
        """Return a line for each request."""
        self.rows += len(requests)
        return csv_lines(request_values(row, self._zone) for row in requests)


class Attempts:
    """CSV with a row for each try of a backend."""

    def __init__(self, zone: ZoneInfo) -> None:
        self.rows = 0
        self._zone = zone

    def head(self) -> bytes:
        """Return the names of the columns."""
        return csv_lines([ATTEMPT])

    def add(self, requests: Sequence[RequestRow]) -> bytes:
        """Return a line for each attempt."""
        lines = [values for row in requests for values in attempt_values(row, self._zone)]
        self.rows += len(lines)
        return csv_lines(lines)


class JsonLines:
    """A JSON object in each line: a request, whose `attempts` are a list."""

    def __init__(self, zone: ZoneInfo) -> None:
        self.rows = 0
        self._zone = zone
        self._encoder = msgspec.json.Encoder()

    def head(self) -> bytes:
        """Return nothing: each line names its values."""
        return b""

    def add(self, requests: Sequence[RequestRow]) -> bytes:
        """Return a line for each request."""
        self.rows += len(requests)
        return self._encoder.encode_lines([self._object(row) for row in requests])

    def _object(self, row: RequestRow) -> dict[str, object]:
        said: dict[str, object] = dict(zip(REQUEST, request_values(row, self._zone), strict=True))
        # Their first three columns are those of the request.
        said["attempts"] = [
            dict(zip(ATTEMPT[3:], values[3:], strict=True))
            for values in attempt_values(row, self._zone)
        ]
        return said


def csv_lines(rows: Iterable[Sequence[Value]]) -> bytes:
    """Write rows as CSV; what is unknown is empty, and no text is a formula."""
    text = io.StringIO()
    csv.writer(text).writerows([_cell(value) for value in row] for row in rows)
    return text.getvalue().encode()


def inert(text: str) -> str:
    """Return a text that no spreadsheet takes for a formula: such a one begins with `'`.

    So does one that began with `'` itself, so taking one away gives every text back.
    """
    risky = text.startswith(_MARK) or text[:1] in _FORMULA or text.lstrip()[:1] in _FORMULA
    return _MARK + text if text and risky else text


def _cell(value: Value) -> Value:
    if isinstance(value, bool):
        return "true" if value else "false"
    return inert(value) if isinstance(value, str) else value
