"""Which messages are the same node of a conversation's tree."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lair.common.v1.chat_pb2 import (
    ContentPart,
    ContentParts,
    FunctionCall,
    ImageUrl,
    Message,
    ToolCall,
)
from memory_svc.storage.local.rows import join_message, split_message
from memory_svc.tree import ROOT, chain, end_of_run, node_hash, split_system
from tests.memory.chats import assistant, system, user


def parts(*each: ContentPart, role: str = "user") -> Message:
    return Message(role=role, parts=ContentParts(parts=each))


def text_part(text: str) -> ContentPart:
    return ContentPart(type="text", text=text)


def picture(url: str, extra: bytes = b"") -> ContentPart:
    return ContentPart(type="image_url", image_url=ImageUrl(url=url), extra_json=extra)


def call(name: str, arguments: str, call_id: str = "c1") -> Message:
    function = FunctionCall(name=name, arguments=arguments)
    return Message(role="assistant", tool_calls=[ToolCall(id=call_id, function=function)])


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (user("hi"), Message(role="user", text="hi", name="Ann", extra_json=b'{"x":1}')),
        (assistant("hi"), Message(role="assistant", text="hi", reasoning="greet")),
        (assistant("hi"), Message(role="assistant", text="\n hi ")),
        (user("hi"), parts(text_part("hi"))),
        (user("a\nb"), parts(text_part("a"), text_part("b"))),
        (call("f", "{}", "c1"), call("f", "{}", "c2")),
        (call("f", '{"a":1,"b":[]}'), call("f", '{"b": [], "a": 1}')),
        (call("f", ""), call("f", "{}")),
        (parts(picture("u", b'{"a":1,"b":2}')), parts(picture("u", b'{"b": 2, "a": 1}'))),
        (parts(picture("u")), parts(picture("u", b'{"cache_control":{"type":"ephemeral"}}'))),
    ],
    ids=[
        "name and vendors' fields",
        "reasoning",
        "white space around",
        "one text part",
        "two text parts",
        "id of a call",
        "how arguments are written",
        "no arguments",
        "order of JSON keys",
        "where the prompt is to be cached",
    ],
)
def test_what_clients_change_when_they_resend_does_not_count(one: Message, other: Message):
    assert node_hash(ROOT, one) == node_hash(ROOT, other)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (user("hi"), assistant("hi")),
        (user("hi"), user("ho")),
        (call("f", "{}"), call("f", '{"a":1}')),
        (call("f", "{}"), call("g", "{}")),
        (call("f", '{"a":'), call("f", '{"a"')),
        (parts(picture("u")), parts(picture("v"))),
        (parts(picture("u", b"not json")), parts(picture("u", b"neither"))),
        (parts(text_part("hi")), parts(text_part("hi"), picture("u"))),
        (
            Message(role="tool", text="1", tool_call_id="a"),
            Message(role="tool", text="1", tool_call_id="b"),
        ),
    ],
    ids=[
        "role",
        "text",
        "arguments",
        "function",
        "half",
        "picture",
        "not JSON",
        "part",
        "tool call",
    ],
)
def test_what_is_said_counts(one: Message, other: Message):
    assert node_hash(ROOT, one) != node_hash(ROOT, other)


def test_a_chain_names_the_whole_path():
    path = chain(ROOT, [user("a"), assistant("b")])
    assert path == [node_hash(ROOT, user("a")), node_hash(path[0], assistant("b"))]
    assert chain(path[0], [assistant("b")]) == path[1:]
    assert chain(ROOT, [user("x"), assistant("b")])[1] != path[1]


def test_system_messages_do_not_change_where_the_others_belong():
    plain = chain(ROOT, [user("a"), assistant("b"), user("c")])
    said = [user("a"), system("s"), assistant("b"), system("s"), system("t"), user("c")]
    mixed = chain(ROOT, said)
    assert [mixed[0], mixed[2], mixed[5]] == plain
    assert len(set(mixed)) == len(mixed)
    assert chain(mixed[1], [assistant("b")]) == [plain[1]]
    assert node_hash(plain[0], system("s")) != node_hash(plain[1], system("s"))


@pytest.mark.parametrize(
    ("path", "run", "end"),
    [
        ("abcd", "cd", 4),
        ("abcdcx", "cd", 4),
        ("abab", "ab", 4),
        ("abcd", "abcd", 4),
        ("abcd", "bd", None),
        ("abcd", "abcde", None),
        ("", "a", None),
    ],
)
def test_the_last_stretch_of_a_path_is_found(path: str, run: str, end: int | None):
    assert end_of_run([c.encode() for c in path], [c.encode() for c in run]) == end


def test_only_leading_system_messages_are_split_off():
    developer = Message(role="developer", text="d")
    messages = [system("s"), developer, user("u"), system("late")]
    assert split_system(messages) == ((system("s"), developer), (user("u"), system("late")))
    assert split_system([system("s")]) == ((system("s"),), ())


texts = st.text(st.characters(codec="utf-8"))
messages = st.builds(
    Message,
    role=st.sampled_from(["user", "assistant", "tool"]),
    name=st.none() | texts,
    reasoning=st.none() | texts,
    extra_json=st.binary(),
) | st.builds(parts, st.builds(text_part, texts), st.builds(picture, texts, st.binary()))


@given(messages, st.none() | texts)
def test_a_message_survives_its_columns(message: Message, text: str | None):
    if text is not None and not message.HasField("parts"):
        message.text = text
    assert join_message(*split_message(message)) == message


def test_a_plain_text_is_kept_once():
    text, body = split_message(user("a secret"))
    assert text == "a secret"
    assert b"secret" not in body
