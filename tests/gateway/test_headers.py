"""Request headers to identity and hints, and what replies say in theirs."""

from __future__ import annotations

from pathlib import Path

import pytest
from multidict import CIMultiDict

from gateway import cors
from gateway.dialects.errors import error_headers
from gateway.headers import (
    REQUEST_HEADERS,
    RESPONSE_HEADERS,
    memory_summary,
    outcome_headers,
    printable,
)
from gateway.hints import read_memory_hints, read_route_hints, read_untraced
from gateway.identity import client_name, read_caller
from lair.router.v1.chat_pb2 import MemoryOutcome, MemoryPolicy, Route, RouteHints
from svckit.errors import ServiceError
from svckit.times import to_duration


def headers(**values: str) -> CIMultiDict[str]:
    return CIMultiDict({name.replace("_", "-"): value for name, value in values.items()})


def test_a_caller_is_read_from_its_headers():
    caller = read_caller(
        headers(X_User_ID=" ana ", X_Project="lair", x_session_id="s1", User_Agent="curl/8.5.0")
    )
    assert (caller.user_id, caller.project, caller.session_id, caller.client) == (
        "ana",
        "lair",
        "s1",
        "curl/8.5.0",
    )


@pytest.mark.parametrize("name", ["X-Session-ID", "session-id", "thread-id"])
def test_a_session_goes_by_several_names(name):
    assert read_caller(CIMultiDict({name: "s1"})).session_id == "s1"


def test_our_own_session_header_wins():
    assert read_caller(headers(thread_id="t", session_id="s", X_Session_ID="x")).session_id == "x"


@pytest.mark.parametrize(
    ("user_agent", "name"),
    [
        ("OpenAI/Python 3.52.0", "openai-python/3.52.0"),
        ("AsyncOpenAI/Python 3.52.0", "openai-python/3.52.0"),
        ("OpenAI/JS 6.49.0", "openai-node/6.49.0"),
        ("Anthropic/JS 1.11.0", "anthropic-node/1.11.0"),
        ("codex_exec/0.169.0 (Debian 12; x86_64)", "codex/0.169.0"),
        ("opencode/1.18.33 ai-sdk/provider-utils/4 runtime/bun/1", "opencode/1.18.33"),
        ("ai/6.0.326 ai-sdk/provider-utils/4.0.62", "ai-sdk/6.0.326"),
        ("Mozilla/5.0 (X11)", "Mozilla/5.0"),
        ("", ""),
        ("x\udcff" + "y" * 300, "x" + "y" * 255),
    ],
)
def test_a_client_is_known_by_its_user_agent(user_agent, name):
    assert client_name(user_agent) == name


@pytest.mark.parametrize("value", ["a\x00b", "tab\there", "\udcff", "x" * 257])
def test_an_id_that_no_id_can_be_is_refused_by_its_headers_name(value):
    with pytest.raises(ServiceError) as raised:
        read_caller(headers(X_User_ID=value))
    assert raised.value.reason == "INVALID_FIELD"
    assert raised.value.metadata["field"] == "X-User-ID"


def test_hints_are_read():
    route = read_route_hints(
        headers(
            X_Provider="ollama",
            X_Model="m",
            X_Local_Only="TRUE",
            X_Priority="Batch",
            X_Max_Context=" 8192 ",
        )
    )
    assert (route.backend, route.model, route.local_only) == ("ollama", "m", True)
    assert (route.priority, route.max_context_tokens) == ("batch", 8192)


def test_without_headers_nothing_is_hinted():
    assert read_route_hints(headers()) == RouteHints()


@pytest.mark.parametrize(
    ("value", "policy"),
    [
        ("true", MemoryPolicy.MEMORY_POLICY_FULL),
        ("1", MemoryPolicy.MEMORY_POLICY_FULL),
        ("false", MemoryPolicy.MEMORY_POLICY_OFF),
        ("0", MemoryPolicy.MEMORY_POLICY_OFF),
        ("", MemoryPolicy.MEMORY_POLICY_UNSPECIFIED),
    ],
)
def test_memory_is_switched_by_header(value, policy):
    hints = read_memory_hints(headers(X_Enable_Memory=value, X_Conversation_ID="conv-1"))
    assert (hints.policy, hints.conversation_id) == (policy, "conv-1")


def test_tracing_is_on_unless_switched_off():
    assert read_untraced(headers(X_Enable_Tracing="false"))
    assert not read_untraced(headers(X_Enable_Tracing="true"))
    assert not read_untraced(headers())


@pytest.mark.parametrize(
    ("read", "name", "value"),
    [
        (read_memory_hints, "X-Enable-Memory", "yes please"),
        (read_route_hints, "X-Local-Only", "2"),
        (read_untraced, "X-Enable-Tracing", "off"),
        (read_route_hints, "X-Priority", "urgent"),
        (read_route_hints, "X-Max-Context", "0"),
        (read_route_hints, "X-Max-Context", "-1"),
        (read_route_hints, "X-Max-Context", "8k"),
        (read_route_hints, "X-Max-Context", "²"),
        (read_route_hints, "X-Max-Context", "2147483648"),
        (read_route_hints, "X-Max-Context", "9" * 200),
    ],
)
def test_a_hint_nobody_understands_is_refused_by_its_headers_name(read, name, value):
    with pytest.raises(ServiceError, match=name) as raised:
        read(CIMultiDict({name: value}))
    assert raised.value.metadata["field"] == name


def test_a_reply_says_who_answered():
    route = Route(backend="ollama", model="m\r\nx: y", reason="exact model")
    assert outcome_headers(route, MemoryOutcome()) == {
        "x-lair-backend": "ollama",
        "x-lair-model": "m??x: y",
        "x-lair-route": "exact model",
        "x-lair-fallbacks": "0",
        "x-lair-memory": "off",
    }


@pytest.mark.parametrize(
    ("microseconds", "told"), [(0, None), (900, None), (1_000, "1"), (2_007_900, "2007")]
)
def test_a_reply_says_how_long_it_waited_if_it_did(microseconds, told):
    route = Route(queue_duration=to_duration(microseconds))
    assert outcome_headers(route, MemoryOutcome()).get("x-lair-queue-ms") == told


def test_a_reply_says_what_was_left_out_of_the_prompt():
    route = Route(context_cut="2 oldest turns left out; about 9000 tokens to 5800")
    told = outcome_headers(route, MemoryOutcome())
    assert told["x-lair-context"] == "2 oldest turns left out; about 9000 tokens to 5800"


class Noting(CIMultiDict[str]):
    """Headers that note which of them are looked up."""

    def __init__(self):
        super().__init__()
        self.names = set()

    def get(self, name, default=None):
        self.names.add(name)
        return super().get(name, default)


def test_every_header_that_is_read_is_explained():
    noting = Noting()
    for read in (read_route_hints, read_memory_hints, read_untraced, read_caller):
        read(noting)
    explained = set(REQUEST_HEADERS) | {"Session-ID", "Thread-ID", "User-Agent"}
    assert noting.names | {"X-Request-ID"} == explained


def test_every_header_of_ours_is_in_the_readme():
    readme = (Path(__file__).parents[2] / "README.md").read_text(encoding="utf-8")
    ours = [*REQUEST_HEADERS, *(name for name in RESPONSE_HEADERS if name.startswith("x-lair-"))]
    assert [name for name in ours if f"`{name}" not in readme] == []


def test_every_header_of_an_answer_is_explained_and_may_be_read_by_pages():
    route = Route(
        backend="b", model="m", reason="r", context_cut="c", queue_duration=to_duration(10**6)
    )
    sent = outcome_headers(route, MemoryOutcome(conversation_id="c"))
    exposed = cors.reply_headers(headers(Origin="http://localhost"))
    assert set(sent) <= set(RESPONSE_HEADERS)
    assert exposed["access-control-expose-headers"].split(", ") == list(RESPONSE_HEADERS)


@pytest.mark.parametrize(
    ("outcome", "words"),
    [
        (MemoryOutcome(), "off"),
        (MemoryOutcome(conversation_id="c"), "history=0"),
        (MemoryOutcome(conversation_id="c", history_count=4), "history=4"),
        (MemoryOutcome(history_count=4, recall_count=2), "history=4, recall=2"),
        (MemoryOutcome(conversation_id="c", degraded="memory service down"), "memory service down"),
        (
            MemoryOutcome(conversation_id="c", history_count=2, degraded="recall is off"),
            "history=2, recall is off",
        ),
    ],
)
def test_memory_is_summed_up_in_a_few_words(outcome, words):
    assert memory_summary(outcome) == words


def test_a_header_value_holds_one_line_of_latin_1():
    assert printable("é\r\n\x00€") == "é????"


def test_an_error_says_whether_and_when_to_try_again():
    busy = ServiceError("RATE_LIMITED", "busy", retry_after_seconds="7")
    assert error_headers(busy) == {"x-should-retry": "true", "retry-after": "7"}
    assert error_headers(ServiceError("INTERNAL", "x")) == {"x-should-retry": "false"}


@pytest.mark.parametrize(
    "origin",
    ["http://localhost:3000", "https://127.0.0.1", "http://[::1]:1", "app://x", "tauri://y"],
)
def test_pages_of_this_machine_may_read_replies(origin):
    allowed = cors.reply_headers(headers(Origin=origin))
    assert allowed["access-control-allow-origin"] == origin
    assert "x-request-id" in allowed["access-control-expose-headers"]
    asked = headers(Origin=origin, Access_Control_Request_Headers="x-a, authorization")
    assert cors.preflight_headers(asked)["access-control-allow-headers"] == "x-a, authorization"


@pytest.mark.parametrize(
    "origin",
    ["https://evil.example", "http://localhost.evil.example", "null", "http://localhost:1x"],
)
def test_other_pages_may_not(origin):
    assert cors.reply_headers(headers(Origin=origin)) == {"vary": "Origin"}
    assert cors.preflight_headers(headers(Origin=origin)) == {}
