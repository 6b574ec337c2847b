"""What is added up: each measure, and how one request counts towards it.

`usage15`, `usage_day` and `usage_month` have a column for each. The texts are SQL over one row of
`request` and its `combo`; they are fixed, so that they may be put into statements.
"""

from __future__ import annotations

_COUNTS = "(not request.superseded)"
_ACTIVE = f"({_COUNTS} and combo.active)"
_TIMED = f"({_COUNTS} and request.duration_us is not null)"
_STARTED = f"({_COUNTS} and request.first_token_us is not null)"
# Ended well, and took time for more than its first token.
_GENERATED = (
    f"({_COUNTS} and combo.status = 1 and request.tok_out > 1"
    " and request.duration_us > request.first_token_us)"
)

MEASURES = {
    # Every record, those included that another one repeats.
    "records": "1",
    # All that are not repeated, of every origin and ending.
    "requests": _COUNTS,
    # Those of clients, neither malformed nor refused for their key.
    "active": _ACTIVE,
    "messages": f"{_ACTIVE} * request.new_messages",
    "tool_calls": f"{_COUNTS} * request.tool_calls",
    # Tokens and costs of what was repeated were used all the same.
    "tokens": "request.tokens",
    "prompt_tokens": "request.tok_in",
    "completion_tokens": "request.tok_out",
    "cached_tokens": "request.tok_cached",
    "cache_write_tokens": "request.tok_cache_write",
    "reasoning_tokens": "request.tok_reasoning",
    # How many have a known duration, and the sum of those; so for the next pairs.
    "timed": _TIMED,
    "duration_us": f"{_TIMED} * request.duration_us",
    "first_tokens": _STARTED,
    "first_token_us": f"{_STARTED} * request.first_token_us",
    "upstream_us": "request.upstream_us",
    "queued": f"({_COUNTS} and request.queue_us > 0)",
    "queue_us": f"{_COUNTS} * request.queue_us",
    "generated_tokens": f"{_GENERATED} * (request.tok_out - 1)",
    "generating_us": f"{_GENERATED} * (request.duration_us - request.first_token_us)",
    # `records - priced` is how many have no known cost.
    "priced": "request.cost_nano is not null",
    "cost_nano": "request.cost_nano",
    "ref1_priced": "request.ref1_nano is not null",
    "ref1_nano": "request.ref1_nano",
    "ref2_priced": "request.ref2_nano is not null",
    "ref2_nano": "request.ref2_nano",
    # What the device drew for each by itself: an upper limit where requests run side by side.
    "energy_uj": "cast(min(request.upstream_us * request.device_watts, 1e13) as integer)",
    "attempts": "abs(request.attempts)",
    # Those that more than one try was made for.
    "moved": f"({_COUNTS} and request.attempts > 1)",
}

COLUMNS = ", ".join(MEASURES)

# Each as a sum over some rows of `request`, `:sign` times.
SIGNED_SUMS = ", ".join(
    f":sign * ifnull(sum({text}), 0) as {name}" for name, text in MEASURES.items()
)

# The same over rows of the temporary table `delta`, or of finer sums.
SUMS = ", ".join(f"sum({name})" for name in MEASURES)

ADD_EXCLUDED = ", ".join(f"{name} = {name} + excluded.{name}" for name in MEASURES)


def raw_sums(measures: tuple[str, ...]) -> str:
    """Return the sums of `measures` over rows of `request` and their `combo`."""
    return "".join(f", ifnull(sum({MEASURES[name]}), 0)" for name in measures)


def rolled_sums(measures: tuple[str, ...]) -> str:
    """Return the sums of `measures` over rows of a table of sums, as `used`, by their names."""
    return "".join(f", sum(used.{name}) as {name}" for name in measures)
