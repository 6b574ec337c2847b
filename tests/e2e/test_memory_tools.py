"""`lair memory` and `lair mcp` against a real lair: what is kept is found, and forgotten."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
from mcp.client import Client
from mcp.client.stdio import StdioServerParameters
from mcp_types import CallToolResult

from tests.e2e.stack import Lair, eventually, lair_environment, lair_up, request

SAID = "The heron flew over Lisbon at noon."
LONGEST = 120
HANDSHAKE = {
    "jsonrpc": "2.0",
    "id": 1,
    "method": "initialize",
    "params": {
        "protocolVersion": "2025-06-18",
        "capabilities": {},
        "clientInfo": {"name": "test", "version": "1"},
    },
}


@pytest.fixture(scope="module")
def own(llama: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lair]:
    """A lair whose memory these tests may change: each has a user of its own."""
    folder = tmp_path_factory.mktemp("own")
    with lair_up(folder, "--single-process", backends={"tiny": llama}) as running:
        yield running


def options(lair: Lair) -> list[str]:
    return ["--port", str(lair.port), "--data-dir", str(lair.log.parent / "data")]


def ran(lair: Lair, command: Sequence[str], typed: str = "") -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "launcher", *command, *options(lair)],
        env=lair_environment(),
        input=typed,
        capture_output=True,
        text=True,
        timeout=LONGEST,
        check=False,
    )


def memory(lair: Lair, user: str, *words: str) -> str:
    """Run a command of `lair memory` that must succeed; return what it printed."""
    done = ran(lair, ["memory", *words, "--user", user])
    assert done.returncode == 0, done.stderr
    return done.stdout


def asked(lair: Lair, user: str, *words: str) -> dict[str, Any]:
    """Run a command of `lair memory` for its JSON."""
    found: dict[str, Any] = json.loads(memory(lair, user, *words, "--json"))
    return found


def texts(lair: Lair, user: str, question: str) -> list[str]:
    """Return what a user finds, by REST."""
    named = {"X-User-ID": user}
    status, found = request("POST", f"{lair.url}/memory/search", {"q": question}, named)
    assert status == 200, found
    return [each["text"] for each in found["passages"]]


def told(lair: Lair, user: str, conversation: str = "trip", text: str = SAID) -> None:
    """Have a user say something, and wait until it is kept."""
    lair.chat(text, X_User_ID=user, X_Conversation_ID=conversation)
    path = f"{lair.url}/memory/conversations/{conversation}"

    def kept() -> bool:
        status, found = request("GET", path, headers={"X-User-ID": user})
        return status == 200 and len(found["messages"]) == 2

    eventually(kept, seconds=30, what="the chat is kept")


def test_what_was_said_is_searched_listed_shown_and_counted(own: Lair) -> None:
    told(own, "ana")
    [passage] = asked(own, "ana", "search", "heron", "--role", "user")["passages"]
    assert (passage["text"], passage["conversation_id"]) == (SAID, "trip")
    assert SAID in memory(own, "ana", "search", "where did the heron fly")
    assert SAID in memory(own, "ana", "list")
    shown = memory(own, "ana", "show", "trip")
    assert f"#{passage['message_id']}" in shown
    assert f"    {SAID}" in shown
    assert "conversations  1" in memory(own, "ana", "stats")
    assert texts(own, "nobody", "heron") == []
    assert "there are no such conversations" in memory(own, "nobody", "list")


def test_a_note_is_written_pinned_corrected_and_forgotten(own: Lair) -> None:
    number = str(asked(own, "ben", "remember", "The spare key is under the otter.")["message_id"])
    assert texts(own, "ben", "spare key") == ["The spare key is under the otter."]
    assert asked(own, "ben", "remember", "The spare key is under the otter.")["pinned"] is False
    assert len(asked(own, "ben", "notes")["notes"]) == 1, "the same text is kept once"
    assert asked(own, "ben", "pin", number, "--project", "home")["project"] == "home"
    assert [each["pinned"] for each in asked(own, "ben", "notes", "--pinned")["notes"]] == [True]
    memory(own, "ben", "unpin", number)
    assert asked(own, "ben", "notes", "--pinned")["notes"] == []
    memory(own, "ben", "correct", number, "The spare key is under the heron.")
    [corrected] = asked(own, "ben", "search", "spare key")["passages"]
    assert (corrected["text"], corrected["corrected"]) == (
        "The spare key is under the heron.",
        True,
    )
    memory(own, "ben", "correct", number, "")
    assert texts(own, "ben", "spare key") == ["The spare key is under the otter."]
    memory(own, "ben", "forget", number, "--yes")
    assert texts(own, "ben", "spare key") == []
    assert asked(own, "ben", "notes")["notes"] == []


def test_only_what_was_shown_of_a_topic_is_forgotten(own: Lair) -> None:
    told(own, "cleo")
    told(own, "cleo", "bread", "My sourdough does not rise.")
    refused = ran(own, ["memory", "forget", "--topic", "heron", "--user", "cleo"])
    assert refused.returncode == 1
    assert SAID in refused.stdout
    assert "say --yes" in refused.stderr
    assert texts(own, "cleo", "heron")
    memory(own, "cleo", "forget", "--topic", "heron", "--yes")
    assert SAID not in texts(own, "cleo", "heron Lisbon noon")
    assert "My sourdough does not rise." in texts(own, "cleo", "sourdough")


def test_a_conversation_a_project_and_everything_are_forgotten(own: Lair) -> None:
    for name in ("one", "two", "three"):
        told(own, "dora", name)
    told(own, "emil", "one")
    memory(own, "dora", "remember", "Otters are fine.", "--project", "zoo")
    memory(own, "dora", "forget", "--conversation", "one", "--yes")
    assert asked(own, "dora", "list")["total_count"] == 3
    memory(own, "dora", "forget", "--project", "zoo", "--yes")
    assert asked(own, "dora", "notes")["notes"] == []
    seen = asked(own, "dora", "forget", "--everything", "--preview")
    assert (seen["preview"], seen["conversations"]) == (True, 2)
    assert asked(own, "dora", "list")["total_count"] == 2
    memory(own, "dora", "forget", "--everything", "--yes")
    assert asked(own, "dora", "list")["total_count"] == 0
    assert texts(own, "dora", "heron") == []
    assert SAID in texts(own, "emil", "heron")


def test_what_is_not_the_users_is_refused_with_the_remedy(own: Lair) -> None:
    told(own, "flo", "secret")
    [number] = {each["message_id"] for each in asked(own, "flo", "search", SAID)["passages"][:1]}
    for words in (["pin", str(number)], ["correct", str(number), "x"]):
        done = ran(own, ["memory", *words])
        assert done.returncode == 1
        assert "another user's is reached with that user's X-User-ID" in done.stderr
    done = ran(own, ["memory", "forget", "--conversation", "secret", "--yes", "--user", "gus"])
    assert (done.returncode, len(done.stderr.splitlines())) == (1, 1)
    assert SAID in texts(own, "flo", "heron")


def test_an_export_has_every_conversation_and_can_be_imported(own: Lair, tmp_path: Path) -> None:
    told(own, "hal", "one")
    told(own, "hal", "two", "My sourdough does not rise.")
    target = tmp_path / "hal.jsonl"
    memory(own, "hal", "export", "-o", str(target))
    lines = [json.loads(line) for line in target.read_text(encoding="utf-8").splitlines()]
    assert {line["id"] for line in lines} == {"one", "two"}
    assert {line["user"] for line in lines} == {"hal"}
    for line in lines:
        assert [message["role"] for message in line["messages"]] == ["user", "assistant"]
        assert all(message["created_at"] for message in line["messages"])
        assert line["messages"][1]["model"] == "tiny-chat"
    assert {line["messages"][0]["content"] for line in lines} == {
        SAID,
        "My sourdough does not rise.",
    }
    done = ran(own, ["import", "jsonl", str(target), "--user", "hals heir"])
    assert done.returncode == 0, done.stderr
    before, after = (
        asked(own, user, "search", SAID, "--role", "user")["passages"][0]
        for user in ("hal", "hals heir")
    )
    assert after["text"] == before["text"] == SAID
    assert after["created_at"][:19] == before["created_at"][:19]


async def called(agent: Client, tool: str, **arguments: Any) -> dict[str, Any]:
    result = await agent.call_tool(tool, arguments)
    assert isinstance(result, CallToolResult)
    assert not result.is_error, result.content
    assert result.structured_content is not None
    return result.structured_content


async def refused(agent: Client, tool: str, **arguments: Any) -> str:
    result = await agent.call_tool(tool, arguments)
    assert isinstance(result, CallToolResult)
    assert result.is_error
    return str(result.content)


def agent_of(lair: Lair, user: str) -> Client:
    """Return a client that starts `lair mcp` as an agent's settings would have it."""
    return Client(
        StdioServerParameters(
            command=sys.executable,
            args=["-m", "launcher", "mcp", "--user", user, *options(lair)],
            env=lair_environment(),
        )
    )


async def test_an_agent_searches_reads_remembers_and_forgets(own: Lair) -> None:
    await asyncio.to_thread(told, own, "ida")
    async with agent_of(own, "ida") as agent:
        found = await called(agent, "memory_search", query="heron", role="user")
        [passage] = found["passages"]
        assert passage["text"] == SAID
        read = await called(
            agent,
            "memory_get",
            conversation_id=passage["conversation_id"],
            message_id=passage["message_id"],
        )
        assert [each["role"] for each in read["messages"]] == ["user", "assistant"]
        assert read["messages"][0]["text"] == SAID

        note = await called(agent, "memory_remember", text="Ida prefers matcha.")
        found = await called(agent, "memory_search", query="matcha")
        assert [each["text"] for each in found["passages"]] == ["Ida prefers matcha."]

        shown = await called(agent, "memory_forget", topic="matcha")
        assert [each["message_id"] for each in shown["passages"]] == [note["message_id"]]
        found = await called(agent, "memory_search", query="matcha")
        assert found["passages"], "a topic is only shown"
        await called(agent, "memory_forget", message_ids=[note["message_id"]])
        assert (await called(agent, "memory_search", query="matcha"))["passages"] == []
        await called(agent, "memory_forget", conversation_id="trip")
        assert "trip" in await refused(agent, "memory_get", conversation_id="trip")


async def test_an_agent_of_one_user_reaches_no_other(own: Lair) -> None:
    await asyncio.to_thread(told, own, "jon", "jons")
    [passage] = (await asyncio.to_thread(asked, own, "jon", "search", SAID, "--role", "user"))[
        "passages"
    ]
    async with agent_of(own, "kim") as agent:
        assert (await called(agent, "memory_search", query="heron"))["passages"] == []
        assert "jons" in await refused(agent, "memory_get", conversation_id="jons")
        done = await called(agent, "memory_forget", message_ids=[passage["message_id"]])
        assert done["messages"] == 0
    assert SAID in await asyncio.to_thread(texts, own, "jon", "heron")


def test_nothing_but_the_protocol_is_on_standard_output(own: Lair) -> None:
    calls = [
        HANDSHAKE,
        {"jsonrpc": "2.0", "method": "notifications/initialized"},
        {
            "jsonrpc": "2.0",
            "id": 2,
            "method": "tools/call",
            "params": {"name": "memory_get", "arguments": {"conversation_id": "nowhere"}},
        },
    ]
    process = subprocess.Popen(
        [sys.executable, "-m", "launcher", "mcp", *options(own)],
        env=lair_environment(),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stdin
    assert process.stdout
    lines = []
    try:
        for each in calls:
            process.stdin.write(json.dumps(each) + "\n")
            process.stdin.flush()
            if "id" in each:
                lines.append(process.stdout.readline())
        rest, complaints = process.communicate(timeout=LONGEST)
    finally:
        process.kill()
        process.wait()
    answers = [json.loads(line) for line in (*lines, *rest.splitlines())]
    assert [each["id"] for each in answers] == [1, 2]
    assert answers[1]["result"]["isError"] is True
    assert "Traceback" not in complaints
    assert process.returncode == 0
