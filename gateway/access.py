"""Who may do what: the key of a request, its scope, and its limits.

Without keys everybody who reaches the gateway is the owner of the machine. As soon as
there is one, each request but those of open routes needs one; then the owner's own
commands show a token that the gateway leaves for them in its data directory.
"""

from __future__ import annotations

import secrets
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path

from aiohttp import web

from gateway.clients import HEALTH_SECONDS, Clients, ask
from gateway.context import request_id_of, set_key
from gateway.keyring import KeyRing
from lair.metrics.v1.report_service_pb2 import GetDashboardRequest, ReportScope
from svckit.errors import ServiceError
from svckit.keys import ApiKey, digest_of, keys_file, owner_file, write_private
from svckit.logging import get_logger
from svckit.settings import LOOPBACK, Settings
from svckit.times import now_us, to_timestamp

log = get_logger(__name__)

_OPEN, _ANY, _STRICTEST = "open", "any", "admin"
_ASK_MODELS = ("chat", "embeddings")
_TOKEN_BYTES = 32

# Who came to an open route without a key that is worth anything.
NOBODY = ApiKey(
    id="",
    name="nobody",
    prefix="",
    digest="",
    scopes=frozenset(),
    user_id="",
    project="",
    models=(),
    memory_policy="off",
    priority="",
    requests_per_minute=0,
    tokens_per_day=0,
    created_us=0,
    expires_us=None,
    disabled=True,
)


class Access:
    """Lets requests in or refuses them.

    `scopes` says for each handler what a key needs for it: `open` none at all, `any` a
    key of whatever scope, else that scope.
    """

    def __init__(self, settings: Settings, clients: Clients, scopes: Mapping[object, str]) -> None:
        """Read the keys, and leave the owner a token. Raises `KeyFileError`."""
        self._ring = KeyRing(keys_file(settings.data_dir))
        self._owner = _leave_token(owner_file(settings.data_dir))
        self._scopes = scopes
        self._clients = clients
        gateway = settings.gateway
        self._is_reached_by_others = gateway.host not in LOOPBACK and not gateway.no_auth

    @property
    def has_keys(self) -> bool:
        """Whether keys are configured, of whatever use."""
        return bool(self._ring.current())

    def faults(self) -> list[str]:
        """Say in sentences what is wrong with the keys."""
        fault = self._ring.fault
        return [f"The keys cannot be read ({fault}): the last ones stay in force."] if fault else []

    def admit(self, request: web.Request) -> ApiKey | None:
        """Note whose request it is; return the key that it counts for, if any.

        Raises UNAUTHENTICATED or PERMISSION_DENIED.
        """
        keys = self._ring.current()
        if not keys and not self._is_reached_by_others:
            return None
        scope = self._scope(request)
        digests = [digest_of(secret) for secret in _shown(request)]
        if self._owner in digests:
            return None
        key = next((keys[digest] for digest in digests if digest in keys), None)
        if scope == _OPEN:
            set_key(request, key if key and not _useless(key) else NOBODY)
            return None
        if key is None:
            raise _unknown(shown=bool(digests), configured=bool(keys))
        if reason := _useless(key):
            raise ServiceError("UNAUTHENTICATED", reason)
        set_key(request, key)
        if scope != _ANY and scope not in key.scopes:
            raise _out_of_scope(request, key, scope)
        return key

    async def count(self, request: web.Request, key: ApiKey) -> None:
        """Count the request of a key with limits. Raises RATE_LIMITED."""
        limits = self._clients.limits
        if key.tokens_per_day and not limits.knows_today(key):
            limits.begin_day(key, await self._used_today(request, key))
        limits.admit(key, asks_model=self._scope(request) in _ASK_MODELS)

    def limit_headers(self, key: ApiKey) -> dict[str, str]:
        """Return what tells a client how far it is from its limits."""
        return self._clients.limits.headers(key)

    def _scope(self, request: web.Request) -> str:
        """Return what a key needs: nothing to be told that a path or method is unknown."""
        match = request.match_info
        return self._scopes.get(match.handler) or (_OPEN if match.http_exception else _STRICTEST)

    async def _used_today(self, request: web.Request, key: ApiKey) -> int:
        """Ask metrics for what the key used before this process began to count."""
        today = to_timestamp(self._clients.limits.today_us())
        try:
            answer = await ask(
                "metrics",
                self._clients.reports.GetDashboard,
                GetDashboardRequest(scope=ReportScope(key_id=key.id, start_time=today)),
                request_id=request_id_of(request),
                seconds=HEALTH_SECONDS,
            )
        except ServiceError as error:
            log.warning(
                "nobody tells what a key used today; its tokens count from now",
                key_name=key.name,
                error=error.message,
            )
            return 0
        return answer.tokens.total_count


ACCESS = web.AppKey("access", Access)


def _leave_token(path: Path) -> str:
    """Write a fresh token where only the owner reads it; return what it is known by."""
    token = secrets.token_urlsafe(_TOKEN_BYTES)
    try:
        write_private(path, token.encode())
    except OSError as error:
        log.warning(
            "no token for the owner's commands: where there are keys, they need LAIR_API_KEY",
            path=str(path),
            error=error.strerror,
        )
    return digest_of(token)


def _shown(request: web.Request) -> Iterator[str]:
    """Yield the secrets that a request shows, each the way one of the APIs has it."""
    scheme, _, secret = request.headers.get("Authorization", "").partition(" ")
    if scheme.lower() == "bearer" and secret.strip():
        yield secret.strip()
    if secret := request.headers.get("X-API-Key", "").strip():
        yield secret


def _unknown(*, shown: bool, configured: bool) -> ServiceError:
    if not configured:
        message = "this lair can be reached from other machines and has no keys"
    elif shown:
        message = "the API key is not one of this lair's"
    else:
        message = "send an API key, as Authorization: Bearer or as x-api-key"
    return ServiceError("UNAUTHENTICATED", f"{message}; lair keys create makes one")


def _useless(key: ApiKey) -> str:
    """Say why a key cannot be used, and what to do; empty if it can."""
    if key.disabled:
        return f"the API key {key.name!r} is disabled; lair keys enable {key.name} enables it"
    if key.expires_us is not None and key.expires_us <= now_us():
        moment = datetime.fromtimestamp(key.expires_us / 1_000_000, UTC)
        return (
            f"the API key {key.name!r} expired at {moment:%Y-%m-%d %H:%M} UTC; lair keys create "
            "makes another"
        )
    return ""


def _out_of_scope(request: web.Request, key: ApiKey, scope: str) -> ServiceError:
    has = ", ".join(sorted(key.scopes)) or "none"
    return ServiceError(
        "PERMISSION_DENIED",
        f"{request.method} {request.path} needs the scope {scope!r}, and the API key "
        f"{key.name!r} has {has}; use another, or make one with lair keys create",
    )
