"""Who is behind the name of a backend, in the words of OpenTelemetry's conventions."""

from __future__ import annotations

from urllib.parse import urlsplit

from router_svc.backends.base import Backend, Flavoured
from router_svc.backends.flavours import Flavour
from router_svc.catalog import Catalog
from router_svc.model import UpstreamError
from router_svc.otlp.spans import Peer

# Ends of the names of hosts; the values are the conventions' own.
_HOSTS = {
    "openai.com": "openai",
    "openai.azure.com": "azure.ai.openai",
    "anthropic.com": "anthropic",
    "deepseek.com": "deepseek",
    "groq.com": "groq",
    "mistral.ai": "mistral_ai",
    "moonshot.ai": "moonshot_ai",
    "moonshot.cn": "moonshot_ai",
    "perplexity.ai": "perplexity",
    "x.ai": "x_ai",
    "cohere.com": "cohere",
    "cohere.ai": "cohere",
    "generativelanguage.googleapis.com": "gcp.gemini",
    "aiplatform.googleapis.com": "gcp.vertex_ai",
}
# A server that nothing is known of but what it speaks.
_ANY = "openai_compatible"
_KINDS = {"ollama": "ollama", "recall": "lair"}
_FLAVOURS = {
    Flavour.OPENAI: _ANY,
    Flavour.LLAMACPP: "llama_cpp",
    Flavour.LMSTUDIO: "lm_studio",
    Flavour.LLAMASWAP: "llama_swap",
}


def peer_of(catalog: Catalog, name: str) -> Peer:
    """Return who is behind a backend's name, by what is known now."""
    try:
        backend = catalog.backend(name)
    except UpstreamError:  # it went meanwhile
        return Peer(_ANY)
    return Peer(_provider(backend), backend.url)


def _provider(backend: Backend) -> str:
    host = urlsplit(backend.url).hostname or ""
    for end, provider in _HOSTS.items():
        if host == end or host.endswith(f".{end}"):
            return provider
    if backend.kind in _KINDS:
        return _KINDS[backend.kind]
    flavour = backend.flavour if isinstance(backend, Flavoured) else Flavour.OPENAI
    return _FLAVOURS.get(flavour, flavour.value)
