"""What memory holds, for a person to read: passages, conversations, notes."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

from rich.console import Console
from rich.padding import Padding
from rich.text import Text

from launcher.clock import local_time
from launcher.memory.rest import Json
from launcher.memory.texts import excerpt, one_line, parts_of, printable, words_of
from launcher.tables import Column, Room, print_table

_INDENT = 4
_MARK = "bold yellow"
_WHO = {"user": "bold green", "assistant": "bold cyan"}
_CONVERSATIONS = (
    Column("changed"),
    Column("id", Room.CUT),
    Column("title", Room.CUT),
    Column("messages", right=True),
    Column("project", Room.CUT),
    Column("user", Room.CUT),
)
_NOTES = (
    Column("number", right=True),
    Column("pinned"),
    Column("project", Room.CUT),
    Column("text", Room.WRAPPED),
    Column("said by"),
)


def print_passages(passages: Sequence[Json], question: str, *, whole: bool = False) -> None:
    """Print what a search found, with the question's words in bold."""
    console, words = _console(), words_of(question)
    for passage in passages:
        text = passage["text"] if whole else excerpt(passage["text"], words)
        console.print(_passage_title(passage))
        _print_block(console, _marked(text, words))


def print_conversations(conversations: Sequence[Json]) -> None:
    """Print a line for each; whose they are, where they are not all one user's."""
    several = len({each["user_id"] for each in conversations}) > 1
    print_table(
        _CONVERSATIONS,
        [
            (
                _moment(each["updated_at"] or each["created_at"]),
                each["id"],
                each["title"],
                str(each["message_count"]),
                each["project"],
                each["user_id"] if several else "",
            )
            for each in conversations
        ],
    )


def print_conversation(conversation: Json) -> None:
    """Print a whole conversation."""
    console = _console()
    console.print(Text(one_line(conversation["title"]) or conversation["id"], style="bold"))
    for name in ("id", "user_id", "project", "session_id", "tags"):
        value = conversation[name]
        shown = ", ".join(value) if isinstance(value, list) else value
        if shown:
            label = name.removesuffix("_id") if name != "id" else name
            console.print(Text.assemble((f"{label:<9}", "dim"), one_line(shown)), soft_wrap=True)
    for message in conversation["messages"]:
        console.print()
        origin = f"  {_moment(message['created_at'])}  #{message['id']}"
        model = f"  {message['model']}" if message.get("model") else ""
        who = message.get("name") or message["role"]
        console.print(
            Text.assemble(
                (one_line(who), _WHO.get(message["role"], "bold")), (origin + model, "dim")
            ),
            soft_wrap=True,
        )
        _print_block(console, Text("\n".join(parts_of(message)) or "(nothing)"))


def print_notes(notes: Iterable[Json]) -> None:
    """Print a line for each note."""
    print_table(
        _NOTES,
        [
            (
                str(note["message_id"]),
                "yes" if note["pinned"] else "",
                note["project"],
                note["text"],
                "" if note["role"] == "user" else note["role"],
            )
            for note in notes
        ],
    )


def print_stats(stats: Json) -> None:
    """Print how much is kept, and how far its index is."""
    index = stats["index"]
    spans = [_moment(stats[name]) for name in ("first_at", "last_at")]
    error = f": {index['error']}" if index["error"] else ""
    waiting = f", {index['pending']} messages wait" if index["pending"] else ""
    said = f"{stats['user_messages']} by people, {stats['assistant_messages']} by models"
    print_table(
        (Column(""), Column("", Room.WRAPPED)),
        [
            ("users", str(stats["users"])),
            ("conversations", str(stats["conversations"])),
            ("messages", f"{stats['messages']}: {said}"),
            ("text", f"{stats['text_bytes'] / 1e6:.1f} MB"),
            ("tokens", str(stats["tokens"])),
            ("time", " to ".join(span for span in spans if span)),
            ("index", f"{index['model']} is {index['state']}{error}{waiting}"),
        ],
    )


def _passage_title(passage: Json) -> Text:
    place = passage["conversation_title"] or passage["conversation_id"]
    marks = [word for word in ("pinned", "corrected") if passage[word]]
    return Text.assemble(
        (_moment(passage["created_at"]), "bold"),
        "  ",
        (one_line(passage["role"]), _WHO.get(passage["role"], "bold")),
        f"  {one_line(place)}",
        (f"  {one_line(passage['conversation_id'])}  #{passage['message_id']}", "dim"),
        (f"  {passage['score']:.2f}", "dim"),
        ("".join(f"  {mark}" for mark in marks), "magenta"),
    )


def _marked(text: str, words: re.Pattern[str] | None) -> Text:
    marked = Text(printable(text))
    if words:
        marked.highlight_regex(words, _MARK)
    return marked


def _console() -> Console:
    return Console(highlight=False, markup=False, emoji=False)


def _print_block(console: Console, text: Text) -> None:
    """Print a text set in; where it is no terminal, each of its lines as one line."""
    text.plain = printable(text.plain)
    if console.is_terminal:
        console.print(Padding(text, (0, 0, 0, _INDENT)))
    else:
        for line in text.plain.splitlines():
            console.print(" " * _INDENT + line, soft_wrap=True)


def _moment(rfc3339: str | None) -> str:
    return local_time(rfc3339) if rfc3339 else ""
