"""What `lair stats` and `lair wrapped` ask of a running lair, by REST."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, TypeAlias
from urllib.parse import urlencode

from launcher.ask import Reply, answer, get
from launcher.stats.period import Period
from svckit.settings import Settings

Json: TypeAlias = Mapping[str, Any]

_LIMIT_SECONDS = 20.0
# Between two pieces of an export.
_SILENCE_SECONDS = 60.0


@dataclass(frozen=True, slots=True)
class Usage:
    """What was used of a running lair: by `user`, for `project`, by the days of `tz`.

    Each may be empty: everybody whom the key may see, all projects, the configured zone.
    Every method raises `CommandFailedError`.
    """

    settings: Settings
    tz: str = ""
    project: str = ""
    user: str = ""

    def summary(self, period: Period) -> Json:
        """Return what `lair stats` shows: each report under its name."""
        asked = period.query()
        return {
            **asked,
            **{
                name: self._ask(f"/metrics/{name}", asked)
                for name in ("dashboard", "activity", "savings")
            },
        }

    def wrapped(self, year: int, *, private: bool) -> Json:
        """Return the figures of a year's card."""
        hidden = {"hide_names": "true"} if private else {}
        return self._ask(f"/metrics/wrapped/{year}", hidden)

    def export(self, period: Period, form: str) -> Reply:
        """Ask for counted requests in a format. Raises `UnreachableError`."""
        path = self._path("/metrics/export", {"format": form, **period.query()})
        return get(self.settings, path, seconds=_SILENCE_SECONDS)

    def _ask(self, path: str, query: Mapping[str, str]) -> Json:
        found: Json = answer(self.settings, self._path(path, query), seconds=_LIMIT_SECONDS)
        return found

    def _path(self, path: str, query: Mapping[str, str]) -> str:
        whose = {"tz": self.tz, "project": self.project, "user_id": self.user}
        asked = {**query, **{name: value for name, value in whose.items() if value}}
        return f"{path}?{urlencode(asked)}" if asked else path
