"""`lair chat`, against a gateway that answers as told."""

from __future__ import annotations

import io
import json
import stat
from pathlib import Path

import pytest

from tests.launcher.scripted_gateway import ScriptedGateway
from tests.launcher.support import Lair

COMPLETION = {
    "model": "tiny",
    "choices": [{"message": {"content": "Four."}, "finish_reason": "stop"}],
    "usage": {"total_tokens": 7},
}
STREAM = (
    ": waiting\n\n"
    'data: {"model": "tiny", "choices": [{"delta": {"role": "assistant"}}]}\n\n'
    'data: {"choices": [{"delta": {"content": "Fo"}}]}\n\n'
    'data: {"choices": [{"delta": {"content": "ur."}}]}\r\n\r\n'
    'data: {"choices": [{"delta": {}, "finish_reason": "stop"}]}\n\n'
    "data: [DONE]\n\n"
)


def asked_conversation(gateway: ScriptedGateway, index: int = -1) -> str:
    """Return the conversation that a request named."""
    _, headers, _ = gateway.asked[index]
    return headers["x-conversation-id"]


def test_streamed_answer_goes_to_stdout_and_its_origin_to_stderr(
    lair: Lair, gateway: ScriptedGateway
) -> None:
    gateway.answer_stream(STREAM, x_lair_backend="house")

    ended = lair("chat", "2 + 2?")

    assert (ended.code, ended.out) == (0, "Four.\n")
    assert ended.err == f"house · tiny · conversation {asked_conversation(gateway)}\n"


def test_question_is_sent_as_any_client_would(lair: Lair, gateway: ScriptedGateway) -> None:
    gateway.answer_stream(STREAM)

    lair("chat", "2 + 2?", "--model", "big")

    path, _, body = gateway.asked[0]
    assert path == "/v1/chat/completions"
    assert body == {
        "model": "big",
        "messages": [{"role": "user", "content": "2 + 2?"}],
        "stream": True,
    }


def test_whole_answer_is_printed_without_streaming(lair: Lair, gateway: ScriptedGateway) -> None:
    gateway.answer_json(COMPLETION)

    ended = lair("chat", "2 + 2?", "--no-stream")

    assert (ended.code, ended.out) == (0, "Four.\n")
    assert gateway.asked[0][2]["stream"] is False


def test_json_holds_the_answer_and_where_it_comes_from(
    lair: Lair, gateway: ScriptedGateway
) -> None:
    gateway.answer_json(COMPLETION, x_lair_backend="house")

    ended = lair("chat", "2 + 2?", "--json", "-c", "sums")

    assert json.loads(ended.out) == {
        "conversation_id": "sums",
        "model": "tiny",
        "backend": "house",
        "content": "Four.",
        "finish_reason": "stop",
        "usage": {"total_tokens": 7},
    }


def test_each_chat_begins_a_conversation_of_its_own(lair: Lair, gateway: ScriptedGateway) -> None:
    gateway.answer_stream(STREAM)

    lair("chat", "one")
    lair("chat", "two")

    assert asked_conversation(gateway, 0) != asked_conversation(gateway, 1)


@pytest.mark.parametrize(
    "again",
    [["and then?", "-c"], ["-c", "and then?"], ["-c", "--no-stream", "and then?"], ["-c", "-"]],
)
def test_c_without_an_id_continues_the_last_conversation(
    lair: Lair, gateway: ScriptedGateway, again: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO("and then?"))
    gateway.answer_stream(STREAM)
    lair("chat", "one")
    if "--no-stream" in again:
        gateway.answer_json(COMPLETION)

    ended = lair("chat", *again)

    assert ended.code == 0
    assert asked_conversation(gateway, 1) == asked_conversation(gateway, 0)
    assert gateway.asked[1][2]["messages"][0]["content"] == "and then?"


@pytest.mark.parametrize("words", [["-c", "sums", "2 + 2?"], ["2 + 2?", "-c", "sums"]])
def test_c_with_an_id_continues_that_conversation(
    lair: Lair, gateway: ScriptedGateway, words: list[str]
) -> None:
    gateway.answer_stream(STREAM)

    lair("chat", *words)
    lair("chat", "more", "-c")

    assert [asked_conversation(gateway, index) for index in (0, 1)] == ["sums", "sums"]


def test_last_conversation_is_readable_by_its_user_only(
    lair: Lair, gateway: ScriptedGateway, tmp_path: Path
) -> None:
    gateway.answer_stream(STREAM)

    lair("chat", "one", "-c", "sums")

    file = tmp_path / "data" / "last-conversation"
    assert file.read_text() == "sums\n"
    assert stat.S_IMODE(file.stat().st_mode) == 0o600


def test_continuing_without_a_last_conversation_says_so(lair: Lair) -> None:
    ended = lair("chat", "one", "-c")

    assert ended.code == 1
    assert "there is no last conversation" in ended.err


def test_prompt_is_read_from_stdin(
    lair: Lair, gateway: ScriptedGateway, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO("a long\nquestion"))
    gateway.answer_stream(STREAM)

    lair("chat", "-")

    assert gateway.asked[0][2]["messages"][0]["content"] == "a long\nquestion"


def test_error_body_is_one_line(lair: Lair, gateway: ScriptedGateway) -> None:
    gateway.answer_json({"error": {"message": "no model 'big'"}}, status=404)

    ended = lair("chat", "hi")

    assert (ended.code, ended.out, ended.err) == (1, "", "lair: no model 'big'\n")


def test_error_without_a_body_names_the_status(lair: Lair, gateway: ScriptedGateway) -> None:
    gateway.status = 502

    ended = lair("chat", "hi")

    assert ended.code == 1
    assert "HTTP status 502" in ended.err


def test_error_within_a_stream_is_one_line_after_what_came(
    lair: Lair, gateway: ScriptedGateway
) -> None:
    first, _ = STREAM.split('data: {"choices": [{"delta": {"content": "ur')
    gateway.answer_stream(f'{first}data: {{"error": {{"message": "the model died"}}}}\n\n')

    ended = lair("chat", "hi")

    assert (ended.code, ended.out, ended.err) == (1, "Fo\n", "lair: the model died\n")


def test_stream_that_ends_too_soon_is_an_error(lair: Lair, gateway: ScriptedGateway) -> None:
    gateway.answer_stream(STREAM.removesuffix("data: [DONE]\n\n"))

    ended = lair("chat", "hi")

    assert (ended.code, ended.out) == (1, "Four.\n")
    assert ended.err == "lair: the answer broke off before its end\n"


def test_answer_of_another_server_is_one_line(lair: Lair, gateway: ScriptedGateway) -> None:
    gateway.body = b"<html>"

    ended = lair("chat", "hi", "--no-stream")

    assert ended.code == 1
    assert "is not an OpenAI completion" in ended.err


def test_lair_that_does_not_run_is_one_line(lair: Lair, port: int) -> None:
    ended = lair("chat", "hi", "--port", str(port))

    assert ended.code == 1
    assert ended.err == (
        f"lair: lair is not running at http://127.0.0.1:{port}; start it with: lair up\n"
    )


@pytest.mark.parametrize("words", [[], [" "]])
def test_nothing_to_ask_is_a_usage_error(lair: Lair, words: list[str]) -> None:
    ended = lair("chat", *words)

    assert ended.code == 2
    assert "say what to ask" in ended.err
