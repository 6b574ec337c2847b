"""The settings of this command, and how its children come to the same ones.

What a setting means is said in `svckit.settings`, how they are read in
`svckit.config`.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from launcher.exits import RefusedError
from svckit.config import CONFIG_VARIABLE, PREFIX, find_config_file, load_settings
from svckit.settings import Settings


@dataclass(frozen=True, slots=True)
class Resolved:
    """Settings, the file they come from, and the environment that gives a child the same."""

    settings: Settings
    file: Path | None
    environment: Mapping[str, str]


def resolve(file: Path | None, overrides: Mapping[str, Any]) -> Resolved:
    """Read the settings; `overrides` are the command line's. Raises `ConfigError`."""
    file = file or find_config_file(os.environ)
    file = file.absolute() if file else None
    environment = {**os.environ, **dict(_variables(overrides, PREFIX))}
    if file:
        environment[CONFIG_VARIABLE] = str(file)
    return Resolved(load_settings(file, overrides=overrides), file, environment)


def adopt(resolved: Resolved) -> None:
    """Have who reads the settings again in this process, as a reload does, come to the same."""
    os.environ.update(resolved.environment)


def override(tree: dict[str, Any], key: str, value: object) -> None:
    """Set `section.key` in `tree`, unless `value` is None."""
    if value is None:
        return
    *sections, last = key.split(".")
    for section in sections:
        tree = tree.setdefault(section, {})
    tree[last] = value


def make_data_dir(path: Path) -> None:
    """Make the data directory for this user only, if there is none yet."""
    try:
        path.mkdir(mode=0o700, parents=True, exist_ok=True)
        reason = "" if os.access(path, os.W_OK | os.X_OK) else "this user may not write there"
    except OSError as error:
        reason = error.strerror or str(error)
    if reason:
        raise RefusedError(
            f"data directory {path}: {reason}; choose another with --data-dir or data_dir in "
            "lair.toml"
        )


def _variables(overrides: Mapping[str, Any], prefix: str) -> Iterator[tuple[str, str]]:
    for key, value in overrides.items():
        name = prefix + key.upper()
        if isinstance(value, Mapping):
            yield from _variables(value, f"{name}__")
        else:
            yield name, str(value)
