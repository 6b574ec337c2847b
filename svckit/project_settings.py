"""The tables `[projects.<name>]` of `lair.toml`."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from svckit.section import Section


class Project(Section):
    """What holds for all requests of a project (docs/identity.md): `[projects."my app"]`."""

    memory_policy: Literal["off", "store", "recall", "full"] | None = Field(
        None,
        description="What memory does where neither a request nor its key says: `off`, `store`, "
        "`recall` or `full`; where its key says something else, what both allow. `off` holds "
        "whatever a request or a key says. Default: nothing, unless a request asks for it.",
    )
