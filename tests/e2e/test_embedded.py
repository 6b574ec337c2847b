"""A machine without any LLM server, and one whose only server is lair's own llama.cpp."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.e2e.stack import TINY, eventually, lair_environment, lair_up, request

NOTICE = "not a language model"


def text_of(reply: dict) -> str:
    content: str = reply["choices"][0]["message"]["content"]
    return content


def test_without_a_server_lair_answers_out_of_its_own_memory(tmp_path: Path) -> None:
    with lair_up(tmp_path) as lair:
        nothing = text_of(lair.chat("Which bicycle did I buy?"))
        assert nothing.startswith("I have nothing on that.")
        assert nothing.count(NOTICE) == 1
        lair.chat("I bought a red Brompton bicycle in Utrecht.", X_Conversation_ID="bikes")

        def recalled() -> str:
            answer = text_of(lair.chat("Which bicycle did I buy?"))
            return answer if "Brompton" in answer else ""

        answer = eventually(recalled, what="the stored sentence is found")
        assert "[conversation bikes]" in answer
        assert time.strftime("%Y-%m-%d", time.gmtime()) in answer
        assert answer.count(NOTICE) == 1
        # Its own answers are no memory: asking again quotes the person, not lair.
        assert recalled().count("Brompton") == 1
        other = text_of(lair.chat("Which bicycle did I buy?", X_User_ID="somebody-else"))
        assert other.startswith("I have nothing on that.")


def test_the_meaning_is_found_once_the_embedding_model_is_loaded(tmp_path: Path) -> None:
    begun = time.monotonic()
    with lair_up(tmp_path, LAIR_MEMORY__INDEX="true") as lair:
        lair.chat("I adopted a kitten from the shelter.", X_Conversation_ID="pets")
        answered = time.monotonic() - begun
        state = lair.get("/health")["memory"]["state"]
        assert state == "loading", f"a chat was answered in {answered:.1f} s, before the model"

        def indexed() -> bool:
            memory = lair.get("/health")["memory"]
            return memory["state"] == "ready" and memory["indexed"] > 0

        eventually(indexed, seconds=90, what="the model is loaded and has indexed")
        assert "kitten" in text_of(lair.chat("Do I have any cats?"))


def test_a_gguf_model_is_served_by_lair_itself(tmp_path: Path) -> None:
    model = str(TINY / "tiny-chat.gguf")
    with lair_up(tmp_path, "--gguf", model, LAIR_LLAMACPP__CONTEXT="1024") as lair:
        eventually(
            lambda: "tiny-chat" in {m["id"] for m in lair.get("/v1/models")["data"]}, seconds=30
        )
        assert text_of(lair.chat("Say hello")) == "Hello from the tiny model."
        killed = lair.child("llamacpp")
        killed.kill()
        eventually(lambda: lair.child("llamacpp").pid != killed.pid, seconds=20)

        def answers() -> bool:
            body = {"messages": [{"role": "user", "content": "Say hello"}], "temperature": 0}
            status, reply = request("POST", f"{lair.url}/v1/chat/completions", body)
            return status == 200 and text_of(reply) == "Hello from the tiny model."

        eventually(answers, seconds=30)


@pytest.mark.parametrize("stream", [True, False])
def test_lair_chat_answers_in_the_terminal_and_continues(
    llama: str, tmp_path: Path, stream: bool
) -> None:
    with lair_up(tmp_path, backends={"tiny": llama}) as lair:

        def terminal(*arguments: str) -> str:
            options = ["--no-stream"] if not stream else []
            done = subprocess.run(
                [sys.executable, "-m", "launcher", "chat", *arguments, *options],
                env=lair_environment(
                    LAIR_GATEWAY__PORT=str(lair.port), LAIR_DATA_DIR=str(tmp_path / "data")
                ),
                capture_output=True,
                text=True,
                timeout=60,
                check=False,
            )
            assert done.returncode == 0, done.stderr
            return done.stdout

        terminal("My favourite colour is pink.")
        assert "pink" in terminal("--continue", "What is my favourite colour?")
        status = subprocess.run(
            [sys.executable, "-m", "launcher", "status", "--json"],
            env=lair_environment(LAIR_GATEWAY__PORT=str(lair.port)),
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        assert status.returncode == 0, status.stdout + status.stderr
        assert '"ok"' in status.stdout
