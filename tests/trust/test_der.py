"""The strict reader and writer of DER: one encoding for one value."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trust.der import INTEGER, OCTET_STRING, SEQUENCE, DerMalformed, Reader, element, integer


@pytest.mark.parametrize(
    ("value", "encoded"),
    [(0, "020100"), (127, "02017f"), (128, "02020080"), (255, "020200ff"), (256, "02020100"), (2**15, "0203008000")],
)
def test_integers_have_their_textbook_encodings(value: int, encoded: str) -> None:
    assert integer(value).hex() == encoded
    assert Reader(bytes.fromhex(encoded)).integer() == value


@given(st.integers(0, 2**300))
def test_an_integer_is_read_as_it_was_written(value: int) -> None:
    reader = Reader(integer(value))
    assert reader.integer() == value
    reader.finish()


@pytest.mark.parametrize("size", [0, 1, 127, 128, 255, 256, 65535])
def test_contents_of_every_length_are_read_as_they_were_written(size: int) -> None:
    reader = Reader(element(OCTET_STRING, bytes(size)))
    assert reader.element(OCTET_STRING) == bytes(size)
    reader.finish()


@pytest.mark.parametrize(
    "encoded",
    [
        "",
        "02",
        "0200",
        "0201",
        "020180",
        "02020001",
        "0202007f",
        "028101",
        "02810101",
        "0282000101",
        "0280",
        "02850000000001",
    ],
)
def test_an_integer_in_another_form_is_refused(encoded: str) -> None:
    with pytest.raises(DerMalformed):
        Reader(bytes.fromhex(encoded)).integer()


def test_bytes_left_over_and_other_tags_are_refused() -> None:
    reader = Reader(integer(1) + b"\0")
    with pytest.raises(DerMalformed):
        reader.sequence()
    assert reader.integer() == 1
    with pytest.raises(DerMalformed, match="1 bytes follow"):
        reader.finish()
    with pytest.raises(DerMalformed):
        Reader(b"abc").expect(b"abd")


@given(st.binary(max_size=40))
def test_what_is_read_at_all_is_the_one_encoding(data: bytes) -> None:
    for tag in (INTEGER, OCTET_STRING, SEQUENCE):
        reader = Reader(data)
        try:
            body = reader.element(tag)
            reader.finish()
        except DerMalformed:
            continue
        assert element(tag, body) == data
