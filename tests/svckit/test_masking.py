"""Passwords in URLs are not shown."""

from __future__ import annotations

import pytest

from svckit.config import ConfigError, load_settings
from svckit.masking import masked, without

SECRET = "s3cret"


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("http://ann:s3cret@host:8000/v1", "http://***@host:8000/v1"),
        ("https://ann@host/v1?at=@x", "https://***@host/v1?at=@x"),
        ("http://ann:s3@cret@host", "http://***@host"),
        (
            "at http://a:s3cret@h/v1: no, https://b:s3cret@i",
            "at http://***@h/v1: no, https://***@i",
        ),
        ("http://host/users/@ann", "http://host/users/@ann"),
        ("write to ann@example.org", "write to ann@example.org"),
        ("nothing", "nothing"),
    ],
)
def test_what_stands_before_the_host_is_masked(text: str, shown: str) -> None:
    assert masked(text) == shown


@pytest.mark.parametrize(
    "fields",
    [
        {"url": f"ann:{SECRET}@host"},
        {"url": f"http://ann:{SECRET}/x@host"},
        {"url": f"http://ann:1{SECRET}@[::1"},
        *({"url": f"http://ann:1{sign}{SECRET}@host"} for sign in "/?# "),
        {"url": f"http://ann:{SECRET}@host", "api_key": "k"},
        {"url": f"http://ann:{SECRET}@host", "kind": ["openai"]},
    ],
)
def test_faults_of_settings_do_not_quote_them(fields: dict[str, object]) -> None:
    with pytest.raises(ConfigError) as caught:
        load_settings(overrides={"backends": [{"name": "a", **fields}]}, environ={})
    assert "backends" in str(caught.value)
    assert SECRET not in str(caught.value)


@pytest.mark.parametrize(
    ("key", "shown"),
    [
        ("sk-0123456789abcdef", b"no: ***"),
        ("ollama", b"no: sk-0123456789abcdef"),
        ("", b"no: sk-0123456789abcdef"),
    ],
)
def test_a_key_is_masked_where_it_is_one(key: str, shown: bytes) -> None:
    assert without(b"no: sk-0123456789abcdef", key) == shown
    assert without(b"ollama is loading", "ollama") == b"ollama is loading"
