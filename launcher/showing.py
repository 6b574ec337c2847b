"""`lair config show`: the settings as they were resolved, as TOML or JSON, without secrets."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

from launcher.configuration import Resolved
from svckit.masking import masked
from svckit.settings import Settings

_HIDDEN = "***"


def as_json(resolved: Resolved) -> str:
    """Return the settings as one JSON object, with the file they come from."""
    body = {"file": str(resolved.file) if resolved.file else None, "settings": _plain(resolved)}
    return json.dumps(body, indent=2, ensure_ascii=False)


def as_toml(resolved: Resolved) -> str:
    """Return the settings as a `lair.toml`; what is unset is a comment."""
    return "\n".join(_toml(resolved)) + "\n"


def origin(resolved: Resolved) -> str:
    """Tell where the settings come from."""
    if resolved.file:
        return f"{resolved.file}, the environment and the command line"
    return "the environment and the command line; there is no lair.toml here"


def _plain(resolved: Resolved) -> dict[str, Any]:
    return _redacted(resolved.settings).model_dump(mode="json")


def _redacted(settings: Settings) -> Settings:
    """Hide keys and passwords; a reference like `env:NAME` holds no secret."""
    backends = tuple(
        backend.model_copy(
            update={"api_key": _redacted_key(backend.api_key), "url": masked(backend.url)}
        )
        for backend in settings.backends
    )
    return settings.model_copy(update={"backends": backends})


def _redacted_key(key: str | None) -> str | None:
    return key if key is None or key.startswith("env:") else _HIDDEN


def _toml(resolved: Resolved) -> Iterator[str]:
    settings = _plain(resolved)
    yield f"# from {origin(resolved)}"
    yield from _table({k: v for k, v in settings.items() if not _is_table(v)})
    for name, value in settings.items():
        if isinstance(value, Mapping):
            yield from ("", f"[{name}]", *_table(value))
    for backend in settings["backends"]:
        yield from ("", "[[backends]]", *_table(backend))


def _is_table(value: Any) -> bool:
    return isinstance(value, Mapping) or value == [] or _is_tables(value)


def _is_tables(value: Any) -> bool:
    return isinstance(value, list) and all(isinstance(item, Mapping) for item in value)


def _table(values: Mapping[str, Any]) -> Iterator[str]:
    for key, value in values.items():
        # JSON's strings, numbers, booleans and lists are TOML's too; its null is not.
        yield (
            f"# {key} is not set"
            if value is None
            else f"{key} = {json.dumps(value, ensure_ascii=False)}"
        )
