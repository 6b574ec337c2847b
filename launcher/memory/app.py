"""The commands of `lair memory`; what runs without one is the service: see `launcher.cli`."""

from __future__ import annotations

import typer

from launcher.memory import changing, reading

app = typer.Typer()
app.command()(reading.search)
app.command("list")(reading.list_conversations)
app.command()(reading.show)
app.command()(reading.stats)
app.command()(reading.export)
app.command()(changing.remember)
app.command()(changing.notes)
app.command()(changing.pin)
app.command()(changing.unpin)
app.command()(changing.correct)
app.command()(changing.forget)
