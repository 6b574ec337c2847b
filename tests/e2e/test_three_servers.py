"""Three genuine llama.cpp servers behind one lair; they die one after the other."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

from tests.e2e.stack import TINY, Lair, eventually, free_ports, get, lair_up, request

REQUESTS = 300


@contextmanager
def llama() -> Iterator[tuple[str, subprocess.Popen[bytes]]]:
    """Serve the tiny model; yield its base URL and its process, which a test may kill."""
    port = free_ports(1)
    command = [sys.executable, str(TINY / "llama_server.py"), str(port)]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    url = f"http://127.0.0.1:{port}"
    try:
        eventually(lambda: get(f"{url}/health")[0] == 200, seconds=30, what="llama.cpp is ready")
        yield f"{url}/v1", process
    finally:
        process.kill()
        process.wait()


def count_to(lair: Lair, number: int, *, stream: bool) -> tuple[int, Any]:
    """Ask for the numbers to `number`; return status and body."""
    body = {
        "temperature": 0,
        "stream": stream,
        "messages": [{"role": "user", "content": f"Count to {number}"}],
    }
    return request("POST", f"{lair.url}/v1/chat/completions", body, {"X-User-ID": f"u{number}"})


def complete(status: int, body: Any, number: int, *, stream: bool) -> bool:
    """Tell whether an answer is whole and right."""
    if status != 200:
        return False
    text = streamed_text(body) if stream else body["choices"][0]["message"]["content"]
    return text.split()[-1:] == [str(number)] and (not stream or "data: [DONE]" in body)


def streamed_text(body: str) -> str:
    """Join the pieces of a stream."""
    lines = [line.removeprefix("data: ") for line in body.splitlines() if "choices" in line]
    deltas = [json.loads(line)["choices"][0]["delta"] for line in lines]
    return "".join(delta.get("content") or "" for delta in deltas)


def test_no_request_fails_that_could_have_succeeded(tmp_path: Path) -> None:
    with ExitStack() as stack:
        servers = [stack.enter_context(llama()) for _ in range(3)]
        backends = {f"llama{n}": url for n, (url, _) in enumerate(servers)}
        lair = stack.enter_context(lair_up(tmp_path, backends=backends))
        killed = threading.Event()
        outcomes: list[tuple[bool, int, Any]] = []

        def one(number: int) -> None:
            stream = number % 2 == 0
            status, body = count_to(lair, 2 + number % 19, stream=stream)
            outcomes.append((complete(status, body, 2 + number % 19, stream=stream), status, body))

        with ThreadPoolExecutor(6) as pool:
            answers = [pool.submit(one, number) for number in range(REQUESTS)]
            for share, (_, process) in ((1, servers[0]), (2, servers[1])):
                eventually(
                    lambda share=share: sum(a.done() for a in answers) > share * REQUESTS // 3,
                    seconds=60,
                )
                process.kill()
            killed.set()
            for answer in answers:
                answer.result()

        failed = [(status, body) for whole, status, body in outcomes if not whole]
        # Only an answer that had begun when its server died may be lost, and says so.
        for status, body in failed:
            assert status == 200, body
            assert '"error"' in body
            assert "[DONE]" not in body
        assert len(failed) <= 12, "no more than were being streamed when a server died"

        def counted() -> list[dict[str, Any]]:
            page = lair.get("/metrics/recent?limit=1000")["requests"]
            return page if len(page) >= REQUESTS else []

        records = eventually(counted, seconds=20, what="every request is counted")
        assert len(records) == len({record["request_id"] for record in records}) == REQUESTS
        statuses = Counter(record["status"] for record in records)
        assert statuses["ok"] == REQUESTS - len(failed)
        fallbacks = [r for r in records if len(r["attempts"]) > 1]
        assert fallbacks, "somebody was asked before the one who answered"
        for record in fallbacks:
            tried = [attempt["backend"] for attempt in record["attempts"]]
            assert len(set(tried)) == len(tried), "nobody is asked twice for one request"
            assert record["backend"] == tried[-1]
        assert get(f"{lair.url}/health")[1]["backends"]["llama2"]["state"] == "up"


def test_a_server_that_dies_while_idle_is_passed_over(tmp_path: Path) -> None:
    with ExitStack() as stack:
        (first, process), (second, _) = (stack.enter_context(llama()) for _ in range(2))
        lair = stack.enter_context(lair_up(tmp_path, backends={"one": first, "two": second}))
        assert lair.chat("Say hello")["choices"][0]["finish_reason"] == "stop"
        process.kill()
        process.wait()
        for number in range(5):
            status, body = count_to(lair, 3 + number, stream=False)
            assert complete(status, body, 3 + number, stream=False), body

        def down() -> bool:
            return bool(get(f"{lair.url}/health")[1]["backends"]["one"]["state"] == "down")

        eventually(down, what="the dead server is shown as down")
