"""A tool's input out of the arguments as a model writes them: always one JSON object.

Clients add up the pieces of a streamed input and fail on what is no JSON, and nothing that
was sent can be taken back. So a piece goes out as soon as it can only be the beginning of an
object; where the model writes something else, or is cut off, the object is closed, and holds
all that was written under `INVALID_JSON`, the name that Anthropic's own documents suggest.
"""

from __future__ import annotations

import re
from typing import Any

import msgspec

INVALID = "INVALID_JSON"

_DEEPEST = 90  # what readers of JSON bear at least
_SPACE = " \t\n\r"
_IN_KEY, _IN_TEXT = "in key", "in text"
_BEGIN, _KEY, _NEXT_KEY, _COLON = "begin", "key", "next key", "colon"
_VALUE, _ITEM, _NEXT_ITEM, _AFTER, _END = "value", "item", "next item", "after", "end"
# What may follow where, and where that leads; containers are opened and closed beside it.
_MOVES = {
    (_BEGIN, "{"): _KEY,
    (_KEY, '"'): _IN_KEY,
    (_NEXT_KEY, '"'): _IN_KEY,
    (_COLON, ":"): _VALUE,
    **{(state, '"'): _IN_TEXT for state in (_VALUE, _ITEM, _NEXT_ITEM)},
    **{(state, "{"): _KEY for state in (_VALUE, _ITEM, _NEXT_ITEM)},
    **{(state, "["): _ITEM for state in (_VALUE, _ITEM, _NEXT_ITEM)},
}
# What closes a text that ends there, apart from its containers.
_CLOSERS = {_IN_KEY: '":null', _COLON: ":null", _VALUE: ":null", _IN_TEXT: '"'}
_RUN = re.compile(
    r'(?:[^"\\\x00-\x1f]+|\\["\\/bfnrt]|\\u(?![dD][89a-fA-F])[0-9a-fA-F]{4}'
    r"|\\u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2})*"
)
_BEGUN_ESCAPE = re.compile(
    r"\\(?:u(?:[0-9a-fA-F]{0,3}|[dD][89abAB][0-9a-fA-F]{2}(?:\\(?:u(?:[dD]"
    r"(?:[c-fC-F][0-9a-fA-F]?)?)?)?)?)?)?"
)
_SCALAR = re.compile(
    r"(?:true|false|null|-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?(?:[eE][+-]?[0-9]+)?)(?=[ \t\n\r,\]}])"
)
_BEGUN_SCALAR = re.compile(r"[-+.a-zA-Z0-9]+")


def tool_input(arguments: str) -> dict[str, Any]:
    """Return the input that whole arguments amount to."""
    text = ObjectText()
    try:
        value: dict[str, Any] = msgspec.json.decode(text.feed(arguments) + text.close())
    except msgspec.DecodeError:  # a number that no computer holds
        return {INVALID: arguments}
    return value


class ObjectText:
    """The text of one object, passed on as it grows."""

    def __init__(self) -> None:
        self._came: list[str] = []
        self._left = ""  # not understood yet
        self._held = ""  # understood, and kept back: separators, of which nothing may follow
        self._open: list[str] = []
        self._state = _BEGIN
        self._broken = False
        self._has_keys = False

    @property
    def complete(self) -> bool:
        """Whether the object has come to its end."""
        return self._state == _END and not self._broken

    def feed(self, piece: str) -> str:
        """Take what comes; return what can go out, which is less than the whole object."""
        self._came.append(piece)
        if self._broken:
            return ""
        self._left += piece
        end = self._scan()
        known, self._left = self._held + self._left[:end], self._left[end:]
        if self._state in (_IN_KEY, _IN_TEXT):
            self._held = ""
            return known
        ready = known.rstrip(f"{_SPACE},:")
        if self._state == _END:
            self._held = ""
            return ready.removesuffix("}")  # the last brace waits for what may follow it
        self._held = known[len(ready) :]
        return ready

    def close(self) -> str:
        """Return what ends the object."""
        if self.complete:
            return "}"
        whole = "".join(self._came)
        if not whole.strip():
            return "{}"
        invalid = f"{msgspec.json.encode(INVALID).decode()}:{msgspec.json.encode(whole).decode()}"
        if self._state == _BEGIN:
            return f"{{{invalid}}}"
        nested = "".join(reversed(self._open[1:]))
        comma = "," if self._has_keys else ""
        return f"{_CLOSERS.get(self._state, '')}{nested}{comma}{invalid}}}"

    def _scan(self) -> int:
        """Understand what is left as far as it can be; return how far that is."""
        text, at = self._left, 0
        while at < len(text) and not self._broken:
            if self._state in (_IN_KEY, _IN_TEXT):
                end = self._string(at)
            elif text[at] in _SPACE:
                end = at + 1
            elif text[at] in '"{}[],:':
                end = at + 1 if self._takes(text[at]) else at
            else:
                end = self._scalar(at)
            if end == at:
                break  # broken, or it has to go on before it is understood
            at = end
        return at

    def _string(self, at: int) -> int:
        run = _RUN.match(self._left, at)
        end = run.end() if run else at
        if end == len(self._left):
            return end
        if self._left[end] == '"':
            self._state = _COLON if self._state == _IN_KEY else _AFTER
            return end + 1
        self._broken = not _BEGUN_ESCAPE.fullmatch(self._left, end)
        return end

    def _scalar(self, at: int) -> int:
        found = _SCALAR.match(self._left, at)
        if self._state not in (_VALUE, _ITEM, _NEXT_ITEM):
            self._broken = True
        elif found:
            self._state = _AFTER
            return found.end()
        else:
            self._broken = not _BEGUN_SCALAR.fullmatch(self._left, at)
        return at

    def _takes(self, mark: str) -> bool:
        """Note a mark; tell whether it may stand there."""
        state = self._after(mark)
        if state is None or len(self._open) > _DEEPEST:
            self._broken = True
            return False
        self._state = state
        return True

    def _after(self, mark: str) -> str | None:
        top = self._open[-1] if self._open else ""
        if mark == "," and self._state == _AFTER:
            return _NEXT_KEY if top == "}" else _NEXT_ITEM
        if mark in "]}":
            empty = _KEY if mark == "}" else _ITEM
            if mark != top or self._state not in (_AFTER, empty):
                return None
            self._open.pop()
            return _AFTER if self._open else _END
        state = _MOVES.get((self._state, mark))
        if state and mark in "{[":
            self._open.append("}" if mark == "{" else "]")
        if state == _IN_KEY and len(self._open) == 1:
            self._has_keys = True
        return state
