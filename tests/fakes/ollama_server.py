"""An Ollama that does exactly what a test tells it to: the scripted backend in its clothes."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from tests.fakes.answers import Answer, AnyStep, Step, reply
from tests.fakes.openai_server import OpenAIServer

NO_SUCH_MODEL = reply({"error": "model not found"}, 404)


def ollama_server(
    *models: Mapping[str, Any],
    loaded: Mapping[str, int] | None = None,
    shown: Mapping[str, Mapping[str, Any]] | None = None,
    port: int = 0,
) -> OpenAIServer:
    """Return a server with the entries `models`, `loaded` with their windows in force.

    `shown` holds the replies of `/api/show` by name.
    """

    def show(body: bytes) -> Answer:
        details = (shown or {}).get(json.loads(body)["model"])
        return NO_SUCH_MODEL if details is None else reply(details)

    running = [{"name": name, "context_length": size} for name, size in (loaded or {}).items()]
    return OpenAIServer(
        *(str(model["name"]) for model in models),
        port=port,
        chat_path="/api/chat",
        documents={
            "/api/version": reply({"version": "0.12.6"}),
            "/api/tags": reply({"models": list(models)}),
            "/api/ps": reply({"models": running}),
            "/api/show": show,
        },
    )


def installed(name: str, **more: Any) -> dict[str, Any]:
    """Return an entry of `/api/tags` as older servers write it."""
    return {
        "name": name,
        "model": name,
        "modified_at": "2025-10-03T23:34:03.409490317-07:00",
        "size": 3338801804,
        "digest": f"digest of {name}",
        "details": {"format": "gguf", "family": "qwen3", "parameter_size": "8.2B"},
        **more,
    }


def details(context: int, *capabilities: str) -> dict[str, Any]:
    """Return a reply of `/api/show`."""
    info = {"general.architecture": "qwen3", "qwen3.context_length": context}
    return {"capabilities": list(capabilities), "model_info": info}


def lines(*steps: Mapping[str, Any] | AnyStep) -> Answer:
    """Answer a chat with these lines; other steps are done as they are."""
    return Answer(tuple(map(_step, steps)), content_type="application/x-ndjson")


def says(text: str = "", **message: Any) -> dict[str, Any]:
    """Return a line with a piece of the answer."""
    return {
        "model": "qwen3:8b",
        "created_at": "2025-10-17T16:47:07.93355Z",
        "message": {"role": "assistant", "content": text, **message},
        "done": False,
    }


def ends(reason: str = "stop", *, prompt: int | None = 26, answer: int | None = 298) -> Any:
    """Return the last line."""
    counts = {"prompt_eval_count": prompt, "eval_count": answer}
    return {
        **says(),
        "done": True,
        "done_reason": reason,
        "total_duration": 4_000_000_000,
        "load_duration": 1_500_000_000,
        "prompt_eval_duration": 130_000_000,
        "eval_duration": 2_000_000_000,
        **{name: count for name, count in counts.items() if count is not None},
    }


def _step(step: Mapping[str, Any] | AnyStep) -> AnyStep:
    return json.dumps(step).encode() + b"\n" if isinstance(step, Mapping) else step


CUT, HANG = Step.CUT, Step.HANG
