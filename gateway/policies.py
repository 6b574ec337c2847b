"""What memory may do for a request by its key and its project, whatever else it says."""

from __future__ import annotations

from aiohttp import web

from gateway.context import SETTINGS, key_of
from gateway.hints import standing_policy

_OFF = "off"


def memory_policy(request: web.Request, project: str) -> str:
    """Return what memory does where the request does not say; empty for nothing."""
    return standing_policy(_policies(request, project).values())


def forbids_memory(request: web.Request, project: str) -> str:
    """Say whose policy keeps memory from doing anything; empty if it may."""
    policies = _policies(request, project)
    return next((whose for whose, policy in policies.items() if policy == _OFF), "")


def _policies(request: web.Request, project: str) -> dict[str, str]:
    key = key_of(request)
    return {
        "key": key.memory_policy if key else "",
        "project": request.app[SETTINGS].memory_policy(project),
    }
