"""Who asks, read from what clients send anyway: the order, and what each was read from."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from multidict import CIMultiDict

from gateway.client_names import client_name, read_client
from gateway.identity import Clues, Said, legible, read_caller, read_said
from lair.common.v1.caller_pb2 import Caller, IdentitySource
from svckit.errors import ServiceError
from tests.gateway.keyed import make_key


def headers(**values: str) -> CIMultiDict[str]:
    return CIMultiDict({name.replace("_", "-"): value for name, value in values.items()})


def source(name: str) -> IdentitySource.ValueType:
    return IdentitySource.Value(f"IDENTITY_SOURCE_{name}")


def key(**fields: Any) -> Any:
    return make_key(**fields)[0]


def told(caller: Caller, what: str) -> tuple[str, str]:
    """Return a part of an identity and the word for its source."""
    value = getattr(caller, {"user": "user_id", "session": "session_id"}.get(what, what))
    name = IdentitySource.Name(getattr(caller, f"{what}_source"))
    return value, name.removeprefix("IDENTITY_SOURCE_")


# -- the order -----------------------------------------------------------------

# Each tells one thing more, and everything that was told before still holds.
PROJECT_CLUES: list[tuple[CIMultiDict[str], dict[str, Any], str, str]] = [
    (headers(User_Agent="OpenAI/Python 3.5"), {}, "openai-python", "CLIENT"),
    (headers(), {"folder": lambda: "in-prompt"}, "in-prompt", "PROMPT"),
    (headers(HTTP_Referer="https://app.example/x"), {}, "app.example", "REFERER"),
    (headers(X_Title="Old"), {}, "Old", "CLIENT_HEADER"),
    (headers(X_OpenRouter_Title="New"), {}, "New", "CLIENT_HEADER"),
    (headers(OpenAI_Project="proj_1"), {}, "proj_1", "CLIENT_HEADER"),
    (headers(), {"path_project": "in-path"}, "in-path", "PATH"),
    (headers(X_Project="mine"), {}, "mine", "HEADER"),
]
SESSION_CLUES: list[tuple[CIMultiDict[str], dict[str, Any], str, str]] = [
    (headers(), {"conversation_id": "conv-1"}, "conv-1", "CONVERSATION"),
    (headers(), {"said": Said(prompt_cache_key="cached")}, "cached", "BODY"),
    (headers(X_OpenWebUI_Chat_Id="ui"), {}, "ui", "CLIENT_HEADER"),
    (headers(X_Claude_Code_Session_Id="cc"), {}, "cc", "CLIENT_HEADER"),
    (headers(thread_id="t"), {}, "t", "CLIENT_HEADER"),
    (headers(session_id="s"), {}, "s", "CLIENT_HEADER"),
    (headers(x_session_id="x"), {}, "x", "HEADER"),
]
USER_CLUES: list[tuple[CIMultiDict[str], dict[str, Any], str, str]] = [
    (headers(), {}, "", "DEFAULT"),
    (headers(), {"said": Said(user="u")}, "u", "BODY"),
    (headers(), {"said": Said(user="u", safety_identifier="safe")}, "safe", "BODY"),
    (headers(X_User_ID=" ana "), {}, "ana", "HEADER"),
    (headers(), {"key": key(user_id="ana")}, "ana", "KEY"),
]


@pytest.mark.parametrize(
    ("what", "clues"),
    [("project", PROJECT_CLUES), ("session", SESSION_CLUES), ("user", USER_CLUES)],
)
def test_a_better_clue_wins_and_its_source_is_told(what: str, clues: Any):
    sent: CIMultiDict[str] = CIMultiDict()
    known: dict[str, Any] = {}
    for more_headers, more_clues, value, name in clues:
        sent.update(more_headers)
        known |= more_clues
        assert told(read_caller(sent, Clues(**known)), what) == (value, name)


def test_nothing_is_made_up_of_nothing():
    assert read_caller(headers()) == Caller(user_source=source("DEFAULT"))


def test_what_is_behind_a_better_clue_is_not_looked_at():
    def never() -> str:
        raise AssertionError("the prompt was searched")

    assert read_caller(headers(X_Title="T"), Clues(folder=never)).project == "T"


def test_the_source_of_every_part_is_the_contracts():
    told_by_table = {name for *_, name in (*PROJECT_CLUES, *SESSION_CLUES, *USER_CLUES)}
    # A chat's own session is derived in the handler; unspecified is nothing at all.
    rest = {"UNSPECIFIED", "DERIVED"}
    assert {f"IDENTITY_SOURCE_{name}" for name in told_by_table | rest} == set(
        IdentitySource.keys()
    )


# -- keys ----------------------------------------------------------------------


def test_a_key_gives_its_user_and_project_and_its_id():
    own = key(user_id="ana", project="lair")
    caller = read_caller(headers(X_User_ID="ana", X_Project="lair"), Clues(key=own))
    assert caller.key_id == own.id
    assert told(caller, "user") == ("ana", "KEY")
    assert told(caller, "project") == ("lair", "KEY")


def test_a_key_of_nobody_lets_headers_speak():
    caller = read_caller(headers(X_User_ID="bob", X_Project="p"), Clues(key=key()))
    assert (told(caller, "user"), told(caller, "project")) == (("bob", "HEADER"), ("p", "HEADER"))


@pytest.mark.parametrize(
    ("sent", "clues", "field"),
    [
        (headers(X_User_ID="bob"), {}, "X-User-ID"),
        (headers(X_Project="other"), {}, "X-Project"),
        (headers(), {"path_project": "other"}, "path"),
    ],
)
def test_who_names_another_than_the_keys_own_is_refused(sent: Any, clues: Any, field: str):
    with pytest.raises(ServiceError) as raised:
        read_caller(sent, Clues(key=key(user_id="ana", project="lair"), **clues))
    assert raised.value.reason == "PERMISSION_DENIED"
    assert raised.value.metadata["field"] == field
    assert "ana" not in raised.value.message


@given(user=st.text(max_size=9), safe=st.none() | st.integers() | st.text(max_size=9))
def test_no_body_speaks_for_another_than_the_keys_user(user: str, safe: Any):
    said = Said(user=user, safety_identifier=safe)
    caller = read_caller(headers(), Clues(key=key(user_id="ana"), said=said))
    assert told(caller, "user") == ("ana", "KEY")


# -- what clients send is not always fit for an id -----------------------------


@pytest.mark.parametrize("name", ["X-User-ID", "X-Project", "X-Session-ID"])
@pytest.mark.parametrize("value", ["a\x00b", "tab\there", "\udcff", "x" * 257])
def test_an_id_that_no_id_can_be_is_refused_by_its_headers_name(name: str, value: str):
    with pytest.raises(ServiceError) as raised:
        read_caller(CIMultiDict({name: value}))
    assert raised.value.reason == "INVALID_FIELD"
    assert raised.value.metadata["field"] == name


@given(st.text() | st.none() | st.integers() | st.lists(st.text()))
def test_what_was_not_sent_for_us_is_made_fit_and_refuses_nobody(value: Any):
    text = legible(value)
    assert text.isprintable()
    assert len(text) <= 256
    caller = read_caller(
        CIMultiDict({"X-Title": str(value), "Session-ID": str(value), "HTTP-Referer": str(value)}),
        Clues(path_project=str(value), said=Said(value, value, value)),
    )
    Caller.FromString(caller.SerializeToString())


def test_the_body_is_read_from_what_goes_on_to_the_backend():
    extra = b'{"top_k":5,"user":"u","safety_identifier":null,"prompt_cache_key":["no text"]}'
    said = read_said(extra)
    assert (said.user, said.safety_identifier) == ("u", None)
    caller = read_caller(headers(), Clues(said=said))
    assert (caller.user_id, caller.session_id) == ("u", "")
    assert read_said(b"") == Said()


# -- clients -------------------------------------------------------------------


@pytest.mark.parametrize(
    ("user_agent", "name"),
    [
        ("OpenAI/Python 3.52.0", "openai-python/3.52.0"),
        ("AsyncOpenAI/Python 3.52.0", "openai-python/3.52.0"),
        ("OpenAI/JS 6.49.0", "openai-node/6.49.0"),
        ("Anthropic/Python 2.11.0", "anthropic-python/2.11.0"),
        ("AsyncAnthropic/Python 2.11.0", "anthropic-python/2.11.0"),
        ("Anthropic/JS 1.11.0", "anthropic-node/1.11.0"),
        ("claude-cli/2.0.14 (external, cli)", "claude-code/2.0.14"),
        ("codex_exec/0.169.0 (Debian 12; x86_64)", "codex/0.169.0"),
        ("codex_cli_rs/0.50.0 (Mac OS 15)", "codex/0.50.0"),
        ("opencode/1.18.33 ai-sdk/provider-utils/4 runtime/bun/1", "opencode/1.18.33"),
        ("ai/6.0.326 ai-sdk/provider-utils/4.0.62 runtime/node.js/22", "ai-sdk/6.0.326"),
        ("ai-sdk/openai-compatible/2.0.87 ai-sdk/provider-utils/4", "ai-sdk/2.0.87"),
        ("pydantic-ai/2.38.0", "pydantic-ai/2.38.0"),
        ("langchainjs-openai/1.0.0 ((node/22))", "langchainjs-openai/1.0.0"),
        ("Python/3.11 aiohttp/3.11.11", "aiohttp/3.11.11"),
        ("curl/8.5.0", "curl/8.5.0"),
        ("Mozilla/5.0 (X11)", "browser"),
        ("", ""),
        ("x\udcff" + "y" * 300, "x" + "y" * 255),
    ],
)
def test_a_client_is_known_by_its_user_agent(user_agent: str, name: str):
    assert client_name(user_agent) == name


def test_open_webui_is_known_by_the_users_it_forwards():
    plain = headers(User_Agent="Python/3.11 aiohttp/3.11.11")
    assert read_client(plain) == "aiohttp/3.11.11"
    plain["X-OpenWebUI-User-Id"] = "7"
    assert read_client(plain) == "open-webui"
    plain["User-Agent"] = "curl/8.5.0"
    assert read_client(plain) == "curl/8.5.0"
