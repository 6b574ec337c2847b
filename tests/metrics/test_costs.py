"""What a request costs: the order of truth, tiers by the request, unknown is not 0."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any
from uuid import uuid4

import pytest
from genai_prices import Usage, calc_price

from metrics_svc.costs.known import KnownPrices, providers, sells
from metrics_svc.costs.names import plain_name
from metrics_svc.costs.pricing import Pricing
from metrics_svc.costs.rates import rates
from metrics_svc.model import CostSource, Origin, RequestRow, Status, Tokens, UsageSource
from svckit.backend_settings import Backend
from svckit.cost_settings import Costs, Price

KNOWN = KnownPrices()
NOON = datetime(2026, 11, 1, 12, tzinfo=UTC)
BACKENDS = (
    Backend(name="gpu", url="http://127.0.0.1:8080/v1"),
    Backend(name="claude", url="https://api.anthropic.com/v1"),
    Backend(name="oai", url="https://relay.example/v1", provider="openai"),
    Backend(name="odd", url="https://odd.example/v1"),
    Backend(name="flat", url="https://flat.example/v1", billing="subscription"),
)


def micros(at: datetime) -> int:
    return int(at.timestamp() * 1_000_000)


def row(
    backend: str, model: str, tokens: Tokens, *, at: datetime = NOON, **more: Any
) -> RequestRow:
    fields: dict[str, Any] = {
        "request_id": uuid4(),
        "ts_us": micros(at),
        "origin": Origin.CLIENT,
        "status": Status.OK,
        "usage_source": UsageSource.UPSTREAM,
        "backend": backend,
        "model_used": model,
        "tokens": tokens,
    }
    return RequestRow(**{**fields, **more})


def pricing(*own: Price, costs: Costs | None = None) -> Pricing:
    return Pricing(BACKENDS, own, costs or Costs(), KNOWN)


def library(model: str, provider: str, at: datetime = NOON, **tokens: int) -> int:
    price = calc_price(
        Usage(**tokens), model, provider_id=provider, genai_request_timestamp=at
    ).total_price
    return int((price * 10**9).to_integral_value())


def test_what_was_billed_goes_before_all() -> None:
    own = Price(model="*", input=1, output=1)
    priced = pricing(own).priced(
        row("claude", "claude-sonnet-4-5", Tokens(prompt=5, completion=5), billed_nano=77)
    )
    assert (priced.cost_nano, priced.cost_source) == (77, CostSource.BILLED)


def test_a_price_of_ones_own_goes_before_known_ones() -> None:
    own = Price(backend="claude", model="claude-*", input=2, output=10, cached_input=0.5)
    priced = pricing(own).priced(
        row("claude", "claude-sonnet-4-5", Tokens(prompt=1000, completion=100, cached=400))
    )
    dollars = Decimal(600 * 2 + 400 * Decimal("0.5") + 100 * 10) / 10**6
    assert priced.cost_nano == dollars * 10**9
    assert (priced.cost_source, priced.price_version) == (CostSource.CONFIGURED, "lair.toml")
    other = pricing(own).priced(row("oai", "gpt-5-mini", Tokens(prompt=10, completion=1)))
    assert other.cost_source == CostSource.COMPUTED


def test_a_price_of_ones_own_changes_with_its_day() -> None:
    prices = (
        Price(model="m", input=1, output=0),
        Price(model="m", input=3, output=0, since=date(2026, 10, 1)),
    )
    tokens = Tokens(prompt=1_000_000, completion=0)
    first = datetime(2026, 10, 1, tzinfo=UTC)
    before = pricing(*prices).priced(row("odd", "m", tokens, at=first - timedelta(hours=1)))
    after = pricing(*prices).priced(row("odd", "m", tokens, at=first))
    assert (before.cost_nano, after.cost_nano) == (1 * 10**9, 3 * 10**9)


@pytest.mark.parametrize(("backend", "local"), [("gpu", True), ("flat", False), ("", False)])
def test_what_takes_no_money_costs_nothing(backend: str, local: bool) -> None:
    priced = pricing().priced(row(backend, "m", Tokens(prompt=9, completion=9), local=local))
    assert (priced.cost_nano, priced.cost_source) == (0, CostSource.FREE)


@pytest.mark.parametrize(
    ("backend", "model"),
    [("odd", "gpt-5-mini"), ("oai", "no-such-model"), ("unknown", "gpt-5-mini")],
)
def test_an_unknown_price_is_unknown_and_not_0(backend: str, model: str) -> None:
    priced = pricing().priced(row(backend, model, Tokens(prompt=9, completion=9)))
    assert (priced.cost_nano, priced.cost_source) == (None, CostSource.UNPRICED)


def test_what_was_imported_without_a_backend_did_not_cost_nothing() -> None:
    one = row("", "gpt-4.1-mini", Tokens(prompt=1000, completion=0), origin=Origin.IMPORT)
    unknown = pricing().priced(one)
    assert (unknown.cost_nano, unknown.cost_source) == (None, CostSource.UNPRICED)
    own = pricing(Price(model="gpt-4.1-*", input=2, output=10)).priced(one)
    assert (own.cost_nano, own.cost_source) == (2_000_000, CostSource.CONFIGURED)


@pytest.mark.parametrize("tokens", [Tokens(), Tokens(prompt=5), Tokens(completion=5)])
def test_unknown_tokens_have_no_known_price(tokens: Tokens) -> None:
    own = Price(model="own", input=1, output=1)
    for model in ("gpt-5-mini", "own"):
        priced = pricing(own).priced(row("oai", model, tokens))
        assert (priced.cost_nano, priced.cost_source) == (None, CostSource.UNPRICED)


def test_long_prompts_are_priced_by_the_request() -> None:
    tier = Tokens(prompt=1_000_000, completion=0)
    part = Tokens(prompt=100_000, completion=0)
    whole = pricing().priced(row("claude", "claude-sonnet-4-5", tier)).cost_nano
    tenth = pricing().priced(row("claude", "claude-sonnet-4-5", part)).cost_nano
    assert whole is not None
    assert tenth is not None
    assert whole == library("claude-sonnet-4-5", "anthropic", input_tokens=1_000_000)
    assert whole == 2 * (10 * tenth)


@pytest.mark.parametrize(
    ("backend", "provider", "model"),
    [
        ("oai", "openai", "gpt-5-mini"),
        ("oai", "openai", "gpt-4o"),
        ("claude", "anthropic", "claude-sonnet-4-5"),
    ],
)
def test_cache_reads_and_writes_cost_what_the_library_says(
    backend: str, provider: str, model: str
) -> None:
    priced = pricing().priced(
        row(backend, model, Tokens(prompt=9000, completion=700, cached=5000, cache_write=1000))
    )
    assert priced.cost_source == CostSource.COMPUTED
    assert priced.price_version.startswith("genai-prices ")
    expected = library(
        model,
        provider,
        input_tokens=9000,
        output_tokens=700,
        cache_read_tokens=5000,
        cache_write_tokens=1000,
    )
    assert priced.cost_nano is not None
    assert abs(priced.cost_nano - expected) <= 1


def test_a_known_price_changes_with_its_day() -> None:
    """Every dated price of the library is the one of its day, before and after it began."""
    tokens = Tokens(prompt=1000, completion=1000)
    changed = 0
    for model in ("deepseek-chat", "deepseek-reasoner"):
        for at in (
            datetime(2025, 1, 15, 3, tzinfo=UTC),
            datetime(2025, 3, 1, 20, tzinfo=UTC),
            NOON,
        ):
            cost = KNOWN.cost_nano("deepseek", "", model, tokens, micros(at))
            expected = library(model, "deepseek", at, input_tokens=1000, output_tokens=1000)
            assert cost == expected
            changed += cost != library(model, "deepseek", input_tokens=1000, output_tokens=1000)
    assert changed


def test_local_use_is_held_against_the_same_model_sold_and_another_instead() -> None:
    costs = Costs(instead="openai/gpt-5-mini", same_as={"mine": "gpt-oss-20b"})
    tokens = Tokens(prompt=1_000_000, completion=100_000)
    for model in ("gpt-oss:20b", "mine"):
        priced = pricing(costs=costs).priced(row("gpu", model, tokens, local=True))
        assert priced.ref1_nano is not None
        assert 0 < priced.ref1_nano < 10**9  # cents for a million tokens
        assert priced.ref2_nano == library(
            "gpt-5-mini", "openai", input_tokens=1_000_000, output_tokens=100_000
        )
    unknown = pricing().priced(row("gpu", "nobody-sells-this:7b", tokens, local=True))
    assert (unknown.ref1_nano, unknown.ref2_nano) == (None, None)
    remote = pricing(costs=costs).priced(row("oai", "gpt-5-mini", tokens))
    assert (remote.ref1_nano, remote.ref2_nano) == (remote.cost_nano, None)


@pytest.mark.parametrize(
    ("local", "sold"),
    [
        ("qwen3:30b-a3b-q4_K_M", "qwen/qwen3-30b-a3b"),
        ("qwen3:30b", "Qwen/Qwen3-30B-A3B"),
        ("Meta-Llama-3.1-8B-Instruct-Q4_K_M.gguf", "meta-llama/llama-3.1-8b-instruct:free"),
        ("llama3.1:8b", "@cf/meta/llama-3.1-8b-instruct-fp8-fast"),
        ("gpt-oss:20b", "openai/gpt-oss-20b"),
        ("gemma3:27b-it-qat", "google/gemma-3-27b-it"),
        ("mistral-small3.2:latest", "mistralai/mistral-small-3.2"),
        ("Qwen2.5-Coder-7B-Instruct-AWQ", "qwen2.5-coder:7b"),
    ],
)
def test_a_model_is_known_by_any_of_its_names(local: str, sold: str) -> None:
    assert plain_name(local) == plain_name(sold)


@pytest.mark.parametrize(
    ("one", "other"),
    [("mistral-small", "magistral-small"), ("qwen3:8b", "qwen3:32b"), ("llama3:8b", "llama3.1:8b")],
)
def test_different_models_stay_apart(one: str, other: str) -> None:
    assert plain_name(one) != plain_name(other)


def test_markets_lie_within_the_range_of_their_sellers() -> None:
    market, sellers = KNOWN.markets()["gptoss20b"]
    assert sellers > 5
    assert rates(0.01, 0.05).prompt <= market.prompt <= rates(0.3, 1.6).prompt


def test_providers_are_known_by_the_library_s_ids() -> None:
    assert "openrouter" in providers()
    assert "open-router" not in providers()
    assert sells("openai", "gpt-5-mini")
    assert not sells("openai", "gpt-99-mini")
