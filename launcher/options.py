"""Options that several commands share, and the settings they lead to."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import typer

from launcher.configuration import Resolved, override, resolve

ConfigFile = Annotated[
    Path | None, typer.Option("--config", help="Settings file. Default: ./lair.toml if it exists.")
]
DataDir = Annotated[
    Path | None, typer.Option("--data-dir", help="Where databases, journals and keys are.")
]
# The ports of gRPC and llama.cpp follow it, up to 4 higher.
HttpPort = Annotated[
    int | None, typer.Option("--port", min=1, max=65531, help="HTTP port; gRPC ports follow it.")
]
GrpcPort = Annotated[
    int | None, typer.Option("--port", min=1, max=65535, help="gRPC port on loopback.")
]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]


def resolved_by(
    config: Path | None,
    *,
    port: int | None = None,
    data_dir: Path | None = None,
    more: Mapping[str, object] | None = None,
) -> Resolved:
    """Read the settings that these options ask for. Raises `ConfigError`."""
    overrides: dict[str, Any] = {}
    override(overrides, "data_dir", data_dir and data_dir.absolute())
    override(overrides, "gateway.port", port)
    for key, value in (more or {}).items():
        override(overrides, key, value)
    return resolve(config, overrides)
