"""Vectors and completions of genuine llama.cpp servers, through the official client."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import pytest
from openai import BadRequestError, OpenAI

from tests.e2e.stack import Lair, eventually, lair_up, llama_server

TEXTS = ["My favourite colour is teal.", "Count to 12"]
DIMENSIONS = 128
CLOSE = 1e-6


@pytest.fixture(scope="module")
def both(llama: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lair]:
    """A lair before a server for chats, asked first, and one that makes vectors."""
    folder = tmp_path_factory.mktemp("both")
    with (
        llama_server("embed") as embedder,
        lair_up(folder, backends={"chat": llama, "embed": embedder}) as running,
    ):
        yield running


@pytest.fixture
def client(both: Lair) -> Iterator[OpenAI]:
    with OpenAI(base_url=f"{both.url}/v1", api_key="none", max_retries=0) as client:
        yield client


def embed(client: OpenAI, given: Any, **options: Any) -> list[list[float]]:
    reply = client.embeddings.create(model="embed/tiny-chat", input=given, **options)
    assert [item.index for item in reply.data] == list(range(len(reply.data)))
    return [item.embedding for item in reply.data]


def apart(left: list[float], right: list[float]) -> float:
    """Return the largest difference between two vectors."""
    return max(abs(a - b) for a, b in zip(left, right, strict=True))


def record_of(lair: Lair, request_id: str) -> dict[str, Any]:
    def find() -> Any:
        records = lair.get("/metrics/recent")["requests"]
        return next((r for r in records if r["request_id"] == request_id), None)

    record: dict[str, Any] = eventually(find, what="the request is counted")
    return record


def complete(client: OpenAI, prompt: Any, **options: Any) -> Any:
    return client.completions.create(
        model="chat/tiny-chat", prompt=prompt, temperature=0, **options
    )


# -- vectors -------------------------------------------------------------------


def test_base64_by_default_is_the_same_as_lists(client: OpenAI) -> None:
    by_default = embed(client, TEXTS)
    as_lists = embed(client, TEXTS, encoding_format="float")
    assert [len(vector) for vector in by_default] == [DIMENSIONS] * len(TEXTS)
    for left, right in zip(by_default, as_lists, strict=True):
        assert apart(left, right) < CLOSE


def test_vectors_belong_to_their_inputs_in_both_orders(client: OpenAI) -> None:
    forth, back = embed(client, TEXTS), embed(client, TEXTS[::-1])
    assert apart(forth[0], forth[1]) > 0.01
    assert apart(forth[0], back[1]) < CLOSE
    assert apart(forth[1], back[0]) < CLOSE


def test_tokens_are_taken_for_words(client: OpenAI) -> None:
    [one] = embed(client, [1, 2, 3])
    several = embed(client, [[1, 2, 3], [4, 5, 6]])
    assert apart(one, several[0]) < 1e-4
    assert apart(one, several[1]) > 0.01
    assert math.isclose(math.hypot(*one), 1.0, rel_tol=1e-3)


def test_a_server_that_makes_no_vectors_is_passed_over(both: Lair, client: OpenAI) -> None:
    raw = client.embeddings.with_raw_response.create(model="tiny-chat", input="Say hello")
    assert raw.headers["x-lair-backend"] == "embed"
    assert raw.parse().usage.prompt_tokens > 0
    record = record_of(both, raw.headers["x-request-id"])
    assert (record["status"], record["backend"]) == ("ok", "embed")
    assert record["usage"]["prompt_tokens"] == raw.parse().usage.prompt_tokens


def test_a_size_the_model_does_not_have_is_refused(client: OpenAI) -> None:
    assert len(embed(client, "x", dimensions=DIMENSIONS)[0]) == DIMENSIONS
    with pytest.raises(BadRequestError, match="leave dimensions out"):
        embed(client, "x", dimensions=64)


def test_what_the_server_refuses_is_the_clients_mistake(client: OpenAI) -> None:
    with pytest.raises(BadRequestError, match="cannot be empty"):
        embed(client, "")


# -- completions ---------------------------------------------------------------


def test_a_text_is_completed_the_same_way_streamed_and_not(client: OpenAI) -> None:
    whole = complete(client, "My favourite colour", max_tokens=8)
    assert whole.choices[0].text
    chunks = list(
        complete(
            client,
            "My favourite colour",
            max_tokens=8,
            stream=True,
            stream_options={"include_usage": True},
        )
    )
    pieces = [chunk.choices[0] for chunk in chunks if chunk.choices]
    assert "".join(piece.text for piece in pieces) == whole.choices[0].text
    assert [p.finish_reason for p in pieces if p.finish_reason] == [whole.choices[0].finish_reason]
    assert len(pieces) > 2
    assert chunks[-1].usage == whole.usage.model_copy(
        update={"prompt_tokens_details": chunks[-1].usage.prompt_tokens_details}
    )


def test_a_stream_of_text_has_no_usage_unless_asked_for(client: OpenAI) -> None:
    assert all(c.usage is None for c in complete(client, "Say", max_tokens=3, stream=True))


def test_several_prompts_are_answered_and_counted_each(client: OpenAI) -> None:
    prompts = ["Say hello", [1, 2, 3]]
    alone = [complete(client, prompt, max_tokens=4) for prompt in prompts]
    words = complete(client, ["Say hello", "Count to"], max_tokens=4)
    assert words.choices[0].text == alone[0].choices[0].text
    assert [choice.index for choice in words.choices] == [0, 1]
    assert words.usage.completion_tokens > alone[0].usage.completion_tokens
    assert alone[1].usage.prompt_tokens == 3


def test_several_prompts_are_streamed_side_by_side(both: Lair, client: OpenAI) -> None:
    raw = client.completions.with_raw_response.create(
        model="chat/tiny-chat",
        prompt=["Say hello", "Count to"],
        temperature=0,
        max_tokens=4,
        stream=True,
    )
    texts = {0: "", 1: ""}
    for chunk in raw.parse():
        texts[chunk.choices[0].index] += chunk.choices[0].text
    whole = complete(client, ["Say hello", "Count to"], max_tokens=4)
    assert list(texts.values()) == [choice.text for choice in whole.choices]
    record = record_of(both, raw.headers["x-request-id"])
    assert (record["status"], record["streamed"]) == ("ok", True)
    assert record["usage"]["completion_tokens"] == whole.usage.completion_tokens


def test_the_models_own_numbers_come_back(client: OpenAI) -> None:
    reply = complete(client, "Say", max_tokens=2, logprobs=1)
    assert reply.choices[0].model_extra is not None
    assert reply.choices[0].logprobs is not None
    assert reply.model_extra["timings"]["predicted_n"] == 2
