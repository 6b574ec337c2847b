"""A memory_svc and a metrics_svc to import into, and what they have of a user afterwards."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import grpc

from lair.memory.v1 import conversation_service_pb2 as conversations_pb
from lair.memory.v1 import recall_service_pb2 as recall_pb
from lair.memory.v1.conversation_pb2 import Conversation, StoredMessage
from lair.memory.v1.conversation_service_pb2_grpc import ConversationServiceStub
from lair.memory.v1.recall_service_pb2_grpc import RecallServiceStub
from lair.metrics.v1 import report_service_pb2 as report_pb
from lair.metrics.v1.report_service_pb2_grpc import ReportServiceStub
from tests.launcher.support import ROOT

FIXTURES = ROOT / "tests" / "fixtures" / "imports"
SECONDS = 60


@dataclass(frozen=True)
class Services:
    """Both services, and the environment in which `lair` finds them."""

    environment: dict[str, str]
    memory: grpc.Channel
    metrics: grpc.Channel

    def lair(self, *arguments: str, code: int = 0) -> subprocess.CompletedProcess[str]:
        """Run `lair`, which must end with `code`."""
        done = subprocess.run(
            [sys.executable, "-m", "launcher", *arguments],
            env=self.environment,
            capture_output=True,
            text=True,
            timeout=SECONDS,
            check=False,
        )
        assert done.returncode == code, (done.returncode, done.stdout, done.stderr)
        assert "Traceback" not in done.stderr
        return done

    def imported(self, kind: str, path: Path, user: str, *options: str) -> dict[str, Any]:
        """Import for a user; return what the command says of it."""
        done = self.lair("import", kind, str(path), "--user", user, "--json", *options)
        said: dict[str, Any] = json.loads(done.stdout)
        return said

    def conversations(self, user: str) -> dict[str, Conversation]:
        request = conversations_pb.ListConversationsRequest(user_id=user, page_size=500)
        stub = ConversationServiceStub(self.memory)
        listed = stub.ListConversations(request, timeout=SECONDS).conversations
        return {each.id: each for each in listed}

    def messages(self, user: str, conversation: str, **more: Any) -> list[StoredMessage]:
        request = conversations_pb.ListMessagesRequest(
            user_id=user, conversation_id=conversation, page_size=1000, **more
        )
        stub = ConversationServiceStub(self.memory)
        return list(stub.ListMessages(request, timeout=SECONDS).messages)

    def path(self, user: str, conversation: str) -> list[str]:
        """Return the active path, a line for each message."""
        return [line_of(each) for each in self.messages(user, conversation)]

    def found(self, user: str, words: str) -> list[str]:
        """Return the texts that a search finds."""
        request = recall_pb.SearchRequest(user_id=user, query=words)
        stub = RecallServiceStub(self.memory)
        return [each.text for each in stub.Search(request, timeout=SECONDS).passages]

    def delete(self, user: str, conversation: str) -> None:
        request = conversations_pb.DeleteConversationRequest(
            user_id=user, conversation_id=conversation
        )
        ConversationServiceStub(self.memory).DeleteConversation(request, timeout=SECONDS)

    def dashboard(self, user: str) -> report_pb.GetDashboardResponse:
        request = report_pb.GetDashboardRequest(
            scope=report_pb.ReportScope(user_id=user, time_zone="UTC")
        )
        response: report_pb.GetDashboardResponse = ReportServiceStub(self.metrics).GetDashboard(
            request, timeout=SECONDS
        )
        return response

    def requests(self, user: str) -> list[Any]:
        """Return what metrics counted, the earliest first."""
        request = report_pb.ListRequestsRequest(
            scope=report_pb.ReportScope(user_id=user), page_size=1000
        )
        stub = ReportServiceStub(self.metrics)
        return list(reversed(stub.ListRequests(request, timeout=SECONDS).records))

    def days(self, user: str) -> dict[str, int]:
        """Return the requests of each active day."""
        return {day.date: day.request_count for day in self.dashboard(user).days}


def line_of(stored: StoredMessage) -> str:
    """Word a message as `role: what it says`."""
    message = stored.message
    calls = [f"{call.function.name}({call.function.arguments})" for call in message.tool_calls]
    return f"{message.role}: {' '.join([message.text, *calls]).strip()}"


@contextmanager
def services(folder: Path, first_port: int) -> Iterator[Services]:
    """Run both services over `folder`, on the ports that follow from the gateway's."""
    inherited = {k: v for k, v in os.environ.items() if not k.startswith("LAIR_")}
    environment = {
        **inherited,
        "PYTHONPATH": f"{ROOT}{os.pathsep}{ROOT / 'gen'}",
        "LAIR_DATA_DIR": str(folder),
        "LAIR_GATEWAY__PORT": str(first_port),
        "LAIR_MEMORY__INDEX": "false",
        "LAIR_METRICS__TIME_ZONE": "UTC",
    }
    running = []
    try:
        for name in ("memory", "metrics"):
            log = (folder / f"{name}.log").open("wb")
            running.append((log, _started(name, environment, log)))
        with _channel(first_port + 2) as memory, _channel(first_port + 3) as metrics:
            yield Services(environment, memory, metrics)
    finally:
        for log, process in running:
            process.terminate()
            process.wait(SECONDS)
            log.close()


def _started(name: str, environment: dict[str, str], log: Any) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-m", "launcher", name]
    return subprocess.Popen(command, env=environment, stdout=log, stderr=log)


@contextmanager
def _channel(port: int) -> Iterator[grpc.Channel]:
    with grpc.insecure_channel(f"127.0.0.1:{port}") as channel:
        grpc.channel_ready_future(channel).result(timeout=SECONDS)
        yield channel
