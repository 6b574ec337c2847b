"""What lair's own endpoints are asked: query strings and JSON bodies, with their limits."""

from __future__ import annotations

from datetime import date
from typing import Annotated, Any, Literal

import msgspec
from msgspec import UNSET, Meta, Struct, UnsetType

MAX_TEXT = 256
_MAX_TITLE = 1000
_MAX_TAGS = 100

# Without control characters, which no header could carry. Python's `$` alone would let a
# line's end pass.
_PRINTABLE = r"^[^\x00-\x1f\x7f-\x9f]*$(?!\n)"
_Text = Annotated[str, Meta(max_length=MAX_TEXT, pattern=_PRINTABLE)]
_Id = Annotated[
    str,
    Meta(
        min_length=1,
        max_length=MAX_TEXT,
        pattern=r"^[^\x00-\x20\x7f-\xa0]([^\x00-\x1f\x7f-\x9f]*[^\x00-\x20\x7f-\xa0])?$(?!\n)",
        description="Printable, without a space at either end.",
    ),
]
_Tag = Annotated[str, Meta(min_length=1, max_length=MAX_TEXT, pattern=_PRINTABLE)]
_Words = Annotated[str, Meta(min_length=1, max_length=10_000, pattern=r"\S")]
_Title = Annotated[str, Meta(max_length=_MAX_TITLE)]
_Metadata = Annotated[
    dict[str, Any], Meta(description="What to keep with it: JSON of at most 8 levels.")
]
_Token = Annotated[
    str,
    Meta(
        pattern=r"^[A-Za-z0-9_-]*$",
        description="The `next_page_token` of the page before.",
    ),
]
_Zone = Annotated[
    str | UnsetType,
    Meta(
        description="The IANA zone of the days; by default the configured one, or the machine's.",
        extra_json_schema={"$ref": "#/components/schemas/TimeZone"},
    ),
]
# The years of `gateway.scope`, for which a pattern is short.
_DATE = {"pattern": r"^2\d{3}-"}
_From = Annotated[
    date | UnsetType,
    Meta(description="The first local day, from 2000 on.", extra_json_schema=_DATE),
]
_To = Annotated[
    date | UnsetType,
    Meta(description="The last local day, which is included.", extra_json_schema=_DATE),
]
_Project = Annotated[_Text, Meta(description="Only this project.")]
_Session = Annotated[_Text, Meta(description="Only this session.")]
_Tags = Annotated[
    list[_Tag],
    Meta(max_length=_MAX_TAGS, description="Only conversations with one of these tags."),
]
_NewTags = Annotated[list[_Tag], Meta(max_length=_MAX_TAGS)]
_DAYS = {"start": "from", "end": "to"}
Role = Literal["system", "developer", "user", "assistant", "tool", "function"]


class ReportQuery(Struct, frozen=True, rename=_DAYS):
    """Which requests a report is about."""

    tz: _Zone = UNSET
    start: _From = UNSET
    end: _To = UNSET
    project: _Project = ""


class RecentQuery(Struct, frozen=True, rename=_DAYS):
    """Which requests to list."""

    tz: _Zone = UNSET
    start: _From = UNSET
    end: _To = UNSET
    project: _Project = ""
    limit: Annotated[int, Meta(ge=1, le=1000)] = 50
    page_token: _Token = ""


class ConversationQuery(Struct, frozen=True, rename=_DAYS):
    """Which conversations to list."""

    project: _Project = ""
    session_id: _Session = ""
    q: Annotated[
        str, Meta(max_length=_MAX_TITLE, description="Only those whose title holds these words.")
    ] = ""
    tag: _Tags = []
    tz: _Zone = UNSET
    start: _From = UNSET
    end: _To = UNSET
    limit: Annotated[int, Meta(ge=1, le=500)] = 50
    page_token: _Token = ""


class SearchQuery(Struct, frozen=True, rename=_DAYS, forbid_unknown_fields=True):
    """What to look for, and where."""

    q: Annotated[_Words, Meta(description="A question, or words.")]
    limit: Annotated[int, Meta(ge=1, le=100, description="How many at most.")] = 10
    project: _Project = ""
    session_id: _Session = ""
    conversation_id: Annotated[_Text, Meta(description="Only this conversation.")] = ""
    role: Annotated[list[Role], Meta(max_length=6, description="Only what these said.")] = []
    tag: _Tags = []
    tz: _Zone = UNSET
    start: _From = UNSET
    end: _To = UNSET


class NewConversation(Struct, frozen=True, forbid_unknown_fields=True):
    """A conversation to begin."""

    id: Annotated[_Id | UnsetType, Meta(description="Made up if it is left out.")] = UNSET
    title: Annotated[_Title, Meta(description="Else the first line its user writes.")] = ""
    project: _Text = ""
    session_id: _Text = ""
    tags: _NewTags = []
    metadata: _Metadata = msgspec.field(default_factory=dict)


class ConversationChange(Struct, frozen=True, forbid_unknown_fields=True):
    """What to change of a conversation; what is left out stays as it is."""

    title: _Title | UnsetType = UNSET
    tags: _NewTags | UnsetType = UNSET
    metadata: _Metadata | UnsetType = UNSET
