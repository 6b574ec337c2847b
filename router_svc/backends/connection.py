"""The connections to one server: its key, its limits on time, its failures.

All that goes wrong comes out as `UpstreamError`. What is said and how is for others.
"""

from __future__ import annotations

import contextlib
import ipaddress
import os
from collections.abc import AsyncGenerator
from dataclasses import dataclass
from functools import partial
from typing import Self
from urllib.parse import urlsplit

import aiohttp

from lair.router.v1.chat_pb2 import ChatEvent
from router_svc.backends.limits import (
    MOST_ANSWER_BYTES,
    MOST_DOCUMENT_BYTES,
    MOST_ERROR_BYTES,
    LateError,
    Patience,
    TooLongError,
    read_capped,
)
from router_svc.backends.reader import Decoder, Reader
from router_svc.backends.reply_json import upstream_error
from router_svc.model import UpstreamError
from svckit import settings
from svckit.config import ConfigError
from svckit.masking import masked, without

# After every answer has told its end, this long for the usage and `[DONE]`;
# as long for the words of a refusal.
_TAIL_SECONDS = 5.0
_LINE_BYTES = 1024 * 1024


@dataclass(frozen=True, slots=True)
class Document:
    """A small reply, whatever its status."""

    status: int
    payload: bytes
    server: str


class Connection:
    """Talks to the server of one backend."""

    def __init__(self, config: settings.Backend) -> None:
        self._config = config
        self._headers = {"content-type": "application/json"}
        self._key = resolve_key(config)
        if self._key:
            self._headers["authorization"] = f"Bearer {self._key}"
        self._session: aiohttp.ClientSession | None = None

    async def fetch(self, url: str, *, seconds: float, body: bytes | None = None) -> Document:
        """Get a small document, by POST where there is a `body`. Raises `UpstreamError`."""
        try:
            async with self._http().request(
                "GET" if body is None else "POST",
                url,
                data=body,
                headers=self._headers,
                timeout=aiohttp.ClientTimeout(total=seconds),
                allow_redirects=False,
            ) as reply:
                payload = without(await read_capped(reply, MOST_DOCUMENT_BYTES), self._key)
                return Document(reply.status, payload, reply.headers.get("server", ""))
        except (aiohttp.ClientError, TimeoutError, ValueError) as error:
            raise UpstreamError(
                "UPSTREAM_FAILED", _unreachable(url, error), unreachable=True
            ) from error

    async def read(self, url: str, body: bytes) -> bytes:
        """Post a chat; return its whole answer. Raises `UpstreamError`."""
        patience = Patience(self._config)
        with _Exchange(url, patience, self._key) as exchange:
            reply = await self._ask(exchange, body)
            with patience:
                return without(await read_capped(reply, MOST_ANSWER_BYTES), self._key)

    async def stream(
        self, url: str, body: bytes, decoder: Decoder, reader: Reader
    ) -> AsyncGenerator[list[ChatEvent]]:
        """Post a chat; yield the events of its answer as it comes. Raises `UpstreamError`.

        Signs of life before the first piece of an answer begin its time limit anew.
        """
        patience, waiting = Patience(self._config), True
        with _Exchange(url, patience, self._key) as exchange:
            content = (await self._ask(exchange, body)).content
            while not reader.done:
                piece = content.read_nowait()
                if piece:
                    if not reader.complete:
                        patience.check()
                else:
                    if reader.complete:
                        patience.allow("idle_seconds", _TAIL_SECONDS)
                    try:
                        with patience:
                            piece = await content.readany()
                    except LateError:
                        if reader.complete:
                            break
                        raise
                events = reader.feed(decoder.feed(piece) if piece else decoder.end())
                if waiting and any(event.HasField("delta") for event in events):
                    patience.allow("idle_seconds", self._config.idle_seconds)
                    waiting = False
                if events:
                    yield events
                if not piece:
                    break
            yield reader.end()

    async def close(self) -> None:
        """Close the connections; the next use opens new ones."""
        session, self._session = self._session, None
        if session:
            await session.close()

    def _http(self) -> aiohttp.ClientSession:
        if self._session is None:  # made inside the event loop
            timeout = aiohttp.ClientTimeout(
                total=None, sock_connect=self._config.connect_seconds, sock_read=None
            )
            self._session = aiohttp.ClientSession(
                timeout=timeout,
                connector=aiohttp.TCPConnector(limit=0, keepalive_timeout=30),
                auto_decompress=True,
                read_bufsize=_LINE_BYTES,
            )
        return self._session

    async def _ask(self, exchange: _Exchange, body: bytes) -> aiohttp.ClientResponse:
        """Send a chat; return the reply, which has status 200. Raises `UpstreamError`."""
        with exchange.patience:
            reply = exchange.reply = await self._send(exchange.url, body)
        if reply.status != 200:  # noqa: PLR2004
            raise await _refusal(reply, exchange.patience)
        return reply

    async def _send(self, url: str, body: bytes) -> aiohttp.ClientResponse:
        """Post `body`, once more where a kept connection turned out to be closed.

        Servers close idle connections, and some every hundredth, without a word. Nothing
        of an answer has been seen by then; at worst the server computes it twice.
        """
        post = partial(
            self._http().post,
            url,
            data=body,
            headers=self._headers,
            allow_redirects=False,  # a prompt goes where the configuration says, nowhere else
        )
        try:
            return await post()
        except (aiohttp.ServerDisconnectedError, aiohttp.ClientOSError) as error:
            if isinstance(error, aiohttp.ClientConnectorError):
                raise
            return await post()


class _Exchange:
    """One request and its reply: failures come out as `UpstreamError`, nothing stays open.

    No failure quotes `key`, as some servers do that refuse it.
    """

    __slots__ = ("key", "patience", "reply", "url")

    def __init__(self, url: str, patience: Patience, key: str) -> None:
        self.url = url
        self.patience = patience
        self.key = key
        self.reply: aiohttp.ClientResponse | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, _: object, error: BaseException | None, __: object) -> None:
        self.patience.close()
        reply = self.reply
        if reply is not None:
            # Read to the end: the connection is free for the next request. Else: cut it,
            # which is how every server learns that nobody listens any more.
            if reply.content.at_eof():
                reply.release()
            else:
                reply.close()
        if isinstance(error, aiohttp.ClientError):
            raise self._failure(error) from error
        if isinstance(error, UpstreamError):
            error.message = without(error.message.encode(), self.key).decode()

    def _failure(self, error: aiohttp.ClientError) -> UpstreamError:
        if self.reply is not None:
            words = f"the connection broke off: {masked(str(error))}"
            return UpstreamError("UPSTREAM_FAILED", words, status=self.reply.status)
        if isinstance(error, aiohttp.ConnectionTimeoutError):
            return self.patience.unconnected()
        gone = isinstance(error, aiohttp.ClientConnectorError)
        return UpstreamError("UPSTREAM_FAILED", _unreachable(self.url, error), unreachable=gone)


def base_url(config: settings.Backend) -> str:
    """Return the address of a backend that must have one. Raises `ConfigError`."""
    if not config.url:
        raise ConfigError(f"backends: {config.name}: url is missing; write its base URL")
    return config.url.rstrip("/")


def is_local(url: str) -> bool:
    """Tell whether `url` is in the house: loopback, private, or a bare or `.local` name."""
    host = urlsplit(url).hostname or ""
    try:
        return ipaddress.ip_address(host).is_private
    except ValueError:
        return "." not in host or host.endswith((".local", ".lan", ".internal", ".home.arpa"))


def resolve_key(config: settings.Backend) -> str:
    """Return the key, out of the environment where it says `env:NAME`."""
    key = config.api_key or ""
    if not key.startswith("env:"):
        return key
    name = key.removeprefix("env:")
    if name not in os.environ:
        raise ConfigError(
            f"backends: {config.name}: api_key names the environment variable {name}, which is "
            "not set"
        )
    return os.environ[name].strip()


async def _refusal(reply: aiohttp.ClientResponse, patience: Patience) -> UpstreamError:
    """Read why a chat was refused; the status alone must do where that is late or too long."""
    payload = b""
    patience.allow("idle_seconds", _TAIL_SECONDS)
    with contextlib.suppress(LateError, TooLongError), patience:
        payload = await read_capped(reply, MOST_ERROR_BYTES)
    return upstream_error(reply.status, payload, _retry_after(reply))


def _retry_after(reply: aiohttp.ClientResponse) -> str | None:
    """Return when to come back, in seconds; some servers tell it in thousandths."""
    thousandths = reply.headers.get("retry-after-ms", "")
    if thousandths.isdecimal():
        return str(int(thousandths[:12]) / 1000)
    return reply.headers.get("retry-after")


def _unreachable(url: str, error: Exception) -> str:
    return f"cannot be reached at {masked(url)}: {masked(str(error)) or type(error).__name__}"
