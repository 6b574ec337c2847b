"""Read the settings: `lair.toml`, then the environment, then the command line.

Strict: a key nobody knows is an error that names the nearest one.
"""

from __future__ import annotations

import difflib
import os
import tomllib
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, get_origin

from pydantic import BaseModel, ValidationError
from pydantic_settings import BaseSettings, EnvSettingsSource, SettingsConfigDict, SettingsError

from svckit.settings import Settings

PREFIX = "LAIR_"
CONFIG_VARIABLE = "LAIR_CONFIG"

# The seed's variables, and the settings they mean today.
SEED_VARIABLES: dict[str, tuple[str, ...]] = {
    "ENABLE_MEMORY": ("memory", "enabled"),
    "DATABASE_PATH": ("memory", "database"),
    "ENABLE_METRICS": ("metrics", "enabled"),
    "METRICS_BATCH_SIZE": ("metrics", "batch_size"),
    "ENABLE_RAG": ("memory", "index"),
    "RAG_CONTEXT_LIMIT": ("memory", "context_limit"),
    "RAG_SIMILARITY_THRESHOLD": ("memory", "similarity_threshold"),
    "EMBEDDING_MODEL": ("memory", "embedding_model"),
}


class ConfigError(Exception):
    """The settings cannot be used; one line for each problem, for the person to mend."""


class _Env(BaseSettings):
    """Only the shape that tells pydantic-settings which variables there are."""

    model_config = SettingsConfigDict(env_prefix=PREFIX, env_nested_delimiter="__")


def _known_keys(model: type[BaseModel], loc: Iterable[str | int]) -> list[str]:
    """List the keys of the table that holds `loc`."""
    current: Any = model
    for part in loc:  # neither a number in a list nor a name in a table of tables is a key
        field = current.model_fields.get(part)
        inner = field.annotation if field else None
        arguments = getattr(inner, "__args__", (inner,))
        inner = arguments[-1] if get_origin(inner) is dict else arguments[0]
        if isinstance(inner, type) and issubclass(inner, BaseModel):
            current = inner
    return sorted(current.model_fields)


def nearest(name: str, known: Iterable[str]) -> str:
    """Word a hint at the known name that looks most like `name`."""
    candidates = list(known)
    found = difflib.get_close_matches(name, candidates, n=1, cutoff=0.5)
    if found:
        return f"did you mean {found[0]!r}?"
    return f"known here: {', '.join(candidates)}"


def _explain(error: ValidationError, origin: str) -> ConfigError:
    lines = []
    for problem in error.errors():
        loc = problem["loc"]
        where = ".".join(str(part) for part in loc)
        if problem["type"] == "extra_forbidden":
            hint = nearest(str(loc[-1]), _known_keys(Settings, loc[:-1]))
            lines.append(f"{origin}: unknown key {where!r}; {hint}")
        else:
            message = problem["msg"].removeprefix("Value error, ")
            got = "" if _is_secret(loc, problem["input"]) else f" (got {problem['input']!r})"
            lines.append(f"{origin}: {where}: {message}{got}")
    return ConfigError("\n".join(lines))


def _is_secret(loc: tuple[str | int, ...], value: object) -> bool:
    """Tell whether a value, or what it may hold, is not to be shown."""
    if isinstance(value, str) and "url" in loc:
        return "@" in value
    return "api_key" in loc or isinstance(value, dict | list)


def _merge(base: dict[str, Any], over: Mapping[str, Any]) -> dict[str, Any]:
    merged = dict(base)
    for key, value in over.items():
        old = merged.get(key)
        both = isinstance(old, dict) and isinstance(value, Mapping)
        merged[key] = _merge(old, value) if both and isinstance(old, dict) else value
    return merged


def _from_environment(environ: Mapping[str, str]) -> dict[str, Any]:
    """Collect `LAIR_*` and the seed's variables; an unknown one is an error."""
    values: dict[str, Any] = {}
    for variable, path in SEED_VARIABLES.items():
        if environ.get(variable):
            section, key = path
            values.setdefault(section, {})[key] = environ[variable]
    if "DAILY_STATS_UPDATE_INTERVAL" in environ:
        # Sums are written with the requests, so they are never older than the last one.
        seconds = environ["DAILY_STATS_UPDATE_INTERVAL"]
        if not seconds.isdecimal():
            raise ConfigError(
                f"environment: DAILY_STATS_UPDATE_INTERVAL: {seconds!r} is no number of seconds; "
                "leave it out: daily figures are always up to date"
            )
    if environ.get("ENABLE_RAG"):
        values.setdefault("memory", {})["recall"] = environ["ENABLE_RAG"]
    if environ.get("DATABASE_PATH"):
        memory = Path(environ["DATABASE_PATH"])
        beside = memory.with_name(f"{memory.stem}-metrics{memory.suffix}")
        values.setdefault("metrics", {})["database"] = str(beside)
    own = {k: v for k, v in environ.items() if k.startswith(PREFIX) and k != CONFIG_VARIABLE}
    top = {key.removeprefix(PREFIX).split("__")[0].lower(): key for key in own}
    for name, variable in top.items():
        if name not in Settings.model_fields and variable not in INTERNAL_VARIABLES:
            hint = nearest(name, Settings.model_fields)
            raise ConfigError(f"environment: unknown variable {variable}; {hint}")
    source = EnvSettingsSource(
        type("Env", (Settings, _Env), {"__module__": __name__}),
        env_prefix=PREFIX,
        env_nested_delimiter="__",
    )
    source.env_vars = {key.lower(): value for key, value in own.items()}
    try:
        return _merge(values, source())
    except SettingsError as error:
        raise ConfigError(f"environment: {error}; write it as JSON") from error


# No settings: set by the supervisor for its children, and by people for the commands that ask lair.
INTERNAL_VARIABLES = frozenset({"LAIR_SUPERVISED", "LAIR_API_KEY"})


def _read_file(path: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read: {error.strerror}") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path}: is not valid TOML: {error}") from error


def find_config_file(environ: Mapping[str, str]) -> Path | None:
    """Return `$LAIR_CONFIG`, else `lair.toml` in the working directory, else None."""
    if environ.get(CONFIG_VARIABLE):
        return Path(environ[CONFIG_VARIABLE])
    here = Path("lair.toml")
    return here if here.is_file() else None


def load_settings(
    path: Path | None = None,
    *,
    overrides: Mapping[str, Any] | None = None,
    environ: Mapping[str, str] | None = None,
) -> Settings:
    """Read the settings; `overrides` (the command line) win over all else.

    Raises `ConfigError` whose text has one line for each problem.
    """
    environ = os.environ if environ is None else environ
    path = path or find_config_file(environ)
    values = _read_file(path) if path else {}
    origin = str(path) if path else "settings"
    try:
        if path:
            Settings.model_validate(values)  # blame the file for what the file says
    except ValidationError as error:
        raise _explain(error, origin) from error
    try:
        values = _merge(values, _from_environment(environ))
        return Settings.model_validate(_merge(values, overrides or {}))
    except ValidationError as error:
        raise _explain(error, "environment or command line") from error
