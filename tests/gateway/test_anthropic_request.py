"""Bodies of Messages requests, and what they become in the contract."""

from __future__ import annotations

import json
from typing import Any

import pytest

from gateway.dialects.anthropic_request import parse_count_request, parse_messages_request
from lair.router.v1.chat_pb2 import ChatCall
from svckit.chat_json import message_json
from svckit.errors import ServiceError

PNG = {"type": "base64", "media_type": "image/png", "data": "aGk="}
PNG_PART = {"type": "image_url", "image_url": {"url": "data:image/png;base64,aGk="}}
WEATHER = {"name": "weather", "description": "Tell it.", "input_schema": {"type": "object"}}


def parse(**fields: Any) -> ChatCall:
    body = {"model": "auto", "max_tokens": 9, "messages": [{"role": "user", "content": "Hi"}]}
    return parse_messages_request(json.dumps(body | fields).encode()).call


def messages(*said: Any, **fields: Any) -> list[dict[str, Any]]:
    call = parse(messages=[{"role": role, "content": content} for role, content in said], **fields)
    return [message_json(message) for message in call.messages]


def text(words: str) -> dict[str, str]:
    return {"type": "text", "text": words}


def test_the_least_request() -> None:
    call = parse()
    assert (call.model, call.max_tokens) == ("auto", 9)
    assert [message_json(m) for m in call.messages] == [{"role": "user", "content": "Hi"}]
    assert call.extra_json == b""


def test_the_system_prompt_goes_in_front() -> None:
    blocks = [text("Be terse."), {**text("Be kind."), "cache_control": {"type": "ephemeral"}}]
    expected = {"role": "system", "content": "Be terse.\nBe kind."}
    assert messages(("user", "Hi"), system=blocks)[0] == expected
    assert messages(("user", "Hi"), system="Be terse.\nBe kind.")[0] == expected
    assert len(messages(("user", "Hi"), system=None)) == 1


def test_a_note_for_accounting_is_not_for_the_model() -> None:
    blocks = [text("x-anthropic-billing-header: cc_version=2; cch=1a2b;"), text("Be terse.")]
    assert messages(("user", "Hi"), system=blocks)[0]["content"] == "Be terse."


def test_pictures_and_texts_become_parts() -> None:
    address = {"type": "url", "url": "https://example.org/a.png"}
    [message] = messages(
        (
            "user",
            [text("See"), {"type": "image", "source": PNG}, {"type": "image", "source": address}],
        )
    )
    assert message["content"] == [
        text("See"),
        PNG_PART,
        {"type": "image_url", "image_url": {"url": "https://example.org/a.png"}},
    ]


@pytest.mark.parametrize(
    ("source", "content"),
    [
        ({"type": "text", "media_type": "text/plain", "data": "words"}, "T\nwords"),
        ({"type": "content", "content": [text("words")]}, "T\nwords"),
        ({"type": "content", "content": "words"}, "T\nwords"),
        (
            {"type": "base64", "media_type": "application/pdf", "data": "aGk="},
            [
                {
                    "type": "file",
                    "file": {"filename": "T", "file_data": "data:application/pdf;base64,aGk="},
                }
            ],
        ),
        (
            {"type": "url", "url": "https://example.org/a.pdf"},
            [
                {
                    "type": "file",
                    "file": {"filename": "T", "file_data": "https://example.org/a.pdf"},
                }
            ],
        ),
    ],
)
def test_documents(source: dict[str, Any], content: Any) -> None:
    [message] = messages(("user", [{"type": "document", "title": "T", "source": source}]))
    assert message["content"] == content


def test_a_tool_loop() -> None:
    said = messages(
        ("user", "Weather in Oslo?"),
        (
            "assistant",
            [
                {"type": "thinking", "thinking": "A tool.", "signature": "s"},
                {"type": "redacted_thinking", "data": "x"},
                text("I look."),
                {"type": "tool_use", "id": "t1", "name": "weather", "input": {"city": "Oslo"}},
            ],
        ),
        (
            "user",
            [text("And?"), {"type": "tool_result", "tool_use_id": "t1", "content": [text("rain")]}],
        ),
    )
    function = {"name": "weather", "arguments": '{"city":"Oslo"}'}
    assert said[1:] == [
        {
            "role": "assistant",
            "content": "I look.",
            "reasoning_content": "A tool.",
            "tool_calls": [{"id": "t1", "type": "function", "function": function}],
        },
        {"role": "tool", "tool_call_id": "t1", "content": "rain"},
        {"role": "user", "content": "And?"},
    ]


@pytest.mark.parametrize(
    ("result", "content"),
    [
        ({}, ""),
        ({"content": "no such file", "is_error": True}, "Error: no such file"),
        ({"content": "error 404", "is_error": True}, "error 404"),
        ({"content": "fine", "is_error": False}, "fine"),
        ({"content": [text("a"), text("b")]}, "a\nb"),
        ({"content": [{"type": "tool_reference", "tool_name": "t"}]}, ""),
    ],
)
def test_results_of_tools(result: dict[str, Any], content: str) -> None:
    said = messages(("user", [{"type": "tool_result", "tool_use_id": "t1", **result}]))
    assert said == [{"role": "tool", "tool_call_id": "t1", "content": content}]


def test_a_picture_that_a_tool_returns_is_shown_behind_its_result() -> None:
    picture = {"type": "image", "source": PNG}
    said = messages(("user", [{"type": "tool_result", "tool_use_id": "t1", "content": [picture]}]))
    assert said[0]["content"] == "(shown below)"
    assert said[1] == {"role": "user", "content": [PNG_PART]}


def test_blocks_of_anthropics_own_servers_are_left_out() -> None:
    said = messages(
        (
            "assistant",
            [
                {"type": "server_tool_use", "id": "s", "name": "web_search", "input": {}},
                {"type": "web_search_tool_result", "tool_use_id": "s", "content": []},
                text("It rains."),
            ],
        ),
        ("user", [{"type": "container_upload", "file_id": "f"}, text("Thanks")]),
    )
    assert said == [
        {"role": "assistant", "content": "It rains."},
        {"role": "user", "content": "Thanks"},
    ]


def test_tools_and_which_of_them_to_call() -> None:
    call = parse(tools=[WEATHER, {"type": "web_search_20250305", "name": "web_search"}])
    [tool] = call.tools
    assert (tool.type, tool.function.name) == ("function", "weather")
    assert tool.function.parameters_json == b'{"type":"object"}'
    assert (call.tool_choice_json, call.HasField("parallel_tool_calls")) == (b"", False)


@pytest.mark.parametrize(
    ("choice", "expected", "parallel"),
    [
        ({"type": "auto"}, "auto", None),
        ({"type": "any", "disable_parallel_tool_use": True}, "required", False),
        ({"type": "none"}, "none", None),
        (
            {"type": "tool", "name": "weather", "disable_parallel_tool_use": False},
            {"type": "function", "function": {"name": "weather"}},
            True,
        ),
    ],
)
def test_choices(choice: dict[str, Any], expected: Any, parallel: bool | None) -> None:
    call = parse(tools=[WEATHER], tool_choice=choice)
    assert json.loads(call.tool_choice_json) == expected
    sent = call.parallel_tool_calls if call.HasField("parallel_tool_calls") else None
    assert sent == parallel


def test_a_choice_without_tools_is_none() -> None:
    search = {"type": "web_search_20250305", "name": "web_search"}
    call = parse(tools=[search], tool_choice={"type": "any"})
    assert (list(call.tools), call.tool_choice_json) == ([], b"")


@pytest.mark.parametrize(
    ("fields", "effort"),
    [
        ({}, None),
        ({"thinking": {"type": "adaptive"}}, None),
        ({"thinking": {"type": "disabled"}}, "none"),
        ({"thinking": {"type": "enabled", "budget_tokens": 1024}}, "low"),
        ({"thinking": {"type": "enabled", "budget_tokens": 4096}}, "medium"),
        ({"thinking": {"type": "enabled", "budget_tokens": 31999}}, "high"),
        ({"thinking": {"type": "adaptive"}, "output_config": {"effort": "xhigh"}}, "xhigh"),
    ],
)
def test_how_much_to_think(fields: dict[str, Any], effort: str | None) -> None:
    call = parse(**fields)
    assert (call.reasoning_effort if call.HasField("reasoning_effort") else None) == effort


@pytest.mark.parametrize("name", ["output_format", "output_config"])
def test_a_schema_for_the_answer(name: str) -> None:
    wanted: dict[str, Any] = {"type": "json_schema", "schema": {"type": "object"}}
    call = parse(**{name: {"format": wanted} if name == "output_config" else wanted})
    shape = json.loads(call.response_format_json)
    assert shape["type"] == "json_schema"
    assert shape["json_schema"]["schema"] == {"type": "object"}


def test_sampling_and_stops() -> None:
    stops = ["a", "b", "c", "d", "e"]
    call = parse(temperature=0.5, top_p=0.9, top_k=40, stop_sequences=stops, min_p=0.1, seed=7)
    assert (call.temperature, call.top_p, list(call.stop)) == (0.5, 0.9, stops)
    assert json.loads(call.extra_json) == {"top_k": 40, "min_p": 0.1, "seed": 7}


def test_what_only_anthropics_servers_act_on_stays_here() -> None:
    call = parse(
        service_tier="auto",
        container=None,
        context_management={"edits": []},
        mcp_servers=[],
        betas=["x"],
        cache_control={"type": "ephemeral"},
        temperature=None,
        stop_sequences=[],
    )
    assert call.extra_json == b""


@pytest.mark.parametrize(
    ("user_id", "extra"),
    [
        ("u-1", {"user": "u-1"}),
        (
            "user_ab12_account_c0ffee_session_01234567-89ab-cdef-0123-456789abcdef",
            {"prompt_cache_key": "01234567-89ab-cdef-0123-456789abcdef"},
        ),
        ('{"device_id": "d", "session_id": "s-1"}', {"prompt_cache_key": "s-1"}),
        ('{"device_id": "d"}', {"user": '{"device_id": "d"}'}),
    ],
)
def test_whose_request_it_is(user_id: str, extra: dict[str, Any]) -> None:
    assert json.loads(parse(metadata={"user_id": user_id}).extra_json) == extra


def test_a_count_needs_no_limit() -> None:
    body = {"model": "auto", "messages": [{"role": "user", "content": "Hi"}], "system": "Be."}
    call = parse_count_request(json.dumps(body).encode())
    assert [message.role for message in call.messages] == ["system", "user"]
    assert not call.HasField("max_tokens")


@pytest.mark.parametrize(
    ("fields", "field"),
    [
        ({"max_tokens": None}, "max_tokens"),
        ({"max_tokens": 0}, "max_tokens"),
        ({"max_tokens": "9"}, "max_tokens"),
        ({"messages": None}, "messages"),
        ({"messages": []}, "messages"),
        ({"messages": ["Hi"]}, "messages[0]"),
        ({"messages": [{"role": "tool", "content": "x"}]}, "messages[0].role"),
        ({"messages": [{"role": "user"}]}, "messages[0].content"),
        ({"messages": [{"role": "user", "content": 1}]}, "messages[0].content"),
        ({"messages": [{"role": "user", "content": [{}]}]}, "messages[0].content[0].type"),
        (
            {"messages": [{"role": "user", "content": [{"type": "text"}]}]},
            "messages[0].content[0].text",
        ),
        (
            {"messages": [{"role": "user", "content": [{"type": "image"}]}]},
            "messages[0].content[0].source",
        ),
        (
            {
                "messages": [
                    {
                        "role": "user",
                        "content": [{"type": "image", "source": {"type": "file", "file_id": "f"}}],
                    }
                ]
            },
            "messages[0].content[0].source.type",
        ),
        (
            {"messages": [{"role": "user", "content": [{"type": "tool_result"}]}]},
            "messages[0].content[0].tool_use_id",
        ),
        ({"system": 1}, "system"),
        ({"system": [{"type": "text"}]}, "system[0].text"),
        ({"temperature": 1.5}, "temperature"),
        ({"top_k": -1}, "top_k"),
        ({"stop_sequences": "x"}, "stop_sequences"),
        ({"stop_sequences": [""]}, "stop_sequences[0]"),
        ({"thinking": {"type": "enabled"}}, "thinking.budget_tokens"),
        ({"output_config": "high"}, "output_config"),
        ({"tools": [{"name": "x"}]}, "tools[0].input_schema"),
        ({"tools": [WEATHER], "tool_choice": {"type": "some"}}, "tool_choice.type"),
        ({"tools": [WEATHER], "tool_choice": {"type": "tool", "name": "x"}}, "tool_choice.name"),
        ({"stream": 1}, "stream"),
    ],
)
def test_mistakes_are_named(fields: dict[str, Any], field: str) -> None:
    with pytest.raises(ServiceError) as raised:
        parse(**fields)
    assert raised.value.reason == "INVALID_FIELD"
    assert raised.value.metadata["field"] == field
    assert field in raised.value.message
