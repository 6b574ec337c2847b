"""What a store of one conversation must hold, told in the plainest way.

A message is the whole path that ends in it, a tuple of (role, text); so a tree is a set
of paths. Nothing here is clever, fast or shared with the code that is tested.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace

Said = tuple[str, str]
Path = tuple[Said, ...]


@dataclass(frozen=True)
class NaiveTurn:
    """What a turn sent (its last `count` messages of `sent`), and the path of its answer."""

    system: str
    sent: Path
    count: int
    answer: Path | None
    tokens: int

    def own(self) -> set[Path]:
        sent = {self.sent[: len(self.sent) - n] for n in range(self.count)}
        return sent | ({self.answer} if self.answer else set())

    def end(self) -> Path:
        return self.answer or self.sent


@dataclass
class NaiveConversation:
    """Turns and the tree that they made; `ages` holds each message and when it came."""

    turns: dict[str, NaiveTurn] = field(default_factory=dict)
    ages: dict[Path, int] = field(default_factory=dict)
    head: Path = ()
    clock: int = 0

    def append(
        self, name: str, *, start: Path, system: str, sent: Path, reply: str | None, tokens: int
    ) -> None:
        begin, first, new = (start, len(start), sent) if start else self.rejoined(sent)
        path = begin + new
        answer = (*path, ("assistant", reply)) if reply is not None else None
        self.turns[name] = NaiveTurn(system, path, len(path) - first, answer, tokens)
        end = answer or path
        for length in range(1, len(end) + 1):
            if end[:length] not in self.ages:
                self.clock += 1
                self.ages[end[:length]] = self.clock
        self.head = end or self.head

    def before_attempt(self, sent: Path) -> Path:
        """Return what comes before `sent` at the end of the active path, if it stands there."""
        if sent and self.head[-len(sent) :] == sent:
            return self.head[: len(self.head) - len(sent)]
        return self.head

    def rejoined(self, sent: Path) -> tuple[Path, int, Path]:
        """Return the path that `sent`, from the root, goes on, its first place, and what is new.

        What is known of its beginning stays; what it repeats behind that, up to its last
        answer, may stand further down: best on the active path, else where it came last.
        """
        known = max(n for n in range(len(sent) + 1) if not n or sent[:n] in self.ages)
        rest = sent[known:]
        count = max((n + 1 for n, said in enumerate(rest) if said[0] == "assistant"), default=0)
        for end in self._ends() if count else ():
            if end[:known] != sent[:known]:
                continue
            for last in range(len(end), known + count - 1, -1):
                if end[last - count : last] == rest[:count]:
                    return end[:last], 0 if known else last - count, rest[count:]
        return sent[:known], 0, rest

    def delete_turn(self, name: str) -> int:
        path, gone = self.turns.pop(name).end(), 0
        while path and not self._is_kept(path):
            del self.ages[path]
            gone += 1
            path = path[:-1]
        self._move_turns(lambda old: path if old not in self.ages and old else old)
        if self.head and self.head not in self.ages:
            self.head = self._newest_end(path)
        return gone

    def delete_message(self, gone: Path) -> None:
        def moved(path: Path) -> Path:
            return gone[:-1] + path[len(gone) :] if _begins(path, gone) else path

        for name, turn in self.turns.items():
            if _begins(turn.sent, gone) and len(turn.sent) - len(gone) < turn.count:
                self.turns[name] = replace(turn, count=turn.count - 1)
            if turn.answer == gone:
                self.turns[name] = replace(self.turns[name], answer=None)
        ages: dict[Path, int] = {p: a for p, a in self.ages.items() if not _begins(p, gone)}
        behind = [p for p in self.ages if _begins(p, gone) and p != gone]
        for path in sorted(behind, key=lambda p: (len(p), self.ages[p])):
            ages.setdefault(moved(path), self.ages[path])
        self.ages = ages
        self._move_turns(moved)
        self.head = moved(self.head)

    def system_of(self, name: str) -> str:
        """Return the system message in front of the path that ends in a turn."""
        end, names = self.turns[name].end(), list(self.turns)
        told = [
            (len(other.end()), other_name == name, names.index(other_name), other.system)
            for other_name, other in self.turns.items()
            if other.system and other.end() and _begins(end, other.end())
        ]
        return max(told)[-1] if told else ""

    def last_system(self) -> str:
        """Return the latest system message that is left."""
        return next((turn.system for turn in reversed(self.turns.values()) if turn.system), "")

    def _is_kept(self, path: Path) -> bool:
        followed = any(_begins(other, path) and other != path for other in self.ages)
        return followed or any(path in turn.own() for turn in self.turns.values())

    def _ends(self) -> list[Path]:
        """Return the active path, and then the others, those that ended last first."""
        ends = [p for p in self.ages if not any(_begins(q, p) and q != p for q in self.ages)]
        others = [end for end in ends if end != self.head]
        return [self.head, *sorted(others, key=self.ages.__getitem__, reverse=True)]

    def _newest_end(self, start: Path) -> Path:
        beneath = [path for path in self.ages if _begins(path, start)]
        ends = [p for p in beneath if not any(_begins(q, p) and q != p for q in beneath)]
        return max(ends, key=self.ages.__getitem__, default=start)

    def _move_turns(self, moved) -> None:
        for name, turn in self.turns.items():
            answer = moved(turn.answer) if turn.answer else None
            self.turns[name] = replace(turn, sent=moved(turn.sent), answer=answer)


def _begins(path: Path, start: Path) -> bool:
    return path[: len(start)] == start
