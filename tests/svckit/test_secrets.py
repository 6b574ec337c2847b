"""What looks like a secret is masked, and what only speaks of one is not."""

from __future__ import annotations

import time

import pytest

from svckit.masking import without_secrets

KEYS = {
    "openai": "sk-proj-0123456789abcdefghij",
    "anthropic": "sk-ant-api03-abcdefghijklmnop",
    "stripe": "sk_live_0123456789abcdefghij",
    "github": "ghp_0123456789abcdefghijABCDEFGHIJ012345",
    "github_fine": "github_pat_11ABCDEFG0123456789_abcdefghij",
    "gitlab": "glpat-0123456789abcdefghij",
    "hugging_face": "hf_abcdefghijklmnopqrstuvwxyzABCDEFGH",
    "slack": "xoxb-0123456789-abcdefghij",
    "aws": "AKIAIOSFODNN7EXAMPLE",
    "google": "AIzaSyA0123456789abcdefghijklmnopqrstuv",
    "lair": "lair_" + "aB3-" * 10,
    "jwt": "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0In0.c2lnbmF0dXJl",
}


@pytest.mark.parametrize("key", KEYS.values(), ids=KEYS.keys())
def test_a_key_is_masked_wherever_it_stands(key: str) -> None:
    assert without_secrets(f'use "{key}", please') == 'use "***", please'
    assert without_secrets(f"KEY={key}\nnext") == "KEY=***\nnext"


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("my password is hunter2!", "my password is ***"),
        ("DB_PASSWORD=tr0ub4dor", "DB_PASSWORD=***"),
        ('"api_key": "abc123def"', '"api_key": "***"'),
        ("Authorization: Bearer abcdefghijklmnop", "Authorization: Bearer ***"),
        ("postgres://ann:s3cret@db/app", "postgres://***@db/app"),
        (
            "a\n-----BEGIN RSA PRIVATE KEY-----\nMIIE\n-----END RSA PRIVATE KEY-----\nb",
            "a\n***\nb",
        ),
        ("a\n-----BEGIN PRIVATE KEY-----\nMIIE", "a\n***"),
    ],
    ids=["said", "variable", "json", "bearer", "url", "private key", "half a private key"],
)
def test_a_secret_is_masked_by_what_stands_before_it(text: str, shown: str) -> None:
    assert without_secrets(text) == shown


@pytest.mark.parametrize(
    "text",
    [
        "The password is stored in a vault",
        "sk-learn-pipeline-example is a name",
        "import lair_memory_service_pb2",
        "it is a secret: the meeting",
        "commit 53aa5117b128d9db53aa5117b128d9db53aa5117",
        "ann@example.org",
    ],
)
def test_what_is_no_secret_stays(text: str) -> None:
    assert without_secrets(text) == text


@pytest.mark.parametrize(
    "piece", ["password ", "x-", "secret is ", "-----BEGIN PRIVATE KEY-----", "sk-", "eyJ-", "SG."]
)
def test_no_text_takes_long(piece: str) -> None:
    begun = time.perf_counter()
    without_secrets(piece * (100_000 // len(piece)))
    assert time.perf_counter() - begun < 2
