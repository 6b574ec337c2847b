"""GET /v1/models and /v1/models/{id}."""

from __future__ import annotations

from typing import Any

from aiohttp import web

from gateway.clients import ask
from gateway.context import CLIENTS, key_of, request_id_of
from gateway.handlers.backends import all_backends
from gateway.handlers.replies import json_reply
from gateway.identity import Clues, read_caller
from lair.router.v1.router_service_pb2 import ListModelsRequest, Model
from svckit.chat_json import with_extra
from svckit.errors import ServiceError
from svckit.keys import ApiKey


async def list_models(request: web.Request) -> web.Response:
    """List every model that the key, if there is one, can ask for."""
    models = await all_models(request)
    return json_reply({"object": "list", "data": [_model_json(model) for model in models]})


async def get_model(request: web.Request) -> web.Response:
    """Describe one model; its id may hold `/` and `:`."""
    model_id = request.match_info["id"]
    models = await all_models(request)
    model = next((each for each in models if each.id == model_id), None)
    model = model or await _of_one_backend(request, model_id)
    if model is None:
        raise ServiceError(
            "MODEL_NOT_FOUND",
            f"no backend serves the model {model_id!r}; GET /v1/models lists those that can be "
            "asked",
            model=model_id,
        )
    return json_reply(_model_json(model))


async def all_models(request: web.Request) -> list[Model]:
    """Ask the router for the models that the request's key may use; all without one."""
    key = key_of(request)
    models = await _every_model(request, key)
    if key is None or not key.models:
        return models
    permitted = set(key.models)
    for backend in await all_backends(request):
        # A model of several backends is listed once, as the first one's.
        permitted.update(m for m in backend.models if f"{backend.name}/{m}" in permitted)
    return [model for model in models if model.id in permitted]


async def _of_one_backend(request: web.Request, model_id: str) -> Model | None:
    """Return a model by the name `<backend>/<model>`, which chats take and lists leave out."""
    key = key_of(request)
    permitted = key.models if key else ()
    for backend in await all_backends(request):
        for name in backend.models:
            if f"{backend.name}/{name}" != model_id:
                continue
            if not permitted or name in permitted or model_id in permitted:
                return Model(id=model_id, backend=backend.name)
    return None


async def _every_model(request: web.Request, key: ApiKey | None) -> list[Model]:
    question = ListModelsRequest(caller=read_caller(request.headers, Clues(key=key)))
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
