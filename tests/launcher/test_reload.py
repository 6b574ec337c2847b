"""`lair reload`, against a router that is scripted."""

from __future__ import annotations

import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import grpc
import pytest
from grpc_status import rpc_status

from lair.router.v1.router_service_pb2 import ReloadBackendsResponse
from lair.router.v1.router_service_pb2_grpc import (
    RouterServiceServicer,
    add_RouterServiceServicer_to_server,
)
from svckit.errors import ServiceError, to_status
from tests.launcher.support import Lair


@dataclass
class ScriptedRouter(RouterServiceServicer):
    """Answers every reload with its script."""

    answer: ReloadBackendsResponse | ServiceError

    def ReloadBackends(self, request: Any, context: Any) -> Any:
        if isinstance(self.answer, ServiceError):
            context.abort_with_status(rpc_status.to_status(to_status(self.answer)))
        return self.answer


@pytest.fixture
def router(monkeypatch: pytest.MonkeyPatch) -> Iterator[ScriptedRouter]:
    """A router, where lair's would be."""
    script = ScriptedRouter(ReloadBackendsResponse())
    with ThreadPoolExecutor(1) as threads:
        server = grpc.server(threads)
        add_RouterServiceServicer_to_server(script, server)
        port = server.add_insecure_port("127.0.0.1:0")
        monkeypatch.setenv("LAIR_ROUTER__LISTEN", f"127.0.0.1:{port}")
        server.start()
        yield script
        server.stop(None).wait()


def test_what_changed_is_named(lair: Lair, router: ScriptedRouter) -> None:
    router.answer = ReloadBackendsResponse(added=["3090", "3070"], changed=["openrouter"])

    ended = lair("reload")

    assert ended.code == 0
    assert ended.out.splitlines() == ["added    3090, 3070", "changed  openrouter"]


@pytest.mark.usefixtures("router")
def test_nothing_that_changed_is_said_too(lair: Lair) -> None:
    ended = lair("reload")

    assert (ended.code, "no backend was added" in ended.out) == (0, True)


def test_json_names_all_three(lair: Lair, router: ScriptedRouter) -> None:
    router.answer = ReloadBackendsResponse(removed=["3070"])

    assert json.loads(lair("reload", "--json").out) == {
        "added": [],
        "removed": ["3070"],
        "changed": [],
    }


def test_faults_of_the_configuration_are_lines_and_1(lair: Lair, router: ScriptedRouter) -> None:
    faults = "lair.toml: unknown key 'urll'\nlair.toml: backends.0.name: too long"
    router.answer = ServiceError("INVALID_FIELD", faults, field="lair.toml")

    ended = lair("reload")

    assert (ended.code, ended.out) == (1, "")
    assert ended.err.splitlines() == [f"lair: {line}" for line in faults.splitlines()]


def test_not_running_is_one_line(lair: Lair, port: int) -> None:
    ended = lair("reload", "--port", str(port))

    assert ended.code == 1
    assert ended.err == f"lair: no router answers at 127.0.0.1:{port + 1}; start it with: lair up\n"
