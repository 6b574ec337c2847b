"""Where lair listens: its base URL, and whether its addresses are free."""

from __future__ import annotations

import socket
from collections.abc import Mapping

from launcher.exits import RefusedError
from svckit.settings import Settings

# Where this machine reaches a server that listens on every address.
_REACHED_AT = {"": "127.0.0.1", "0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104  # read, not bound


def base_url(settings: Settings) -> str:
    """Return the gateway's URL as this machine reaches it, without a path."""
    host = settings.gateway.host
    host = _REACHED_AT.get(host, host)
    return f"http://{_bracketed(host)}:{settings.gateway.port}"


def listening(settings: Settings) -> dict[str, str]:
    """Return the `host:port` of every server of `lair up`, by its name."""
    addresses = {"gateway": f"{_bracketed(settings.gateway.host)}:{settings.gateway.port}"}
    for service in ("router", "memory", "metrics"):
        addresses[service] = settings.listen(service)
    if settings.llamacpp.gguf:
        addresses["llamacpp"] = f"127.0.0.1:{settings.llamacpp_port}"
    return addresses


def require_free(addresses: Mapping[str, str]) -> None:
    """Raise `RefusedError` where a server of lair's could not listen.

    Asked before the first child starts: a readiness check could not tell a child
    from a stranger that holds its port.
    """
    for name, address in addresses.items():
        if address.startswith("unix:"):
            continue
        host, _, port = address.rpartition(":")
        try:
            _bind(host.strip("[]"), int(port))
        except (OSError, ValueError) as error:
            reason = error.strerror if isinstance(error, OSError) else "that is no host:port"
            raise RefusedError(
                f"{name}: cannot listen on {address}: {reason}; choose another port with --port "
                "or in lair.toml (is lair running already? `lair status` tells)"
            ) from error


def _bind(host: str, port: int) -> None:
    family, kind, protocol, _, address = socket.getaddrinfo(
        host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
    )[0]
    with socket.socket(family, kind, protocol) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        probe.bind(address)


def _bracketed(host: str) -> str:
    return f"[{host}]" if ":" in host else host
