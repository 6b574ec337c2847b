"""An answer that was given in steps: words, calls of tools, what these gave, more words.

Several programs keep it as one message; models and lair know it as several.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field, replace

from launcher.importing.conversation import Call, ImportedMessage
from launcher.importing.values import joined, shortened


@dataclass(frozen=True, slots=True)
class Result:
    """What a tool gave; an empty `call_id` stands for the call before it."""

    call_id: str
    text: str


@dataclass(frozen=True, slots=True)
class NextStep:
    """Whatever comes now was said in another step."""


@dataclass(slots=True)
class _Step:
    texts: list[str] = field(default_factory=list)
    calls: list[Call] = field(default_factory=list)
    results: list[Result] = field(default_factory=list)

    @property
    def empty(self) -> bool:
        return not (self.calls or joined(self.texts))


Piece = str | Call | Result | NextStep


def messages_of(answer: ImportedMessage, pieces: Iterable[Piece]) -> list[ImportedMessage]:
    """Return the messages of an answer, each step's tools behind it.

    What `answer` says of its use belongs to the last step; the others are not counted, for
    its source counted one request.
    """
    steps = [step for step in _steps(pieces) if not step.empty]
    said: list[ImportedMessage] = []
    for number, step in enumerate(steps, 1):
        last = number == len(steps)
        spoken = replace(answer, text=joined(step.texts, "\n\n"), calls=tuple(step.calls))
        if not last:
            key = f"{answer.key}#{number}"
            spoken = replace(spoken, key=key, counted=False, spent=type(answer.spent)())
        said.append(spoken)
        said += _results(spoken, step)
    return said


def _steps(pieces: Iterable[Piece]) -> list[_Step]:
    steps = [_Step()]
    for piece in pieces:
        step = steps[-1]
        # Words behind a tool's result are said with it in mind.
        if isinstance(piece, NextStep) or (isinstance(piece, str) and step.results):
            step = _Step()
            steps.append(step)
        if isinstance(piece, str):
            step.texts.append(piece)
        elif isinstance(piece, Call):
            step.calls.append(piece)
        elif isinstance(piece, Result) and step.calls:
            step.results.append(piece)
    return steps


def _results(spoken: ImportedMessage, step: _Step) -> list[ImportedMessage]:
    """Return the tools' messages, one for each call that was answered."""
    given: dict[str, Result] = {}
    for result in step.results:
        given.setdefault(result.call_id or step.calls[-1].id, result)
    return [
        ImportedMessage(
            key=f"{spoken.key}/{call.id}",
            parent=None,
            role="tool",
            text=shortened(given[call.id].text),
            at_us=spoken.at_us,
            call_id=call.id,
        )
        for call in step.calls
        if call.id in given
    ]
