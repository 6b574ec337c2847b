"""Structured log lines, each with the id of the request it belongs to.

Lines go to stderr: coloured text on a terminal, one JSON object a line elsewhere
(or as `log_format` says). Nothing fails for a line that cannot be written.
"""

from __future__ import annotations

import logging
import sys
from collections.abc import MutableMapping
from contextvars import ContextVar
from typing import Any, TextIO, cast

import msgspec
import structlog
from structlog.typing import Processor

from svckit.telemetry import LOG_LINES_LOST

REQUEST_ID_KEY = "x-request-id"
_REDACTED = ("api_key", "authorization", "key")
_request_id: ContextVar[str] = ContextVar("request_id", default="")


def _adding_origin(service: str) -> Processor:
    def add(_: Any, __: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
        event.setdefault("service", service)
        if request_id := _request_id.get():
            event.setdefault("request_id", request_id)
        return event

    return add


def _redact(_: Any, __: str, event: dict[str, Any]) -> dict[str, Any]:
    """Keep secrets out, even where somebody binds one by mistake."""
    for name in _REDACTED:
        if event.get(name):
            event[name] = "***"
    return event


def _to_json(event: dict[str, Any], **_: Any) -> str:
    try:
        return msgspec.json.encode(event, enc_hook=str).decode()
    except Exception:  # noqa: BLE001  # whatever a value makes of it, what is logged goes on
        return msgspec.json.encode({name: _shown(event[name]) for name in event}).decode()


def _shown(value: Any) -> str:
    """Return `value` as text that has a form in UTF-8."""
    try:
        return str(value).encode("utf-8", "backslashreplace").decode()
    except Exception as error:  # noqa: BLE001  # as above
        return f"cannot be shown: {type(error).__name__}"


class _Stderr:
    """Standard error; a line it does not take (a closed pipe, a full disk) is counted as lost."""

    def __init__(self) -> None:
        self._file: TextIO | None = sys.stderr  # None where the process was given none

    def write(self, text: str) -> None:
        """Write lines, if it can be done."""
        if self._file:
            try:
                self._file.write(text)
            except (OSError, ValueError):  # nobody reads it, so it is told where others look
                LOG_LINES_LOST.inc()

    def flush(self) -> None:
        """Do nothing: each line went out as it was written."""

    def isatty(self) -> bool:
        """Tell whether a person reads along."""
        return self._file is not None and self._file.isatty()


def configure_logging(service: str, *, level: str = "info", fmt: str = "auto") -> None:
    """Set up structlog and the standard library's logging for this process.

    `fmt` is `text`, `json`, or `auto` for text on a terminal and JSON elsewhere.
    """
    number = logging.getLevelNamesMapping()[level.upper()]
    stderr = _Stderr()
    text = fmt == "text" or (fmt == "auto" and stderr.isatty())
    renderer: Any = (
        structlog.dev.ConsoleRenderer()
        if text
        else structlog.processors.JSONRenderer(serializer=_to_json)
    )
    shared: list[Any] = [
        _adding_origin(service),
        structlog.stdlib.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        _redact,
    ]
    structlog.configure(
        processors=[*shared, structlog.processors.format_exc_info, renderer],
        wrapper_class=structlog.make_filtering_bound_logger(number),
        logger_factory=structlog.WriteLoggerFactory(file=cast("TextIO", stderr)),
        cache_logger_on_first_use=True,
    )
    handler = logging.StreamHandler(stderr)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            processor=renderer,
            foreign_pre_chain=[*shared, structlog.processors.format_exc_info],
        )
    )
    logging.basicConfig(level=max(number, logging.WARNING), handlers=[handler], force=True)
    # Malformed HTTP is a client's mistake: answered, and no fault to fill the log with.
    logging.getLogger("aiohttp.server").setLevel(logging.CRITICAL)


def bind_request_id(request_id: str) -> None:
    """Put `request_id` on every line this task logs from now on."""
    _request_id.set(request_id)


def bound_request_id() -> str:
    """Return what `bind_request_id` put on the lines of this task; empty for nothing."""
    return _request_id.get()


def get_logger(name: str) -> structlog.typing.FilteringBoundLogger:
    """Return the logger of a module."""
    logger: structlog.typing.FilteringBoundLogger = structlog.get_logger(module=name)
    return logger
