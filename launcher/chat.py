"""`lair chat`: ask one question in the terminal, as any OpenAI client would.

The answer goes to stdout, as it comes; who gave it goes to stderr.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from http.client import HTTPException
from typing import Any

import uuid_utils
from rich.console import Console
from rich.text import Text

from launcher import conversation, sse
from launcher.addresses import base_url
from launcher.ask import Reply, UnreachableError, not_running, post, require_ok
from launcher.exits import CommandFailedError
from svckit.settings import Settings

LAST = ""
"""Stands for the last conversation where an id is expected."""

_WHOLE_ANSWER_SECONDS = 900.0
_MIN_SILENCE_SECONDS = 60.0


@dataclass(frozen=True, slots=True)
class Question:
    """What to ask. `conversation_id` None begins a conversation, `LAST` continues the last."""

    prompt: str
    model: str
    conversation_id: str | None
    stream: bool
    as_json: bool


@dataclass(slots=True)
class Answer:
    """What came back."""

    conversation_id: str
    model: str = ""
    backend: str = ""
    content: str = ""
    finish_reason: str | None = None
    usage: Mapping[str, Any] = field(default_factory=dict)


def chat(settings: Settings, question: Question) -> None:
    """Print the answer to `question`. Raises `CommandFailedError`."""
    if question.conversation_id == LAST:
        conversation_id = conversation.last(settings.data_dir)
    else:
        conversation_id = question.conversation_id or f"chat-{uuid_utils.uuid7()}"
    streamed = question.stream and not question.as_json
    answer = Answer(conversation_id)
    reply = _send(settings, question, conversation_id, streamed=streamed)
    answer.backend = reply.headers.get("x-lair-backend", "")
    answer.model = reply.headers.get("x-lair-model", "")
    if streamed:
        _relay(reply, answer)
    else:
        _take(reply.json(), answer)
    conversation.remember(settings.data_dir, conversation_id)
    if question.as_json:
        print(json.dumps(asdict(answer), ensure_ascii=False))  # noqa: T201  # the answer itself
        return
    if not streamed:
        print(answer.content)  # noqa: T201  # the answer itself
    _sign(answer)


def _send(settings: Settings, question: Question, conversation_id: str, *, streamed: bool) -> Reply:
    url = base_url(settings)
    body = {
        "model": question.model,
        "messages": [{"role": "user", "content": question.prompt}],
        "stream": streamed,
    }
    silence = max(_MIN_SILENCE_SECONDS, 3 * settings.gateway.keepalive_seconds)
    try:
        reply = post(
            settings,
            "/v1/chat/completions",
            body,
            {"X-Conversation-ID": conversation_id},
            seconds=silence if streamed else _WHOLE_ANSWER_SECONDS,
        )
    except UnreachableError as error:
        raise not_running(url) from error
    require_ok(reply, url)
    return reply


def _relay(reply: Reply, answer: Answer) -> None:
    """Print a streamed answer as it comes."""
    try:
        with reply.body as lines:
            for event in sse.events(lines):
                text = _take(event, answer)
                sys.stdout.write(text)
                sys.stdout.flush()
    except BrokenPipeError:
        raise  # our reader went away, not lair
    except (OSError, HTTPException, ValueError) as error:
        raise CommandFailedError(f"the answer broke off: {error}") from error
    finally:
        if answer.content and not answer.content.endswith("\n"):
            sys.stdout.write("\n")


def _take(body: Any, answer: Answer) -> str:
    """Add a chunk or a whole completion to `answer`; return its text."""
    if message := sse.error_message(body):
        raise CommandFailedError(message)
    if not isinstance(body, Mapping):
        raise CommandFailedError("the answer is not an OpenAI completion; is that lair?")
    answer.model = body.get("model") or answer.model
    answer.usage = body.get("usage") or answer.usage
    text = ""
    for choice in body.get("choices") or ():
        text = (choice.get("delta") or choice.get("message") or {}).get("content") or ""
        answer.finish_reason = choice.get("finish_reason") or answer.finish_reason
        answer.content += text
    return text


def _sign(answer: Answer) -> None:
    by = " · ".join(part for part in (answer.backend, answer.model) if part)
    line = f"{by} · conversation {answer.conversation_id}".removeprefix(" · ")
    Console(stderr=True, soft_wrap=True).print(Text(line, style="dim"))
