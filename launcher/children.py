"""Which processes `lair up` runs, in which stages.

Stages start in order and stop in reverse: what answers requests stops first, so
that memory and metrics still take in what the last of them leave.
"""

from __future__ import annotations

import sys

from launcher.addresses import base_url
from launcher.probes import answers_http, serves_grpc
from launcher.supervisor import Child, Probe
from svckit.settings import Settings

Stages = tuple[tuple[Child, ...], ...]

_BEYOND_DRAIN_SECONDS = 5.0


def with_edge(settings: Settings) -> Stages:
    """Return the default: gateway and router share a process, memory and metrics have their own."""
    return (
        (*_stores(settings), *llamacpp(settings)),
        (_draining("edge", _gateway_answers(settings), settings),),
    )


def separate(settings: Settings) -> Stages:
    """Return one process for each service."""
    return (
        (*_stores(settings), *llamacpp(settings)),
        (_draining("router", serves_grpc(settings.listen("router")), settings),),
        (_draining("gateway", _gateway_answers(settings), settings),),
    )


def llamacpp(settings: Settings) -> tuple[Child, ...]:
    """Return the built-in llama.cpp server, if a model is configured for it."""
    if not settings.llamacpp.gguf:
        return ()
    url = f"http://127.0.0.1:{settings.llamacpp_port}/health"
    return (Child("llamacpp", _command("llamacpp"), answers_http(url)),)


def _stores(settings: Settings) -> tuple[Child, ...]:
    return (
        Child("memory", _command("memory"), serves_grpc(settings.listen("memory"))),
        Child("metrics", _command("metrics"), serves_grpc(settings.listen("metrics"))),
    )


def _draining(name: str, ready: Probe, settings: Settings) -> Child:
    """Describe a process that lets running requests end before it does."""
    seconds = settings.gateway.drain_seconds + _BEYOND_DRAIN_SECONDS
    reloads = name != "gateway"  # the others hold the router
    return Child(name, _command(name), ready, stop_seconds=seconds, reloads=reloads)


def _gateway_answers(settings: Settings) -> Probe:
    return answers_http(f"{base_url(settings)}/health")


def _command(service: str) -> tuple[str, ...]:
    # -P: a folder called `gateway` where the user stands must not be taken for ours.
    return (sys.executable, "-P", "-m", "launcher", service)
