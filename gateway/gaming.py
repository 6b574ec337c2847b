"""The switch of gaming mode, read from a query string and a JSON body. Pure.

Strict: a name nobody knows is refused, for who misspells `for` would leave a GPU
alone for ever.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from typing import Any

from google.protobuf.duration_pb2 import Duration

from gateway.dialects.json_body import decode_object
from gateway.dialects.json_extra import wrong
from gateway.durations import parse_duration
from gateway.hints import FLAGS
from gateway.identity import MAX_VALUE_CHARS
from lair.router.v1.router_service_pb2 import BackendMode, SetBackendModeRequest
from svckit.errors import invalid_field

_NAMES = ("enable", "for", "backend", "unload")
_WITH_ENABLE = {
    "for": "how long to leave be",
    "unload": "whether models leave the memory meanwhile",
}
_LONGEST = timedelta(days=365)


def read_switch(query: Mapping[str, str], body: bytes) -> SetBackendModeRequest:
    """Read what to switch; where both say something, the query counts."""
    given: dict[str, Any] = {**(decode_object(body) if body.strip() else {}), **query}
    known = ", ".join(_NAMES)
    for name in given:
        if name not in _NAMES:
            raise invalid_field(name, f"{name} is unknown here; send {known}")
    if given.get("enable") is None:
        raise invalid_field("enable", "enable is missing; send true or false")
    enable = _flag("enable", given["enable"])
    for name, what in _WITH_ENABLE.items():
        if not enable and given.get(name) is not None:
            raise invalid_field(name, f"{name} goes with enable=true only: it says {what}")
    return SetBackendModeRequest(
        backend=_backend(given.get("backend")),
        mode=BackendMode.BACKEND_MODE_EXPLICIT_ONLY if enable else BackendMode.BACKEND_MODE_AUTO,
        hold_duration=_hold(given.get("for")),
        unload=None if given.get("unload") is None else _flag("unload", given["unload"]),
    )


def _flag(name: str, value: object) -> bool:
    flag = FLAGS.get(value.lower()) if isinstance(value, str) else value
    if not isinstance(flag, bool):
        raise wrong(name, value, "true or false")
    return flag


def _backend(value: object) -> str:
    if value is None:
        return ""
    if not (isinstance(value, str) and value.isprintable() and len(value) <= MAX_VALUE_CHARS):
        raise wrong("backend", value, "the name of a backend; GET /providers lists them")
    return value


def _hold(value: object) -> Duration | None:
    if value is None:
        return None
    hold = Duration()
    hold.FromTimedelta(parse_duration(value, "for", longest=_LONGEST))
    return hold
