"""Claude Code's transcripts: a JSONL file for each session, in a folder for each project.

A line is a block of a message, or something about the session. The lines of one answer
share `message.id`; what tools gave comes as a user's lines. Left out: thoughts, what Claude
Code itself wrote in the user's name, and its summaries. What agents did for it (sidechains)
is counted, and nobody said it.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from launcher.importing.claude import result_text
from launcher.importing.conversation import (
    NOTHING_KNOWN,
    Call,
    Imported,
    ImportedConversation,
    ImportedMessage,
    Malformed,
    Spent,
)
from launcher.importing.prompts import as_typed
from launcher.importing.source import Part, Source, UnreadableError, file_part, json_lines
from launcher.importing.steps import Result, messages_of
from launcher.importing.tree import Tree
from launcher.importing.values import (
    Json,
    joined,
    last_name,
    mapping,
    number,
    objects,
    text,
    time_us,
    written,
)

_BACKEND = "anthropic"
# Lines that Claude Code wrote itself.
_NOT_SAID = ("isMeta", "isCompactSummary", "isVisibleInTranscriptOnly", "isApiErrorMessage")
_SYNTHETIC = "<synthetic>"


def read(source: Source) -> Iterator[Imported]:
    """Yield the sessions of a transcript, or of all in a folder. Raises `UnreadableError`."""
    parts = transcripts(source.path)
    if not parts:
        raise UnreadableError(f"{source.path} has no transcripts (*.jsonl) in it")
    for part in parts:
        session = _Session(Path(part.name).stem, part.name)
        for each in json_lines(part, source.meter):
            if isinstance(each, Malformed):
                yield each
            else:
                session.take(each[1])
        yield from session.conversations()


def transcripts(path: Path) -> list[Part]:
    """Return the transcripts in a folder, that of all projects in Claude Code's own."""
    if not path.is_dir():
        return [file_part(path)]
    root = path / "projects" if (path / "projects").is_dir() else path
    return [file_part(each, root) for each in sorted(root.rglob("*.jsonl"))]


def size_of(path: Path) -> int:
    """Return how many bytes reading will go through."""
    return sum(part.size for part in transcripts(path))


@dataclass(slots=True)
class _Answer:
    """The lines of one answer so far, and what its tools gave."""

    key: str
    parent: str | None
    at_us: int | None
    message: Json = field(default_factory=dict)
    blocks: list[Json] = field(default_factory=list)
    results: list[Result] = field(default_factory=list)

    def said(self) -> list[ImportedMessage]:
        """Return its messages; its key grows with it, so that more of it is something new."""
        answer = ImportedMessage(
            key=f"{self.key}:{len(self.blocks)}",
            parent=None,
            role="assistant",
            text="",
            at_us=self.at_us,
            model=text(self.message.get("model")),
            backend=_BACKEND,
            spent=_spent(mapping(self.message.get("usage"))),
        )
        words = [text(each.get("text")) for each in self.blocks if each.get("type") == "text"]
        calls = [
            Call(text(each.get("id")), text(each.get("name")), written(each.get("input")))
            for each in self.blocks
            if each.get("type") == "tool_use"
        ]
        return messages_of(answer, [*words, *calls, *self.results])


@dataclass(slots=True)
class _Thread:
    """The session proper, or what agents did in it. `entry_of` finds a line's entry."""

    tree: Tree = field(default_factory=Tree)
    answers: dict[str, _Answer] = field(default_factory=dict)
    entry_of: dict[str, str] = field(default_factory=dict)
    last: str = ""

    def take(self, line: Json) -> None:
        """Take one line, whatever it is: others may follow it."""
        uuid = text(line.get("uuid"))
        if not uuid:
            return
        before = text(line.get("parentUuid")) or text(line.get("logicalParentUuid"))
        # A line that could not be read leaves a gap; what follows it is no new beginning.
        parent = self.entry_of.setdefault(before, self.last) if before else None
        message = mapping(line.get("message"))
        if any(line.get(name) for name in _NOT_SAID) or message.get("model") == _SYNTHETIC:
            message = {}
        if line.get("type") == "assistant" and message:
            self._answered(uuid, parent, line, message)
        elif line.get("type") == "user" and message:
            self._asked(uuid, parent, line, message)
        else:
            self._enter(uuid, uuid, parent, ())

    def finish(self) -> tuple[ImportedMessage, ...]:
        """Return all that was said."""
        for key, answer in self.answers.items():
            self.tree.add(key, answer.parent, answer.said())
        return self.tree.messages()

    def _answered(self, uuid: str, parent: str | None, line: Json, message: Json) -> None:
        key = text(message.get("id")) or uuid
        answer = self.answers.get(key)
        if answer is None:
            answer = _Answer(key, parent, time_us(line.get("timestamp")))
            self.answers[key] = answer
            self.tree.add(key, parent)  # keeps its place among the others
        answer.message = message
        answer.blocks += _blocks(message)
        self.entry_of[uuid] = self.last = key

    def _asked(self, uuid: str, parent: str | None, line: Json, message: Json) -> None:
        blocks = _blocks(message)
        results = [each for each in blocks if each.get("type") == "tool_result"]
        answer = self.answers.get(parent or "")
        if results and answer:
            answer.results += [
                Result(text(each.get("tool_use_id")), result_text(each.get("content")))
                for each in results
            ]
            self.entry_of[uuid] = self.last = answer.key
        words = as_typed(joined(_spoken(blocks)))
        if words or not (results and answer):
            said = ImportedMessage(
                key=uuid, parent=None, role="user", text=words, at_us=time_us(line.get("timestamp"))
            )
            self._enter(uuid, uuid, parent, (said,) if words else ())

    def _enter(
        self, uuid: str, key: str, parent: str | None, said: tuple[ImportedMessage, ...]
    ) -> None:
        self.tree.add(key, parent, said)
        self.entry_of[uuid] = key
        if said:
            self.last = key


@dataclass(slots=True)
class _Session:
    """What the lines of one transcript say."""

    name: str
    where: str
    main: _Thread = field(default_factory=_Thread)
    agents: _Thread = field(default_factory=_Thread)
    project: str = ""
    session: str = ""
    titles: dict[str, str] = field(default_factory=dict)

    def take(self, line: Json) -> None:
        """Take one line."""
        self.project = self.project or last_name(line.get("cwd"))
        self.session = self.session or text(line.get("sessionId"))
        self._name(line)
        (self.agents if line.get("isSidechain") else self.main).take(line)

    def conversations(self) -> Iterator[ImportedConversation]:
        """Yield the session, and what its agents did as something to count."""
        title = next((self.titles[kind] for kind in _TITLES if kind in self.titles), "")
        for thread, name in ((self.main, ""), (self.agents, "/agents")):
            messages = thread.finish()
            if messages:
                yield ImportedConversation(
                    id=f"claude-code:{self.name}{name}",
                    where=self.where,
                    messages=messages,
                    current=thread.tree.last_said(thread.last),
                    title=title,
                    project=self.project,
                    session=self.session or self.name,
                    remembered=thread is self.main,
                )

    def _name(self, line: Json) -> None:
        """Note what the session is called; a summary may be of the one it continues."""
        kind = text(line.get("type"))
        if kind in _TITLES and (title := text(line.get(_TITLES[kind]))):
            self.titles[kind] = title


# What a session may be called, best first, and where the line of that type has it.
_TITLES = {"custom-title": "customTitle", "ai-title": "aiTitle", "summary": "summary"}


def _blocks(message: Json) -> list[Json]:
    content = message.get("content")
    return [{"type": "text", "text": content}] if isinstance(content, str) else objects(content)


def _spoken(blocks: list[Json]) -> Iterator[str]:
    for block in blocks:
        if block.get("type") == "text":
            yield text(block.get("text"))
        elif block.get("type") == "image":
            yield "[image]"


def _spent(usage: Json) -> Spent:
    fresh, said = number(usage.get("input_tokens")), number(usage.get("output_tokens"))
    if fresh is None or said is None:
        return NOTHING_KNOWN
    cached = number(usage.get("cache_read_input_tokens")) or 0
    written_ = number(usage.get("cache_creation_input_tokens")) or 0
    return Spent(
        prompt=fresh + cached + written_, completion=said, cached=cached, cache_write=written_
    )
