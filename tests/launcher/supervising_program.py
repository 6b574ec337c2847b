"""A supervisor of two children in a process of its own, to be killed. argv: journal."""

import asyncio
import os
import sys

from launcher.supervisor import Child, Supervisor

journal, child_program = sys.argv[1:]


async def never() -> bool:
    return False


def child(name: str) -> Child:
    return Child(name, (sys.executable, child_program, journal, name), never)


asyncio.run(Supervisor([[child("a"), child("b")]], environment=os.environ).run())
