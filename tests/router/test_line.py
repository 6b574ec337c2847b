"""The order in which those that wait are served can be told beforehand, and is fair."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from router_svc.line import PASSED_AT_MOST, Line, Priority
from tests.router.line_rules import Witness

CLASSES = {"I": Priority.INTERACTIVE, "A": Priority.AGENT, "B": Priority.BATCH}
PRIORITIES = st.sampled_from(Priority)
KEYS = st.sampled_from("xyz")


def line_of(*names: str) -> Line[str]:
    """Let items wait that are called by class, key and number: `Ax1`."""
    line: Line[str] = Line()
    for name in names:
        line.add(name, CLASSES[name[0]], name[1])
    return line


def drained(line: Line[str]) -> list[str]:
    return [line.pop() for _ in range(len(line))]


@pytest.mark.parametrize(
    ("came", "served"),
    [
        ("Ix1 Ix2 Ix3", "Ix1 Ix2 Ix3"),
        ("Bx1 Ax1 Ix1", "Ix1 Ax1 Bx1"),
        ("Ax1 Ax2 Ax3 Ay1 Az1 Az2", "Ax1 Ay1 Az1 Ax2 Az2 Ax3"),
        ("Ay1 Ax1 Ax2 Ay2", "Ay1 Ax1 Ay2 Ax2"),
        ("Ax1 Ix1 Ax2 Ix2 Iy1", "Ix1 Iy1 Ix2 Ax1 Ax2"),
    ],
    ids=["arrival", "classes", "turns of keys", "turns begin with who came first", "both"],
)
def test_order(came: str, served: str) -> None:
    line = line_of(*came.split())
    assert " ".join(line.order()) == served
    assert " ".join(drained(line)) == served


def test_a_key_with_many_waits_lets_a_newcomer_in_after_one() -> None:
    line = line_of(*(f"Ax{n}" for n in range(20)))
    assert line.pop() == "Ax0"
    line.add("Ay0", Priority.AGENT, "y")
    assert [line.pop(), line.pop(), line.pop()] == ["Ax1", "Ay0", "Ax2"]


def test_coming_back_earns_no_earlier_turn() -> None:
    line = line_of("Ax0", "Ay0", "Ay1")
    for n in range(1, 5):  # x never has anything left when it has been served
        assert sorted(name[1] for name in (line.pop(), line.pop())) == ["x", "y"]
        line.add(f"Ax{n}", Priority.AGENT, "x")
        line.add(f"Ay{n + 1}", Priority.AGENT, "y")


def test_lower_classes_are_passed_over_so_often_and_no_oftener() -> None:
    line = line_of(*(f"Ix{n}" for n in range(30)), "Ax1", "Ax2", "Bx1", "Bx2")
    classes = "".join(name[0] for name in drained(line))
    # Both are due after 8. Then agent's turn is one that batch was passed over.
    assert classes == "IIIIIIII" + "BA" + "IIIIIII" + "BIA" + "I" * 14


def test_who_leaves_was_never_there() -> None:
    line = line_of("Ax1", "Ax2", "Ay1", "Iz1")
    line.remove("Ax1", Priority.AGENT, "x")
    line.remove("Iz1", Priority.INTERACTIVE, "z")
    assert drained(line) == ["Ax2", "Ay1"]


def test_a_class_that_emptied_is_not_owed_anything() -> None:
    line = line_of("Bx1", *(f"Ix{n}" for n in range(20)))
    for _ in range(PASSED_AT_MOST):
        line.pop()
    line.remove("Bx1", Priority.BATCH, "x")
    line.add("Bx2", Priority.BATCH, "x")
    assert [line.pop()[0] for _ in range(PASSED_AT_MOST + 1)] == ["I"] * PASSED_AT_MOST + ["B"]


@given(st.lists(st.tuples(PRIORITIES, KEYS), max_size=30), st.integers(0, 30), PRIORITIES, KEYS)
def test_a_newcomer_is_told_who_of_its_class_and_how_many_of_higher_ones_go_first(
    asks: list[tuple[Priority, str]], served: int, priority: Priority, key: str
) -> None:
    line: Line[int] = Line()
    for number, ask in enumerate(asks):
        line.add(number, *ask)
    for _ in range(min(served, len(asks))):
        line.pop()
    told = line.ahead_of_newcomer(priority, key)
    classes = list(Priority)
    ranks = [classes.index(asks[number][0]) for number in line.order()]
    line.add(-1, priority, key)
    order = list(line.order())
    before = [asks[number][0] for number in order[: order.index(-1)]]
    higher = sum(rank < classes.index(priority) for rank in ranks)
    assert told == higher + before.count(priority)


class Waiting(RuleBasedStateMachine):
    """Lets items come, leave and be served, before the eyes of a witness."""

    def __init__(self) -> None:
        super().__init__()
        self.line: Line[int] = Line()
        self.witness = Witness()
        self.count = 0

    @rule(priority=PRIORITIES, key=KEYS, times=st.integers(1, 4))
    def come(self, priority: Priority, key: str, times: int) -> None:
        for _ in range(times):
            self.count += 1
            self.line.add(self.count, priority, key)
            self.witness.came(self.count, priority, key)

    @precondition(lambda self: self.witness.waiting)
    @rule(data=st.data())
    def leave(self, data: st.DataObject) -> None:
        who = data.draw(st.sampled_from(sorted(self.witness.waiting)))
        self.line.remove(who, *self.witness.waiting[who])
        self.witness.left(who)

    @precondition(lambda self: self.witness.waiting)
    @rule(times=st.integers(1, 12))
    def serve(self, times: int) -> None:
        told = list(self.line.order())[:times]
        served = [self.line.pop() for _ in told]
        assert served == told
        for who in served:
            self.witness.was_served(who)

    @invariant()
    def keeps_the_rules(self) -> None:
        assert self.witness.broken == []

    @invariant()
    def holds_who_waits_and_nothing_else(self) -> None:
        assert sorted(self.line.order()) == sorted(self.witness.waiting)
        assert len(self.line) == len(self.witness.waiting)
        keys = [(p, k) for p, turns in zip(Priority, self.line._turns, strict=True) for k in turns]
        assert set(keys) == set(self.witness.waiting.values())
        assert len(keys) == len(set(keys))


TestWaiting = Waiting.TestCase
TestWaiting.settings = settings(max_examples=60, stateful_step_count=40, deadline=None)
