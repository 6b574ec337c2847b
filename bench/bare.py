"""The yardsticks: the least a gateway of lair's shape on aiohttp and grpc.aio can do.

An HTTP front that turns JSON into the typed contract, a relay that turns the
contract into JSON for the model server and its reply back, and the front's way
back to JSON. Nothing else: no checks, no history, no choice of a backend, no
journal, no records, no logs. With `--hop` the relay is a process of its own,
reached over grpc.aio on loopback TCP; without, the front calls it directly. What
lair takes longer than this is the price of what lair does.

It takes the libraries as they come. `--tuned` puts uvloop and msgspec, which lair uses too,
in the place of asyncio's own loop and the standard library's `json`: the stricter reference.

With `--bytes` not even the contract is left: bytes pass unread. That is the floor
under any proxy on aiohttp, and no yardstick: it could neither route nor count.

Chunks of a stream that are already waiting travel in one message: a message for
each SSE line would cap a stream at a fraction of the rate.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import signal
import sys
from collections.abc import AsyncIterator, Callable, Coroutine, Iterable
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any

import aiohttp
import grpc
import msgspec
import uvloop
from aiohttp import web

from bench.processes import free_ports
from lair.common.v1.chat_pb2 import Message, Usage
from lair.router.v1 import router_service_pb2 as pb
from lair.router.v1.chat_pb2 import (
    ChatCall,
    ChatCompletion,
    ChatEvent,
    Choice,
    Completed,
    Delta,
    Finish,
    Started,
)
from lair.router.v1.router_service_pb2_grpc import (
    RouterServiceServicer,
    RouterServiceStub,
    add_RouterServiceServicer_to_server,
)

_JSON = {"Content-Type": "application/json"}


class _Json:
    """What reads and writes JSON here."""

    encode: Callable[[Any], bytes] = staticmethod(lambda value: json.dumps(value).encode())
    decode: Callable[[bytes], Any] = staticmethod(json.loads)


class Relay(RouterServiceServicer):
    """Asks the model server."""

    def __init__(self, session: aiohttp.ClientSession, url: str) -> None:
        self._session = session
        self._url = url

    async def Chat(self, request: pb.ChatRequest, context: Any = None) -> pb.ChatResponse:  # noqa: ARG002, N802
        """Return the whole reply."""
        body = _request_json(request.call, stream=False)
        async with self._session.post(self._url, data=body, headers=_JSON) as reply:
            return pb.ChatResponse(completion=_completion(_Json.decode(await reply.read())))

    async def ChatStream(  # noqa: N802
        self,
        request: pb.ChatStreamRequest,
        context: Any = None,  # noqa: ARG002
    ) -> AsyncIterator[pb.ChatStreamResponse]:
        """Yield, each time, all chunks that have come since."""
        rest = b""
        started = False
        body = _request_json(request.call, stream=True)
        async with self._session.post(self._url, data=body, headers=_JSON) as reply:
            async for waiting in reply.content.iter_any():
                *lines, rest = (rest + waiting).split(b"\n")
                chunks = [_Json.decode(line[6:]) for line in lines if line.startswith(b"data: {")]
                events = [] if started or not chunks else [_started(chunks[0])]
                started = started or bool(chunks)
                events += [event for chunk in chunks for event in _events(chunk)]
                if events:
                    yield pb.ChatStreamResponse(events=events)


def _request_json(call: ChatCall, *, stream: bool) -> bytes:
    messages = [{"role": message.role, "content": message.text} for message in call.messages]
    body: dict[str, Any] = {"model": call.model, "messages": messages, "stream": stream}
    if call.HasField("max_tokens"):
        body["max_tokens"] = call.max_tokens
    if stream:
        body["stream_options"] = {"include_usage": True}
    return _Json.encode(body)


def _completion(body: dict[str, Any]) -> ChatCompletion:
    choice, usage = body["choices"][0], body["usage"]
    message = Message(role="assistant", text=choice["message"]["content"])
    return ChatCompletion(
        id=body["id"],
        created=body["created"],
        model=body["model"],
        choices=[Choice(index=0, message=message, finish_reason=choice["finish_reason"])],
        usage=_usage(usage),
    )


def _usage(body: dict[str, Any]) -> Usage:
    return Usage(
        prompt_tokens=body["prompt_tokens"],
        completion_tokens=body["completion_tokens"],
        total_tokens=body["total_tokens"],
    )


def _started(chunk: dict[str, Any]) -> ChatEvent:
    started = Started(id=chunk["id"], created=chunk["created"], model=chunk["model"])
    return ChatEvent(started=started)


def _events(chunk: dict[str, Any]) -> Iterable[ChatEvent]:
    for choice in chunk["choices"]:
        if text := choice["delta"].get("content"):
            yield ChatEvent(delta=Delta(index=choice["index"], text=text))
        if reason := choice["finish_reason"]:
            yield ChatEvent(finish=Finish(index=choice["index"], reason=reason))
    if chunk.get("usage"):
        yield ChatEvent(completed=Completed(usage=_usage(chunk["usage"])))


def front(relay: Any) -> web.Application:
    """Build the HTTP side; `relay` is a `Relay` or a stub of one."""

    async def chat(request: web.Request) -> web.StreamResponse:
        body = _Json.decode(await request.read())
        messages = [Message(role=m["role"], text=m["content"]) for m in body["messages"]]
        call = ChatCall(model=body["model"], messages=messages, max_tokens=body.get("max_tokens"))
        if not body.get("stream"):
            answer = await relay.Chat(pb.ChatRequest(call=call))
            reply = _completion_json(answer.completion)
            return web.Response(body=reply, content_type="application/json")
        response = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
        await response.prepare(request)
        head: dict[str, Any] = {}
        async for message in relay.ChatStream(pb.ChatStreamRequest(call=call)):
            await response.write(b"".join(_event_json(event, head) for event in message.events))
        await response.write(b"data: [DONE]\n\n")
        await response.write_eof()
        return response

    return _app(chat)


def _completion_json(answer: ChatCompletion) -> bytes:
    choice, usage = answer.choices[0], answer.usage
    message = {"role": "assistant", "content": choice.message.text}
    return _Json.encode(
        {
            "id": answer.id,
            "object": "chat.completion",
            "created": answer.created,
            "model": answer.model,
            "choices": [{"index": 0, "message": message, "finish_reason": choice.finish_reason}],
            "usage": {
                "prompt_tokens": usage.prompt_tokens,
                "completion_tokens": usage.completion_tokens,
                "total_tokens": usage.total_tokens,
            },
        }
    )


def _event_json(event: ChatEvent, head: dict[str, Any]) -> bytes:
    kind = event.WhichOneof("event")
    if kind == "started":
        started = event.started
        head.update(
            id=started.id,
            object="chat.completion.chunk",
            created=started.created,
            model=started.model,
        )
        return b""
    choices: list[dict[str, Any]] = []
    if kind == "delta":
        delta = {"content": event.delta.text}
        choices.append({"index": event.delta.index, "delta": delta, "finish_reason": None})
    elif kind == "finish":
        reason = event.finish.reason
        choices.append({"index": event.finish.index, "delta": {}, "finish_reason": reason})
    else:
        return b""
    return b"data: " + _Json.encode({**head, "choices": choices}) + b"\n\n"


def bytes_front(session: aiohttp.ClientSession, url: str) -> web.Application:
    """Build the floor: what comes in goes out."""

    async def chat(request: web.Request) -> web.StreamResponse:
        body = await request.read()
        async with session.post(url, data=body, headers=_JSON) as reply:
            # Looking for the flag is cheaper than parsing, and this must be cheap.
            if b'"stream":true' not in body:
                return web.Response(body=await reply.read(), content_type="application/json")
            response = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
            await response.prepare(request)
            async for waiting in reply.content.iter_any():
                await response.write(waiting)
        await response.write_eof()
        return response

    return _app(chat)


def _app(chat: Any) -> web.Application:
    app = web.Application()
    app.router.add_post("/v1/chat/completions", chat)
    return app


async def serve_http(port: int, upstream: str, kind: str) -> None:
    """Serve a front until SIGTERM; the relay is here, or in a child process."""
    async with AsyncExitStack() as stack:
        if kind == "hop":
            address = await stack.enter_async_context(_back_process(upstream))
            channel = await stack.enter_async_context(grpc.aio.insecure_channel(address))
            app = front(RouterServiceStub(channel))
        else:
            session = await stack.enter_async_context(_session())
            url = f"{upstream}/chat/completions"
            app = bytes_front(session, url) if kind == "bytes" else front(_relay(session, url))
        runner = web.AppRunner(app, access_log=None)
        await runner.setup()
        stack.push_async_callback(runner.cleanup)
        await web.TCPSite(runner, "127.0.0.1", port).start()
        await _terminated()


async def serve_grpc(port: int, upstream: str) -> None:
    """Serve the relay over gRPC until SIGTERM."""
    async with _session() as session:
        server = grpc.aio.server()
        relay = _relay(session, f"{upstream}/chat/completions")
        add_RouterServiceServicer_to_server(relay, server)
        server.add_insecure_port(f"127.0.0.1:{port}")
        await server.start()
        await _terminated()
        await server.stop(grace=None)


def _relay(session: aiohttp.ClientSession, url: str) -> Relay:
    return Relay(session, url)  # type: ignore[abstract]  # a chat is all it can do


def _session() -> aiohttp.ClientSession:
    return aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0))


async def _terminated() -> None:
    """Wait for SIGTERM."""
    event = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, event.set)
    await event.wait()


@asynccontextmanager
async def _back_process(upstream: str) -> AsyncIterator[str]:
    """Run the relay in a child process; yield its address."""
    port = free_ports(1)
    tuned = ["--tuned"] if "--tuned" in sys.argv else []
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "bench.bare", "--back", *tuned),
        *("--port", str(port), "--upstream", upstream),
    )
    try:
        yield f"127.0.0.1:{port}"
    finally:
        process.terminate()
        await process.wait()


def main() -> None:
    parser = argparse.ArgumentParser(description="Serve a bare prototype on loopback.")
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--upstream", required=True, help="base URL of the model server")
    kind = parser.add_mutually_exclusive_group()
    kind.add_argument("--bytes", action="store_true", help="pass bytes unread")
    kind.add_argument("--hop", action="store_true", help="relay in a process of its own")
    kind.add_argument("--back", action="store_true", help="be that process")
    parser.add_argument("--tuned", action="store_true", help="on uvloop and msgspec")
    args = parser.parse_args()
    run: Callable[[Coroutine[Any, Any, None]], None] = asyncio.run
    if args.tuned:
        run = uvloop.run
        _Json.encode, _Json.decode = msgspec.json.Encoder().encode, msgspec.json.decode
    if args.back:
        run(serve_grpc(args.port, args.upstream))
    else:
        chosen = "hop" if args.hop else "bytes" if args.bytes else "direct"
        run(serve_http(args.port, args.upstream, chosen))


if __name__ == "__main__":
    main()
