"""Each kind of server gets the fields it takes, and nothing that would change the answer."""

from __future__ import annotations

import json
from typing import Any

import pytest

from lair.common.v1.chat_pb2 import ContentPart, ContentParts, ImageUrl, Message
from lair.router.v1.chat_pb2 import ChatCall, FunctionSpec, Tool
from router_svc.backends.fields import TREATMENTS
from router_svc.backends.flavours import Flavour
from router_svc.backends.request_json import encode_request
from router_svc.model import UpstreamError

TOOLS = [Tool(function=FunctionSpec(name=name)) for name in ("f", "g")]
NAMED = b'{"type":"function","function":{"name":"g"}}'


def sent(flavour: Flavour, *, stream: bool = False, **fields: Any) -> dict[str, Any]:
    """Return what a server of `flavour` gets of a call."""
    fields.setdefault("messages", [Message(role="user", text="hi")])
    raw = encode_request(ChatCall(**fields), "m", stream=stream, flavour=flavour)
    body: dict[str, Any] = json.loads(raw)
    return body


def refused(flavour: Flavour, **fields: Any) -> UpstreamError:
    with pytest.raises(UpstreamError) as caught:
        sent(flavour, **fields)
    return caught.value


def looking(url: str) -> list[Message]:
    """Return a chat whose second message holds a picture behind a text."""
    text = ContentPart(type="text", text="look")
    image = ContentPart(type="image_url", image_url=ImageUrl(url=url))
    return [
        Message(role="system", text="be brief"),
        Message(role="user", parts=ContentParts(parts=[text, image])),
    ]


def test_every_flavour_has_its_treatments() -> None:
    assert set(TREATMENTS) == set(Flavour)


@pytest.mark.parametrize("flavour", [Flavour.OPENAI, Flavour.OPENROUTER])
def test_a_server_that_takes_all_gets_all(flavour: Flavour) -> None:
    body = sent(
        flavour,
        messages=[Message(role="developer", text="x")],
        max_completion_tokens=5,
        n=2,
        tools=TOOLS,
        tool_choice_json=NAMED,
        response_format_json=b'{"type":"json_object"}',
        extra_json=b'{"min_p":0.1}',
    )
    assert body["messages"][0]["role"] == "developer"
    assert (body["n"], body["max_completion_tokens"], body["min_p"]) == (2, 5, 0.1)
    assert body["tool_choice"]["function"]["name"] == "g"
    assert "max_tokens" not in body


@pytest.mark.parametrize(
    "flavour",
    [Flavour.OLLAMA, Flavour.LMSTUDIO, Flavour.LLAMASWAP, Flavour.TRANSFORMERS],
)
@pytest.mark.parametrize("name", ["max_tokens", "max_completion_tokens"])
def test_the_limit_goes_out_by_both_names(flavour: Flavour, name: str) -> None:
    body = sent(flavour, **{name: 7})
    assert (body["max_tokens"], body["max_completion_tokens"]) == (7, 7)


def test_two_limits_go_out_as_they_came() -> None:
    body = sent(Flavour.OLLAMA, max_tokens=7, max_completion_tokens=9)
    assert (body["max_tokens"], body["max_completion_tokens"]) == (7, 9)


@pytest.mark.parametrize("flavour", set(Flavour) - {Flavour.OPENAI, Flavour.OPENROUTER})
def test_the_developers_rank_has_its_older_name_in_the_house(flavour: Flavour) -> None:
    messages = [Message(role="developer", text="be brief"), Message(role="user", text="hi")]
    body = sent(flavour, messages=messages)
    assert [message["role"] for message in body["messages"]] == ["system", "user"]


@pytest.mark.parametrize("flavour", [Flavour.OLLAMA, Flavour.TRANSFORMERS])
def test_several_answers_are_refused_where_only_one_would_come(flavour: Flavour) -> None:
    error = refused(flavour, n=2)
    assert (error.reason, error.try_next) == ("UPSTREAM_REJECTED", True)
    assert error.message.startswith("n: ")
    assert "n" not in sent(flavour, n=1)


@pytest.mark.parametrize("flavour", [Flavour.OLLAMA, Flavour.LMSTUDIO])
def test_a_picture_by_address_is_refused_with_its_place(flavour: Flavour) -> None:
    error = refused(flavour, messages=looking("https://example.com/cat.png"))
    assert (error.reason, error.try_next) == ("UPSTREAM_REJECTED", True)
    assert error.message.startswith("messages[1].content[1].image_url: ")


@pytest.mark.parametrize("flavour", Flavour)
def test_a_picture_within_the_message_goes_out(flavour: Flavour) -> None:
    url = "data:image/png;base64,AA=="
    content = sent(flavour, messages=looking(url))["messages"][1]["content"]
    assert content[1]["image_url"]["url"] == url


@pytest.mark.parametrize("flavour", [Flavour.OLLAMA, Flavour.TRANSFORMERS])
@pytest.mark.parametrize(
    ("choice", "offered"),
    [(b"", ["f", "g"]), (b'"auto"', ["f", "g"]), (b'"required"', ["f", "g"]), (NAMED, ["g"])],
    ids=["none given", "auto", "required", "named"],
)
def test_a_choice_that_would_be_ignored_is_kept_by_what_is_offered(
    flavour: Flavour, choice: bytes, offered: list[str]
) -> None:
    body = sent(flavour, tools=TOOLS, tool_choice_json=choice)
    assert [tool["function"]["name"] for tool in body["tools"]] == offered
    assert "tool_choice" not in body


@pytest.mark.parametrize("flavour", [Flavour.OLLAMA, Flavour.TRANSFORMERS])
def test_no_tool_is_offered_where_none_may_be_called(flavour: Flavour) -> None:
    body = sent(flavour, tools=TOOLS, tool_choice_json=b'"none"')
    assert not body.keys() & {"tools", "tool_choice"}


def test_lm_studio_is_asked_for_an_object_by_a_schema() -> None:
    body = sent(Flavour.LMSTUDIO, response_format_json=b'{"type":"json_object"}')
    assert body["response_format"]["type"] == "json_schema"
    assert body["response_format"]["json_schema"]["schema"] == {"type": "object"}


@pytest.mark.parametrize("flavour", set(Flavour) - {Flavour.TRANSFORMERS})
def test_a_schema_goes_out_as_it_came(flavour: Flavour) -> None:
    wanted = {"type": "json_schema", "json_schema": {"name": "n", "schema": {"type": "array"}}}
    body = sent(flavour, response_format_json=json.dumps(wanted).encode())
    assert body["response_format"] == wanted


def test_transformers_serve_is_asked_for_an_object_in_words_and_for_no_schema() -> None:
    body = sent(Flavour.TRANSFORMERS, response_format_json=b'{"type":"json_object"}')
    assert [message["role"] for message in body["messages"]] == ["system", "user"]
    assert "JSON" in body["messages"][0]["content"]
    assert "response_format" not in body
    error = refused(Flavour.TRANSFORMERS, response_format_json=b'{"type":"json_schema"}')
    assert error.message.startswith("response_format: ")


def test_transformers_serve_gets_no_field_it_would_answer_422_to() -> None:
    extra = {"top_k": 40, "min_p": 0.1, "service_tier": "auto", "chat_template_kwargs": {"a": 1}}
    body = sent(
        Flavour.TRANSFORMERS,
        stream=True,
        temperature=0.5,
        seed=1,
        reasoning_effort="low",
        parallel_tool_calls=True,
        extra_json=json.dumps(extra).encode(),
    )
    assert body.keys() == {
        "model",
        "messages",
        "stream",
        "temperature",
        "seed",
        "chat_template_kwargs",
    }


@pytest.mark.parametrize("flavour", [Flavour.LLAMACPP, Flavour.LLAMASWAP])
def test_llamacpp_is_not_asked_for_probabilities_beside_streamed_tools(flavour: Flavour) -> None:
    extra = b'{"logprobs":true,"top_logprobs":2}'
    assert "logprobs" not in sent(flavour, stream=True, tools=TOOLS, extra_json=extra)
    for body in (
        sent(flavour, tools=TOOLS, extra_json=extra),
        sent(flavour, stream=True, extra_json=extra),
    ):
        assert (body["logprobs"], body["top_logprobs"]) == (True, 2)


@pytest.mark.parametrize("flavour", set(Flavour) - {Flavour.TRANSFORMERS})
def test_unknown_fields_reach_whoever_may_know_them(flavour: Flavour) -> None:
    assert sent(flavour, extra_json=b'{"min_p":0.1,"x_custom":{"a":[1]}}')["x_custom"] == {"a": [1]}
