"""Read an OpenAI answer: the events of a stream, and the words of an error."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from launcher.exits import CommandFailedError

_DONE = "[DONE]"


def events(lines: Iterable[bytes]) -> Iterator[Mapping[str, Any]]:
    """Yield the JSON of each event until `[DONE]`; comments keep a stream alive, no more.

    Raises `CommandFailedError` where the stream ends before.
    """
    data: list[str] = []
    done = False
    for raw in lines:
        line = raw.decode().rstrip("\r\n")
        if line.startswith("data:"):
            data.append(line.removeprefix("data:").removeprefix(" "))
        elif not line and data:
            text = "\n".join(data)
            data.clear()
            # Read on after it: hanging up now would look as if nobody wanted the answer.
            done = done or text == _DONE
            if not done:
                yield json.loads(text)
    if not done:
        # http.client takes a broken connection for the end of the body.
        raise CommandFailedError("the answer broke off before its end")


def error_message(body: Any) -> str | None:
    """Return what an OpenAI error body says; None if `body` is none."""
    error = body.get("error") if isinstance(body, Mapping) else None
    message = error.get("message") if isinstance(error, Mapping) else error
    return message if isinstance(message, str) and message else None
