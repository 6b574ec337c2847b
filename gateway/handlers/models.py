"""GET /v1/models and /v1/models/{id}."""

from __future__ import annotations

from typing import Any

from aiohttp import web

from gateway.clients import ask
from gateway.context import CLIENTS, request_id_of
from gateway.handlers.replies import json_reply
from gateway.identity import read_caller
from lair.router.v1.router_service_pb2 import ListModelsRequest, Model
from svckit.chat_json import with_extra
from svckit.errors import ServiceError


async def list_models(request: web.Request) -> web.Response:
    """List every model that can be asked for."""
    models = await all_models(request)
    return json_reply({"object": "list", "data": [_model_json(model) for model in models]})


async def get_model(request: web.Request) -> web.Response:
    """Describe one model; its id may hold `/` and `:`."""
    model_id = request.match_info["id"]
    for model in await all_models(request):
        if model.id == model_id:
            return json_reply(_model_json(model))
    raise ServiceError(
        "MODEL_NOT_FOUND",
        f"no backend serves the model {model_id!r}; GET /v1/models lists those that can be asked",
        model=model_id,
    )


async def all_models(request: web.Request) -> list[Model]:
    """Ask the router for every page of its models."""
    question = ListModelsRequest(caller=read_caller(request.headers))
    models: list[Model] = []
    while True:
        page = await ask(
            "router",
            request.app[CLIENTS].router.ListModels,
            question,
            request_id=request_id_of(request),
        )
        models.extend(page.models)
        if not page.next_page_token:
            return models
        question = ListModelsRequest(caller=question.caller, page_token=page.next_page_token)


def _model_json(model: Model) -> dict[str, Any]:
    out: dict[str, Any] = {
        "id": model.id,
        "object": "model",
        "created": model.created,
        "owned_by": model.backend or "lair",
    }
    if model.backend:
        out["backend"] = model.backend
    if model.HasField("context_length"):
        out["context_length"] = model.context_length
    if model.HasField("loaded"):
        out["loaded"] = model.loaded
    if able := [field.name for field, can in model.capabilities.ListFields() if can]:
        out["capabilities"] = able
    if model.alias_targets:
        out["alias_targets"] = list(model.alias_targets)
    return with_extra(out, model.extra_json)
