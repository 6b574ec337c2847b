"""How a client's script says what it tried: one line of JSON per case, on standard output.

Runs in the client's own environment, so it leans on the standard library alone.
"""

from __future__ import annotations

import asyncio
import inspect
import json
import os
import sys
import time
import traceback
from collections.abc import Callable
from typing import Any

# Without `/v1`, which OpenAI's clients want and Anthropic's do not.
URL = os.environ["COMPAT_URL"]
BASE_URL = f"{URL}/v1"
# A genuine llama.cpp with the tiny model: for chats, and for vectors.
CHAT = os.environ["COMPAT_CHAT"]
VECTORS = os.environ["COMPAT_VECTORS"]
# A scripted model, for what the tiny one cannot do.
SCRIPTED = os.environ["COMPAT_SCRIPTED"]
ODD = os.environ["COMPAT_ODD"]
BUSY = os.environ["COMPAT_BUSY"]

GENUINE_BACKEND, SCRIPTED_BACKEND = "llama.cpp", "scripted"
KEY = "any"

WEATHER = {
    "name": "get_weather",
    "description": "d",
    "parameters": {
        "type": "object",
        "properties": {"city": {"type": "string"}},
        "required": ["city"],
    },
}
WEATHER_TOOL = {"type": "function", "function": WEATHER}

Case = Callable[[], Any]
_cases: list[tuple[str, str, Case]] = []


def case(what: str, backend: str = GENUINE_BACKEND) -> Callable[[Case], Case]:
    """Register a function as a case; it fails by raising."""

    def register(function: Case) -> Case:
        _cases.append((what, backend, function))
        return function

    return register


def user(text: str) -> dict[str, str]:
    """Return a message of the user."""
    return {"role": "user", "content": text}


def raised(kind: type[Exception], call: Case) -> Any:
    """Return the exception of `kind` that a call raises; fail where it does not."""
    try:
        call()
    except kind as error:
        return error
    raise AssertionError(f"it raised no {kind.__name__}")


def report(what: str, backend: str, error: str = "", seconds: float = 0.0) -> None:
    """Tell how a case went."""
    line = {"what": what, "backend": backend, "error": error, "seconds": round(seconds, 2)}
    sys.stdout.write(json.dumps(line) + "\n")
    sys.stdout.flush()


def main() -> None:
    """Run all cases, in the order of the script; those named on the command line, if any."""
    for what, backend, function in _cases:
        if sys.argv[1:] and not any(word in what for word in sys.argv[1:]):
            continue
        begin, error = time.perf_counter(), ""
        try:
            if inspect.iscoroutinefunction(function):
                asyncio.run(function())
            else:
                function()
        except Exception:  # noqa: BLE001  # whatever a client raises is what we are here for
            error = traceback.format_exc()
        report(what, backend, error, time.perf_counter() - begin)
