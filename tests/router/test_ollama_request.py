"""What Ollama is asked by its native API."""

from __future__ import annotations

import json
from typing import Any

import pytest

from lair.common.v1.chat_pb2 import (
    ContentPart,
    ContentParts,
    FunctionCall,
    ImageUrl,
    Message,
    ToolCall,
)
from lair.router.v1.chat_pb2 import ChatCall, FunctionSpec, Tool
from router_svc.backends.ollama_request import encode_chat, needed_tokens, window
from router_svc.model import UpstreamError
from svckit import settings

QWEN = "qwen3:8b"
SCHEMA = b'{"type":"json_schema","json_schema":{"name":"n","schema":{"type":"array"}}}'


def asked(*, reasons: bool | None = None, **fields: Any) -> dict[str, Any]:
    """Return the body of a call."""
    fields.setdefault("messages", [Message(role="user", text="hi")])
    raw = encode_chat(ChatCall(**fields), QWEN, num_ctx=None, keep_alive="", reasons=reasons)
    body: dict[str, Any] = json.loads(raw)
    return body


def messages(*given: Message) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = asked(messages=given)["messages"]
    return found


def test_the_least_request() -> None:
    assert asked() == {
        "model": QWEN,
        "messages": [{"role": "user", "content": "hi"}],
        "stream": True,
        "options": {},
    }


def test_parameters_become_options() -> None:
    extra = {"top_k": 40, "min_p": 0.1, "logprobs": True, "top_logprobs": 2, "service_tier": "x"}
    body = asked(
        temperature=0,
        top_p=0.5,
        seed=7,
        stop=["a"],
        max_tokens=5,
        max_completion_tokens=9,
        extra_json=json.dumps({**extra, "options": {"num_gpu": 1, "top_k": 20}}).encode(),
    )
    assert body["options"] == {
        "temperature": 0,
        "top_p": 0.5,
        "seed": 7,
        "stop": ["a"],
        "num_predict": 9,
        "min_p": 0.1,
        "top_k": 20,
        "num_gpu": 1,
    }
    assert (body["logprobs"], body["top_logprobs"]) == (True, 2)
    assert "service_tier" not in body


@pytest.mark.parametrize(
    ("given", "sent"), [("30m", "30m"), ("300", 300), ("-1", -1), ("1h30m", "1h30m")]
)
def test_the_time_in_memory_is_a_number_where_it_has_no_unit(given: str, sent: object) -> None:
    config = settings.Backend(name="o", url="http://x", keep_alive=given)
    raw = encode_chat(ChatCall(), QWEN, num_ctx=8192, keep_alive=config.keep_alive, reasons=None)
    body = json.loads(raw)
    assert (body["keep_alive"], body["options"]["num_ctx"]) == (sent, 8192)


@pytest.mark.parametrize(
    ("wanted", "sent"),
    [
        (b'{"type":"text"}', None),
        (b'{"type":"json_object"}', "json"),
        (SCHEMA, {"type": "array"}),
        (b'{"type":"json_schema"}', None),
        (b"[]", None),
    ],
    ids=["text", "object", "schema", "no schema", "odd"],
)
def test_a_format_is_a_word_or_a_schema(wanted: bytes, sent: object) -> None:
    assert asked(response_format_json=wanted).get("format") == sent


@pytest.mark.parametrize(
    ("effort", "reasons", "think"),
    [
        ("none", True, False),
        ("none", None, False),
        ("minimal", True, "low"),
        ("medium", True, "medium"),
        ("xhigh", True, "high"),
        ("high", False, None),
        ("high", None, None),
    ],
)
def test_effort_is_asked_only_of_models_that_think(
    effort: str, reasons: bool | None, think: object
) -> None:
    assert asked(reasoning_effort=effort, reasons=reasons).get("think") == think


def test_without_an_effort_the_model_decides() -> None:
    assert "think" not in asked(reasons=True)


def test_a_tool_loop_goes_out_with_objects_and_names() -> None:
    call = ToolCall(id="c1", function=FunctionCall(name="weather", arguments='{"city":"Oslo"}'))
    broken = ToolCall(id="c2", function=FunctionCall(name="weather", arguments="{city"))
    sent = messages(
        Message(role="developer", text="be brief"),
        Message(role="assistant", reasoning="hm", tool_calls=[call, broken]),
        Message(role="tool", tool_call_id="c1", text="rain"),
    )
    assert sent == [
        {"role": "system", "content": "be brief"},
        {
            "role": "assistant",
            "content": "",
            "thinking": "hm",
            "tool_calls": [
                {"id": "c1", "function": {"name": "weather", "arguments": {"city": "Oslo"}}},
                {"id": "c2", "function": {"name": "weather", "arguments": {"arguments": "{city"}}},
            ],
        },
        {"role": "tool", "content": "rain", "tool_call_id": "c1", "tool_name": "weather"},
    ]


def with_parts(*parts: ContentPart) -> Message:
    return Message(role="user", parts=ContentParts(parts=parts))


def picture(url: str) -> ContentPart:
    return ContentPart(type="image_url", image_url=ImageUrl(url=url))


def test_pictures_go_out_as_plain_base64() -> None:
    text = ContentPart(type="text", text="look")
    [sent] = messages(with_parts(text, picture("data:image/png;base64,QUJD"), text))
    assert sent == {"role": "user", "content": "look\nlook", "images": ["QUJD"]}


@pytest.mark.parametrize(
    ("part", "field"),
    [
        (picture("https://example.com/cat.png"), "messages[1].content[0].image_url"),
        (picture("data:image/svg+xml,<svg/>"), "messages[1].content[0].image_url"),
        (ContentPart(type="input_audio", extra_json=b"{}"), "messages[1].content[0]"),
    ],
    ids=["address", "no base64", "sound"],
)
def test_what_ollama_cannot_see_is_refused_with_its_place(part: ContentPart, field: str) -> None:
    with pytest.raises(UpstreamError) as caught:
        messages(Message(role="system", text="x"), with_parts(part))
    assert (caught.value.reason, caught.value.try_next) == ("UPSTREAM_REJECTED", True)
    assert caught.value.message.startswith(f"{field}: ")


def test_several_answers_are_refused() -> None:
    with pytest.raises(UpstreamError, match="n: "):
        asked(n=2)


@pytest.mark.parametrize(
    ("choice", "offered"),
    [
        (b"", ["f", "g"]),
        (b'"required"', ["f", "g"]),
        (b'{"type":"function","function":{"name":"g"}}', ["g"]),
    ],
    ids=["none given", "required", "named"],
)
def test_tools_are_offered_as_the_choice_leaves_them(choice: bytes, offered: list[str]) -> None:
    schema = b'{"type":"object"}'
    tools = [Tool(function=FunctionSpec(name=n, parameters_json=schema)) for n in ("f", "g")]
    sent = asked(tools=[*tools, Tool(type="web_search")], tool_choice_json=choice)["tools"]
    assert [tool["function"]["name"] for tool in sent] == offered
    assert sent[0]["function"]["parameters"] == {"type": "object"}


def test_no_tool_is_offered_where_none_may_be_called() -> None:
    tools = [Tool(function=FunctionSpec(name="f"))]
    assert "tools" not in asked(tools=tools, tool_choice_json=b'"none"')


# -- the window ----------------------------------------------------------------


@pytest.mark.parametrize(
    ("needed", "configured", "in_force", "longest", "asked_for"),
    [
        (100, None, None, 40960, None),
        (4096, None, None, 40960, None),
        (4097, None, None, 40960, 8192),
        (9000, None, 4096, 40960, 16384),
        (100, None, 16384, 40960, 16384),
        (39000, None, 16384, 40960, 40960),
        (90000, None, None, 40960, 40960),
        (90000, None, None, None, 131072),
        (100, 8192, None, 40960, 8192),
        (90000, 8192, 4096, 40960, 8192),
        (100, 99999, None, 40960, 40960),
        (100, 99999, None, None, 99999),
    ],
)
def test_the_window_grows_with_the_need_and_is_else_left_alone(
    needed: int,
    configured: int | None,
    in_force: int | None,
    longest: int | None,
    asked_for: int | None,
) -> None:
    assert (
        window(needed=needed, configured=configured, in_force=in_force, longest=longest)
        == asked_for
    )


def test_the_need_counts_prompt_pictures_and_answer() -> None:
    short = needed_tokens(ChatCall(messages=[Message(role="user", text="x" * 300)]))
    assert 1100 < short < 1200
    limited = ChatCall(messages=[Message(role="user", text="x" * 300)], max_tokens=10_000)
    assert needed_tokens(limited) > 10_000
    seen = ChatCall(messages=[with_parts(picture("data:image/png;base64," + "A" * 9_000_000))])
    assert 2000 < needed_tokens(seen) < 3000
