"""Every setting of lair: its meaning, unit and default.

One file, `lair.toml`, holds them for all services; the environment overrides each
(`LAIR_GATEWAY__PORT=8012`). `svckit.config` reads them. docs/configuration.md is
generated from this module.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal, Self
from urllib.parse import urlsplit

from platformdirs import user_data_path
from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

Port = Annotated[int, Field(ge=0, le=65535)]
Seconds = Annotated[float, Field(gt=0)]
LOOPBACK = ("127.0.0.1", "localhost", "::1")


class Section(BaseModel):
    """A table of `lair.toml`: frozen, and strict about its keys."""

    model_config = ConfigDict(frozen=True, extra="forbid")


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
    similarity_threshold: float = Field(
        0.35,
        ge=0,
        le=1,
        description="Least similarity of meaning at which a passage is found without shared words.",
    )
    context_limit: int = Field(3, ge=1, le=50, description="Passages an answer may be made of.")


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
    time_zone: str = Field(
        "", description="IANA zone whose days are counted. Default: this machine's."
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


Capability = Literal["chat", "embeddings", "tools", "vision", "json_schema", "reasoning"]


class Backend(Section):
    """A server that answers for models; one `[[backends]]` table each."""

    name: str = Field(
        pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$", description="Its name, your choice."
    )
    url: str = Field(
        "",
        pattern=r"^(https?://.+)?$",
        description="Its base URL, with `/v1` where it has one. Required by most kinds.",
    )
    kind: str = Field(
        "openai",
        description="The adapter: `openai` is for any compatible server, `ollama` for Ollama by "
        "its native API.",
    )
    api_key: str | None = Field(
        None, description="Its key: `env:NAME` reads it from the environment."
    )
    models: tuple[str, ...] = Field((), description="What it serves. Default: what it says.")
    aliases: dict[str, str] = Field(
        default_factory=dict, description='Other names for its models: `{"gpt-4o" = "qwen3:30b"}`.'
    )
    priority: int = Field(0, description="The highest of those that could answer is asked first.")
    explicit_only: bool = Field(
        default=False, description="Only requests that name it reach it; `auto` never does."
    )
    device: str = Field(
        "",
        description="The GPU it runs on, your choice of name: backends of one device share one "
        "queue. Default: its own.",
    )
    max_concurrent: int | None = Field(
        None,
        ge=0,
        description="Requests it works on at a time; the others wait in lair. 0 is no limit. "
        "Default: what it says, else no limit.",
    )
    price: float = Field(
        0.0, ge=0, description="US dollars a million tokens: of equals the cheaper is asked first."
    )
    context: int | None = Field(
        None,
        ge=128,
        description="Context window of its models in tokens; Ollama is asked for it (`num_ctx`). "
        "Default: what it says; of Ollama what a prompt needs, up to the model's maximum.",
    )
    capabilities: dict[Capability, bool] = Field(
        default_factory=dict,
        description="What its models can do, where it does not say or is wrong: "
        "`{vision = false, tools = true}`. Also `chat`, `embeddings`, `json_schema`, `reasoning`.",
    )
    split_think: bool = Field(
        default=False,
        description="Take a `<think>…</think>` at the head of answers for reasoning: for servers "
        "that do not do so themselves.",
    )
    keep_alive: str = Field(
        "",
        pattern=r"^(-?\d+|(\d+(\.\d+)?(ms|s|m|h))+)?$",
        description="How long Ollama keeps a model in memory after an answer: `30m`, seconds, or "
        "-1 for ever. Default: Ollama's own.",
    )
    local: bool | None = Field(
        None, description="Whether it is in the house. Default: by its address."
    )
    connect_seconds: Seconds = Field(5.0, description="Limit on connecting.")
    first_token_seconds: Seconds = Field(
        600.0, description="Limit on the time to the first byte of an answer."
    )
    idle_seconds: Seconds = Field(
        120.0, description="Limit on the silence between two pieces of an answer."
    )
    total_seconds: Seconds | None = Field(
        None, description="Limit on one whole answer, streamed or not. Default: none."
    )
    on_disconnect: Literal["cancel", "drain"] = Field(
        "cancel",
        description="What becomes of an answer whose client went away: `cancel` ends it at once, "
        "`drain` reads and keeps it to its end, for servers that generate or bill it anyway.",
    )
    watts: float | None = Field(
        None,
        gt=0,
        allow_inf_nan=False,
        description="What its device draws while it works, in watts: for its costs.",
    )

    @field_validator("url")
    @classmethod
    def _an_address(cls, value: str) -> str:
        try:
            host = urlsplit(value).hostname or ""
            urlsplit(value).port  # noqa: B018  # raises where it is none
            host.encode("idna")
        except (ValueError, UnicodeError) as error:
            if "@" in value:  # the error quotes what may be a password
                raise ValueError("is no address; write special characters as %..") from None
            raise ValueError(f"is no address: {error}") from error
        # Else part of a password would be taken for a path, and be shown.
        if "@" in value and ("@" not in urlsplit(value).netloc or len(value.split()) > 1):
            raise ValueError("is no address; write special characters as %..")
        return value

    @model_validator(mode="after")
    def _one_way_to_say_who_asks(self) -> Self:
        if self.api_key and "@" in urlsplit(self.url).netloc:
            raise ValueError("api_key is set, and url has a user name; servers take only one")
        return self


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
    backends: tuple[Backend, ...] = ()

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

    @property
    def llamacpp_port(self) -> int:
        """The port of the built-in llama.cpp server."""
        return self.llamacpp.port or self.gateway.port + 4

    @property
    def memory_database(self) -> Path:
        """The file of memory_svc."""
        return self.memory.database or self.data_dir / "memory" / "memory.db"

    @property
    def metrics_database(self) -> Path:
        """The file of metrics_svc."""
        return self.metrics.database or self.data_dir / "metrics" / "metrics.db"
