"""Put the OpenAPI document together, out of the routes and what is said of each."""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterable
from functools import cache
from typing import Any

import msgspec

from gateway.handlers.index import own_version
from gateway.openapi.components import components, reference, response_headers, schema_of
from gateway.openapi.operation import EVENTS, JSON, Operation, Schema
from gateway.openapi.operations import OPERATIONS, TAGS
from gateway.openapi.parameters import parameters
from gateway.routes import ROUTES, Route

_DESCRIPTION = """\
One address for all your local and remote models, that remembers and counts.

Paths that begin with `/v1` also exist without it, and every path also under
`/p/{project}`, which names the project for clients that cannot set a header. Where API
keys are configured, each request needs one; without keys lair answers its own machine
only. Every reply has an `x-request-id`.
"""
_PROJECT = {"default": "home", "description": "The project that requests belong to."}


@cache
def document_json() -> bytes:
    """Return the document of all routes as JSON."""
    return msgspec.json.encode(document(ROUTES, OPERATIONS))


def document(
    routes: Iterable[Route], operations: dict[tuple[str, str], Operation]
) -> dict[str, Any]:
    """Describe those of `routes` that something is said of."""
    paths: dict[str, dict[str, Any]] = {}
    for route in routes:
        if operation := operations.get((route.method, route.path)):
            entry = _entry(route, operation)
            paths.setdefault(plain_path(route.path), {})[route.method.lower()] = entry
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "lair",
            "version": own_version() or "0",
            "description": _DESCRIPTION,
            "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
        },
        "servers": [
            {"url": "/"},
            {"url": "/p/{project}", "variables": {"project": _PROJECT}},
        ],
        "tags": [{"name": name, "description": TAGS[name]} for name in TAGS],
        "paths": paths,
        "components": components(operations.values()),
    }


def plain_path(path: str) -> str:
    """Return a path of aiohttp's as OpenAPI writes it: without what a parameter may be."""
    return re.sub(r"\{(\w+):[^}]*\}", r"{\1}", path)


def _entry(route: Route, operation: Operation) -> Schema:
    summary, _, rest = inspect.cleandoc(route.handler.__doc__ or "").partition("\n")
    out: Schema = {
        "operationId": _id(route),
        "tags": [operation.tag],
        "summary": summary.rstrip("."),
        "security": _security(route),
        "parameters": parameters(plain_path(route.path), operation),
        "responses": _responses(operation),
    }
    if description := operation.description or rest.strip():
        out["description"] = description
    if operation.body is not None:
        out["requestBody"] = {
            "required": operation.body_required,
            "content": {JSON: {"schema": schema_of(operation.body)}},
        }
    return out


def _id(route: Route) -> str:
    """Name an operation by its method and path, so that it keeps its name."""
    words = re.findall(r"\w+", plain_path(route.path).removeprefix("/v1"))
    return "_".join([route.method.lower(), *words]) if words else "index"


def _security(route: Route) -> list[dict[str, list[str]]]:
    if route.scope == "open":
        return []
    scopes: list[str] = [] if route.scope == "any" else [route.scope]
    return [{"bearer": scopes}, {"api_key": scopes}, {}]


def _responses(operation: Operation) -> dict[str, Schema]:
    """Describe the answer, others that are no failures, and failures of either side."""
    schema = schema_of(operation.reply)
    contents = dict.fromkeys((operation.media, *operation.further_media), schema)
    if operation.streams:
        contents[EVENTS] = reference("schemas", "Event")
    return {
        str(operation.status): _response(contents, of_model=operation.model_call),
        **{
            str(status): _response({JSON: schema_of(reply)})
            for status, reply in operation.other.items()
        },
        "4XX": reference("responses", f"Client{operation.error}"),
        "5XX": reference("responses", f"Server{operation.error}"),
    }


def _response(contents: dict[str, Schema], *, of_model: bool = False) -> Schema:
    return {
        "description": "The answer.",
        "headers": response_headers(of_model=of_model),
        "content": {media: {"schema": schema} for media, schema in contents.items()},
    }
