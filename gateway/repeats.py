"""Model calls that are sent more than once, by a client's wish or by its library.

    Route("POST", "/v1/…", repeatable(handler), "chat")

Costs nothing where neither header is sent.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from functools import wraps

from aiohttp import web

from gateway.context import key_of
from gateway.idempotency import IDEMPOTENCY_KEY, MAX_ANSWER_BYTES, Answer, Answers, digest_of
from gateway.identity import header_value
from gateway.retries import RETRY_COUNT, answer_noting_failure

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]

REPLAYED = "idempotent-replayed"
# Of the connection and of the one request: each reply has its own.
_NOT_REPLAYED = frozenset(
    (
        *("connection", "content-length", "date", "server", "transfer-encoding"),
        *("request-id", "x-request-id", "x-client-request-id"),
        *("vary", "access-control-allow-origin", "access-control-expose-headers"),
    )
)
_FIRST_ERROR = 400

ANSWERS = web.AppKey("answers", Answers)


class _Recording:
    """What is written to a stream, as long as it is worth keeping."""

    def __init__(self) -> None:
        self.data = bytearray()
        self.worthless = False

    def add(self, data: bytes) -> None:
        """Note what was written."""
        if len(self.data) + len(data) > MAX_ANSWER_BYTES:
            self.worthless = True
            self.data.clear()
        if not self.worthless:
            self.data += data


_RECORDING = web.RequestKey("recording", _Recording)


def repeatable(handler: Handler) -> Handler:
    """Return a handler that knows its requests again when they are repeated."""

    async def noting(request: web.Request) -> web.StreamResponse:
        if RETRY_COUNT in request.headers:
            return await answer_noting_failure(request, handler)
        return await handler(request)

    @wraps(handler)
    async def answer(request: web.Request) -> web.StreamResponse:
        if IDEMPOTENCY_KEY in request.headers:
            return await _answer_once(request, noting)
        return await noting(request)

    return answer


async def record_stream(request: web.Request, response: web.StreamResponse) -> None:
    """Note what is written to a stream that begins, if it is to be kept."""
    recording = request.get(_RECORDING)
    if recording is None or isinstance(response, web.Response):
        return
    write = response.write

    async def record(data: bytes | bytearray | memoryview[int]) -> None:
        await write(data)
        recording.add(bytes(data))

    response.write = record  # type: ignore[method-assign]  # aiohttp has no hook for this


def broke_off(request: web.Request) -> None:
    """Note that an answer under way ended with a failure, so that it is not kept."""
    recording = request.get(_RECORDING)
    if recording is not None:
        recording.worthless = True


async def _answer_once(request: web.Request, handler: Handler) -> web.StreamResponse:
    wish = header_value(request.headers, IDEMPOTENCY_KEY)
    if not wish:
        return await handler(request)
    key = key_of(request)
    name = (key.id if key else "", header_value(request.headers, "X-User-ID"), wish)
    digest = await digest_of(request.path, await request.read())
    answers = request.app[ANSWERS]
    answer = await answers.get(name, digest)
    if answer is not None:
        return _replayed(answer)
    with answers.making(name, digest) as keep:
        recording = request[_RECORDING] = _Recording()
        response = await handler(request)
        if response.status < _FIRST_ERROR and not recording.worthless:
            keep(_recorded(response, recording))
    return response


def _recorded(response: web.StreamResponse, recording: _Recording) -> Answer:
    body = bytes(recording.data)
    if isinstance(response, web.Response):
        assert isinstance(response.body, bytes), "answers of models are JSON"
        body = response.body
    headers = {
        name: value for name, value in response.headers.items() if name.lower() not in _NOT_REPLAYED
    }
    return Answer(response.status, headers, body)


def _replayed(answer: Answer) -> web.Response:
    headers = {**answer.headers, REPLAYED: "true"}
    return web.Response(status=answer.status, headers=headers, body=answer.body)
