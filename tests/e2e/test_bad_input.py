"""Whatever is sent or set wrong: a clear error in the caller's terms, never a traceback."""

from __future__ import annotations

import json
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.stack import Lair, free_ports, lair_environment, lair_up, request

MESSAGES = [{"role": "user", "content": "x"}]

BAD_BODIES: list[tuple[Any, int, str | None, str]] = [
    (b"{not json", 400, None, "JSON"),
    (b"", 400, None, "JSON"),
    (b"[]", 400, None, "object"),
    (b'{"a": "\xff"}', 400, None, "UTF-8"),
    ({"model": "auto"}, 400, "messages", "messages"),
    ({"model": "auto", "messages": []}, 400, "messages", "messages"),
    ({"model": "auto", "messages": "hi"}, 400, "messages", "messages"),
    ({"model": 5, "messages": MESSAGES}, 400, "model", "model"),
    ({"messages": MESSAGES, "temperature": "hot"}, 400, "temperature", "temperature"),
    ({"messages": MESSAGES, "temperature": 9}, 400, "temperature", "temperature"),
    ({"messages": MESSAGES, "stream": "yes"}, 400, "stream", "stream"),
    ({"messages": [{"content": "x"}]}, 400, "messages[0].role", "role"),
    ({"messages": [{"role": "user", "content": 5}]}, 400, "messages[0].content", "content"),
    ({"messages": MESSAGES, "tools": [{"type": 3}]}, 400, "tools[0].type", "type"),
    ({"model": "no-such-model", "messages": MESSAGES}, 404, "model", "no-such-model"),
]


@pytest.mark.parametrize(("body", "status", "param", "says"), BAD_BODIES)
def test_a_bad_body_is_explained(
    lair: Lair, body: Any, status: int, param: str | None, says: str
) -> None:
    got, reply = request("POST", f"{lair.url}/v1/chat/completions", body)
    assert got == status, reply
    assert set(reply["error"]) == {"message", "type", "param", "code"}
    assert reply["error"]["type"] == "invalid_request_error"
    assert says in reply["error"]["message"]
    assert reply["error"]["param"] == param


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/v1/nothing", 404),
        ("GET", "/v1/embeddings", 405),
        ("GET", "/memory/conversations/none", 404),
        ("GET", "/memory/conversations?limit=many", 400),
        ("GET", "/metrics/dashboard?tz=Nowhere/City", 400),
        ("GET", "/v1/models/none", 404),
    ],
)
def test_a_bad_path_is_answered_in_the_same_shape(
    lair: Lair, method: str, path: str, status: int
) -> None:
    got, reply = request(method, lair.url + path)
    assert got == status, reply
    assert set(reply["error"]) == {"message", "type", "param", "code"}


def test_a_body_over_the_limit_is_refused_with_the_limit(llama: str, tmp_path: Path) -> None:
    with lair_up(tmp_path, backends={"tiny": llama}, LAIR_GATEWAY__MAX_BODY_MB="1") as lair:
        text = "x" * (2 * 1024 * 1024)
        body = {"messages": [{"role": "user", "content": text}]}
        status, reply = request("POST", f"{lair.url}/v1/chat/completions", body)
        assert status == 413
        assert reply["error"]["code"] == "request_too_large"
        assert "1" in reply["error"]["message"]


def run_lair(*arguments: str, cwd: Path, **settings: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "launcher", *arguments],
        cwd=cwd,
        env=lair_environment(**settings),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def one_readable_line(done: subprocess.CompletedProcess[str], *words: str) -> None:
    assert done.returncode == 78, (done.returncode, done.stderr)
    assert "Traceback" not in done.stderr + done.stdout
    lines = [line for line in done.stderr.splitlines() if words[0] in line]
    assert lines, done.stderr
    for word in words:
        assert word in lines[0], lines


def test_an_unknown_key_in_the_file_names_the_nearest(tmp_path: Path) -> None:
    (tmp_path / "lair.toml").write_text("[gateway]\nprot = 9000\n")
    done = run_lair("up", "--data-dir", str(tmp_path / "d"), cwd=tmp_path)
    one_readable_line(done, "gateway.prot", "'port'")


def test_an_unknown_variable_names_the_nearest(tmp_path: Path) -> None:
    done = run_lair("up", "--data-dir", str(tmp_path / "d"), cwd=tmp_path, LAIR_GATEWAY__PROT="1")
    one_readable_line(done, "prot", "'port'")


def test_a_port_in_use_is_one_line(tmp_path: Path) -> None:
    port = free_ports(5)
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", port))
        taken.listen()
        done = run_lair("up", "--port", str(port), "--data-dir", str(tmp_path / "d"), cwd=tmp_path)
    one_readable_line(done, str(port), "in use")


def test_a_grpc_port_in_use_is_one_line(tmp_path: Path) -> None:
    port = free_ports(5)
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", port + 2))
        taken.listen()
        done = run_lair("up", "--port", str(port), "--data-dir", str(tmp_path / "d"), cwd=tmp_path)
    one_readable_line(done, str(port + 2), "in use")


def test_a_data_directory_that_cannot_be_written_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("not a folder")
    done = run_lair("up", "--data-dir", str(tmp_path / "file" / "d"), cwd=tmp_path)
    one_readable_line(done, str(tmp_path / "file"))


def test_config_check_and_show(tmp_path: Path) -> None:
    (tmp_path / "lair.toml").write_text(
        '[[backends]]\nname = "a"\nurl = "http://10.0.0.2:8080/v1"\napi_key = "sk-secret"\n'
    )
    assert run_lair("config", "check", cwd=tmp_path).returncode == 0
    shown = run_lair("config", "show", "--json", cwd=tmp_path)
    assert shown.returncode == 0
    assert "sk-secret" not in shown.stdout + shown.stderr
    assert json.loads(shown.stdout)["settings"]["backends"][0]["name"] == "a"
