"""`lair mcp`: memory for agents, by the Model Context Protocol on standard input and output.

It asks a running lair by REST, as `lair memory` does. The SDK is the optional extra `mcp`,
which only `launcher.mcp.server` imports.
"""

from __future__ import annotations

from launcher.exits import CommandFailedError
from launcher.memory.rest import Memory


def serve(memory: Memory) -> None:
    """Answer an agent's calls until it hangs up. Raises `CommandFailedError` without the SDK."""
    try:
        from launcher.mcp.server import server_of  # noqa: PLC0415  # an extra
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] != "mcp":
            raise
        raise CommandFailedError(
            "lair mcp needs one more package: pip install 'local-ai-router[mcp]'"
        ) from error
    server_of(memory).run("stdio")
