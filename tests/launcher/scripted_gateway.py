"""An HTTP server that answers as a test tells it to, where a gateway would be."""

from __future__ import annotations

import json
import threading
from collections import deque
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


@dataclass
class ScriptedGateway:
    """What to answer next, and what was asked."""

    port: int
    status: int = 200
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes = b""
    # Path, headers by their names in lower case, and body of each request.
    asked: list[tuple[str, Mapping[str, str], Any]] = field(default_factory=list)
    methods: list[str] = field(default_factory=list)
    # What the next requests are answered, before what was said above.
    first: deque[tuple[int, bytes]] = field(default_factory=deque)

    def answer_json(self, body: object, *, status: int = 200, **headers: str) -> None:
        """Answer with this JSON from now on; `x_lair_model` names the header `x-lair-model`."""
        self.status, self.body = status, json.dumps(body).encode()
        self.headers = {name.replace("_", "-"): value for name, value in headers.items()}

    def answer_first(self, *bodies: object, status: int = 200) -> None:
        """Answer the next requests with these, one each."""
        self.first.extend((status, json.dumps(body).encode()) for body in bodies)

    def answer_stream(self, text: str, **headers: str) -> None:
        """Answer with this event stream from now on."""
        self.answer_json(None, **headers)
        self.body = text.encode()


@contextmanager
def scripted_gateway() -> Iterator[ScriptedGateway]:
    """Serve on a free port of loopback."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            self._answer(None)

        def do_POST(self) -> None:
            length = int(self.headers["Content-Length"])
            self._answer(json.loads(self.rfile.read(length)))

        def do_PATCH(self) -> None:
            self.do_POST()

        def _answer(self, body: Any) -> None:
            headers = {name.lower(): value for name, value in self.headers.items()}
            script.asked.append((self.path, headers, body))
            script.methods.append(self.command)
            status, said = script.first.popleft() if script.first else (script.status, script.body)
            self.send_response(status)
            for name, value in script.headers.items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(said)))
            self.end_headers()
            self.wfile.write(said)

        def log_message(self, *_: Any) -> None:
            """Keep the tests' output to themselves."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        script = ScriptedGateway(server.server_port)
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        try:
            yield script
        finally:
            server.shutdown()
            thread.join()
