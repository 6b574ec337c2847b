"""What lair's own endpoints are asked: query strings and JSON bodies, with their limits."""

from __future__ import annotations

from datetime import date
from typing import Annotated, Any, Literal

import msgspec
from msgspec import UNSET, Meta, Struct, UnsetType

from gateway.dialects import usage_names

MAX_TEXT = 256
_MAX_TITLE = 1000
_MAX_WORDS = 10_000
_MAX_TAGS = 100
_MAX_NOTE = 4000
_MAX_MESSAGES = 1000
_MAX_COLUMNS = 100
MAX_MESSAGE_ID = 2**63 - 1

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
_Words = Annotated[str, Meta(min_length=1, max_length=_MAX_WORDS, pattern=r"\S")]
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
_Key = Annotated[_Text, Meta(description="Only this API key, by its id.")]
_Measure = Annotated[str, Meta(extra_json_schema={"enum": [*usage_names.MEASURES]})]
_Dimension = Annotated[str, Meta(extra_json_schema={"enum": [*usage_names.DIMENSIONS]})]
_Filter = Annotated[
    str,
    Meta(
        max_length=2 * MAX_TEXT,
        pattern=rf"^({'|'.join(usage_names.DIMENSIONS)})=[^\x00-\x1f\x7f-\x9f]*$(?!\n)",
    ),
]
_Session = Annotated[_Text, Meta(description="Only this session.")]
_Tags = Annotated[
    list[_Tag],
    Meta(max_length=_MAX_TAGS, description="Only conversations with one of these tags."),
]
_NewTags = Annotated[list[_Tag], Meta(max_length=_MAX_TAGS)]
_NoteText = Annotated[str, Meta(max_length=_MAX_NOTE, pattern=r"\S")]
_MessageId = Annotated[int, Meta(ge=1, le=MAX_MESSAGE_ID)]
_DAYS = {"start": "from", "end": "to"}
Role = Literal["system", "developer", "user", "assistant", "tool", "function"]


class ReportQuery(Struct, frozen=True, rename=_DAYS):
    """Which requests a report is about."""

    tz: _Zone = UNSET
    start: _From = UNSET
    end: _To = UNSET
    project: _Project = ""
    key: _Key = ""


class UsageQuery(Struct, frozen=True, rename=_DAYS, forbid_unknown_fields=True):
    """What to add up, and what to tell apart."""

    measures: Annotated[
        list[_Measure], Meta(min_length=1, max_length=_MAX_COLUMNS, description="What to add up.")
    ]
    dimensions: Annotated[
        list[_Dimension],
        Meta(max_length=_MAX_COLUMNS, description="What to tell apart; by default nothing."),
    ] = []
    filters: Annotated[
        list[_Filter],
        Meta(
            max_length=_MAX_COLUMNS,
            description="Only requests that are so, as `dimension=value`; of several of one "
            "dimension any will do.",
        ),
    ] = []
    granularity: Annotated[
        str,
        Meta(
            description="How finely time is told apart; by default not at all.",
            extra_json_schema={"enum": [*usage_names.GRANULARITIES]},
        ),
    ] = ""
    limit: Annotated[int, Meta(ge=1, le=10_000, description="How many rows at most.")] = 1000
    tz: _Zone = UNSET
    start: _From = UNSET
    end: _To = UNSET
    project: _Project = ""
    key: _Key = ""


class WrappedQuery(Struct, frozen=True):
    """Whose year, and how much of it."""

    tz: _Zone = UNSET
    project: _Project = ""
    key: _Key = ""
    hide_names: Annotated[
        bool, Meta(description="Leave out every name: of models, backends, projects, clients.")
    ] = False


class RecentQuery(Struct, frozen=True, rename=_DAYS):
    """Which requests to list."""

    tz: _Zone = UNSET
    start: _From = UNSET
    end: _To = UNSET
    project: _Project = ""
    key: _Key = ""
    limit: Annotated[int, Meta(ge=1, le=1000)] = 50
    page_token: _Token = ""


class ExportQuery(Struct, frozen=True, rename=_DAYS):
    """Which requests to write into a file, and how."""

    format: Annotated[
        Literal["csv", "jsonl", "zip"], Meta(description="`zip` has both, and every attempt.")
    ] = "csv"
    tz: _Zone = UNSET
    start: _From = UNSET
    end: _To = UNSET
    project: _Project = ""
    key: _Key = ""


class LiveQuery(Struct, frozen=True):
    """Which requests to tell of, and how often."""

    project: _Project = ""
    interval: Annotated[
        float, Meta(ge=0.1, le=60, description="Seconds between two events of progress.")
    ] = 1.0


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


class NoteQuery(Struct, frozen=True):
    """Which notes and pinned messages to list."""

    project: Annotated[
        _Text, Meta(description="Only those in the recalls of this project; those for all are.")
    ] = ""
    pinned: Annotated[bool, Meta(description="Only what is pinned.")] = False
    limit: Annotated[int, Meta(ge=1, le=1000)] = 100
    page_token: _Token = ""


class NewNote(Struct, frozen=True, forbid_unknown_fields=True):
    """Something to remember."""

    text: _NoteText
    project: Annotated[_Text, Meta(description="What it is about; empty for all projects.")] = ""
    pinned: Annotated[
        bool, Meta(description="Put it into every recall of its scope, found or not.")
    ] = False


class MessageChange(Struct, frozen=True, forbid_unknown_fields=True):
    """What to change of a message: whether it is pinned, what it says, or both."""

    pinned: Annotated[
        bool | UnsetType, Meta(description="Put it into every recall of its scope, or no longer.")
    ] = UNSET
    project: Annotated[
        _Text | UnsetType,
        Meta(description="With `pinned`: the project whose recalls; left out, all of the user's."),
    ] = UNSET
    text: Annotated[
        Annotated[str, Meta(max_length=_MAX_NOTE)] | UnsetType,
        Meta(description="What is right, and found from now on; empty for what was said."),
    ] = UNSET


class ForgetWish(Struct, frozen=True, forbid_unknown_fields=True):
    """What to forget: one of the first five."""

    messages: Annotated[
        list[_MessageId],
        Meta(max_length=_MAX_MESSAGES, description="Numbers; those of nobody are left out."),
    ] = []
    conversation_id: Annotated[_Text, Meta(description="A whole conversation.")] = ""
    project: Annotated[_Text, Meta(description="All there is of a project.")] = ""
    topic: Annotated[
        str,
        Meta(
            max_length=_MAX_WORDS,
            pattern=r"\S|^$",
            description="What is found for these words, as `preview` says.",
        ),
    ] = ""
    everything: Annotated[bool, Meta(description="All that is kept of the user.")] = False
    preview: Annotated[bool, Meta(description="Change nothing; say what would go.")] = False
