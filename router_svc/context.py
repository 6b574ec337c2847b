"""Fits a conversation into a model's window by leaving out what matters least. Pure.

First goes what was recalled of other conversations, then turn after turn, oldest first.
Never goes: the system and developer messages at the head, and the last turn with the tool
loop that is running in it. A summary in place of the cut turns is `summary.py`'s.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from itertools import chain, takewhile

from lair.common.v1.chat_pb2 import Message

# The tokens of a prompt of these messages; more messages must never take fewer.
Estimate = Callable[[Sequence[Message]], int]

_HEAD_ROLES = ("system", "developer")
_RESULT_ROLES = ("tool", "function")


@dataclass(frozen=True, slots=True)
class Cut:
    """What was left out of a prompt, and its tokens before and after."""

    tokens_before: int
    tokens_after: int
    recall: bool = False
    turn_count: int = 0
    # Whether a summary stands in place of the turns.
    summarised: bool = False

    def __bool__(self) -> bool:
        return self.recall or bool(self.turn_count)

    def summary(self) -> str:
        """Say it in a header's few words; empty if nothing was cut."""
        if not self:
            return ""
        turns = f"{self.turn_count} oldest turn{'s' if self.turn_count > 1 else ''}"
        gone = ["recall"] if self.recall else []
        if self.turn_count and not self.summarised:
            gone.append(turns)
        said = [f"{' and '.join(gone)} left out"] if gone else []
        if self.summarised:
            said.append(f"{turns} summarised")
        return f"{', '.join(said)}; about {self.tokens_before} tokens to {self.tokens_after}"


@dataclass(frozen=True, slots=True)
class Fitted:
    """Messages that fit, and what was cut to make them."""

    messages: list[Message]
    cut: Cut


class ContextOverflowError(Exception):
    """Not even what must stay fits: `needed_tokens` of prompt into `room_tokens`.

    The room is the window of `budget_tokens` less what the reply may take.
    """

    def __init__(self, needed_tokens: int, budget_tokens: int, reply_tokens: int) -> None:
        self.needed_tokens = needed_tokens
        self.budget_tokens = budget_tokens
        self.reply_tokens = reply_tokens
        super().__init__(
            f"the last turn and the system prompt take about {needed_tokens} tokens; of "
            f"{budget_tokens} tokens, {reply_tokens} are kept for the reply"
        )

    @property
    def room_tokens(self) -> int:
        """The tokens that the prompt may take."""
        return max(0, self.budget_tokens - self.reply_tokens)


def fit(
    messages: Sequence[Message],
    *,
    budget_tokens: int,
    estimate: Estimate,
    recall_index: int | None = None,
    reply_tokens: int = 0,
) -> Fitted:
    """Cut as little as leaves `reply_tokens` of the window `budget_tokens` free.

    `recall_index` is the place of the message that holds what was recalled, if there is
    one. Raises `ContextOverflowError`.
    """
    room = budget_tokens - reply_tokens
    before = estimate(messages)
    if before <= room:
        return Fitted(list(messages), Cut(before, before))
    recalled = [] if recall_index is None else [[recall_index]]
    may_go = recalled + turns(messages, recall_index)[:-1]

    def left(count: int) -> list[Message]:
        return without(messages, set(chain.from_iterable(may_go[:count])))

    counts = range(len(may_go) + 1)
    count = bisect_left(counts, True, key=lambda count: estimate(left(count)) <= room)  # noqa: FBT003  # a value to find
    kept = left(count)
    after = estimate(kept)
    if count not in counts:
        raise ContextOverflowError(after, budget_tokens, reply_tokens)
    return Fitted(kept, Cut(before, after, bool(recalled), count - len(recalled)))


def turns(messages: Sequence[Message], recall_index: int | None = None) -> list[list[int]]:
    """Return the places of each turn's messages, oldest turn first.

    A turn is a user's message, system messages right in front of it, and all that follows
    up to the next. A user's message right behind a tool's result belongs to the loop that
    is running, and what separates a call from its result begins no turn. The head and the
    recalled message are in none.
    """
    places = [place for place in range(len(messages)) if place != recall_index]
    head = sum(1 for _ in takewhile(lambda place: messages[place].role in _HEAD_ROLES, places))
    found: list[list[int]] = []
    instructions: list[int] = []
    before = ""
    for place in places[head:]:
        role = messages[place].role
        if role in _HEAD_ROLES:
            instructions.append(place)
            continue
        if not found or (role == "user" and before not in _RESULT_ROLES):
            found.append([])
        found[-1] += [*instructions, place]
        instructions, before = [], role
    if found:
        found[-1] += instructions
    return _with_whole_calls(messages, found)


def without(messages: Sequence[Message], places: Collection[int]) -> list[Message]:
    """Return the messages that stand at none of `places`."""
    return [message for place, message in enumerate(messages) if place not in places]


def _with_whole_calls(messages: Sequence[Message], found: list[list[int]]) -> list[list[int]]:
    """Join the turns that a tool's call and its result lie in, and all between them."""
    joined: list[list[int]] = []
    called_in: dict[str, int] = {}
    for turn in found:
        first = number = len(joined)
        for place in turn:
            message = messages[place]
            called_in |= {call.id: number for call in message.tool_calls}
            if answered := message.tool_call_id:
                first = min(first, called_in.get(answered, number))
        joined[first:] = [[*chain.from_iterable(joined[first:]), *turn]]
        if first < number:
            called_in = {name: min(at, first) for name, at in called_in.items()}
    return joined
