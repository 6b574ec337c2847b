"""What every table of `lair.toml` is made of."""

from __future__ import annotations

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

Port = Annotated[int, Field(ge=0, le=65535)]
Seconds = Annotated[float, Field(gt=0)]


class Section(BaseModel):
    """A table of `lair.toml`: frozen, and strict about its keys."""

    model_config = ConfigDict(frozen=True, extra="forbid")
