"""Every setting of lair: its meaning, unit and default.

One file, `lair.toml`, holds them for all services; the environment overrides each
(`LAIR_GATEWAY__PORT=8012`). `svckit.config` reads them. docs/configuration.md is
generated from these classes.
"""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from platformdirs import user_data_path
from pydantic import Field, field_validator

from svckit.backend_settings import Backend, Capability
from svckit.cost_settings import Costs, Price
from svckit.project_settings import Project
from svckit.section import Port, Seconds, Section

__all__ = [
    "LOOPBACK",
    "Backend",
    "Capability",
    "Gateway",
    "LlamaCpp",
    "Memory",
    "Metrics",
    "Router",
    "Settings",
]

LOOPBACK = ("127.0.0.1", "localhost", "::1")


class Gateway(Section):
    """The HTTP side."""

    host: str = Field("127.0.0.1", description="Address to listen on.")
    port: Port = Field(8012, description="Port to listen on; the gRPC ports follow it.")
    no_auth: bool = Field(
        default=False, description="Listen on other addresses than loopback without keys."
    )
    allowed_hosts: tuple[str, ...] = Field(
        (),
        description="Other names than localhost that requests may be for, where it listens on "
        "loopback: of a reverse proxy, say.",
    )
    allowed_origins: tuple[str, ...] = Field(
        (),
        description="Web pages that may call lair besides those of this machine, by their origin: "
        "`https://chat.example.org`.",
    )
    max_body_mb: int = Field(
        64, ge=1, le=1024, description="Largest request body, in MiB; images count."
    )
    keepalive_seconds: Seconds = Field(
        10.0,
        description="Send an SSE comment when a stream was silent for so long; before the "
        "first token this also sends the headers.",
    )
    keepalive_whole: bool = Field(
        default=False,
        description="Send whitespace in front of an answer in one piece as well, so that proxies "
        "do not give up on a slow backend. Its status 200 is sent with the first of it, after "
        "`keepalive_seconds`: a later failure is told by a JSON error body under that status, and "
        "the headers that say who answered are left out.",
    )
    drain_seconds: float = Field(
        30.0, ge=0, description="How long running requests may go on after SIGTERM."
    )
    access_log: bool = Field(default=True, description="Log one line for each request.")
    project_from_prompt: bool = Field(
        default=True,
        description="Where nothing better names a request's project, take the name of the folder "
        "that an agent tells its model it works in (docs/identity.md).",
    )


class Router(Section):
    """Choosing and asking backends."""

    listen: str | None = Field(
        None, description="gRPC address, `host:port`. Default: loopback, gateway port + 1."
    )
    address: str | None = Field(
        None, description="Where other services reach it. Default: what it listens on."
    )
    discover: bool = Field(
        default=True, description="Look for LLM servers on this machine's usual ports."
    )
    discover_ports: tuple[Port, ...] = Field(
        (11434, 8080, 8000, 1234, 5001),
        description="Ports to look at: Ollama, llama.cpp, vLLM, LM Studio, KoboldCpp.",
    )
    probe_seconds: Seconds = Field(
        10.0, description="How often backends are asked how they are and what they serve."
    )
    aliases: dict[str, tuple[str, ...]] = Field(
        default_factory=dict,
        description="Names for models or `backend/model`, best first: "
        '`small = ["3070/qwen3:8b", "mini"]`.',
    )
    max_waiting: int = Field(
        64, ge=0, description="Requests that may wait for one device; more are told to come back."
    )
    max_wait_seconds: Seconds = Field(
        600.0, description="How long a request may wait for its device."
    )
    default_priority: Literal["interactive", "agent", "batch"] = Field(
        "interactive", description="Class of a request that names none (`X-Priority`)."
    )
    gaming_unload: bool = Field(
        default=False,
        description="Gaming mode takes models out of memory, where a server has a way to: "
        "Ollama, llama-swap, LM Studio.",
    )
    summary_model: str = Field(
        "",
        description="Model, alias or `backend/model` that summarises the turns of a conversation "
        "which no longer fit; it stands in their place, and nowhere but in the router's memory. "
        "Empty: they are left out.",
    )
    memory_timeout_ms: int = Field(
        250,
        ge=1,
        description="How long a chat waits for its history; then it goes on without, and says so.",
    )
    spool_mb: int = Field(
        256,
        ge=1,
        description="Size of each journal of finished requests not yet delivered to memory or "
        "metrics; beyond it the oldest are dropped, counted and reported.",
    )


class Memory(Section):
    """What was said."""

    enabled: bool = Field(default=True, description="Keep conversations for who asks for it.")
    listen: str | None = Field(
        None, description="gRPC address, `host:port`. Default: loopback, gateway port + 2."
    )
    address: str | None = Field(
        None, description="Where other services reach it. Default: what it listens on."
    )
    database: Path | None = Field(
        None, description="SQLite file. Default: `memory/memory.db` in the data directory."
    )
    default_user: str = Field(
        "local", min_length=1, description="Owner of requests that name no user."
    )
    index: bool = Field(
        default=True, description="Embed what people say, so that it is found by meaning."
    )
    embedding_model: str = Field(
        "all-MiniLM-L6-v2",
        description="A sentence-transformers model: a path, or a name in the hub's cache. The "
        "default's verified weights are installed with lair.",
    )
    embedding_runtime: Literal["auto", "torch"] = Field(
        "auto",
        description="What computes the embeddings: `auto` exports the model once, to eight-bit "
        "numbers for onnxruntime, and takes torch where that fails. `torch` takes torch at once: "
        "slower and larger, but on a GPU if there is one.",
    )
    similarity_threshold: float = Field(
        0.35,
        ge=0,
        le=1,
        description="How well something must fit a question, by meaning and words, to be found: 0 "
        "finds whatever fits best, 1 nothing. Of an explicit search, and of a question for the "
        "user's own past, seven tenths of it are asked.",
    )
    rerank_model: str = Field(
        "",
        description="A sentence-transformers cross-encoder, a path or a name of the hub, that "
        "reads the best 30 passages with the question and puts them in order. It takes torch, and "
        "some milliseconds for each passage. Empty: none.",
    )
    rerank_timeout_ms: int = Field(
        400,
        ge=1,
        description="How long it may take; then the order stays. A recall also ends with "
        "`recall_timeout_ms`.",
    )
    context_limit: int = Field(
        3, ge=1, le=50, description="Passages recalled into a prompt, or quoted by lair/recall."
    )
    recall: bool = Field(
        default=True,
        description="Put passages of earlier conversations into the prompts of who asks for it.",
    )
    recall_tokens: int = Field(
        800, ge=100, description="Tokens of them at most; a quarter of a small model's window."
    )
    recall_timeout_ms: int = Field(
        50, ge=1, description="How long a chat waits for them; then it goes on without and says so."
    )


class Metrics(Section):
    """What was used."""

    enabled: bool = Field(default=True, description="Count requests.")
    listen: str | None = Field(
        None, description="gRPC address, `host:port`. Default: loopback, gateway port + 3."
    )
    address: str | None = Field(
        None, description="Where other services reach it. Default: what it listens on."
    )
    database: Path | None = Field(
        None, description="SQLite file. Default: `metrics/metrics.db` in the data directory."
    )
    batch_size: int = Field(
        100, ge=1, le=1000, description="Finished requests delivered to metrics in one call."
    )
    request_days: int = Field(
        90,
        ge=0,
        description="How many days each single request is kept, for lists and exports. Sums, and "
        "so all reports, are kept for ever. 0 keeps everything.",
    )
    attempt_days: int = Field(
        30,
        ge=0,
        description="How many days its tries of backends are kept. 0 keeps them as long as it.",
    )
    time_zone: str = Field(
        "", description="IANA zone whose days are counted. Default: this machine's."
    )
    otlp_endpoint: str = Field(
        "",
        description="Address of an OpenTelemetry collector that is told of requests by OTLP over "
        "gRPC, `http://127.0.0.1:4317` (needs the extra `otlp`). Default: what "
        "`OTEL_EXPORTER_OTLP_ENDPOINT` says; without either nobody is told.",
    )

    @field_validator("time_zone")
    @classmethod
    def _known_zone(cls, value: str) -> str:
        from zoneinfo import ZoneInfo  # noqa: PLC0415  # only where a zone is set

        if value:
            try:
                ZoneInfo(value)
            except (KeyError, ValueError, OSError) as error:
                raise ValueError(
                    f"{value!r} is no IANA time zone; write one like 'Europe/Berlin'"
                ) from error
        return value


class LlamaCpp(Section):
    """A GGUF model served by lair itself (needs the extra `llamacpp`)."""

    gguf: Path | None = Field(None, description="The model's file. None: nothing is served.")
    port: Port | None = Field(
        None, description="Port of its server on loopback. Default: gateway port + 4."
    )
    context: int = Field(
        8192, ge=128, description="Context window in tokens, for each parallel request."
    )
    parallel: int = Field(2, ge=1, le=64, description="Requests it works on at a time.")
    threads: int = Field(0, ge=0, description="CPU threads; 0 lets llama.cpp choose.")


class Settings(Section):
    """Everything that can be set."""

    data_dir: Path = Field(
        default_factory=lambda: user_data_path("lair"),
        description="Where all databases and journals are. Default: the platform's user data "
        "directory.",
    )
    log_level: Literal["debug", "info", "warning", "error"] = Field(
        "info", description="Least severe log lines to write."
    )
    log_format: Literal["auto", "text", "json"] = Field(
        "auto", description="`auto` is text on a terminal and JSON elsewhere."
    )
    gateway: Gateway = Gateway()
    router: Router = Router()
    memory: Memory = Memory()
    metrics: Metrics = Metrics()
    llamacpp: LlamaCpp = LlamaCpp()
    costs: Costs = Costs()
    backends: tuple[Backend, ...] = ()
    prices: tuple[Price, ...] = ()
    projects: dict[str, Project] = Field(default_factory=dict)

    @field_validator("data_dir")
    @classmethod
    def _absolute(cls, value: Path) -> Path:
        return value.expanduser().absolute()

    @field_validator("backends")
    @classmethod
    def _distinct_names(cls, value: tuple[Backend, ...]) -> tuple[Backend, ...]:
        names = [backend.name for backend in value]
        if "lair" in names:
            raise ValueError("'lair' is the built-in backend; call yours by another name")
        for name in names:
            if names.count(name) > 1:
                raise ValueError(f"two backends are called {name!r}; give each its own name")
        return value

    def listen(self, service: Literal["router", "memory", "metrics"]) -> str:
        """Return the `host:port` that `service` listens on."""
        offset = {"router": 1, "memory": 2, "metrics": 3}[service]
        section: Router | Memory | Metrics = getattr(self, service)
        return section.listen or f"127.0.0.1:{self.gateway.port + offset}"

    def address(self, service: Literal["router", "memory", "metrics"]) -> str:
        """Return where others reach `service`."""
        section: Router | Memory | Metrics = getattr(self, service)
        return section.address or self.listen(service)

    def memory_policy(self, project: str) -> str:
        """Return what memory does for a project where nothing else says so; empty for nothing."""
        found = self.projects.get(project)
        return (found and found.memory_policy) or ""

    @property
    def llamacpp_port(self) -> int:
        """The port of the built-in llama.cpp server."""
        return self.llamacpp.port or self.gateway.port + 4

    @property
    def memory_database(self) -> Path:
        """The file of memory_svc."""
        return self.memory.database or self.data_dir / "memory" / "memory.db"

    @property
    def embedding_models(self) -> Path:
        """The folder of exported embedding models."""
        return self.data_dir / "memory" / "models"

    @property
    def metrics_database(self) -> Path:
        """The file of metrics_svc."""
        return self.metrics.database or self.data_dir / "metrics" / "metrics.db"
