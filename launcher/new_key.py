"""Make an API key out of what a person wishes for it. Pure but for clock and chance."""

from __future__ import annotations

import re
import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from launcher.exits import CommandFailedError
from svckit.keys import DEFAULT_SCOPES, SCOPES, ApiKey, digest_of, new_secret, prefix_of

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
_LENGTH = re.compile(r"(\d{1,5})([mhd])", re.ASCII)
_UNITS = {"m": timedelta(minutes=1), "h": timedelta(hours=1), "d": timedelta(days=1)}
_ID_BYTES = 6
_LONGEST_VALUE = 256


@dataclass(frozen=True, slots=True)
class Wish:
    """What a key is to allow; `scopes` and `expires` as they were written."""

    name: str
    user_id: str
    project: str = ""
    scopes: str = ""
    models: tuple[str, ...] = ()
    memory_policy: str = ""
    priority: str = ""
    requests_per_minute: int = 0
    tokens_per_day: int = 0
    expires: str = ""


def made(wish: Wish, others: Sequence[ApiKey], now: datetime) -> tuple[ApiKey, str]:
    """Return a key beside `others`, and its secret. Raises `CommandFailedError`.

    `now` is the local time, in whose zone days are meant.
    """
    _require_name(wish.name, others)
    for what, value in (("user", wish.user_id), ("project", wish.project)):
        if len(value) > _LONGEST_VALUE or not value.isprintable():
            raise CommandFailedError(
                f"--{what} must be printable text of at most {_LONGEST_VALUE} characters"
            )
    secret = new_secret()
    key = ApiKey(
        id=secrets.token_hex(_ID_BYTES),
        name=wish.name,
        prefix=prefix_of(secret),
        digest=digest_of(secret),
        scopes=_scopes(wish.scopes),
        user_id=wish.user_id,
        project=wish.project,
        models=wish.models,
        memory_policy=wish.memory_policy,
        priority=wish.priority,
        requests_per_minute=wish.requests_per_minute,
        tokens_per_day=wish.tokens_per_day,
        created_us=_us(now),
        expires_us=_us(_moment(wish.expires, now)) if wish.expires else None,
        disabled=False,
    )
    return key, secret


def _require_name(name: str, others: Sequence[ApiKey]) -> None:
    if not _NAME.fullmatch(name):
        raise CommandFailedError(
            f"{name!r} is no name for a key; take up to 64 letters, digits, dots, - and _, the "
            "first a letter or digit"
        )
    if any(name in (other.name, other.id) for other in others):
        raise CommandFailedError(
            f"there is a key {name!r} already; take another name, or first: lair keys delete {name}"
        )


def _scopes(written: str) -> frozenset[str]:
    if not written:
        return DEFAULT_SCOPES
    found = frozenset(part.strip() for part in written.split(","))
    if unknown := sorted(found - set(SCOPES)):
        raise CommandFailedError(
            f"--scope: {unknown[0]!r} is no scope; there are: {', '.join(SCOPES)}"
        )
    return found


def _moment(written: str, now: datetime) -> datetime:
    """Return when a key ends: after a length of time, or as a day begins."""
    if length := _LENGTH.fullmatch(written):
        end = now + int(length[1]) * _UNITS[length[2]]
    else:
        try:
            end = datetime.fromisoformat(f"{written}T00:00").replace(tzinfo=now.tzinfo)
        except ValueError:
            raise CommandFailedError(
                f"--expires: {written!r} is neither a length of time like 30d, 12h or 45m nor a "
                "day like 2027-01-01"
            ) from None
    if end <= now:
        raise CommandFailedError(f"--expires: {written} is over already")
    return end


def _us(moment: datetime) -> int:
    return round(moment.astimezone(UTC).timestamp() * 1_000_000)
