"""What all clients are tried against: one real `lair up`, two genuine llama.cpp servers behind
it, and beside them the scripted model for what a tiny one cannot do."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.compat import capable
from tests.compat.recorder import entered
from tests.e2e.stack import Lair, lair_up, llama_server
from tests.fakes.openai_server import OpenAIServer

# What clients ask for, by the variable that tells them.
MODELS = {
    "COMPAT_CHAT": "tiny/tiny-chat",
    "COMPAT_VECTORS": "vectors/tiny-chat",
    "COMPAT_SCRIPTED": "scripted/scripted",
    "COMPAT_ODD": f"scripted/{capable.ODD_MODEL}",
    "COMPAT_BUSY": f"scripted/{capable.BUSY_MODEL}",
}


@contextmanager
def world(folder: Path) -> Iterator[Lair]:
    """Start it all, with data and logs in `folder`."""
    scripted = OpenAIServer(*capable.MODELS)
    scripted.script(capable.answer)
    with (
        llama_server() as chat,
        llama_server("embed") as vectors,
        entered(scripted),
        lair_up(
            folder, backends={"tiny": chat, "vectors": vectors, "scripted": scripted.url}
        ) as lair,
    ):
        yield lair
