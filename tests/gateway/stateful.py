"""A gateway before a router and a memory that keep turns, and the official client for it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import openai

from tests.compat import document
from tests.gateway.conftest import Stack
from tests.gateway.turn_memory import RememberingRouter, TurnMemory


@asynccontextmanager
async def remembering() -> AsyncIterator[Stack]:
    """Serve until the block is left."""
    memory = TurnMemory()
    async with Stack(router=RememberingRouter(memory=memory), memory=memory).running() as running:
        yield running


def client_of(stack: Stack) -> openai.AsyncOpenAI:
    """Return a client that refuses replies which its types do not allow."""
    return openai.AsyncOpenAI(
        base_url=f"{stack.url}/v1",
        api_key="any",
        max_retries=0,
        _strict_response_validation=True,
    )


async def post(stack: Stack, path: str = "/v1/responses", **fields: Any) -> tuple[int, Any]:
    """Ask for a response; `headers` are its headers."""
    headers = fields.pop("headers", None)
    body = {"model": "auto"} | fields
    async with stack.http.post(stack.url + path, json=body, headers=headers) as reply:
        return reply.status, await reply.json()


async def created(stack: Stack, **fields: Any) -> dict[str, Any]:
    """Create a response that must be valid."""
    status, reply = await post(stack, **fields)
    assert status == 200, reply
    assert document.judge()("Response", reply) == []
    return reply


def prompt(stack: Stack, number: int = -1) -> list[tuple[str, str]]:
    """Return what a backend was asked, with the past in front."""
    return [(message.role, message.text) for message in stack.router.prompts[number]]
