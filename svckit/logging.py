"""Structured log lines, each with the id of the request it belongs to.

Lines go to stderr: coloured text on a terminal, one JSON object a line elsewhere
(or as `log_format` says).
"""

from __future__ import annotations

import logging
import sys
from collections.abc import MutableMapping
from contextvars import ContextVar
from typing import Any

import msgspec
import structlog
from structlog.typing import Processor

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
    return msgspec.json.encode(event, enc_hook=str).decode()


def configure_logging(service: str, *, level: str = "info", fmt: str = "auto") -> None:
    """Set up structlog and the standard library's logging for this process.

    `fmt` is `text`, `json`, or `auto` for text on a terminal and JSON elsewhere.
    """
    number = logging.getLevelNamesMapping()[level.upper()]
    text = fmt == "text" or (fmt == "auto" and sys.stderr.isatty())
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
        logger_factory=structlog.WriteLoggerFactory(file=sys.stderr),
        cache_logger_on_first_use=True,
    )
    handler = logging.StreamHandler(sys.stderr)
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
