"""What servers make of the fields of a request, and what they get instead. Pure.

`TREATMENTS` has for each flavour what is done to a body before it is sent: a field it does
not know is left out, one it knows by another name is renamed, one it ignores is emulated
where that gives the same answer. What would change the answer is refused, with the field's
name, and left for another backend. Facts of the wire, section 1.5.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

import msgspec

from router_svc.backends.flavours import Flavour
from router_svc.model import UpstreamError

Body = dict[str, Any]
Treatment = Callable[[Body], None]

_decode = msgspec.json.decode
_IN_WORDS = "Answer with one JSON object and nothing else."

# What `transformers serve` acts on. It answers 422 to fields it has never heard of, and
# which those are differs between its versions.
_TRANSFORMERS_TAKES = frozenset(
    (
        *("model", "messages", "stream", "tools", "stop", "seed", "temperature", "top_p"),
        *("max_tokens", "max_completion_tokens", "frequency_penalty", "logit_bias"),
        *("generation_config", "chat_template_kwargs"),
    )
)


def refusal(field: str, message: str) -> UpstreamError:
    """Refuse a field that this backend cannot honour; another may."""
    return UpstreamError("UPSTREAM_REJECTED", f"{field}: {message}")


def value_of(field: object) -> Any:
    """Return a field that may still be JSON text."""
    return _decode(bytes(field)) if isinstance(field, msgspec.Raw) else field


def pictures_of(messages: object) -> Iterator[tuple[str, str]]:
    """Yield each picture's field and its address or data."""
    for place, message in enumerate(messages if isinstance(messages, list) else ()):
        content = message.get("content")
        for number, part in enumerate(content if isinstance(content, list) else ()):
            image = part.get("image_url") if isinstance(part, Mapping) else None
            url = image.get("url") if isinstance(image, Mapping) else image
            if isinstance(url, str):
                yield f"messages[{place}].content[{number}].image_url", url


def with_offered_tools(tools: list[Any], choice: object) -> list[Any]:
    """Return the tools that a `tool_choice` leaves: none, all, or the one it names."""
    if choice == "none":
        return []
    name = _named(choice)
    return [tool for tool in tools if name in (None, _name(tool))]


# -- treatments --------------------------------------------------------------------


def _limit_by_both_names(body: Body) -> None:
    """Of the two names of the limit each server knows one at least."""
    for known, other in (
        ("max_tokens", "max_completion_tokens"),
        ("max_completion_tokens", "max_tokens"),
    ):
        if body.get(known) is not None:
            body.setdefault(other, body[known])


def _developer_is_system(body: Body) -> None:
    """Templates of open models know the one rank under its older name."""
    for message in body["messages"]:
        if message.get("role") == "developer":
            message["role"] = "system"


def _one_answer(body: Body) -> None:
    count = body.pop("n", None)
    if count is not None and count > 1:
        raise refusal("n", f"this server gives one answer to a request, not {count}")


def _inline_pictures(body: Body) -> None:
    for field, url in pictures_of(body["messages"]):
        if url.startswith(("http://", "https://")):
            raise refusal(field, "this server fetches no pictures; send a base64 data URI")


def _tool_choice_by_offer(body: Body) -> None:
    """Keep a choice that is ignored by what is offered; `required` is left to the model."""
    choice = value_of(body.pop("tool_choice", None))
    if tools := body.get("tools"):
        body["tools"] = with_offered_tools(tools, choice)
        if not body["tools"]:
            del body["tools"]


def _json_object_is_a_schema(body: Body) -> None:
    if _format(body) == "json_object":
        schema = {"name": "object", "schema": {"type": "object"}}
        body["response_format"] = {"type": "json_schema", "json_schema": schema}


def _json_in_words(body: Body) -> None:
    kind = _format(body)
    if kind == "json_schema":
        raise refusal("response_format", "this server cannot hold an answer to a JSON schema")
    if kind == "json_object":
        body["messages"] = [{"role": "system", "content": _IN_WORDS}, *body["messages"]]


def _no_logprobs_beside_streamed_tools(body: Body) -> None:
    """Together they are a 400; an answer without its probabilities is better than none."""
    if body.get("tools") and body.get("stream"):
        body.pop("logprobs", None)
        body.pop("top_logprobs", None)


def _only_transformers_fields(body: Body) -> None:
    for name in body.keys() - _TRANSFORMERS_TAKES:
        del body[name]


TREATMENTS: Mapping[Flavour, tuple[Treatment, ...]] = {
    Flavour.OPENAI: (),
    Flavour.OPENROUTER: (),
    Flavour.VLLM: (_developer_is_system,),
    Flavour.LLAMACPP: (_developer_is_system, _no_logprobs_beside_streamed_tools),
    # Behind it is llama.cpp nearly always, and any other server now and then.
    Flavour.LLAMASWAP: (
        _developer_is_system,
        _limit_by_both_names,
        _no_logprobs_beside_streamed_tools,
    ),
    Flavour.LMSTUDIO: (
        _developer_is_system,
        _limit_by_both_names,
        _inline_pictures,
        _json_object_is_a_schema,
    ),
    Flavour.OLLAMA: (
        _developer_is_system,
        _limit_by_both_names,
        _inline_pictures,
        _one_answer,
        _tool_choice_by_offer,
    ),
    Flavour.TRANSFORMERS: (
        _developer_is_system,
        _limit_by_both_names,
        _one_answer,
        _tool_choice_by_offer,
        _json_in_words,
        _only_transformers_fields,
    ),
}


def treat(body: Body, flavour: Flavour) -> None:
    """Change a request's body to what servers of `flavour` take. Raises `UpstreamError`."""
    for treatment in TREATMENTS[flavour]:
        treatment(body)


def _format(body: Body) -> object:
    value = value_of(body.get("response_format"))
    return value.get("type") if isinstance(value, Mapping) else None


def _named(choice: object) -> object:
    if not isinstance(choice, Mapping):
        return None
    function = choice.get("function")
    return function.get("name") if isinstance(function, Mapping) else None


def _name(tool: object) -> object:
    function = tool.get("function") if isinstance(tool, Mapping) else None
    return function.get("name") if isinstance(function, Mapping) else None
