"""`lair stats export`, against a scripted gateway."""

from __future__ import annotations

import socketserver
import stat
import threading
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import pytest

from tests.launcher.scripted_gateway import ScriptedGateway
from tests.launcher.support import Lair

TEXT = b"request_id,time\r\n1,2\r\n"


def script(gateway: ScriptedGateway, body: bytes = TEXT) -> None:
    gateway.answer_json(None)
    gateway.body = body


def asked(gateway: ScriptedGateway) -> dict[str, list[str]]:
    [(path, _, _)] = gateway.asked
    assert urlsplit(path).path == "/metrics/export"
    return parse_qs(urlsplit(path).query)


@pytest.mark.parametrize("name", ["usage.csv", "usage.jsonl", "Usage.ZIP"])
def test_the_file_tells_the_format_and_is_this_users_alone(
    lair: Lair, gateway: ScriptedGateway, tmp_path: Path, name: str
) -> None:
    script(gateway)
    ended = lair("stats", "export", "-o", name)
    assert (ended.code, ended.out) == (0, "")
    assert ended.err == f"exported {len(TEXT)} bytes to {name}\n"
    assert asked(gateway) == {"format": [name.split(".")[1].lower()]}
    written = tmp_path / name
    assert written.read_bytes() == TEXT
    assert stat.S_IMODE(written.stat().st_mode) == 0o600


def test_without_a_file_it_is_csv_on_standard_output(lair: Lair, gateway: ScriptedGateway) -> None:
    script(gateway)
    ended = lair("stats", "export")
    assert (ended.code, ended.out) == (0, TEXT.decode())
    assert asked(gateway) == {"format": ["csv"]}


def test_what_was_typed_is_asked_for(lair: Lair, gateway: ScriptedGateway) -> None:
    script(gateway)
    lair(
        *("stats", "export", "--format", "zip", "-o", "x", "--year", "2025", "--tz", "UTC"),
        *("--project", "p", "--user", "ana"),
    )
    assert asked(gateway) == {
        "format": ["zip"],
        "from": ["2025-01-01"],
        "to": ["2025-12-31"],
        "tz": ["UTC"],
        "project": ["p"],
        "user_id": ["ana"],
    }


def test_a_name_that_tells_no_format_is_refused(lair: Lair, gateway: ScriptedGateway) -> None:
    ended = lair("stats", "export", "-o", "usage.xlsx")
    assert ended.code == 2
    assert "--format" in ended.err
    assert gateway.asked == []


def test_a_refusal_leaves_no_file(lair: Lair, gateway: ScriptedGateway, tmp_path: Path) -> None:
    gateway.answer_json({"error": {"message": "tz is 'Mars'"}}, status=400)
    ended = lair("stats", "export", "-o", "usage.csv")
    assert (ended.code, ended.err) == (1, "lair: tz is 'Mars'\n")
    assert not list(tmp_path.glob("*usage*"))


def test_where_nothing_can_be_written_is_told(lair: Lair, gateway: ScriptedGateway) -> None:
    script(gateway)
    ended = lair("stats", "export", "-o", "nowhere/usage.csv")
    assert ended.code == 1
    assert "nowhere/usage.csv: cannot be written" in ended.err


class HalfAnAnswer(socketserver.BaseRequestHandler):
    """Sends a piece of a body, and not its end."""

    def handle(self) -> None:
        self.request.recv(65536)
        self.request.sendall(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\na,b\r\n")


def test_half_an_export_is_an_error_and_no_file(
    lair: Lair, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    with socketserver.TCPServer(("127.0.0.1", 0), HalfAnAnswer) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        monkeypatch.setenv("LAIR_GATEWAY__PORT", str(server.server_address[1]))
        (tmp_path / "usage.csv").write_text("before")
        ended = lair("stats", "export", "-o", "usage.csv")
        server.shutdown()
        thread.join()
    assert ended.code == 1
    assert "the export broke off" in ended.err
    assert [path.name for path in tmp_path.glob("*usage*")] == ["usage.csv"]
    assert (tmp_path / "usage.csv").read_text() == "before"
