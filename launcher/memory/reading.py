# ruff: noqa: PLC0415  # each command imports what it needs, so that `lair` itself starts at once
"""`lair memory search`, `list`, `show`, `stats`, `export`: what was said."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from launcher.memory.options import (
    AnyUser,
    Project,
    Role,
    Since,
    Until,
    User,
    days,
    memory_of,
    print_json,
)
from launcher.options import AsJson, ConfigFile, DataDir, HttpPort


def search(
    *,
    words: Annotated[list[str], typer.Argument(help="A question, or words.")],
    limit: Annotated[int, typer.Option("--limit", min=1, max=100, help="How many at most.")] = 10,
    project: Project = "",
    conversation: Annotated[
        str, typer.Option("--conversation", help="Only this conversation.")
    ] = "",
    role: Annotated[Role | None, typer.Option("--role", help="Only what these said.")] = None,
    since: Since = None,
    until: Until = None,
    whole: Annotated[bool, typer.Option("--whole", help="Long texts to their end.")] = False,
    user: User = "",
    as_json: AsJson = False,
    config: ConfigFile = None,
    port: HttpPort = None,
    data_dir: DataDir = None,
) -> None:
    """Find what was said, by words and by meaning, best first."""
    from launcher.memory.pages import print_passages

    question = " ".join(words)
    found = memory_of(config, port, data_dir, user).search(
        {
            "q": question,
            "limit": limit,
            "project": project,
            "conversation_id": conversation,
            "role": [role.value] if role else [],
            **days(since, until),
        }
    )
    if as_json:
        print_json(found)
        return
    if found["degraded"]:
        typer.echo(f"not searched: {found['degraded']}", err=True)
    print_passages(found["passages"], question, whole=whole)
    if not found["passages"]:
        typer.echo("nothing that was said bears on that")


def list_conversations(
    *,
    title: Annotated[list[str] | None, typer.Argument(help="Words of the title.")] = None,
    limit: Annotated[int, typer.Option("--limit", min=1, max=500, help="How many at most.")] = 50,
    project: Project = "",
    since: Since = None,
    until: Until = None,
    user: AnyUser = "",
    as_json: AsJson = False,
    config: ConfigFile = None,
    port: HttpPort = None,
    data_dir: DataDir = None,
) -> None:
    """List conversations, the most recently changed first."""
    from launcher.memory.pages import print_conversations

    query = {"q": " ".join(title or ()), "project": project, "limit": limit}
    page = memory_of(config, port, data_dir, user).conversations({**query, **days(since, until)})
    if as_json:
        print_json(page)
        return
    print_conversations(page["conversations"])
    more = page["total_count"] - len(page["conversations"])
    if more:
        typer.echo(f"{more} more; --limit shows up to 500", err=True)
    if not page["conversations"]:
        typer.echo("there are no such conversations")


def show(
    *,
    conversation: Annotated[str, typer.Argument(help="The conversation's id.")],
    user: AnyUser = "",
    as_json: AsJson = False,
    config: ConfigFile = None,
    port: HttpPort = None,
    data_dir: DataDir = None,
) -> None:
    """Print a whole conversation."""
    from launcher.memory.pages import print_conversation

    whole = memory_of(config, port, data_dir, user).conversation(conversation)
    if as_json:
        print_json(whole)
    else:
        print_conversation(whole)


def stats(
    *,
    user: AnyUser = "",
    as_json: AsJson = False,
    config: ConfigFile = None,
    port: HttpPort = None,
    data_dir: DataDir = None,
) -> None:
    """Tell how much is kept, and how far its index is."""
    from launcher.memory.pages import print_stats

    counted = memory_of(config, port, data_dir, user).stats()
    if as_json:
        print_json(counted)
    else:
        print_stats(counted)


def export(
    *,
    target: Annotated[
        Path | None, typer.Option("--output", "-o", help="A file. Default: standard output.")
    ] = None,
    project: Project = "",
    user: AnyUser = "",
    config: ConfigFile = None,
    port: HttpPort = None,
    data_dir: DataDir = None,
) -> None:
    """Write conversations as JSON lines, which `lair import jsonl` reads."""
    from launcher.memory.export import export as run_export

    run_export(memory_of(config, port, data_dir, user), target, project=project)
