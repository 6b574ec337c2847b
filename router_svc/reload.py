"""Read the configuration again while running: all of it is right, or nothing changes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from router_svc.backends.base import Backend
from router_svc.backends.kinds import make_backend
from router_svc.catalog import Catalog
from svckit.config import ConfigError
from svckit.errors import ServiceError
from svckit.logging import get_logger
from svckit.settings import Settings

log = get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Change:
    """Names of backends that a reload added, removed or set anew."""

    added: tuple[str, ...]
    removed: tuple[str, ...]
    changed: tuple[str, ...]


class Reloader:
    """Applies what `reread` returns to the catalogue."""

    def __init__(
        self,
        catalog: Catalog,
        reread: Callable[[], Settings],
        built_in: Callable[[Settings], Sequence[Backend]],
    ) -> None:
        self._catalog = catalog
        self._reread = reread
        self._built_in = built_in

    async def reload(self) -> Change:
        """Read and apply. Raises INVALID_FIELD with every fault of the configuration."""
        try:
            settings = self._reread()
            before = {b.name: b for b, *_ in self._catalog.backends()}
            wanted = {config.name: config for config in settings.backends}
            kept = [
                old if (old := before.get(name)) and old.config == config else make_backend(config)
                for name, config in wanted.items()
            ]
        except ConfigError as error:
            log.error("configuration not reloaded", error=str(error))  # noqa: TRY400
            raise ServiceError("INVALID_FIELD", str(error), field="lair.toml") from error
        built_in = self._built_in(settings)
        removed = await self._catalog.configure([*kept, *built_in], settings.router.aliases)
        change = Change(
            added=tuple(name for name in wanted if name not in before),
            removed=tuple(removed),
            changed=tuple(b.name for b in kept if b.name in before and b is not before[b.name]),
        )
        log.info("configuration reloaded", added=change.added, removed=change.removed)
        await self._catalog.refresh()
        return change
