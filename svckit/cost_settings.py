"""The settings of what requests cost: `[costs]` and the `[[prices]]` of `lair.toml`."""

from __future__ import annotations

from datetime import date
from typing import Annotated

from pydantic import Field

from svckit.section import Section

Dollars = Annotated[float, Field(ge=0, allow_inf_nan=False)]


class Price(Section):
    """A price of yours; one `[[prices]]` table each. It goes before all that is known."""

    backend: str = Field("", description="The backend it holds for. Default: all of them.")
    model: str = Field(
        min_length=1,
        description="The model, by the backend's name for it; `*` stands for any text.",
    )
    input: Dollars = Field(description="US dollars for a million tokens of prompts.")
    output: Dollars = Field(description="US dollars for a million tokens of answers.")
    cached_input: Dollars | None = Field(
        None, description="US dollars for a million cached tokens of prompts. Default: `input`."
    )
    cache_write: Dollars | None = Field(
        None, description="US dollars for a million tokens put in the cache. Default: `input`."
    )
    since: date | None = Field(
        None,
        description="The first day (UTC) it holds, `2026-11-21`; of several the latest holds. "
        "Default: ever.",
    )


class Costs(Section):
    """What use costs, and what it saves."""

    kwh: Dollars | None = Field(
        None,
        description="US dollars for a kilowatt-hour, for what local models draw while they work "
        "(`backends.watts`). Default: unknown, and savings say so.",
    )
    instead: str = Field(
        "",
        pattern=r"^([a-z0-9_-]+/.+)?$",
        description="The paid model you would use in the place of local ones, as "
        "`provider/model`: what they save is counted by its price. Default: none.",
    )
    instead_of: dict[str, str] = Field(
        default_factory=dict,
        description='The same for single local models: `{"qwen3:30b" = "openai/gpt-5-mini"}`.',
    )
    same_as: dict[str, str] = Field(
        default_factory=dict,
        description="What local models of your own naming are called by those who sell them: "
        '`{"my-coder" = "qwen3-coder-30b-a3b"}`.',
    )
