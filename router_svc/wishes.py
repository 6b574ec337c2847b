"""What a request needs of the backend that answers it, read off the call. Pure."""

from __future__ import annotations

from collections.abc import Sequence

from lair.common.v1.chat_pb2 import Message
from lair.router.v1.chat_pb2 import ChatCall
from lair.router.v1.input_pb2 import TextInput
from router_svc.line import Priority
from router_svc.model import AUTO, Call
from router_svc.policy import Wish
from router_svc.prompt import Prompt
from router_svc.queue import Ask
from svckit.errors import invalid_field


def wish_of(call: ChatCall, sticky: tuple[str, str] | None, prompt: Prompt) -> Wish:
    """Return the wish; `sticky` answered the conversation's last turn."""
    hints = call.route
    return Wish(
        model=hints.model or call.model or AUTO,
        backend=hints.backend,
        local_only=hints.local_only,
        permitted=tuple(hints.permitted_models),
        tools=bool(call.tools),
        vision=any(_shows_a_picture(message) for message in call.messages),
        json_schema=b'"json_schema"' in call.response_format_json,
        sticky=sticky,
        prompt=prompt,
    )


def plain_wish(call: Call, kind: str = "chat", prompt: Prompt | None = None) -> Wish:
    """Return the wish of a call that needs nothing but a model of a kind of `serves`."""
    hints = call.route
    return Wish(
        model=hints.model or call.model or AUTO,
        backend=hints.backend,
        local_only=hints.local_only,
        permitted=tuple(hints.permitted_models),
        kind=kind,
        prompt=prompt,
    )


def require_texts(field: str, texts: Sequence[TextInput]) -> None:
    """Raise INVALID_FIELD unless there is at least one text, and none that is not set."""
    if not texts:
        raise invalid_field(field, f"{field} is empty; send at least one")
    for place, text in enumerate(texts):
        if not (text.HasField("text") or text.tokens.ids):
            name = f"{field}[{place}]"
            raise invalid_field(name, f"{name} is empty; send a text, or at least one token")


def ask_of(call: Call, default: Priority) -> Ask:
    """Return who asks, for the queue. Raises INVALID_FIELD for a class nobody knows.

    Keys share a device evenly; without keys, the programs of a user do.
    """
    caller, named = call.caller, call.route.priority
    if named and named not in tuple(Priority):
        classes = ", ".join(Priority)
        raise invalid_field("X-Priority", f"X-Priority is {named!r}; send one of {classes}")
    key = caller.key_id or f"{caller.user_id}/{caller.client}"
    return Ask(key, Priority(named) if named else default)


def _shows_a_picture(message: Message) -> bool:
    return message.WhichOneof("content") == "parts" and any(
        part.type == "image_url" for part in message.parts.parts
    )
