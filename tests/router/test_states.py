"""What servers tell of their models, and what is made of whatever they send."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from router_svc.backends.flavours import Flavour, answered, recognise
from router_svc.backends.states import (
    llamacpp,
    llamaswap,
    lmstudio,
    ollama,
    openrouter,
    vllm,
)
from router_svc.backends.states.listing import parse_models
from router_svc.backends.states.table import read_state
from router_svc.model import Capabilities, Prices, ServedModel


def listing(*entries: dict[str, Any], **more: Any) -> dict[str, Any]:
    return {"object": "list", "data": list(entries), **more}


def only(models: tuple[ServedModel, ...]) -> ServedModel:
    [model] = models
    return model


# -- llama.cpp -----------------------------------------------------------------

LLAMA = {
    "id": "tiny-chat",
    "owned_by": "llamacpp",
    "architecture": {"input_modalities": ["text"]},
    "meta": {"n_ctx": 1024, "n_ctx_train": 2048},
}
PROPS = {
    "default_generation_settings": {"n_ctx": 1024},
    "total_slots": 2,
    "modalities": {"vision": False, "audio": False},
    "chat_template_caps": {"supports_tools": True},
    "is_sleeping": False,
}


def test_llamacpp_tells_the_window_of_a_slot_and_its_slots() -> None:
    model = only(llamacpp.parse(listing(LLAMA), PROPS))
    assert (model.context_length, model.slots, model.loaded) == (1024, 2, True)
    assert model.capabilities == Capabilities(tools=True, vision=False, json_schema=True)


def test_an_older_llamacpp_tells_its_window_by_its_properties() -> None:
    model = only(llamacpp.parse(listing({"id": "m"}), PROPS))
    assert model.context_length == 1024


def test_a_llamacpp_that_sleeps_has_nothing_in_memory() -> None:
    assert only(llamacpp.parse(listing(LLAMA), {**PROPS, "is_sleeping": True})).loaded is False


def test_without_properties_what_llamacpp_lists_is_known() -> None:
    model = only(llamacpp.parse(listing(LLAMA), {}))
    assert (model.context_length, model.slots, model.loaded) == (1024, None, None)
    assert model.capabilities == Capabilities(vision=False, json_schema=True)


@pytest.mark.parametrize(
    ("status", "loaded"),
    [("loaded", True), ("unloaded", False), ("loading", False), ("sleeping", False), ("new", None)],
)
async def test_a_router_of_llamacpp_tells_the_status_of_each_and_is_asked_for_no_properties(
    status: str, loaded: bool | None
) -> None:
    asked: list[str] = []

    async def fetch(path: str) -> bytes | None:
        asked.append(path)
        return None

    entry = {"id": "m", "status": {"value": status}}
    reading = await read_state(Flavour.LLAMACPP, listing(entry), fetch)
    assert only(reading.models).loaded is loaded
    assert asked == ["/models"]


@pytest.mark.parametrize("loading", [True, False])
async def test_a_llamacpp_that_lists_its_model_while_it_loads_it_is_loading(
    loading: bool,
) -> None:
    error = {"error": {"code": 503, "message": "Loading model", "type": "unavailable_error"}}
    documents = {"/health": error if loading else {"status": "ok"}, "/props": error}

    async def fetch(path: str) -> bytes | None:
        return json.dumps(documents[path]).encode()

    reading = await read_state(Flavour.LLAMACPP, listing(LLAMA), fetch)
    assert (reading.loading, only(reading.models).id) == (loading, "tiny-chat")


# -- vLLM ----------------------------------------------------------------------

METRICS = b"""# HELP vllm:num_requests_running Number of requests in model execution batches.
# TYPE vllm:num_requests_running gauge
vllm:num_requests_running{engine="0",model_name="m"} 3.0
vllm:num_requests_running{engine="1",model_name="m"} 2.0
vllm:num_requests_waiting{engine="0",model_name="m"} 7.0
vllm:num_requests_waiting_by_reason{engine="0",reason="capacity"} 7.0
vllm:kv_cache_usage_perc{engine="0"} 0.25
"""


def test_vllm_has_all_its_models_in_memory_with_their_window() -> None:
    model = only(vllm.parse(listing({"id": "m", "max_model_len": 32768})))
    assert (model.context_length, model.loaded) == (32768, True)
    assert model.capabilities.json_schema is True


def test_vllm_counts_its_work_over_all_engines() -> None:
    assert vllm.parse_metrics(METRICS) == {"running": 5, "waiting": 7}


@pytest.mark.parametrize("page", [b"", b"<html>", b"vllm:num_requests_running NaN\n", b"\xff" * 9])
def test_a_page_without_vllms_gauges_tells_nothing(page: bytes) -> None:
    assert vllm.parse_metrics(page) == {}


# -- LM Studio -----------------------------------------------------------------


def test_lm_studio_tells_state_type_and_window() -> None:
    older = listing(
        {"id": "a", "type": "llm", "state": "not-loaded", "max_context_length": 131072},
        {
            "id": "b",
            "type": "vlm",
            "state": "loaded",
            "max_context_length": 32768,
            "loaded_context_length": 8192,
            "capabilities": ["tool_use"],
        },
        {"id": "c", "type": "embeddings", "state": "loaded", "max_context_length": 2048},
        {"id": "not servable", "type": "llm", "state": "not-loaded"},
    )
    a, b, c = lmstudio.parse(listing({"id": "a"}, {"id": "b"}, {"id": "c"}), older, {})
    assert (a.loaded, a.context_length, a.capabilities.vision) == (False, 131072, None)
    assert (b.loaded, b.context_length) == (True, 8192)
    assert (b.capabilities.vision, b.capabilities.tools) == (True, True)
    assert (c.capabilities.chat, c.capabilities.embeddings) == (False, True)


def test_a_newer_lm_studio_tells_slots_and_the_window_in_force() -> None:
    config = {"context_length": 4096, "parallel": 4}
    newer = {
        "models": [
            {
                "key": "qwen/qwen3.5-9b",
                "type": "llm",
                "max_context_length": 262144,
                "loaded_instances": [{"id": "qwen/qwen3.5-9b:2", "config": config}],
                "capabilities": {"vision": True, "trained_for_tool_use": True, "reasoning": {}},
            },
            {"key": "x", "type": "llm", "max_context_length": 1024, "loaded_instances": []},
        ]
    }
    entries = listing({"id": "qwen/qwen3.5-9b"}, {"id": "qwen/qwen3.5-9b:2"}, {"id": "x"})
    key, instance, other = lmstudio.parse(entries, {}, newer)
    for model in (key, instance):
        assert (model.loaded, model.context_length, model.slots) == (True, 4096, 4)
        assert (model.capabilities.vision, model.capabilities.tools) == (True, True)
    assert (other.loaded, other.context_length, other.slots) == (False, 1024, None)


# -- llama-swap ----------------------------------------------------------------


def test_llama_swap_tells_what_runs() -> None:
    running = {"running": [{"model": "a", "state": "ready"}, {"model": "b", "state": "starting"}]}
    models = llamaswap.parse(listing({"id": "a"}, {"id": "b"}, {"id": "c"}), running)
    assert [model.loaded for model in models] == [True, False, False]


def test_what_llama_swap_does_not_tell_is_unknown() -> None:
    entry = {"id": "a", "context_length": 16384, "capabilities": {"vision": True, "tools": "yes"}}
    model = only(llamaswap.parse(listing(entry), {}))
    assert (model.loaded, model.context_length) == (None, 16384)
    assert (model.capabilities.vision, model.capabilities.tools) == (True, None)


# -- OpenRouter ----------------------------------------------------------------

ROUTED = {
    "id": "qwen/qwen3-30b",
    "canonical_slug": "qwen/qwen3-30b-a3b",
    "context_length": 262144,
    "architecture": {"input_modalities": ["text", "image"], "output_modalities": ["text"]},
    "pricing": {"prompt": "0.0000004", "completion": "0.0000016", "request": "0"},
    "top_provider": {"context_length": 131072},
    "supported_parameters": ["tools", "structured_outputs", "reasoning"],
}


def test_openrouter_tells_prices_and_abilities() -> None:
    model = only(openrouter.parse(listing(ROUTED)))
    assert model.prices == Prices(prompt=0.4, completion=1.6)
    assert model.context_length == 131072
    assert model.capabilities == Capabilities(
        chat=True, embeddings=False, tools=True, vision=True, json_schema=True, reasoning=True
    )


@pytest.mark.parametrize(
    "pricing",
    [
        {"prompt": "-1", "completion": "-1"},
        {"prompt": "free", "completion": "0"},
        {"prompt": "0"},
        {"prompt": "inf", "completion": "nan"},
        {"prompt": 10**400, "completion": "0"},
        None,
    ],
)
def test_prices_that_are_none_are_unknown(pricing: object) -> None:
    assert only(openrouter.parse(listing({**ROUTED, "pricing": pricing}))).prices is None


# -- all of them ---------------------------------------------------------------


@pytest.mark.parametrize(
    ("entry", "server", "flavour"),
    [
        (LLAMA, "", Flavour.LLAMACPP),
        ({"id": "m"}, "llama.cpp", Flavour.LLAMACPP),
        ({"id": "m", "owned_by": "vllm"}, "uvicorn", Flavour.VLLM),
        ({"id": "m", "owned_by": "organization_owner"}, "", Flavour.LMSTUDIO),
        ({"id": "m", "owned_by": "llama-swap"}, "", Flavour.LLAMASWAP),
        ({"id": "m", "owned_by": "library"}, "", Flavour.OLLAMA),
        (ROUTED, "cloudflare", Flavour.OPENROUTER),
        ({"id": "m", "created": 1763000000.5, "owned_by": "lab"}, "uvicorn", Flavour.TRANSFORMERS),
        ({"id": "m", "owned_by": "koboldcpp"}, "", Flavour.OPENAI),
        ({"id": "m", "created": 1763000000, "owned_by": "system"}, "", None),
        ({"id": "m", "owned_by": ["vllm"]}, "", None),
    ],
    ids=lambda value: str(value.get("owned_by", "")) if isinstance(value, dict) else None,
)
def test_a_server_is_recognised_by_how_it_signs(
    entry: dict[str, Any], server: str, flavour: Flavour | None
) -> None:
    assert recognise(listing(entry), server) is flavour


@pytest.mark.parametrize(
    ("path", "body", "flavour"),
    [
        ("/api/tags", {"models": [{"name": "qwen3:8b"}]}, Flavour.OLLAMA),
        ("/running", {"running": []}, Flavour.LLAMASWAP),
        ("/props", PROPS, Flavour.LLAMACPP),
        ("/api/v0/models", listing({"id": "m", "state": "loaded"}), Flavour.LMSTUDIO),
        ("/api/tags", {"models": []}, Flavour.OPENAI),
        ("/api/v0/models", {"data": 5}, Flavour.OPENAI),
    ],
)
def test_a_server_that_does_not_sign_is_told_by_its_documents(
    path: str, body: Mapping[str, Any], flavour: Flavour
) -> None:
    assert answered({path: body, "/other": None}) is flavour


def test_a_gateway_in_front_of_several_is_none_of_them() -> None:
    both = listing({"id": "a", "owned_by": "vllm"}, {"id": "b", "owned_by": "llamacpp"})
    assert recognise(both) is Flavour.OPENAI
    own = listing({"id": "a", "owned_by": "library"}, {"id": "b", "owned_by": "somebody"})
    assert recognise(own) is Flavour.OLLAMA


async def nothing(_: str) -> None:
    return None


@pytest.mark.parametrize("flavour", Flavour)
async def test_whatever_else_fails_the_listed_models_are_known(flavour: Flavour) -> None:
    reading = await read_state(flavour, listing(LLAMA, {"id": "b"}), nothing)
    assert [model.id for model in reading.models] == ["tiny-chat", "b"]


async def test_transformers_serve_follows_no_schema() -> None:
    reading = await read_state(Flavour.TRANSFORMERS, listing({"id": "lab/tiny"}), nothing)
    able = only(reading.models).capabilities
    assert (able.chat, able.embeddings, able.json_schema) == (True, False, False)


junk = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=3),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.text(max_size=3), inner),
    max_leaves=4,
)


def odd(**fields: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    """Draw objects of these fields, any of which may be missing or junk; or junk."""
    optional = {name: strategy | junk for name, strategy in fields.items()}
    return st.fixed_dictionaries({}, optional=optional) | junk


ids = st.just("m") | junk
odd_entries = odd(
    id=ids,
    name=ids,
    key=ids,
    model=ids,
    modified_at=st.text(max_size=9),
    state=st.sampled_from(["ready", "loaded"]),
    status=odd(value=junk),
    meta=odd(n_ctx=junk),
    architecture=odd(input_modalities=junk, output_modalities=junk),
    pricing=odd(prompt=junk | st.text("0123456789.e-", max_size=6), completion=junk),
    details=odd(context_length=junk),
    capabilities=odd(vision=junk) | st.lists(junk, max_size=2),
    supported_parameters=junk,
    loaded_instances=st.lists(odd(id=ids, config=odd(context_length=junk, parallel=junk))),
    created=junk,
    owned_by=junk,
)
odd_lists = odd(
    data=st.lists(odd_entries), models=st.lists(odd_entries), running=st.lists(odd_entries)
).filter(lambda body: isinstance(body, dict))
odd_objects = odd(
    default_generation_settings=odd(n_ctx=junk),
    chat_template_caps=odd(supports_tools=junk),
    model_info=odd(**{"general.architecture": junk, "a.context_length": junk}),
).filter(lambda body: isinstance(body, dict))

PARSERS: dict[str, Callable[[Any, Any], Any]] = {
    "any": lambda body, _: parse_models(body),
    "llamacpp": llamacpp.parse,
    "vllm": lambda body, _: vllm.parse(body),
    "lmstudio": lambda body, other: lmstudio.parse(body, body, other),
    "llamaswap": llamaswap.parse,
    "openrouter": lambda body, _: openrouter.parse(body),
    "tags": lambda body, _: ollama.parse_tags(body),
    "ps": lambda body, _: ollama.parse_ps(body),
    "show": lambda _, other: ollama.parse_show(other),
    "signature": lambda body, _: recognise(body),
    "questions": lambda body, other: answered({"/running": body, "/props": other}),
}


@pytest.mark.parametrize("parse", PARSERS.values(), ids=PARSERS)
@given(odd_lists, odd_objects)
def test_whatever_a_server_sends_is_read(
    parse: Callable[[Any, Any], Any], body: dict[str, Any], other: dict[str, Any]
) -> None:
    parse(body, other)


@given(odd_lists, st.binary(max_size=30))
async def test_whatever_documents_hold_the_state_is_read(body: dict[str, Any], raw: bytes) -> None:
    documents = [raw, json.dumps(body).encode(), None]

    async def fetch(path: str) -> bytes | None:
        return documents[len(path) % 3]

    for flavour in Flavour:
        reading = await read_state(flavour, body, fetch)
        assert all(isinstance(model.id, str) for model in reading.models)
