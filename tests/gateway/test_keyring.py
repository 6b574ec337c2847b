"""A gateway's keys follow their file."""

from __future__ import annotations

from pathlib import Path

import pytest
import structlog.testing

from gateway.keyring import KeyRing
from svckit.keys import KeyFileError, changing_keys, digest_of, keys_file, write_private
from tests.gateway.keyed import add_key, change_keys


class Watched:
    """A ring over a folder, and the seconds that went by for it."""

    def __init__(self, folder: Path) -> None:
        self.seconds = 0.0
        self.file = keys_file(folder)
        self.ring = KeyRing(self.file, clock=lambda: self.seconds)

    def names(self, *, after: float = 1.0) -> set[str]:
        """Return the keys' names after so many seconds more."""
        self.seconds += after
        return {key.name for key in self.ring.current().values()}


def test_keys_are_found_by_their_digests(tmp_path: Path) -> None:
    secret = add_key(tmp_path, name="a")
    assert Watched(tmp_path).ring.current()[digest_of(secret)].name == "a"


def test_a_change_is_seen_after_a_second_and_not_looked_for_before(tmp_path: Path) -> None:
    watched = Watched(tmp_path)
    assert watched.names() == set()
    add_key(tmp_path, name="a")
    assert watched.names(after=0.9) == set()
    assert watched.names(after=0.1) == {"a"}
    add_key(tmp_path, name="b")
    assert watched.names() == {"a", "b"}
    change_keys(tmp_path, disabled=True)
    watched.names()
    assert all(key.disabled for key in watched.ring.current().values())


def test_the_last_key_may_go(tmp_path: Path) -> None:
    add_key(tmp_path, name="a")
    watched = Watched(tmp_path)
    with changing_keys(watched.file) as keys:
        keys.clear()
    assert watched.names() == set()
    assert watched.ring.fault == ""


@pytest.mark.parametrize(
    "spoil",
    [
        lambda file: write_private(file, b"{"),
        lambda file: write_private(file, file.read_bytes().replace(b'"a"', b'"\xff"')),
        Path.unlink,
    ],
    ids=["half", "no UTF-8", "gone"],
)
def test_keys_stay_in_force_while_their_file_is_spoilt(tmp_path: Path, spoil) -> None:
    add_key(tmp_path, name="a")
    watched = Watched(tmp_path)
    content = watched.file.read_bytes()
    with structlog.testing.capture_logs() as logged:
        spoil(watched.file)
        assert [watched.names() for _ in range(3)] == [{"a"}] * 3
        assert str(watched.file) in watched.ring.fault
        write_private(watched.file, content)
        assert watched.names() == {"a"}
    assert watched.ring.fault == ""
    assert [line["log_level"] for line in logged] == ["error", "info"], "once, not every second"


def test_a_spoilt_file_at_the_start_is_told(tmp_path: Path) -> None:
    write_private(keys_file(tmp_path), b"{")
    with pytest.raises(KeyFileError, match=r"keys\.json"):
        Watched(tmp_path)
