"""How often a key was used, and how often it may be: requests a minute, tokens a day.

Kept in memory, by this process alone. A minute's requests are a bucket that fills
evenly, so a client may send all of them at once and then one every 60/n seconds. A day
is one of UTC.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import dataclass

from svckit.errors import ServiceError
from svckit.keys import ApiKey

_MINUTE = 60.0
_DAY = 86_400


@dataclass(slots=True)
class _Use:
    """What one key has left of its minute at `filled`, and the tokens of its `day`.

    `day` is counted from 1970; -1 while nobody has said what was used of today.
    """

    requests_left: float
    filled: float
    day: int = -1
    tokens: int = 0


class Limits:
    """Counts what keys with limits use."""

    def __init__(
        self,
        *,
        clock: Callable[[], float] = time.monotonic,
        wall: Callable[[], float] = time.time,
    ) -> None:
        self._clock = clock
        self._wall = wall
        self._uses: dict[str, _Use] = {}

    def knows_today(self, key: ApiKey) -> bool:
        """Tell whether it is known how many tokens the key used of its day."""
        use = self._uses.get(key.id)
        return use is not None and use.day >= 0

    def begin_day(self, key: ApiKey, tokens: int) -> None:
        """Note how many tokens of today the key used before this process counts, once."""
        use = self._use(key)
        if use.day < 0:
            use.day, use.tokens = self._today(), tokens

    def today_us(self) -> int:
        """Return when today began, in microseconds since 1970."""
        return self._today() * _DAY * 1_000_000

    def admit(self, key: ApiKey, *, asks_model: bool) -> None:
        """Count a request, unless the key has used up a limit: then raise RATE_LIMITED."""
        use = self._use(key)
        if asks_model and 0 < key.tokens_per_day <= use.tokens:
            raise _over(
                f"the key {key.name!r} has used its {key.tokens_per_day} tokens of this day (UTC)",
                self._to_midnight(),
            )
        if key.requests_per_minute:
            if use.requests_left < 1:
                raise _over(
                    f"the key {key.name!r} may send {key.requests_per_minute} requests a minute",
                    (1 - use.requests_left) * _MINUTE / key.requests_per_minute,
                )
            use.requests_left -= 1

    def counts(self, key_id: str) -> bool:
        """Tell whether it matters what answers for this key cost."""
        use = self._uses.get(key_id)
        return use is not None and use.day >= 0

    def spend(self, key_id: str, tokens: int) -> None:
        """Count tokens that an answer took."""
        use = self._uses.get(key_id)
        if use is not None:
            self._turn(use)
            use.tokens += tokens

    def headers(self, key: ApiKey) -> dict[str, str]:
        """Return what tells a client how far it is from its limits."""
        use = self._use(key)
        headers: dict[str, str] = {}
        if limit := key.requests_per_minute:
            missing = (limit - use.requests_left) * _MINUTE / limit
            headers |= _headers("requests", limit, math.floor(use.requests_left), missing)
        if limit := key.tokens_per_day:
            headers |= _headers("tokens", limit, limit - use.tokens, self._to_midnight())
        return headers

    def _use(self, key: ApiKey) -> _Use:
        """Return the use of a key as it is now."""
        now, limit = self._clock(), key.requests_per_minute
        use = self._uses.get(key.id)
        if use is None:
            use = self._uses[key.id] = _Use(limit, now)
        filled = use.requests_left + (now - use.filled) * limit / _MINUTE
        use.requests_left, use.filled = min(limit, filled), now
        self._turn(use)
        return use

    def _turn(self, use: _Use) -> None:
        """Begin a new day when it is one."""
        if 0 <= use.day < (today := self._today()):
            use.day, use.tokens = today, 0

    def _today(self) -> int:
        return int(self._wall() // _DAY)

    def _to_midnight(self) -> float:
        return _DAY - self._wall() % _DAY


def written(seconds: float) -> str:
    """Write a length of time as OpenAI's headers do: `12ms`, `1s`, `6m0s`, `1h0m0s`."""
    milliseconds = math.ceil(max(0.0, seconds) * 1000)
    if milliseconds < 1000:  # noqa: PLR2004  # a second
        return f"{milliseconds}ms"
    minutes, rest = divmod(math.ceil(milliseconds / 1000), 60)
    hours, minutes = divmod(minutes, 60)
    if hours:
        return f"{hours}h{minutes}m{rest}s"
    return f"{minutes}m{rest}s" if minutes else f"{rest}s"


def _headers(what: str, limit: int, left: int, reset_seconds: float) -> dict[str, str]:
    return {
        f"x-ratelimit-limit-{what}": str(limit),
        f"x-ratelimit-remaining-{what}": str(max(0, left)),
        f"x-ratelimit-reset-{what}": written(reset_seconds),
    }


def _over(message: str, seconds: float) -> ServiceError:
    wait = math.ceil(seconds)
    return ServiceError(
        "RATE_LIMITED", f"{message}; try again in {written(wait)}", retry_after_seconds=str(wait)
    )
