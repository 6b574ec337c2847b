# ruff: noqa: PLC0415  # each command imports what it needs, so that `lair` itself starts at once
"""`lair memory remember`, `notes`, `pin`, `unpin`, `correct`, `forget`: what shall be known."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from launcher.memory.options import Number, Scope, User, memory_of, print_json
from launcher.options import AsJson, ConfigFile, DataDir, HttpPort

if TYPE_CHECKING:  # who runs another command does not need it
    from launcher.memory.rest import Json


def remember(
    *,
    text: Annotated[str, typer.Argument(help="What to remember.")],
    pin: Annotated[bool, typer.Option("--pin", help="Put it into every recall.")] = False,
    project: Scope = "",
    user: User = "",
    as_json: AsJson = False,
    config: ConfigFile = None,
    port: HttpPort = None,
    data_dir: DataDir = None,
) -> None:
    """Write a note, to be found like what was said, or in every recall."""
    memory = memory_of(config, port, data_dir, user)
    note = memory.remember({"text": text, "project": project, "pinned": pin})
    _tell(note, "remembered", as_json=as_json)


def notes(
    *,
    project: Annotated[
        str, typer.Option("--project", help="Only what is in this project's recalls.")
    ] = "",
    pinned: Annotated[bool, typer.Option("--pinned", help="Only what is pinned.")] = False,
    user: User = "",
    as_json: AsJson = False,
    config: ConfigFile = None,
    port: HttpPort = None,
    data_dir: DataDir = None,
) -> None:
    """List notes and pinned messages, the latest first."""
    from launcher.memory.pages import print_notes

    query = {"project": project, "pinned": "true" if pinned else ""}
    found = memory_of(config, port, data_dir, user).notes(query)
    if as_json:
        print_json({"notes": found})
    elif found:
        print_notes(found)
    else:
        typer.echo("there are no notes; write one with: lair memory remember")


def pin(
    *,
    message: Number,
    project: Scope = "",
    user: User = "",
    as_json: AsJson = False,
    config: ConfigFile = None,
    port: HttpPort = None,
    data_dir: DataDir = None,
) -> None:
    """Put a message into every recall of its scope."""
    memory = memory_of(config, port, data_dir, user)
    _tell(memory.change(message, {"pinned": True, "project": project}), "pinned", as_json=as_json)


def unpin(
    *,
    message: Number,
    user: User = "",
    as_json: AsJson = False,
    config: ConfigFile = None,
    port: HttpPort = None,
    data_dir: DataDir = None,
) -> None:
    """No longer put a message into every recall."""
    memory = memory_of(config, port, data_dir, user)
    _tell(memory.change(message, {"pinned": False}), "unpinned", as_json=as_json)


def correct(
    *,
    message: Number,
    text: Annotated[str, typer.Argument(help="What is right; '' for what was said.")],
    user: User = "",
    as_json: AsJson = False,
    config: ConfigFile = None,
    port: HttpPort = None,
    data_dir: DataDir = None,
) -> None:
    """Change what is found and recalled of a message; its conversation keeps what was said."""
    memory = memory_of(config, port, data_dir, user)
    _tell(memory.change(message, {"text": text}), "corrected", as_json=as_json)


def forget(
    *,
    messages: Annotated[
        list[int] | None, typer.Argument(min=1, help="Numbers of messages, as a search shows them.")
    ] = None,
    conversation: Annotated[str, typer.Option("--conversation", help="A whole one.")] = "",
    topic: Annotated[str, typer.Option("--topic", help="What is found for these words.")] = "",
    project: Annotated[str, typer.Option("--project", help="All there is of a project.")] = "",
    everything: Annotated[bool, typer.Option("--everything", help="All of the user's.")] = False,
    preview: Annotated[bool, typer.Option("--preview", help="Only tell what would go.")] = False,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
    user: User = "",
    as_json: AsJson = False,
    config: ConfigFile = None,
    port: HttpPort = None,
    data_dir: DataDir = None,
) -> None:
    """Forget messages, a conversation, a topic, a project or everything, for good."""
    from launcher.memory.forget import forget as run_forget

    named = {
        "messages": messages,
        "conversation_id": conversation,
        "topic": topic,
        "project": project,
        "everything": everything,
    }
    target = {name: value for name, value in named.items() if value}
    if len(target) != 1:
        raise typer.BadParameter(
            "say one thing to forget: numbers of messages, --conversation, --topic, --project or "
            "--everything"
        )
    if as_json and not (yes or preview):
        raise typer.BadParameter("--json goes with --yes or --preview")
    memory = memory_of(config, port, data_dir, user)
    run_forget(memory, target, yes=yes, preview=preview, as_json=as_json)


def _tell(note: Json, done: str, *, as_json: bool) -> None:
    """Say what became of a message, by its number and text."""
    from launcher.memory.texts import one_line

    if as_json:
        print_json(note)
    else:
        typer.echo(f"{done} #{note['message_id']}: {one_line(note['text'])}")
