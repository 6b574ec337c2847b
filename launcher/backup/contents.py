"""What a backup holds: the databases, the keys, and what waits to be delivered.

Exported models are left out, as every lair makes its own, and so is `lair.toml`, which is the
person's. The owner's token is left out because a copy of it would open the running lair.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from svckit.keys import keys_file
from svckit.settings import Settings

MANIFEST = "manifest.json"
FORMAT = 1
# A file that only says which process is there.
_LOCK = "lock"


def databases(settings: Settings) -> dict[str, Path]:
    """Return where each database is, by its name in a backup."""
    return {
        "memory/memory.db": settings.memory_database,
        "metrics/metrics.db": settings.metrics_database,
    }


def router_folder(settings: Settings) -> Path:
    """Return where the router keeps its journals and modes."""
    return settings.data_dir / "router"


def plain_files(settings: Settings) -> Iterator[tuple[str, Path]]:
    """Yield name and path of what is no database and is there."""
    keys = keys_file(settings.data_dir)
    if keys.exists():
        yield "gateway/keys.json", keys
    folder = router_folder(settings)
    for path in sorted(folder.rglob("*"), key=lambda path: (path.suffix == ".log", path)):
        if path.is_file() and path.name != _LOCK:
            yield f"router/{path.relative_to(folder).as_posix()}", path


def place(settings: Settings, name: str) -> Path | None:
    """Return where a backup's file belongs; None for what belongs nowhere."""
    known = {**databases(settings), "gateway/keys.json": keys_file(settings.data_dir)}
    if name in known:
        return known[name]
    parts = Path(name).parts
    if parts[:1] == ("router",) and len(parts) > 1 and ".." not in parts:
        return router_folder(settings).joinpath(*parts[1:])
    return None
