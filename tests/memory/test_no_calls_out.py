"""Memory keeps to this machine: it calls nobody, to tell or to ask."""

import subprocess
import sys
from pathlib import Path

PROGRAM = """
import asyncio, sys
from pathlib import Path

called = []

def listen(event, arguments):
    if event == "socket.getaddrinfo" or event == "socket.connect":
        called.append((event, arguments))

sys.addaudithook(listen)

from memory_svc.embedding.sentence import SentenceEmbedder
from tests.memory.chats import assistant, running, user

async def main():
    embedder = SentenceEmbedder("all-MiniLM-L6-v2", Path(sys.argv[2]))
    async with running(Path(sys.argv[1]), embedder) as memories:
        await memories.say("c", [user("my zebra is called Rex")], assistant("a fine name"))
        await memories.remember("always answer in German", pinned=True)
        await memories.indexed()
        assert await memories.found("the name of my zebra")
        await memories.recalled("what is my zebra called?")
        await memories.forget(everything=True)

asyncio.run(main())
print(*[each for each in called if "127.0.0.1" not in str(each)])
"""


def test_a_whole_life_opens_no_connection(tmp_path: Path, models: Path):
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, str(tmp_path), str(models)],
        check=False,
        capture_output=True,
        text=True,
        env={"PYTHONPATH": ":".join(sys.path), "PATH": ""},
        timeout=100,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-1] == ""
