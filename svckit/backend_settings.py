"""The settings of one backend, a `[[backends]]` table of `lair.toml`."""

from __future__ import annotations

from typing import Literal, Self
from urllib.parse import urlsplit

from pydantic import Field, field_validator, model_validator

from svckit.section import Seconds, Section

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
    provider: str = Field(
        "",
        description="Whose prices its models have, by the id of genai-prices: `openai`, "
        "`openrouter`, `groq`, …. Default: by its address.",
    )
    billing: Literal["", "metered", "subscription", "free", "local"] = Field(
        "",
        description="What it takes for an answer: `metered` by the token; the others nothing. "
        "Default: `local` in the house, else `metered`.",
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
