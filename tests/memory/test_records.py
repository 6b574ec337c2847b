"""Which records are kept, and by what they are found."""

import pytest

from memory_svc.records import MAX_BYTES, metadata_of, record_fault


@pytest.mark.parametrize(
    "record",
    [b"{}", b' {"a": [1, null, "\xc3\xa4"]}\n', b'{"x":"' + b"x" * (MAX_BYTES - 8) + b'"}'],
    ids=["empty", "more", "largest"],
)
def test_any_json_object_is_kept(record: bytes):
    assert record_fault(record) == ""


@pytest.mark.parametrize(
    "record",
    [
        *(b"", b"[]", b"null", b"{", b'{"a": NaN}', b'{"a": "\xff"}', "{}".encode("utf-16")),
        b'{"a":' * 10_000 + b"1" + b"}" * 10_000,
    ],
    ids=["nothing", "list", "null", "cut", "no number", "no text", "utf-16", "deep"],
)
def test_nothing_else_is_kept(record: bytes):
    assert "not a JSON object" in record_fault(record)


def test_a_record_that_is_too_large_is_told_its_size():
    assert str(MAX_BYTES + 1) in record_fault(b"{" + b" " * (MAX_BYTES - 1) + b"}")


@pytest.mark.parametrize(
    ("record", "metadata"),
    [
        (b'{"metadata": {"a": "b", "n": 1, "o": null, "p": ["x"]}}', {"a": "b"}),
        (b'{"metadata": null}', {}),
        (b'{"metadata": ["a"]}', {}),
        (b"{}", {}),
        (b"", {}),
    ],
)
def test_texts_of_the_metadata_are_what_it_is_found_by(record: bytes, metadata: dict):
    assert metadata_of(record) == metadata
