"""The `llm` command line: its models come from a file, its conversations are its own."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

from cases import BASE_URL, CHAT, KEY, SCRIPTED, SCRIPTED_BACKEND, case, main

_HOME = Path(tempfile.mkdtemp())
_MODELS = """
- model_id: tiny
  model_name: {chat}
  api_base: {url}
  supports_schema: true
  supports_tools: true
- model_id: scripted
  model_name: {scripted}
  api_base: {url}
  supports_schema: true
  supports_tools: true
"""
_FUNCTION = """
def get_weather(city: str) -> str:
    "Get the weather of a city."
    return "rainy in " + city
"""


def llm(*arguments):
    """Run the command; return what it printed."""
    done = subprocess.run(
        [Path(sys.executable).with_name("llm"), *arguments],
        env={**os.environ, "LLM_USER_PATH": str(_HOME), "OPENAI_API_KEY": KEY},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def ask(text, *options, model="tiny"):
    """Prompt a model, as exactly as it can be."""
    return llm("prompt", text, "-m", model, "-o", "temperature", "0", *options)


@case("prompt, streamed and not")
def prompt():
    assert ask("Say hello") == "Hello from the tiny model."
    assert ask("Count to 5", "--no-stream") == "1 2 3 4 5"


@case("--schema")
def schema():
    assert json.loads(ask("Reply in JSON", "--schema", "name, age int")) == {
        "name": "Ada",
        "age": 36,
    }


@case("-c, which goes on with a conversation")
def conversation():
    ask("My favourite colour is teal.")
    assert "teal" in llm("prompt", "What is my favourite colour?", "-c", "-o", "temperature", "0")


@case("--functions", SCRIPTED_BACKEND)
def functions():
    answer = ask("What is the weather in Oslo?", "--functions", _FUNCTION, model="scripted")
    assert answer == "The tool says: rainy in Oslo"


if __name__ == "__main__":
    listed = _MODELS.format(chat=CHAT, scripted=SCRIPTED, url=BASE_URL)
    (_HOME / "extra-openai-models.yaml").write_text(listed)
    main()
