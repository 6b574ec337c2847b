"""A key's list of models holds for those that a body names beside the one it asks for."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from gateway.further_models import refuse_further_models
from svckit.errors import ServiceError
from tests.gateway.conftest import Stack
from tests.gateway.keyed import add_key, bearer, make_key

KEY = make_key(models=("small", "auto"))[0]


def refuse(body: dict[str, Any]) -> None:
    refuse_further_models(json.dumps(body).encode(), KEY)


@pytest.mark.parametrize(
    "body",
    [
        {"models": ["small", "big"]},
        {"models": "big"},
        {"fallbacks": [{"small": ["big"]}]},
        {"context_window_fallbacks": [["big"]]},
        {"content_policy_fallbacks": [None]},
    ],
)
def test_a_model_that_the_key_may_not_use_is_refused_wherever_it_is_named(body) -> None:
    with pytest.raises(ServiceError, match="the key may use: small, auto") as refused:
        refuse(body)
    assert refused.value.reason == "PERMISSION_DENIED"
    assert refused.value.metadata["field"] in body


@pytest.mark.parametrize(
    "body", [{}, {"models": None}, {"models": []}, {"models": ["auto"], "fallbacks": ["small"]}]
)
def test_models_that_the_key_may_use_are_passed_on(body) -> None:
    refuse(body)


@pytest.mark.parametrize("key", [None, make_key()[0]])
def test_who_may_use_all_models_may_name_any(key) -> None:
    refuse_further_models(b'{"models": ["big"]}', key)


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/v1/chat/completions", {"messages": [{"role": "user", "content": "Hi"}]}),
        ("/v1/completions", {"prompt": "Hi"}),
        ("/v1/embeddings", {"input": "Hi"}),
        ("/v1/responses", {"input": "Hi"}),
        ("/v1/responses/input_tokens", {"input": "Hi"}),
        ("/v1/messages", {"max_tokens": 5, "messages": [{"role": "user", "content": "Hi"}]}),
        ("/v1/messages/count_tokens", {"messages": [{"role": "user", "content": "Hi"}]}),
    ],
)
async def test_no_call_reaches_a_model_by_another_name(data_dir: Path, path: str, body) -> None:
    shown = bearer(add_key(data_dir, models=("small",)))
    async with Stack().running() as stack:
        sent = body | {"model": "small", "models": ["big"]}
        async with stack.http.post(stack.url + path, json=sent, headers=shown) as reply:
            assert reply.status == 403
            assert '"big"' in (await reply.json())["error"]["message"]
        assert stack.router.calls == []
