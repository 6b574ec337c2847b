"""Page tokens lead back to their place; what is no token is the caller's mistake."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from svckit.errors import ServiceError
from svckit.pages import decode_token, encode_token, page_size

parts = st.integers() | st.text()


@given(st.lists(parts, min_size=1, max_size=4))
def test_a_token_leads_back_to_its_place(position: list[int | str]) -> None:
    token = encode_token(*position)
    assert decode_token(token, len(position)) == tuple(position)
    assert token.isascii()
    assert not set(token) & set("+/= &?#")


def test_no_token_is_the_first_page() -> None:
    assert decode_token("", 2) is None


@given(st.text(min_size=1))
def test_any_text_is_a_place_or_the_callers_mistake(token: str) -> None:
    try:
        place = decode_token(token, 1)
    except ServiceError as error:
        place = (error.metadata["field"],)
    assert place is None or len(place) == 1


@pytest.mark.parametrize("token", [encode_token(1), encode_token(1, 2, 3), "e30", "W251bGwsMV0"])
def test_a_token_of_another_list_is_refused(token: str) -> None:
    with pytest.raises(ServiceError, match="leave it empty"):
        decode_token(token, 2)


@pytest.mark.parametrize(("asked", "size"), [(0, 50), (1, 1), (50, 50), (200, 200), (201, 200)])
def test_sizes_have_a_default_and_a_maximum(asked: int, size: int) -> None:
    assert page_size(asked, default=50, maximum=200) == size


def test_a_negative_size_is_refused() -> None:
    with pytest.raises(ServiceError) as caught:
        page_size(-1, default=50, maximum=200)
    assert caught.value.metadata == {"field": "page_size"}
