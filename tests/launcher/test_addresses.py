"""Where lair listens."""

from __future__ import annotations

import socket

import pytest

from launcher.addresses import base_url, listening, require_free
from launcher.exits import RefusedError
from svckit.settings import Gateway, LlamaCpp, Router, Settings


@pytest.mark.parametrize(
    ("host", "url"),
    [
        ("127.0.0.1", "http://127.0.0.1:8012"),
        ("0.0.0.0", "http://127.0.0.1:8012"),
        ("::", "http://[::1]:8012"),
        ("::1", "http://[::1]:8012"),
        ("lair.example", "http://lair.example:8012"),
    ],
)
def test_base_url_is_one_that_this_machine_reaches(host: str, url: str) -> None:
    assert base_url(Settings(gateway=Gateway(host=host))) == url


def test_ports_follow_the_gateway_port() -> None:
    settings = Settings(gateway=Gateway(port=9000), llamacpp=LlamaCpp(gguf="model.gguf"))

    assert listening(settings) == {
        "gateway": "127.0.0.1:9000",
        "router": "127.0.0.1:9001",
        "memory": "127.0.0.1:9002",
        "metrics": "127.0.0.1:9003",
        "llamacpp": "127.0.0.1:9004",
    }


def test_free_addresses_are_accepted(port: int) -> None:
    require_free(listening(Settings(gateway=Gateway(port=port), router=Router(listen="unix:r"))))


def test_address_in_use_is_refused_by_name(port: int) -> None:
    with socket.create_server(("127.0.0.1", port + 2)):
        expected = rf"memory: cannot listen on 127.0.0.1:{port + 2}: Address already in use"
        with pytest.raises(RefusedError, match=expected):
            require_free(listening(Settings(gateway=Gateway(port=port))))


def test_address_without_a_port_is_refused() -> None:
    with pytest.raises(RefusedError, match="that is no host:port"):
        require_free({"router": "localhost"})
