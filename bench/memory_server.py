"""Run memory_svc as it is, with a model that remembers the questions it was asked.

So the same questions asked again tell what a search takes without embedding its question.
"""

from __future__ import annotations

import argparse
import asyncio
from collections.abc import Sequence
from pathlib import Path

import uvloop

from memory_svc.embedding.base import Embedder, ModelStatus
from memory_svc.main import embedder_for, open_service
from memory_svc.model import Vector
from svckit.serve import serve_until_stopped
from svckit.settings import Settings


class Remembering:
    """An embedder that answers a question at once which it answered before."""

    def __init__(self, embedder: Embedder) -> None:
        self._embedder = embedder
        self._known: dict[str, Vector] = {}

    @property
    def model(self) -> str:
        """The model's name."""
        return self._embedder.model

    @property
    def status(self) -> ModelStatus:
        """How the model stands."""
        return self._embedder.status

    async def load(self) -> None:
        """Load the model."""
        await self._embedder.load()

    async def embed(self, texts: Sequence[str]) -> Vector:
        """Embed turns."""
        return await self._embedder.embed(texts)

    async def embed_query(self, text: str) -> Vector:
        """Embed a question, unless that was done."""
        if text not in self._known:
            self._known[text] = await self._embedder.embed_query(text)
        return self._known[text]

    def close(self) -> None:
        """Close the model."""
        self._embedder.close()


async def serve(folder: Path, port: int) -> None:
    """Serve the memory of a data directory until the process is asked to stop."""
    settings = Settings(data_dir=folder)
    opened = open_service(settings, embedder=Remembering(embedder_for(settings)))
    await serve_until_stopped(opened, f"127.0.0.1:{port}")


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--data-dir", type=Path, required=True)
    parser.add_argument("--port", type=int, required=True)
    args = parser.parse_args()
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(serve(args.data_dir, args.port))


if __name__ == "__main__":
    main()
