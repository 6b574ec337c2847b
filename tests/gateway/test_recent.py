from __future__ import annotations

from uuid_utils import uuid7

from gateway.recent import Recent

OLD = "01920000-0000-7000-8000-0000000000ab"


def test_the_latest_response_of_a_conversation_is_waited_for_once():
    recent = Recent()
    first, second = str(uuid7()), str(uuid7())
    recent.note("ada", "c", first)
    recent.note("ada", "c", second)
    recent.note("bob", "c", first)
    assert recent.take("ada", "c") == second
    assert recent.take("ada", "c") == ""
    assert recent.take("bob", "c") == first


def test_one_of_long_ago_is_not_waited_for():
    recent = Recent()
    recent.note("ada", "c", OLD)
    assert recent.take("ada", "c") == ""


def test_only_so_many_conversations_are_held():
    recent = Recent(limit=2)
    for name in "abc":
        recent.note("ada", name, str(uuid7()))
    assert [bool(recent.take("ada", name)) for name in "abc"] == [False, True, True]
