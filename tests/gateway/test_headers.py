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
from gateway.hints import (
    add_memory_hints,
    read_memory_hints,
    read_route_hints,
    read_untraced,
    standing_policy,
)
from gateway.idempotency import IDEMPOTENCY_KEY
from gateway.identity import PROJECT_HEADERS, SESSION_HEADERS, read_caller
from lair.router.v1.chat_pb2 import MemoryHints, MemoryOutcome, MemoryPolicy, Route, RouteHints
from svckit.errors import ServiceError
from svckit.times import to_duration
from tests.gateway.keyed import make_key


def headers(**values: str) -> CIMultiDict[str]:
    return CIMultiDict({name.replace("_", "-"): value for name, value in values.items()})


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


@pytest.mark.parametrize(
    ("sent", "model", "default", "policy"),
    [
        ({"X-Memory-Policy": "Store"}, "m", "", "STORE"),
        ({"X-Memory-Policy": "recall", "X-Enable-Memory": "1"}, "m", "full", "RECALL"),
        ({"X-Memory-Policy": "full", "X-Enable-Memory": "0"}, "m", "full", "OFF"),
        ({"X-Memory-Policy": "off", "X-Enable-Memory": "1"}, "m", "full", "OFF"),
        ({}, "auto:memory", "", "FULL"),
        ({}, "auto:memory", "store", "FULL"),
        ({"X-Enable-Memory": "false"}, "auto:memory", "", "OFF"),
        ({"X-Memory-Policy": "recall"}, "auto:memory", "", "RECALL"),
        ({}, "m", "store", "STORE"),
        ({}, "m", "recall", "RECALL"),
        ({}, "m", "off", "OFF"),
        ({}, "m", "", "UNSPECIFIED"),
        ({}, "memory", "", "UNSPECIFIED"),
    ],
)
def test_what_memory_does_is_read_from_headers_else_the_model_else_the_standing_policy(
    sent, model, default, policy
):
    hints = read_memory_hints(CIMultiDict(sent), default, model=model)
    assert MemoryPolicy.Name(hints.policy) == f"MEMORY_POLICY_{policy}"


@pytest.mark.parametrize(
    ("said", "wished", "policy"),
    [
        ("UNSPECIFIED", "FULL", "FULL"),
        ("UNSPECIFIED", "UNSPECIFIED", "UNSPECIFIED"),
        ("STORE", "UNSPECIFIED", "STORE"),
        ("STORE", "OFF", "OFF"),
        ("STORE", "FULL", "FULL"),
        ("OFF", "UNSPECIFIED", "OFF"),
        ("OFF", "STORE", "OFF"),
        ("OFF", "FULL", "RECALL"),
        ("OFF", "RECALL", "RECALL"),
    ],
)
def test_what_a_body_wants_forgotten_is_kept_by_no_header(said, wished, policy):
    def value(name):
        return MemoryPolicy.Value(f"MEMORY_POLICY_{name}")

    memory = MemoryHints(policy=value(said), conversation_id="of the body")
    add_memory_hints(memory, MemoryHints(policy=value(wished), conversation_id="of a header"))
    assert memory == MemoryHints(policy=value(policy), conversation_id="of the body")


@pytest.mark.parametrize(
    ("key", "project", "standing"),
    [
        ("", "", ""),
        ("store", "", "store"),
        ("", "recall", "recall"),
        ("full", "store", "store"),
        ("recall", "full", "recall"),
        ("store", "recall", "off"),
        ("off", "full", "off"),
        ("full", "full", "full"),
    ],
)
def test_of_two_policies_stands_what_both_allow(key, project, standing):
    assert standing_policy([key, project]) == standing_policy([project, key]) == standing


@pytest.mark.parametrize(
    ("own", "wished", "priority"),
    [
        ("", "", ""),
        ("", "interactive", "interactive"),
        ("agent", "", "agent"),
        ("agent", "interactive", "agent"),
        ("agent", "agent", "agent"),
        ("agent", "batch", "batch"),
        ("batch", "interactive", "batch"),
        ("interactive", "batch", "batch"),
    ],
)
def test_a_request_waits_in_no_better_class_than_its_keys(own, wished, priority):
    key, _ = make_key(priority=own)
    assert read_route_hints(headers(X_Priority=wished), key).priority == priority


def test_a_key_says_which_models_may_be_asked():
    key, _ = make_key(models=("qwen3:8b", "auto"))
    assert read_route_hints(headers(), key).permitted_models == ["qwen3:8b", "auto"]
    assert not read_route_hints(headers(), make_key()[0]).permitted_models


def test_tracing_is_on_unless_switched_off():
    assert read_untraced(headers(X_Enable_Tracing="false"))
    assert not read_untraced(headers(X_Enable_Tracing="true"))
    assert not read_untraced(headers())


@pytest.mark.parametrize(
    ("read", "name", "value"),
    [
        (read_memory_hints, "X-Enable-Memory", "yes please"),
        (read_memory_hints, "X-Memory-Policy", "on"),
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
    sent_anyway = {*SESSION_HEADERS, *PROJECT_HEADERS, "HTTP-Referer", "User-Agent"}
    explained = set(REQUEST_HEADERS) | sent_anyway
    assert noting.names | {"X-Request-ID", IDEMPOTENCY_KEY} == explained


def test_every_header_of_ours_is_in_the_readme():
    readme = (Path(__file__).parents[2] / "README.md").read_text(encoding="utf-8")
    ours = [*REQUEST_HEADERS, *(name for name in RESPONSE_HEADERS if name.startswith("x-lair-"))]
    assert [name for name in ours if f"`{name}" not in readme] == []


def test_every_header_of_an_answer_is_explained_and_may_be_read_by_pages():
    route = Route(
        backend="b", model="m", reason="r", context_cut="c", queue_duration=to_duration(10**6)
    )
    sent = outcome_headers(route, MemoryOutcome(conversation_id="c"))
    exposed = cors.reply_headers(headers(Origin="http://localhost"), ())
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
    allowed = cors.reply_headers(headers(Origin=origin), ())
    assert allowed["access-control-allow-origin"] == origin
    assert "x-request-id" in allowed["access-control-expose-headers"]
    asked = headers(Origin=origin, Access_Control_Request_Headers="x-a, authorization")
    assert cors.preflight_headers(asked, ())["access-control-allow-headers"] == "x-a, authorization"


def test_pages_that_the_owner_allows_may_as_well():
    asked = headers(Origin="https://chat.example.org")
    allowed = ("https://Chat.example.org/",)
    assert cors.reply_headers(asked, allowed)["access-control-allow-origin"] == asked["Origin"]
    assert cors.preflight_headers(asked, allowed)
    assert not cors.is_foreign(asked, allowed)
    assert cors.is_foreign(headers(Origin="https://example.org"), allowed)


@pytest.mark.parametrize(
    "origin",
    ["https://evil.example", "http://localhost.evil.example", "null", "http://localhost:1x"],
)
def test_other_pages_may_not(origin):
    assert cors.reply_headers(headers(Origin=origin), ()) == {"vary": "Origin"}
    assert cors.preflight_headers(headers(Origin=origin), ()) == {}
