"""Any OpenAI-compatible server: llama.cpp, vLLM, LM Studio, Ollama's /v1, remote APIs."""

from __future__ import annotations

import asyncio
import contextlib
import ipaddress
import os
from collections.abc import AsyncGenerator, AsyncIterator, Mapping
from functools import partial
from typing import Any
from urllib.parse import urlsplit

import aiohttp

from lair.router.v1.chat_pb2 import ChatCall, ChatCompletion, ChatEvent
from router_svc.backends.normalise import StreamNormaliser
from router_svc.backends.reply_json import parse_completion, parse_object, upstream_error, whole
from router_svc.backends.request_json import encode_request
from router_svc.backends.sse import SseDecoder
from router_svc.model import ServedModel, Snapshot, State, UpstreamError
from svckit import settings
from svckit.config import ConfigError
from svckit.times import now_us

_PROBE_SECONDS = 3.0
# After every answer has told its end, this long for the usage and `[DONE]`;
# as long for the words of a refusal.
_TAIL_SECONDS = 5.0
_LINE_BYTES = 1024 * 1024
_INT32_LIMIT = 2**31


class OpenAIBackend:
    """Speaks `/chat/completions` and `/models` below a base URL."""

    kind = "openai"
    last_resort = False

    def __init__(self, config: settings.Backend) -> None:
        if not config.url:
            raise ConfigError(f"backends: {config.name}: url is missing; write its base URL")
        self.name = config.name
        self.url = config.url.rstrip("/")
        self.local = is_local(self.url) if config.local is None else config.local
        self._models = tuple(ServedModel(id=name) for name in config.models)
        self._headers = {"content-type": "application/json"}
        if config.api_key:
            self._headers["authorization"] = f"Bearer {resolve_key(config)}"
        self.config = self._config = config
        self._session: aiohttp.ClientSession | None = None

    async def probe(self) -> Snapshot:
        """Read `/models`."""
        try:
            limit = aiohttp.ClientTimeout(total=_PROBE_SECONDS)
            async with self._http().get(
                f"{self.url}/models", headers=self._headers, timeout=limit, allow_redirects=False
            ) as reply:
                payload = await reply.read()
                status = reply.status
        except (aiohttp.ClientError, TimeoutError, ValueError) as error:
            return Snapshot(State.DOWN, self._models, _unreachable(self.url, error), now_us())
        try:
            if status == 503:  # noqa: PLR2004  # llama.cpp while it loads
                return Snapshot(State.LOADING, self._models, "loading its model", now_us())
            if status >= 400:  # noqa: PLR2004
                raise upstream_error(status, payload)
            models = self._models or parse_models(parse_object(payload))
        except UpstreamError as error:
            down = status >= 500 or not self._models  # noqa: PLR2004
            state = State.DOWN if down else State.UP
            return Snapshot(state, self._models, error.message, now_us())
        return Snapshot(State.UP, models, "", now_us())

    async def chat(self, call: ChatCall, model: str) -> ChatCompletion:
        """Answer at once."""
        body = encode_request(call, model, stream=False)
        limit = self._config.first_token_seconds
        async with self._post(body) as reply:
            try:
                async with asyncio.timeout(limit):
                    payload = await reply.read()
            except TimeoutError as error:
                raise self._late(limit) from error
            return parse_completion(payload, model)

    async def stream(self, call: ChatCall, model: str) -> AsyncGenerator[list[ChatEvent]]:
        """Answer as it is generated."""
        body = encode_request(call, model, stream=True)
        decoder, normaliser = SseDecoder(), StreamNormaliser(model)
        limit = self._config.first_token_seconds
        async with self._post(body) as reply:
            while not normaliser.done:
                try:
                    piece = reply.content.read_nowait()
                    if not piece:
                        async with asyncio.timeout(_TAIL_SECONDS if normaliser.finished else limit):
                            piece = await reply.content.readany()
                except TimeoutError as error:
                    if normaliser.finished:
                        break
                    raise self._late(limit) from error
                limit = self._config.idle_seconds
                events = normaliser.feed(decoder.feed(piece) if piece else decoder.end())
                if events:
                    yield events
                if not piece:
                    break
            yield normaliser.end()

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

    @contextlib.asynccontextmanager
    async def _post(self, body: bytes) -> AsyncIterator[aiohttp.ClientResponse]:
        """Send a chat; yield a reply with status 200. Leaving early cuts the connection."""
        url = f"{self.url}/chat/completions"
        limit = self._config.first_token_seconds
        try:
            async with asyncio.timeout(limit):
                reply = await self._send(url, body)
        except aiohttp.ClientError as error:
            message = _unreachable(self.url, error)
            gone = isinstance(error, aiohttp.ClientConnectorError)
            raise UpstreamError("UPSTREAM_FAILED", message, unreachable=gone) from error
        except TimeoutError as error:
            raise self._late(limit) from error
        try:
            if reply.status != 200:  # noqa: PLR2004
                raise await _refusal(reply)
            yield reply
        except aiohttp.ClientError as error:
            raise UpstreamError(
                "UPSTREAM_FAILED", f"the connection broke off: {error}", status=reply.status
            ) from error
        finally:
            # Read to the end: the connection is free for the next request. Else: cut it,
            # which is how every server learns that nobody listens any more.
            if reply.content.at_eof():
                reply.release()
            else:
                reply.close()

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

    def _late(self, seconds: float) -> UpstreamError:
        return UpstreamError("UPSTREAM_TIMEOUT", f"no answer within {seconds:g} seconds")


async def _refusal(reply: aiohttp.ClientResponse) -> UpstreamError:
    """Read why a chat was refused; the status alone must do where the rest is late."""
    payload = b""
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(_TAIL_SECONDS):
            payload = await reply.read()
    return upstream_error(reply.status, payload, reply.headers.get("retry-after"))


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


def parse_models(body: Mapping[str, Any]) -> tuple[ServedModel, ...]:
    """Read a `/models` reply; entries without an id are passed over."""
    data = body.get("data")
    entries = data if isinstance(data, list) else []
    return tuple(_model(entry) for entry in entries if isinstance(entry, dict) and entry.get("id"))


def _model(entry: Mapping[str, Any]) -> ServedModel:
    meta = entry.get("meta")
    meta = meta if isinstance(meta, dict) else {}
    context = entry.get("context_length") or entry.get("max_model_len") or meta.get("n_ctx")
    return ServedModel(
        id=str(entry["id"]),
        created=whole(entry.get("created")) or 0,
        context_length=whole(context, _INT32_LIMIT),
        extra={k: v for k, v in entry.items() if k not in ("id", "object", "created")},
    )


def _unreachable(url: str, error: Exception) -> str:
    return f"cannot be reached at {url}: {str(error) or type(error).__name__}"
