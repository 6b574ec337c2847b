"""Tokens that are recorded are those the backend told, whatever way it has of telling them.

Scripted after what each kind of server really sends, asked over HTTP through a whole lair;
then the genuine llama.cpp. Clients get the chunk with the usage if they asked, and only then.
"""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from openai import OpenAI

from lair.common.v1.chat_pb2 import Usage
from lair.metrics.v1.usage_pb2 import RequestRecord, UsageSource
from tests.e2e.in_process import House, in_process
from tests.e2e.stack import Lair, eventually, request
from tests.fakes.answers import (
    DONE,
    Answer,
    Step,
    chunk,
    completion,
    event,
    model_entry,
    reply,
    stream,
    usage_chunk,
    usage_of,
)
from tests.fakes.ollama_server import ends, installed, lines, ollama_server, says
from tests.fakes.openai_server import OpenAIServer

PROMPT = "How are you?"
ASKED = 12  # bytes over 3.8, five tokens around the message, and three before the answer
TIMINGS = {"cache_n": 6, "prompt_n": 5, "prompt_ms": 9.0, "predicted_n": 2, "predicted_ms": 4.0}
UPSTREAM, FROM_TIMINGS, ESTIMATED = "UPSTREAM", "UPSTREAM_TIMINGS", "ESTIMATED"


@dataclass(frozen=True)
class Case:
    """What a kind of server streams, and what is to be recorded of it."""

    answer: Answer
    tokens: tuple[int | None, int | None]
    source: str = UPSTREAM
    entry: Mapping[str, Any] | None = None
    details: Mapping[str, int] | None = None


def _continuous() -> Answer:
    """Return what vLLM sends with continuous usage: it counts up with every chunk."""
    texts = [chunk(text, usage=usage_of(11, n)) for n, text in enumerate(("Fine", "."), 1)]
    return stream(*texts, chunk(finish="stop", usage=usage_of(11, 2)), usage_chunk(11, 2), DONE)


def _with_details(**details: Any) -> dict[str, Any]:
    return {**usage_of(11, 2), **details}


TEXT = (chunk("Fine"), chunk("."))
END = chunk(finish="stop")
CASES = {
    "llama.cpp": Case(
        stream(
            *TEXT,
            END,
            event({"id": "c", "choices": [], "usage": usage_of(11, 2), "timings": TIMINGS}),
            DONE,
        ),
        (11, 2),
        entry={"owned_by": "llamacpp"},
    ),
    "llama.cpp that tells timings only": Case(
        stream(*TEXT, chunk(finish="stop", timings=TIMINGS), DONE),
        (11, 2),
        FROM_TIMINGS,
        entry={"owned_by": "llamacpp"},
        details={"cached_tokens": 6},
    ),
    "vLLM": Case(stream(*TEXT, END, usage_chunk(11, 2), DONE), (11, 2), entry={"owned_by": "vllm"}),
    "vLLM that counts up": Case(_continuous(), (11, 2), entry={"owned_by": "vllm"}),
    "LM Studio": Case(
        stream(*TEXT, END, usage_chunk(11, 2), DONE),
        (11, 2),
        entry={"owned_by": "organization_owner"},
    ),
    "llama-swap, loading text first": Case(
        stream(
            chunk(None),
            event({"choices": [{"index": 0, "delta": {"reasoning_content": "loading"}}]}),
            *TEXT,
            END,
            usage_chunk(11, 2),
            DONE,
        ),
        (11, 2),
        entry={"owned_by": "llama-swap"},
    ),
    "transformers serve, which tells nothing and no end": Case(
        stream(*TEXT, END), (ASKED, 2), ESTIMATED, entry={"created": 1700000000.5}
    ),
    "OpenRouter, after comments, with its bill": Case(
        stream(
            b": OPENROUTER PROCESSING\n\n",
            *TEXT,
            END,
            event(
                {
                    "id": "c",
                    "choices": [],
                    "usage": _with_details(
                        cost=0.00125, completion_tokens_details={"reasoning_tokens": 1}
                    ),
                }
            ),
            DONE,
        ),
        (11, 2),
        details={"reasoning_tokens": 1},
    ),
    "DeepSeek, in the last chunk with a choice": Case(
        stream(
            b": keep-alive\n\n",
            *TEXT,
            chunk(
                finish="stop",
                usage=_with_details(
                    prompt_cache_hit_tokens=4, prompt_tokens_details={"cached_tokens": 4}
                ),
            ),
            DONE,
        ),
        (11, 2),
        details={"cached_tokens": 4},
    ),
    "usage twice, the last counts": Case(
        stream(chunk("Fine", usage=usage_of(11, 1)), chunk("."), END, usage_chunk(11, 2), DONE),
        (11, 2),
    ),
    "an explicit nothing is not unknown": Case(stream(*TEXT, END, usage_chunk(0, 0), DONE), (0, 0)),
    "an empty usage is unknown": Case(
        stream(*TEXT, END, event({"choices": [], "usage": {}}), DONE), (ASKED, 2), ESTIMATED
    ),
}


@asynccontextmanager
async def house_of(case: Case, data_dir: Path) -> AsyncIterator[tuple[House, OpenAIServer]]:
    async with OpenAIServer("tiny") as server:
        server.models = reply({"data": [{**model_entry("tiny"), **(case.entry or {})}]})
        server.script(case.answer)
        async with in_process(data_dir, server) as house:
            yield house, server


def chat(**fields: Any) -> dict[str, Any]:
    return {"model": "tiny", "messages": [{"role": "user", "content": PROMPT}], **fields}


def chunks_of(body: bytes) -> list[dict[str, Any]]:
    events = [
        line.removeprefix(b"data: ") for line in body.split(b"\n\n") if line.startswith(b"data: ")
    ]
    assert events[-1] == b"[DONE]"
    return [json.loads(data) for data in events[:-1]]


def told(record: RequestRecord) -> tuple[tuple[int | None, int | None], str]:
    def number(name: Any) -> int | None:
        return getattr(record.usage, name) if record.usage.HasField(name) else None

    source = UsageSource.Name(record.usage_source).removeprefix("USAGE_SOURCE_")
    return (number("prompt_tokens"), number("completion_tokens")), source


@pytest.mark.parametrize("wished", [None, False, True], ids=["silent", "no", "yes"])
@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
async def test_what_a_stream_told_is_recorded_and_passed_on_to_who_asked(
    tmp_path: Path, case: Case, wished: bool | None
) -> None:
    options = {} if wished is None else {"stream_options": {"include_usage": wished}}
    async with house_of(case, tmp_path) as (house, _):
        status, body, request_id = await house.post(
            "/v1/chat/completions", chat(stream=True, **options)
        )
        record = await house.record(request_id)
    assert status == 200
    assert told(record) == (case.tokens, case.source)
    for name, value in (case.details or {}).items():
        assert getattr(record.usage, name) == value
    chunks = chunks_of(body)
    bare = [piece for piece in chunks if not piece["choices"]]
    assert len(bare) == (1 if wished else 0)
    assert [piece for piece in chunks if piece.get("usage")] == (
        [bare[0]] if wished and bare[0]["usage"] else []
    )
    if wished and case.source == UPSTREAM:
        usage = bare[0]["usage"]
        if usage is not None and case.tokens != (None, None):
            assert (usage["prompt_tokens"], usage["completion_tokens"]) == case.tokens


async def test_a_bill_is_recorded_of_backends_outside_the_house_only(tmp_path: Path) -> None:
    case = CASES["OpenRouter, after comments, with its bill"]
    for local, billed in ((True, None), (False, 1_250_000)):
        async with OpenAIServer("tiny") as server:
            server.script(case.answer)
            backend = {"name": "a", "url": server.url, "local": local}
            async with in_process(tmp_path / str(local), backends=[backend]) as house:
                *_, request_id = await house.post("/v1/chat/completions", chat(stream=True))
                record = await house.record(request_id)
        has = record.billed_nano_usd if record.HasField("billed_nano_usd") else None
        assert has == billed


@pytest.mark.parametrize("streamed", [False, True], ids=["whole", "streamed"])
async def test_ollamas_own_counts_are_its_usage(tmp_path: Path, streamed: bool) -> None:
    async with ollama_server(installed("qwen3:8b")) as server:
        server.script(lines(says("Fine."), ends(prompt=26, answer=3)))
        backend = {"name": "a", "kind": "ollama", "url": server.url.removesuffix("/v1")}
        async with in_process(tmp_path, backends=[backend]) as house:
            *_, request_id = await house.post(
                "/v1/chat/completions", chat(stream=streamed, model="qwen3:8b")
            )
            assert told(await house.record(request_id)) == ((26, 3), UPSTREAM)


async def test_a_whole_answer_is_recorded_as_told_or_estimated(tmp_path: Path) -> None:
    async with OpenAIServer("tiny") as server, in_process(tmp_path, server) as house:
        for answer, expected in (
            (completion("Fine.", usage=(11, 2)), ((11, 2), UPSTREAM)),
            (completion("Fine.", usage=None), ((ASKED, 2), ESTIMATED)),
        ):
            server.script(answer)
            *_, request_id = await house.post("/v1/chat/completions", chat())
            assert told(await house.record(request_id)) == expected


async def test_what_got_no_answer_has_no_tokens(tmp_path: Path) -> None:
    async with OpenAIServer("tiny") as server, in_process(tmp_path, server) as house:
        server.script(reply({"error": {"message": "out of memory"}}, 500))
        status, _, request_id = await house.post("/v1/chat/completions", chat())
        record = await house.record(request_id)
    assert status == 502
    assert told(record) == ((None, None), "MISSING")


async def test_half_an_answer_is_estimated_by_what_came(tmp_path: Path) -> None:
    async with OpenAIServer("tiny") as server, in_process(tmp_path, server) as house:
        server.script(stream(chunk("word " * 76), Step.CUT))
        *_, request_id = await house.post("/v1/chat/completions", chat(stream=True))
        record = await house.record(request_id)
    assert told(record) == ((ASKED, 100), ESTIMATED)
    assert record.usage == Usage(prompt_tokens=ASKED, completion_tokens=100, total_tokens=112)


async def test_texts_and_vectors_without_usage_are_estimated_or_counted(tmp_path: Path) -> None:
    vectors = {"object": "list", "data": [{"index": 0, "embedding": [0.5]}]}
    text = {"choices": [{"index": 0, "text": " and so on", "finish_reason": "stop"}]}
    async with OpenAIServer("tiny") as server, in_process(tmp_path, server) as house:
        for path, body, answer, expected in (
            ("/v1/embeddings", {"input": "eight ch"}, vectors, ((3, None), ESTIMATED)),
            ("/v1/embeddings", {"input": [1, 2, 3, 4]}, vectors, ((4, None), "COUNTED")),
            ("/v1/completions", {"prompt": "Once upon"}, text, ((3, 3), ESTIMATED)),
        ):
            server.script(reply(answer))
            *_, request_id = await house.post(path, {"model": "tiny", **body})
            assert told(await house.record(request_id)) == expected


async def test_who_refuses_the_wish_for_usage_is_asked_without_it_from_then_on(
    tmp_path: Path,
) -> None:
    async with OpenAIServer("tiny") as server, in_process(tmp_path, server) as house:

        def answer(body: dict[str, Any]) -> Answer:
            if "stream_options" in body:
                return reply({"error": {"message": "Extra inputs: stream_options"}}, 400)
            return stream(*TEXT, END, DONE)

        server.script(answer)
        for _ in range(2):
            status, body, request_id = await house.post("/v1/chat/completions", chat(stream=True))
            assert status == 200
            assert b"Fine" in body
            assert told(await house.record(request_id)) == ((ASKED, 2), ESTIMATED)
        assert ["stream_options" in it.body for it in server.received] == [True, False, False]


def test_the_genuine_llama_cpp_is_recorded_as_it_counts(lair: Lair, llama: str) -> None:
    words = {"temperature": 0, "messages": [{"role": "user", "content": "Count to 12"}]}
    _, direct = request("POST", f"{llama}/chat/completions", {"model": "tiny-chat", **words})
    with OpenAI(base_url=f"{lair.url}/v1", api_key="none") as client:
        for options in ({}, {"stream_options": {"include_usage": True}}):
            raw = client.chat.completions.with_raw_response.create(
                model="tiny-chat", stream=True, **options, **words
            )
            chunks = list(raw.parse())
            assert [it.usage is not None for it in chunks].count(True) == len(options)
            found = eventually(lambda raw=raw: _recorded(lair, raw.headers["x-request-id"]))
            for name in ("prompt_tokens", "completion_tokens", "total_tokens"):
                assert found["usage"][name] == direct["usage"][name]
            assert found["usage_source"] == "upstream"


def _recorded(lair: Lair, request_id: str) -> Any:
    requests = lair.get("/metrics/recent?limit=1000")["requests"]
    return next((it for it in requests if it["request_id"] == request_id), None)
