"""Have a model exported by a process of its own, whose memory ends with it."""

from __future__ import annotations

import asyncio
import os
import sys
from pathlib import Path

from memory_svc.embedding.base import EmbeddingError
from memory_svc.embedding.exports import CANNOT_LOAD

# Of a large model on a slow machine, busy with other things.
_MOST_SECONDS = 1800.0


class ExportFailed(Exception):  # noqa: N818  # an outcome: another way to embed remains
    """Nothing was exported this time; the message says why."""


async def export_in_child(model: str, models: Path, default_folder: Path | None) -> None:
    """Export `model` into `models`, or leave there why it cannot be.

    Raises `EmbeddingError` if the model cannot even be loaded, `ExportFailed` if
    another attempt may do better. Cancelling ends the child.
    """
    child = await asyncio.create_subprocess_exec(
        *_command(model, models, default_folder),
        env={**os.environ, "TOKENIZERS_PARALLELISM": "false"},
        # Its end tells the child that this process is gone.
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.DEVNULL,
        stderr=asyncio.subprocess.PIPE,
    )
    assert child.stderr is not None
    try:
        async with asyncio.timeout(_MOST_SECONDS):
            said = await child.stderr.read()
            code = await child.wait()
    except TimeoutError as error:
        raise ExportFailed(f"it took longer than {_MOST_SECONDS:.0f} s") from error
    finally:
        if child.returncode is None:
            child.kill()
            await child.wait()
    last = said.decode(errors="replace").strip().rpartition("\n")[2]
    if code == CANNOT_LOAD:
        raise EmbeddingError(last)
    if code != 0:
        raise ExportFailed(f"the export ended with {code}: {last or 'it said nothing'}")


def _command(model: str, models: Path, default_folder: Path | None) -> list[str]:
    # -P: a folder called `memory_svc` where the user stands must not be taken for ours.
    command = [sys.executable, "-P", "-m", "memory_svc.embedding.export", model, str(models)]
    if default_folder is not None:
        command += ["--default-folder", str(default_folder)]
    return [*command, "--until-eof"]
