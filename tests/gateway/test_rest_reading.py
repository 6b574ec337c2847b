"""Query strings and bodies of lair's own endpoints: what they may hold, and what is said if not."""

from __future__ import annotations

from collections.abc import Callable
from datetime import date
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import UNSET

from gateway.dialects.rest_queries import (
    ConversationChange,
    ConversationQuery,
    NewConversation,
    RecentQuery,
    ReportQuery,
    SearchQuery,
)
from gateway.dialects.rest_reading import metadata_struct, read_body, read_query
from svckit.errors import ServiceError

QUERIES = [ConversationQuery, RecentQuery, ReportQuery, SearchQuery]
BODIES = [ConversationChange, NewConversation, SearchQuery]
ANYTHING: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=10,
)


def names(kind: type[msgspec.Struct]) -> list[str]:
    return [field.encode_name for field in msgspec.structs.fields(kind)]


def test_a_query_is_read_into_values():
    pairs = [("q", "tea"), ("tag", "a"), ("tag", "b"), ("limit", "7"), ("from", "2026-11-01")]
    query = read_query(pairs, ConversationQuery)
    assert (query.q, query.tag, query.limit) == ("tea", ["a", "b"], 7)
    assert (query.start, query.end) == (date(2026, 11, 1), UNSET)


def test_the_first_of_several_values_counts_where_one_is_meant():
    assert read_query([("limit", "3"), ("limit", "4")], RecentQuery).limit == 3


@pytest.mark.parametrize("pairs", [[], [("limit", ""), ("from", "")], [("unknown", "x")]])
def test_what_is_empty_or_unknown_is_as_good_as_absent(pairs):
    assert read_query(pairs, RecentQuery) == RecentQuery()


def test_bytes_that_are_no_text_are_refused():
    with pytest.raises(ServiceError) as caught:
        read_query([("q", "\udcff")], SearchQuery)
    assert caught.value.metadata == {"field": "q"}
    assert "UTF-8" in caught.value.message


@pytest.mark.parametrize(
    ("body", "field", "says"),
    [
        ({}, "q", "q is missing"),
        ({"q": "x", "lmit": 3}, "lmit", "lmit is unknown"),
        ({"q": "x", "limit": "3"}, "limit", 'limit is "3"; expected int, got str'),
        ({"q": "x", "limit": 0}, "limit", "limit is 0; expected int >= 1"),
        ({"q": "x", "role": ["user", "x"]}, "role[1]", 'role[1] is "x"'),
        ({"q": "x", "from": "today"}, "from", 'from is "today"; invalid RFC3339 encoded date'),
    ],
)
def test_what_is_wrong_is_told_by_name_and_value(body, field, says):
    with pytest.raises(ServiceError) as caught:
        read_body(msgspec.json.encode(body), SearchQuery)
    assert caught.value.reason == "INVALID_FIELD"
    assert caught.value.metadata == {"field": field}
    assert says in caught.value.message


def refusal_of(read: Callable[[], object]) -> ServiceError | None:
    """Return the refusal that `read` ends with; None if it ends well."""
    try:
        read()
    except ServiceError as error:
        return error
    return None


@pytest.mark.parametrize("kind", QUERIES)
@given(data=st.data())
def test_no_query_is_a_fault_of_ours(kind, data):
    pair = st.tuples(st.sampled_from(names(kind)), st.text() | st.characters(categories=["Cs"]))
    pairs = data.draw(st.lists(pair))
    refusal = refusal_of(lambda: read_query(pairs, kind))
    assert refusal is None or refusal.metadata["field"].partition("[")[0] in names(kind)


@pytest.mark.parametrize("kind", BODIES)
@given(data=st.data())
def test_no_body_is_a_fault_of_ours(kind, data):
    body = data.draw(st.dictionaries(st.sampled_from(names(kind)) | st.text(), ANYTHING))
    refusal = refusal_of(lambda: read_body(msgspec.json.encode(body), kind))
    assert refusal is None or refusal.meaning.http == 400


@given(st.dictionaries(st.text(), ANYTHING))
def test_metadata_is_kept_or_refused(values):
    refusal = refusal_of(lambda: metadata_struct(values))
    if refusal is None:
        assert set(metadata_struct(values).fields) == set(values)
    else:
        assert refusal.metadata == {"field": "metadata"}
