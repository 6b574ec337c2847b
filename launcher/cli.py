# ruff: noqa: PLC0415  # each command imports what it needs, so that the small ones start at once
"""The `lair` command: reads the command line, and hands over to the module of each command."""

from __future__ import annotations

import sys
from collections.abc import Callable, Coroutine, Sequence
from enum import Enum
from itertools import pairwise
from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from launcher import exits, imports, keys
from launcher.backup import app as backups
from launcher.configuration import Resolved, adopt, make_data_dir
from launcher.memory.app import app as memory_app
from launcher.options import AsJson, ConfigFile, DataDir, GrpcPort, HttpPort, resolved_by
from launcher.stats import app as stats
from svckit.settings import Settings

Service = Literal["router", "memory", "metrics"]


class Action(Enum):
    """What to do about gaming mode."""

    ON = "on"
    OFF = "off"
    STATUS = "status"


app = typer.Typer(
    name="lair",
    help="One address for all your models, that remembers and counts.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)
config_app = typer.Typer(help="Look at the settings.", no_args_is_help=True)
app.add_typer(config_app, name="config")
app.add_typer(keys.app, name="keys")
imports.register(app)
app.add_typer(memory_app, name="memory")
stats.register(app)
backups.register(app)


def main(arguments: Sequence[str] | None = None) -> None:
    """Run `lair` with these arguments; the process' own by default."""
    with exits.readable():
        app(spelled_out(sys.argv[1:] if arguments is None else arguments), prog_name="lair")


def spelled_out(arguments: Sequence[str]) -> list[str]:
    """Write `-c` without a value as `--continue`, which the parser understands."""
    words = list(arguments)
    if words[:1] == ["chat"]:
        for index, (word, following) in enumerate(pairwise([*words, "--"])):
            if word == "-c" and following.startswith("-") and following != "-":
                words[index] = "--continue"
    return words


@app.command()
def up(
    *,
    config: ConfigFile = None,
    port: HttpPort = None,
    data_dir: DataDir = None,
    gguf: Annotated[
        Path | None, typer.Option("--gguf", help="Serve this GGUF model as well.")
    ] = None,
    separate: Annotated[
        bool, typer.Option("--separate", help="A process for each service.")
    ] = False,
    single_process: Annotated[
        bool, typer.Option("--single-process", help="All services in this process.")
    ] = False,
    no_auth: Annotated[
        bool, typer.Option("--no-auth", help="Listen beyond this machine without keys.")
    ] = False,
) -> None:
    """Start lair and keep it running until Ctrl-C.

    It stops when its terminal closes, too. SIGHUP from elsewhere has it read backends and
    aliases again, as `lair reload` does.
    """
    from launcher.up import Layout
    from launcher.up import up as run_up

    if separate and single_process:
        raise typer.BadParameter("--separate and --single-process exclude each other")
    resolved = resolved_by(
        config,
        port=port,
        data_dir=data_dir,
        more={"llamacpp.gguf": gguf and gguf.absolute(), "gateway.no_auth": no_auth or None},
    )
    layout = Layout.SEPARATE if separate else Layout.SINGLE if single_process else Layout.EDGE
    run_up(resolved, layout)


@app.command()
def chat(
    *,
    prompt: Annotated[
        str | None, typer.Argument(help="What to ask; `-` reads it from standard input.")
    ] = None,
    conversation: Annotated[
        str | None,
        typer.Option("-c", "--conversation", help="Continue this one; without id the last."),
    ] = None,
    continue_last: Annotated[
        bool, typer.Option("--continue", help="Continue the last conversation.")
    ] = False,
    model: Annotated[str, typer.Option("--model", "-m", help="The model to ask.")] = "auto",
    no_stream: Annotated[
        bool, typer.Option("--no-stream", help="Print the answer when it is whole.")
    ] = False,
    as_json: AsJson = False,
    config: ConfigFile = None,
    port: HttpPort = None,
    data_dir: DataDir = None,
) -> None:
    """Ask a question."""
    from launcher.chat import LAST, Question
    from launcher.chat import chat as run_chat

    if prompt is None and conversation is not None:
        # `lair chat -c "and then?"`: the only words there are ask.
        prompt, conversation, continue_last = conversation, None, True
    if prompt == "-":
        prompt = sys.stdin.read()
    if not (prompt or "").strip():
        raise typer.BadParameter("say what to ask: lair chat 'why is the sky blue?'")
    question = Question(
        prompt=prompt or "",
        model=model,
        conversation_id=LAST if continue_last else conversation,
        stream=not no_stream,
        as_json=as_json,
    )
    run_chat(resolved_by(config, port=port, data_dir=data_dir).settings, question)


@app.command()
def status(
    *,
    as_json: AsJson = False,
    config: ConfigFile = None,
    port: HttpPort = None,
    data_dir: DataDir = None,
) -> None:
    """Tell how a running lair is: exit code 0 if well, 1 if degraded, 2 if not running."""
    from launcher.status import status as run_status

    resolved = resolved_by(config, port=port, data_dir=data_dir)
    raise typer.Exit(run_status(resolved.settings, as_json=as_json))


@app.command()
def gaming(
    *,
    action: Annotated[Action, typer.Argument(help="What to do.")] = Action.STATUS,
    hold: Annotated[
        str | None, typer.Option("--for", help="How long: 90s, 30m, 2h. Default: until `off`.")
    ] = None,
    backend: Annotated[
        str | None, typer.Option("--backend", help="This one. Default: every local one.")
    ] = None,
    unload: Annotated[
        bool | None,
        typer.Option(
            "--unload/--no-unload",
            help="Have them unload their models. Default: router.gaming_unload in lair.toml.",
        ),
    ] = None,
    as_json: AsJson = False,
    config: ConfigFile = None,
    port: HttpPort = None,
    data_dir: DataDir = None,
) -> None:
    """Have `auto` leave local backends alone; who names one still reaches it."""
    from launcher.gaming import Switch
    from launcher.gaming import gaming as run_gaming

    if hold is not None and action is not Action.ON:
        raise typer.BadParameter("--for goes with: lair gaming on")
    if unload is not None and action is not Action.ON:
        raise typer.BadParameter("--unload and --no-unload go with: lair gaming on")
    if backend is not None and action is Action.STATUS:
        raise typer.BadParameter("--backend goes with: lair gaming on, lair gaming off")
    enable = {Action.ON: True, Action.OFF: False}.get(action)
    switch = Switch(enable, hold, backend, unload)
    resolved = resolved_by(config, port=port, data_dir=data_dir)
    run_gaming(resolved.settings, switch, as_json=as_json)


@app.command()
def route(
    *,
    prompt: Annotated[str, typer.Argument(help="What would be asked.")],
    model: Annotated[str, typer.Option("--model", "-m", help="The model to ask.")] = "auto",
    as_json: AsJson = False,
    config: ConfigFile = None,
    port: HttpPort = None,
    data_dir: DataDir = None,
) -> None:
    """Tell which backend a prompt would go to, and why, without asking it."""
    from launcher.route import route as run_route

    resolved = resolved_by(config, port=port, data_dir=data_dir)
    run_route(resolved.settings, prompt, model=model, as_json=as_json)


@app.command()
def reload(*, as_json: AsJson = False, config: ConfigFile = None, port: HttpPort = None) -> None:
    """Have a running lair read its backends and aliases again; nothing stops."""
    from launcher.reload import reload as run_reload

    run_reload(resolved_by(config, port=port).settings, as_json=as_json)


@config_app.command()
def check(*, config: ConfigFile = None) -> None:
    """Check the settings: exit code 0 if they are usable, 78 if not."""
    from launcher import showing
    from metrics_svc.main import check as check_prices
    from router_svc.main import check as check_backends

    resolved = resolved_by(config)
    check_backends(resolved.settings)
    check_prices(resolved.settings)
    typer.echo(f"ok: {showing.origin(resolved)}")


@config_app.command()
def show(*, as_json: AsJson = False, config: ConfigFile = None) -> None:
    """Print all settings as they are used, without secrets."""
    from launcher import showing

    resolved = resolved_by(config)
    typer.echo(showing.as_json(resolved) if as_json else showing.as_toml(resolved).rstrip())


@app.command()
def version() -> None:
    """Print the version."""
    from importlib.metadata import version as installed

    typer.echo(f"lair {installed('local-ai-router')}")


@app.command()
def gateway(*, config: ConfigFile = None, data_dir: DataDir = None, port: HttpPort = None) -> None:
    """Run the HTTP side alone."""
    from gateway.main import run

    _serve("gateway", run, resolved_by(config, port=port, data_dir=data_dir))


@app.command()
def router(*, config: ConfigFile = None, data_dir: DataDir = None, port: GrpcPort = None) -> None:
    """Run the router alone.

    It stops when its terminal closes. SIGHUP from elsewhere has it read backends and aliases
    again.
    """
    from router_svc.main import run

    _serve("router", run, _resolve_service("router", config, data_dir, port))


@memory_app.callback(invoke_without_command=True)
def memory(
    context: typer.Context,
    *,
    config: ConfigFile = None,
    data_dir: DataDir = None,
    port: GrpcPort = None,
) -> None:
    """Search, show, export and forget what was said; without a command, run the memory service."""
    if context.invoked_subcommand is None:
        from memory_svc.main import run

        _serve("memory", run, _resolve_service("memory", config, data_dir, port))
    elif config or data_dir or port:
        # They would mean the service, whose port is another one.
        command = context.invoked_subcommand
        raise typer.BadParameter(f"options stand behind the command: lair memory {command} …")


@app.command()
def mcp(
    *,
    user: Annotated[
        str, typer.Option("--user", help="Whose memory. Default: the key's user, or the default.")
    ] = "",
    config: ConfigFile = None,
    port: HttpPort = None,
    data_dir: DataDir = None,
) -> None:
    """Let an agent search, read and keep memory: an MCP server on standard input and output."""
    from launcher.mcp import serve
    from launcher.memory.rest import Memory

    serve(Memory(resolved_by(config, port=port, data_dir=data_dir).settings, user))


@app.command()
def metrics(*, config: ConfigFile = None, data_dir: DataDir = None, port: GrpcPort = None) -> None:
    """Run the metrics service alone."""
    from metrics_svc.main import run

    _serve("metrics", run, _resolve_service("metrics", config, data_dir, port))


@app.command(hidden=True)
def edge(*, config: ConfigFile = None) -> None:
    """Run gateway and router in one process, as `lair up` does."""
    from launcher.edge import run

    _serve("edge", run, _resolve_service("router", config, None, None))


@app.command(hidden=True)
def llamacpp(*, config: ConfigFile = None) -> None:
    """Serve the configured GGUF model, as `lair up --gguf` does."""
    from launcher.llamacpp import serve
    from svckit.logging import configure_logging

    settings = resolved_by(config).settings
    configure_logging("llamacpp", level=settings.log_level, fmt=settings.log_format)
    serve(settings)


def _resolve_service(
    service: Service, config: Path | None, data_dir: Path | None, port: int | None
) -> Resolved:
    listen = f"127.0.0.1:{port}" if port else None
    more = {f"{service}.listen": listen}
    resolved = resolved_by(config, data_dir=data_dir, more=more)
    make_data_dir(resolved.settings.data_dir)
    return resolved


def _serve(
    name: str, run: Callable[[Settings], Coroutine[Any, Any, None]], resolved: Resolved
) -> None:
    """Run one service in the foreground."""
    from svckit import lifecycle
    from svckit.logging import configure_logging

    settings = resolved.settings
    configure_logging(name, level=settings.log_level, fmt=settings.log_format)
    adopt(resolved)
    lifecycle.run(run(settings))
