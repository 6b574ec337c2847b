from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.dialects.responses_input import Reference, joined
from gateway.dialects.responses_items import seal, unseal
from gateway.dialects.responses_request import (
    ResponsesBody,
    parse_responses_request,
    parse_token_count,
)
from lair.common.v1.chat_pb2 import Message
from svckit.chat_json import message_json
from svckit.errors import ServiceError
from tests.gateway.requests import encode_request

# What the official document lists.
EVERY_KEY: dict[str, Any] = {
    "background": False,
    "context_management": [{"type": "compaction"}],
    "conversation": {"id": "conv_1"},
    "include": ["message.output_text.logprobs"],
    "input": "Hi",
    "instructions": "Be brief.",
    "max_output_tokens": 5,
    "max_tool_calls": 2,
    "metadata": {"a": "b"},
    "model": "auto",
    "moderation": {"model": "m"},
    "parallel_tool_calls": False,
    "prompt": {"id": "pmpt_1"},
    "prompt_cache_key": "k",
    "prompt_cache_options": {"ttl": "30m"},
    "prompt_cache_retention": "24h",
    "reasoning": {"effort": "low", "summary": "auto"},
    "safety_identifier": "s",
    "service_tier": "flex",
    "store": True,
    "stream": True,
    "stream_options": {"include_obfuscation": False},
    "temperature": 0.5,
    "text": {"format": {"type": "json_object"}, "verbosity": "low"},
    "tool_choice": "required",
    "tools": [{"type": "function", "name": "f", "parameters": {"type": "object"}}],
    "top_logprobs": 3,
    "top_p": 0.9,
    "truncation": "auto",
    "user": "u",
}


def parse(**fields: Any) -> ResponsesBody:
    return parse_responses_request(json.dumps({"input": "Hi"} | fields).encode())


def sent(**fields: Any) -> dict[str, Any]:
    """Return the chat that a request becomes."""
    body = parse(**fields)
    body.call.messages.extend(joined(body.pieces))
    return encode_request(body.call)


def messages(*items: Any) -> list[dict[str, Any]]:
    return [message_json(message) for message in joined(parse(input=list(items)).pieces)]


def test_every_key_of_the_api_finds_its_place():
    chat = sent(**EVERY_KEY)
    assert chat == {
        "model": "auto",
        "messages": [{"role": "user", "content": "Hi"}],
        "tools": [
            {"type": "function", "function": {"name": "f", "parameters": {"type": "object"}}}
        ],
        "tool_choice": "required",
        "parallel_tool_calls": False,
        "temperature": 0.5,
        "top_p": 0.9,
        "max_completion_tokens": 5,
        "reasoning_effort": "low",
        "response_format": {"type": "json_object"},
        "verbosity": "low",
        "logprobs": True,
        "top_logprobs": 3,
        "service_tier": "flex",
        "user": "u",
        "safety_identifier": "s",
        "prompt_cache_key": "k",
    }


def test_nulls_are_as_good_as_absent_fields():
    keys = EVERY_KEY.keys() - {"input"}
    assert sent(**dict.fromkeys(keys)) == {"messages": [{"role": "user", "content": "Hi"}]}


def test_unknown_fields_go_to_the_backend_unless_only_this_api_has_them():
    chat = sent(top_k=5, chat_template_kwargs={"x": 1}, seed=7, client_metadata={"a": 1}, n=3)
    assert (chat["top_k"], chat["chat_template_kwargs"], chat["seed"]) == (5, {"x": 1}, 7)
    assert not {"client_metadata", "n"} & chat.keys()


@pytest.mark.parametrize(
    ("fields", "path"),
    [
        ({"background": True}, "background"),
        ({"input": None}, "input"),
        ({"input": 5}, "input"),
        ({"input": ["x"]}, "input[0]"),
        ({"input": [{"role": "alien", "content": "x"}]}, "input[0].role"),
        ({"input": [{"role": "user", "content": 5}]}, "input[0].content"),
        ({"input": [{"role": "user", "content": [{"text": "x"}]}]}, "input[0].content[0].type"),
        (
            {"input": [{"role": "user", "content": [{"type": "input_image", "file_id": "f"}]}]},
            "input[0].content[0].image_url",
        ),
        ({"input": [{"type": "function_call", "name": "f"}]}, "input[0].call_id"),
        ({"instructions": 5}, "instructions"),
        ({"max_output_tokens": -1}, "max_output_tokens"),
        ({"max_tool_calls": "1"}, "max_tool_calls"),
        ({"metadata": {"a": 1}}, "metadata.a"),
        ({"metadata": {str(n): "" for n in range(17)}}, "metadata"),
        ({"metadata": {"k" * 65: ""}}, "metadata"),
        ({"metadata": {"k": "v" * 513}}, "metadata.k"),
        ({"model": 5}, "model"),
        ({"parallel_tool_calls": 1}, "parallel_tool_calls"),
        ({"prompt": {}}, "prompt.id"),
        ({"reasoning": {"effort": "huge"}}, "reasoning.effort"),
        ({"reasoning": {"summary": "long"}}, "reasoning.summary"),
        ({"store": "yes"}, "store"),
        ({"stream": 1}, "stream"),
        ({"temperature": 3}, "temperature"),
        ({"text": {"verbosity": "loud"}}, "text.verbosity"),
        ({"text": {"format": {"type": "xml"}}}, "text.format.type"),
        ({"text": {"format": {"type": "json_schema", "schema": {}}}}, "text.format.name"),
        ({"text": {"format": {"type": "json_schema", "name": "x"}}}, "text.format.schema"),
        ({"tools": [{"type": "function"}]}, "tools[0].name"),
        ({"tools": [{"type": "custom"}]}, "tools[0].name"),
        ({"tools": [{"name": "x"}]}, "tools[0].type"),
        ({"tool_choice": "maybe"}, "tool_choice"),
        ({"tool_choice": {"type": "function"}}, "tool_choice.name"),
        ({"top_logprobs": 21}, "top_logprobs"),
        ({"top_p": 2}, "top_p"),
        ({"truncation": "some"}, "truncation"),
        ({"user": 5}, "user"),
        ({"include": "all"}, "include"),
        ({"conversation": 5}, "conversation"),
        ({"conversation": {}}, "conversation.id"),
        ({"conversation": "c" * 257}, "conversation"),
        ({"conversation": {"id": "a\nb"}}, "conversation.id"),
        ({"conversation": "c", "previous_response_id": "r"}, "previous_response_id"),
    ],
)
def test_a_wrong_field_is_named(fields, path):
    with pytest.raises(ServiceError) as raised:
        parse(**fields)
    assert raised.value.reason == "INVALID_FIELD"
    assert raised.value.metadata["field"] == path


@pytest.mark.parametrize("continued", [{"previous_response_id": "resp_1"}, {"conversation": "c"}])
def test_what_continues_needs_no_input(continued):
    assert parse_responses_request(json.dumps(continued).encode()).pieces == []


def test_a_count_needs_nothing_and_keeps_nothing():
    assert parse_token_count(b"").pieces == []
    assert parse_token_count(b'{"input": "Hi", "store": true}').store is False


def test_items_become_the_messages_of_a_chat():
    assert messages(
        {"role": "developer", "content": "D"},
        {"type": "message", "role": "user", "content": [{"type": "input_text", "text": "U"}]},
        {"type": "function_call", "call_id": "c1", "name": "f", "arguments": "{}"},
        {"type": "function_call_output", "call_id": "c1", "output": "42"},
        {"type": "message", "role": "assistant", "content": [{"type": "output_text", "text": "A"}]},
    ) == [
        {"role": "developer", "content": "D"},
        {"role": "user", "content": "U"},
        {
            "role": "assistant",
            "tool_calls": [
                {"id": "c1", "type": "function", "function": {"name": "f", "arguments": "{}"}}
            ],
        },
        {"role": "tool", "content": "42", "tool_call_id": "c1"},
        {"role": "assistant", "content": "A"},
    ]


def test_all_that_an_assistant_said_in_a_row_is_one_message():
    reasoning = {"type": "reasoning", "summary": [], "encrypted_content": seal("hm")}
    calls = [
        {"type": "function_call", "call_id": f"c{n}", "name": "f", "arguments": "{}"}
        for n in (1, 2)
    ]
    said = {"role": "assistant", "content": "A"}
    (user, message) = messages({"role": "user", "content": "U"}, reasoning, said, *calls)
    assert user == {"role": "user", "content": "U"}
    assert (message["reasoning_content"], message["content"]) == ("hm", "A")
    assert [call["id"] for call in message["tool_calls"]] == ["c1", "c2"]


def test_the_reasoning_of_older_turns_is_left_out():
    reasoning = {"type": "reasoning", "summary": [{"type": "summary_text", "text": "hm"}]}
    said = {"role": "assistant", "content": "A"}
    assert messages(reasoning, said, {"role": "user", "content": "U"}) == [
        {"role": "assistant", "content": "A"},
        {"role": "user", "content": "U"},
    ]
    assert messages({"role": "user", "content": "U"}, reasoning) == [
        {"role": "user", "content": "U"}
    ]


def test_pictures_and_files_keep_their_place():
    (message,) = messages(
        {
            "role": "user",
            "content": [
                {"type": "input_text", "text": "Look"},
                {"type": "input_image", "image_url": "data:image/png;base64,aa", "detail": "high"},
                {"type": "input_file", "filename": "a.pdf", "file_data": "data:x"},
                {"type": "input_audio", "input_audio": {"data": "aa", "format": "wav"}},
            ],
        }
    )
    assert message["content"] == [
        {"type": "text", "text": "Look"},
        {"type": "image_url", "image_url": {"url": "data:image/png;base64,aa", "detail": "high"}},
        {"type": "file", "file": {"file_data": "data:x", "filename": "a.pdf"}},
        {"type": "input_audio", "input_audio": {"data": "aa", "format": "wav"}},
    ]


@pytest.mark.parametrize(
    ("output", "content"),
    [
        ("42", "42"),
        ([{"type": "input_text", "text": "a"}, {"type": "input_text", "text": "b"}], "a\nb"),
        ({"ok": True}, '{"ok":true}'),
        (None, ""),
    ],
)
def test_a_tools_output_may_have_any_form(output, content):
    item = {"type": "function_call_output", "call_id": "c", "output": output}
    assert messages(item) == [{"role": "tool", "content": content, "tool_call_id": "c"}]


def test_tools_of_other_makers_are_shown_as_calls_or_left_out():
    found = messages(
        {"type": "web_search_call", "id": "ws_1", "status": "completed", "action": {}},
        {"type": "compaction", "encrypted_content": "x"},
        {"type": "local_shell_call", "call_id": "c1", "action": {"command": ["ls"]}},
        {"type": "local_shell_call_output", "call_id": "c1", "output": "a.txt"},
        {"type": "custom_tool_call", "call_id": "c2", "name": "apply_patch", "input": "*** B"},
        {"type": "custom_tool_call_output", "call_id": "c2", "output": "done"},
        {"type": "of_a_year_to_come", "anything": [1]},
    )
    calls = [call["function"] for m in found for call in m.get("tool_calls", ())]
    assert calls == [
        {"name": "local_shell", "arguments": '{"action":{"command":["ls"]}}'},
        {"name": "apply_patch", "arguments": '{"input":"*** B"}'},
    ]
    assert [m["content"] for m in found if m["role"] == "tool"] == ["a.txt", "done"]


def test_a_reference_is_a_piece_until_it_is_found():
    body = parse(input=[{"role": "user", "content": "U"}, {"type": "item_reference", "id": "m1"}])
    assert body.pieces[1] == Reference("m1")
    assert len(joined(body.pieces)) == 1
    found = joined(body.pieces, {"m1": Message(role="assistant", text="A")})
    assert [message.role for message in found] == ["user", "assistant"]


def test_tools_that_the_backend_cannot_use_are_shown_and_not_sent():
    tools = [
        {"type": "function", "name": "f", "strict": True, "parameters": {"type": "object"}},
        {
            "type": "custom",
            "name": "apply_patch",
            "description": "Patch.",
            "format": {"type": "grammar", "syntax": "lark", "definition": "start: X"},
        },
        {"type": "namespace", "name": "n", "description": "d", "tools": [{"type": "function"}]},
        {"type": "web_search", "external_web_access": False},
        {"type": "of_a_year_to_come"},
    ]
    body = parse(tools=tools, tool_choice="auto")
    sent_tools = encode_request(body.call)["tools"]
    assert [tool["function"]["name"] for tool in sent_tools] == ["f", "apply_patch"]
    assert sent_tools[1]["function"]["parameters"]["required"] == ["input"]
    assert "lark grammar:\nstart: X" in sent_tools[1]["function"]["description"]
    assert [tool["type"] for tool in body.shown["tools"]] == [tool["type"] for tool in tools[:4]]
    assert body.custom_tools == {"apply_patch"}


@pytest.mark.parametrize(
    ("choice", "sent_choice", "names"),
    [
        ("none", "none", ["f", "g"]),
        (
            {"type": "function", "name": "f"},
            {"type": "function", "function": {"name": "f"}},
            ["f", "g"],
        ),
        (
            {"type": "custom", "name": "g"},
            {"type": "function", "function": {"name": "g"}},
            ["f", "g"],
        ),
        ({"type": "web_search_preview"}, None, ["f", "g"]),
        (
            {
                "type": "allowed_tools",
                "mode": "required",
                "tools": [{"type": "function", "name": "g"}],
            },
            "required",
            ["g"],
        ),
    ],
)
def test_the_choice_of_tools_is_the_chats(choice, sent_choice, names):
    chat = sent(
        tools=[{"type": "function", "name": "f"}, {"type": "custom", "name": "g"}],
        tool_choice=choice,
    )
    assert chat.get("tool_choice") == sent_choice
    assert [tool["function"]["name"] for tool in chat["tools"]] == names


def test_what_allows_no_tool_by_its_name_leaves_none():
    choice = {"type": "allowed_tools", "mode": "auto", "tools": [{"name": ["f"]}, {}, 7]}
    chat = sent(tools=[{"type": "function", "name": "f"}], tool_choice=choice)
    assert "tools" not in chat


@pytest.mark.parametrize("kind", [["function"], "custom", 7])
def test_a_function_as_the_chat_api_writes_it_stays_a_function(kind):
    tools = [{"type": "function", "function": {"name": "f", "type": kind}}]
    body = parse(tools=tools)
    assert [tool["type"] for tool in body.shown["tools"]] == ["function"]
    assert [tool["type"] for tool in encode_request(body.call)["tools"]] == ["function"]
    assert not body.custom_tools


def test_no_choice_is_sent_without_tools():
    chat = sent(tools=[{"type": "web_search"}], tool_choice="auto", parallel_tool_calls=True)
    assert not {"tools", "tool_choice", "parallel_tool_calls"} & chat.keys()


def test_a_schema_is_the_chats_response_format():
    form = {"type": "json_schema", "name": "x", "schema": {"type": "object"}, "strict": True}
    assert sent(text={"format": form})["response_format"] == {
        "type": "json_schema",
        "json_schema": {"name": "x", "schema": {"type": "object"}, "strict": True},
    }


@given(st.text())
def test_encrypted_reasoning_comes_back_as_it_was(text):
    assert unseal(seal(text)) == text.encode(errors="replace").decode()


@pytest.mark.parametrize("text", ["gAAAAABother", "not base64!", "", "bGFpcjoy"])
def test_what_another_server_encrypted_is_no_reasoning(text):
    assert unseal(text) == ""
