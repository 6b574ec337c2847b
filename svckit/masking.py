"""What must not be shown of a text: passwords in URLs, given keys, and what looks like a secret."""

from __future__ import annotations

import re

_CREDENTIALS = re.compile(r"(?<=://)[^/?#\s]*@")

# Shorter keys are words like `ollama` or `not-needed`, which stand for none.
_LEAST_CHARACTERS = 16

_PRIVATE_KEY = re.compile(
    r"-----BEGIN [A-Z ]*PRIVATE KEY-----.*?(?:-----END [A-Z ]*PRIVATE KEY-----|\Z)", re.DOTALL
)
# Keys whose makers gave them a prefix, and JSON web tokens.
_KEYS = re.compile(
    r"""\b(?:
      sk-(?=[\w-]{0,60}\d)[\w-]{16,}
    | (?:sk|rk|pk)_(?:live|test)_\w{16,}
    | (?:gh[oprsu]|npm|hf)_[A-Za-z0-9]{20,}
    | github_pat_\w{20,}
    | glpat-[\w-]{20,}
    | pypi-[\w-]{40,}
    | xox[abeoprs]-[\w-]{10,}
    | (?:AKIA|ASIA)[A-Z0-9]{16}
    | AIza[\w-]{30,}
    | SG\.[\w-]{16,40}\.[\w-]{16,}
    | lair_[\w-]{40}
    | eyJ[\w-]{8,400}\.eyJ[\w-]*\.[\w-]*
    )""",
    re.VERBOSE | re.ASCII,
)
# `password: …`, `API_KEY=…`, `my password is …`; a value of letters only is a word.
_NAMED = re.compile(
    r"""((?:password|passwd|passphrase|secret|api[_ -]?key|(?:access|auth)[_ -]?token)
    ["']?(?:\s{0,3}[:=]\s{0,3}|\s{1,3}is\s{1,3})["']?)
    (?=[^\W\d_]{0,40}[^\sA-Za-z"'])[^\s"']{6,}""",
    re.VERBOSE | re.IGNORECASE,
)
_BEARER = re.compile(r"(\bBearer\s{1,3})[\w.~+/-]{16,}=*", re.IGNORECASE)


def masked(text: str) -> str:
    """Return `text` with `***` for what stands before the `@` of each URL in it."""
    return _CREDENTIALS.sub("***@", text) if "@" in text else text


def without(payload: bytes, key: str) -> bytes:
    """Return `payload` with `***` for `key`, which a server may quote as it refuses it."""
    return payload.replace(key.encode(), b"***") if len(key) >= _LEAST_CHARACTERS else payload


def without_secrets(text: str) -> str:
    """Return `text` with `***` for what looks like a key, a token, a password or a private key."""
    text = _PRIVATE_KEY.sub("***", masked(text))
    text = _NAMED.sub(r"\1***", _KEYS.sub("***", text))
    return _BEARER.sub(r"\1***", text)
