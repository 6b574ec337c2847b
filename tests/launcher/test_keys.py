"""`lair keys`, and what the other commands show where lair wants a key."""

from __future__ import annotations

import json
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import pytest

from launcher.exits import CommandFailedError
from launcher.new_key import Wish, made
from svckit.keys import DEFAULT_SCOPES, ApiKey, digest_of, keys_file, owner_file, read_keys
from svckit.keys import write_private as write
from tests.launcher.scripted_gateway import ScriptedGateway
from tests.launcher.support import Ended, Lair

NOW = datetime(2026, 11, 21, 12, 0, tzinfo=timezone(timedelta(hours=-5)))
DAY_US = 86_400_000_000
# Enough of an answer for each command that asks.
ANSWER = {"enabled": False, "backends": [], "candidates": [], "chosen": "tiny"}


@pytest.fixture
def data_dir(tmp_path: Path) -> Path:
    """Where the command of the fixture `lair` has its data."""
    return tmp_path / "data"


def stored(data_dir: Path) -> list[ApiKey]:
    return list(read_keys(keys_file(data_dir)))


def created(lair: Lair, *options: str) -> str:
    """Make a key; return its secret."""
    ended = lair("keys", "create", *options)
    assert ended.code == 0, ended.err
    [secret] = ended.out.split()
    return secret


def test_a_key_is_printed_once_and_known_by_its_digest(lair: Lair, data_dir: Path) -> None:
    secret = created(lair, "laptop")
    [key] = stored(data_dir)
    assert (key.name, key.digest, key.prefix) == ("laptop", digest_of(secret), secret[:9])
    assert (key.user_id, key.scopes) == ("local", DEFAULT_SCOPES)
    assert (key.expires_us, key.disabled, key.limited) == (None, False, False)
    assert secret not in keys_file(data_dir).read_text()
    assert secret not in lair("keys", "list").out + lair("keys", "list", "--json").out


def test_only_the_key_is_on_standard_output(lair: Lair) -> None:
    first, second = lair("keys", "create", "a"), lair("keys", "create", "b")
    assert len(first.out.split()) == len(second.out.split()) == 1
    assert "shown once only" in first.err
    assert "every request to lair needs one" in first.err
    assert "every request" not in second.err


def test_every_option_becomes_part_of_the_key(lair: Lair, data_dir: Path) -> None:
    options = "--user ana --project tea --scope chat,admin --model m --model b/n --memory recall"
    limits = "--priority batch --requests-per-minute 5 --tokens-per-day 1000 --expires 30d"
    created(lair, "ci", *options.split(), *limits.split())
    [key] = stored(data_dir)
    assert (key.user_id, key.project, key.models) == ("ana", "tea", ("m", "b/n"))
    assert key.scopes == {"chat", "admin"}
    assert (key.memory_policy, key.priority) == ("recall", "batch")
    assert (key.requests_per_minute, key.tokens_per_day) == (5, 1000)
    assert key.expires_us == key.created_us + 30 * DAY_US


def test_the_configured_user_owns_a_key_unless_it_is_for_any(
    lair: Lair, data_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LAIR_MEMORY__DEFAULT_USER", "me")
    created(lair, "mine")
    created(lair, "app", "--any-user")
    assert [key.user_id for key in stored(data_dir)] == ["me", ""]


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["two words"], "no name for a key"),
        (["x" * 65], "no name for a key"),
        (["taken"], "lair keys delete taken"),
        (["a", "--scope", "chat,everything"], "'everything' is no scope; there are: chat"),
        (["a", "--expires", "soon"], "30d"),
        (["a", "--expires", "2020-01-01"], "is over already"),
        (["a", "--expires", "0d"], "is over already"),
        (["a", "--expires", "99999d", "--user", "x" * 257], "--user"),
        (["a", "--project", "\x07"], "--project"),
    ],
)
def test_what_cannot_be_is_refused_with_what_to_write(
    lair: Lair, data_dir: Path, options: list[str], words: str
) -> None:
    created(lair, "taken")
    ended = lair("keys", "create", *options)
    assert (ended.code, ended.out) == (1, "")
    assert words in ended.err
    assert len(stored(data_dir)) == 1


@pytest.mark.parametrize(
    "options",
    [
        ["--user", "ana", "--any-user"],
        ["--memory", "some"],
        ["--priority", "high"],
        ["--requests-per-minute", "-1"],
    ],
)
def test_options_that_make_no_sense_are_a_usage_error(
    lair: Lair, data_dir: Path, options: list[str]
) -> None:
    assert lair("keys", "create", "a", *options).code == 2
    assert stored(data_dir) == []


@pytest.mark.parametrize(
    ("written", "end"),
    [
        ("45m", NOW + timedelta(minutes=45)),
        ("12h", NOW + timedelta(hours=12)),
        ("30d", NOW + timedelta(days=30)),
        ("2027-01-01", datetime(2027, 1, 1, tzinfo=NOW.tzinfo)),
    ],
)
def test_a_key_ends_after_a_while_or_as_a_local_day_begins(written: str, end: datetime) -> None:
    key, _ = made(Wish("a", "local", expires=written), (), NOW)
    assert key.expires_us == end.timestamp() * 1_000_000


def test_an_id_is_no_name_for_another_key() -> None:
    key, _ = made(Wish("a", "local"), (), NOW)
    with pytest.raises(CommandFailedError, match="already"):
        made(Wish(key.id, "local"), (key,), NOW)


def test_the_list_shows_each_key_in_a_line(lair: Lair) -> None:
    assert "there are no keys" in lair("keys", "list").out
    created(lair, "laptop", "--requests-per-minute", "20")
    created(lair, "ci", "--any-user", "--scope", "chat", "--model", "m", "--expires", "2d")
    lair("keys", "disable", "ci")
    title, laptop, ci = (line.split() for line in lair("keys", "list").out.splitlines())
    assert title[:4] == ["name", "key", "state", "user"]
    assert (laptop[0], laptop[2], laptop[3]) == ("laptop", "active", "local")
    assert "20 requests/min" in " ".join(laptop)
    assert (ci[0], ci[2], ci[3:6]) == ("ci", "disabled", ["any", "chat", "m"])


def test_json_has_what_programs_need_and_no_digest(lair: Lair, data_dir: Path) -> None:
    made_now = json.loads(lair("keys", "create", "ci", "--tokens-per-day", "9", "--json").out)
    secret = made_now.pop("key")
    [listed] = json.loads(lair("keys", "list", "--json").out)["keys"]
    assert listed == made_now
    assert (listed["name"], listed["tokens_per_day"], listed["state"]) == ("ci", 9, "active")
    assert digest_of(secret) not in json.dumps(listed)
    assert stored(data_dir)[0].digest == digest_of(secret)


@pytest.mark.parametrize("by", ["name", "id"])
def test_keys_are_disabled_enabled_and_deleted(lair: Lair, data_dir: Path, by: str) -> None:
    created(lair, "a")
    created(lair, "b")
    which = getattr(stored(data_dir)[0], by)
    lair("keys", "disable", which)
    assert [key.disabled for key in stored(data_dir)] == [True, False]
    lair("keys", "enable", which)
    assert [key.disabled for key in stored(data_dir)] == [False, False]
    assert "last" not in lair("keys", "delete", which).err
    assert [key.name for key in stored(data_dir)] == ["b"]
    assert "answers everybody of this machine" in lair("keys", "delete", "b").err
    assert stored(data_dir) == []


@pytest.mark.parametrize("command", ["disable", "enable", "delete"])
def test_a_key_that_is_not_there_is_an_error(lair: Lair, command: str) -> None:
    ended = lair("keys", command, "nope")
    assert (ended.code, ended.out) == (1, "")
    assert "there is no key 'nope'; lair keys list" in ended.err


@pytest.mark.parametrize("command", ["list", "create a", "delete a"])
def test_a_spoilt_file_is_named_and_kept(lair: Lair, data_dir: Path, command: str) -> None:
    write(keys_file(data_dir), b"{")
    ended = lair("keys", *command.split())
    assert (ended.code, ended.out) == (1, "")
    assert str(keys_file(data_dir)) in ended.err
    assert keys_file(data_dir).read_bytes() == b"{"


def shown_by(gateway: ScriptedGateway) -> str | None:
    """Return what the last request showed."""
    _, headers, _ = gateway.asked[-1]
    return headers.get("authorization")


@pytest.mark.parametrize("command", ["status", "gaming", "route x", "chat x --no-stream"])
def test_commands_show_the_owners_token_or_the_key_of_the_environment(
    lair: Lair,
    gateway: ScriptedGateway,
    data_dir: Path,
    command: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    gateway.answer_json(ANSWER)
    lair(*command.split())
    assert shown_by(gateway) is None
    write(owner_file(data_dir), b"token")
    lair(*command.split())
    assert shown_by(gateway) == "Bearer token"
    monkeypatch.setenv("LAIR_API_KEY", "lair_mine")
    lair(*command.split())
    assert shown_by(gateway) == "Bearer lair_mine"


def test_a_command_finds_the_token_in_the_data_directory_it_is_told(
    lair: Lair, gateway: ScriptedGateway, tmp_path: Path
) -> None:
    gateway.answer_json(ANSWER)
    write(owner_file(tmp_path / "other"), b"token")
    lair("gaming", "--data-dir", str(tmp_path / "other"))
    assert shown_by(gateway) == "Bearer token"


def test_a_refusal_is_told_in_lairs_words(lair: Lair, gateway: ScriptedGateway) -> None:
    body = {"error": {"message": "send an API key"}}
    gateway.answer_json(body, status=401)
    ended: Ended = lair("gaming")
    assert (ended.code, ended.err) == (1, "lair: send an API key\n")


@pytest.mark.parametrize(("state", "code"), [("ok", 0), ("degraded", 1), ("down", 1)])
def test_status_without_a_key_says_how_lair_is_and_how_to_learn_more(
    lair: Lair, gateway: ScriptedGateway, state: str, code: int
) -> None:
    body: dict[str, Any] = {"status": state}
    gateway.answer_json(body, www_authenticate='Bearer realm="lair"')
    ended = lair("status")
    assert ended.code == code
    assert f"lair is {state} at" in ended.out
    assert "LAIR_API_KEY" in ended.out
    assert json.loads(lair("status", "--json").out) == body
