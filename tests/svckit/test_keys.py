"""The file of API keys."""

from __future__ import annotations

import stat
import threading
from pathlib import Path

import pytest

from svckit.keys import (
    KeyFileError,
    changing_keys,
    digest_of,
    keys_file,
    new_secret,
    prefix_of,
    read_keys,
    write_private,
)
from tests.gateway.keyed import add_key, make_key


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return keys_file(tmp_path / "data")


def mode_of(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def test_what_was_added_is_read_with_every_field(file: Path) -> None:
    key, _ = make_key(
        scopes=frozenset({"chat", "admin"}),
        user_id="ana",
        project="tea",
        models=("m", "a/b"),
        memory_policy="recall",
        priority="batch",
        requests_per_minute=3,
        tokens_per_day=4,
        created_us=5,
        expires_us=6,
        disabled=True,
    )
    with changing_keys(file) as keys:
        keys.append(key)
    assert read_keys(file) == (key,)


def test_no_file_is_no_keys(file: Path) -> None:
    assert read_keys(file) == ()


def test_a_secret_is_long_begins_with_lair_and_is_nowhere_in_the_folder(tmp_path: Path) -> None:
    secret = add_key(tmp_path)
    assert secret.startswith("lair_")
    assert len(secret) >= len("lair_") + 32
    contents = [path.read_text() for path in keys_file(tmp_path).parent.iterdir()]
    assert any(digest_of(secret) in text for text in contents)
    assert not any(secret in text for text in contents)
    assert any(prefix_of(secret) in text for text in contents)
    assert len(prefix_of(secret)) < 10


def test_secrets_differ() -> None:
    assert len({new_secret() for _ in range(100)}) == 100


def test_only_this_user_may_look(file: Path) -> None:
    add_key(file.parents[1])
    assert mode_of(file.parent) == 0o700
    assert {mode_of(path) for path in file.parent.iterdir()} == {0o600}


def test_a_file_of_somebody_elses_mode_is_private_after_a_change(file: Path) -> None:
    add_key(file.parents[1])
    file.chmod(0o644)
    add_key(file.parents[1])
    assert mode_of(file) == 0o600


def test_a_change_that_fails_changes_nothing(file: Path) -> None:
    add_key(file.parents[1])
    before = file.read_bytes()

    def fail() -> None:
        with changing_keys(file) as keys:
            keys.clear()
            raise ValueError("no")

    with pytest.raises(ValueError, match="no"):
        fail()
    assert file.read_bytes() == before


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"{", "is no file of keys"),
        (b"[]", "is no file of keys"),
        (b'{"version": 1}', "keys"),
        (b'{"version": 1, "keys": [{"id": 7}]}', "is no file of keys"),
        (b'{"version": 2, "keys": "whatever"}', "update lair"),
        (b'{"version": 1, "keys": [{"id": "\xff"}]}', "is no file of keys"),
        (b'{"version": 1, "keys": ' + b"[" * 100_000, "is no file of keys"),
    ],
)
def test_a_file_that_is_none_is_named_with_what_is_wrong(
    file: Path, content: bytes, words: str
) -> None:
    write_private(file, content)
    with pytest.raises(KeyFileError) as raised:
        read_keys(file)
    assert str(file) in str(raised.value)
    assert words in str(raised.value)
    assert "\n" not in str(raised.value)


def test_a_broken_file_is_not_overwritten(file: Path) -> None:
    write_private(file, b"{")
    with pytest.raises(KeyFileError), changing_keys(file):
        pytest.fail("there is nothing to change")
    assert file.read_bytes() == b"{"


def test_what_cannot_be_read_is_named(file: Path) -> None:
    file.mkdir(parents=True)
    with pytest.raises(KeyFileError, match=r"keys\.json: cannot be read: Is a directory"):
        read_keys(file)


def test_changes_at_the_same_time_all_count_and_readers_see_no_half(file: Path) -> None:
    seen = []

    def change() -> None:
        for _ in range(10):
            add_key(file.parents[1])
            seen.append(len(read_keys(file)))

    threads = [threading.Thread(target=change) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(read_keys(file)) == 40
    assert len(seen) == 40
