"""The few shapes of DER (X.690) that SM2 signatures, SM2 ciphertexts and key files need, read strictly.

Rule: a value has one encoding. Readers refuse indefinite or overlong lengths, padded or negative integers,
and bytes left over; otherwise a signature could be re-encoded and travel as a different, equally valid one.
"""

from __future__ import annotations

from typing import Final

from trust.errors import TrustError

INTEGER: Final = 0x02
BIT_STRING: Final = 0x03
OCTET_STRING: Final = 0x04
OBJECT_IDENTIFIER: Final = 0x06
SEQUENCE: Final = 0x30
CONTEXT_1: Final = 0xA1

_LONG_FORM: Final = 0x80
_SIGN_BIT: Final = 0x80


class DerMalformed(TrustError):
    """Bytes are not the canonical DER of the expected shape; callers turn it into their own error."""

    code = "DER_MALFORMED"


def element(tag: int, *parts: bytes) -> bytes:
    """Encode one element from its tag and the concatenation of its contents (at most 65,535 bytes)."""
    body = b"".join(parts)
    size = len(body)
    if size < _LONG_FORM:
        return bytes((tag, size)) + body
    width = (size.bit_length() + 7) // 8
    return bytes((tag, _LONG_FORM | width)) + size.to_bytes(width, "big") + body


def integer(value: int) -> bytes:
    """Encode an integer >= 0 in the fewest bytes."""
    return element(INTEGER, value.to_bytes(value.bit_length() // 8 + 1, "big"))


class Reader:
    """Reads elements from the front of `data`; `finish` refuses what is left over."""

    __slots__ = ("_at", "_data")

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._at = 0

    def element(self, tag: int) -> bytes:
        """Return the contents of the next element, which must carry this tag. Raises DerMalformed."""
        data, at = self._data, self._at
        if len(data) < at + 2 or data[at] != tag:
            raise DerMalformed(f"expected a DER element with tag {tag:#04x} at byte {at}")
        size, at = data[at + 1], at + 2
        if size >= _LONG_FORM:
            width = size - _LONG_FORM
            if not 1 <= width <= 2 or len(data) < at + width:
                raise DerMalformed(f"indefinite or oversized DER length at byte {at}")
            size, at = int.from_bytes(data[at : at + width], "big"), at + width
            if size < _LONG_FORM or size >> (8 * (width - 1)) == 0:
                raise DerMalformed(f"DER length at byte {at} is not in its shortest form")
        if len(data) < at + size:
            raise DerMalformed(f"DER element at byte {at} is cut short")
        self._at = at + size
        return data[at : at + size]

    def integer(self) -> int:
        """Return the next element as an integer >= 0 in its shortest form. Raises DerMalformed."""
        body = self.element(INTEGER)
        if not body or body[0] & _SIGN_BIT:
            raise DerMalformed("a DER integer is empty or negative")
        if len(body) > 1 and body[0] == 0 and not body[1] & _SIGN_BIT:
            raise DerMalformed("a DER integer is padded")
        return int.from_bytes(body, "big")

    def sequence(self) -> Reader:
        """Return a reader of the contents of the next element, a SEQUENCE. Raises DerMalformed."""
        return Reader(self.element(SEQUENCE))

    def expect(self, encoded: bytes) -> None:
        """Require that exactly these bytes come next. Raises DerMalformed."""
        if not self._data.startswith(encoded, self._at):
            raise DerMalformed(f"unexpected DER at byte {self._at}")
        self._at += len(encoded)

    def finish(self) -> None:
        """Require that nothing is left. Raises DerMalformed."""
        if self._at != len(self._data):
            raise DerMalformed(f"{len(self._data) - self._at} bytes follow the DER element")
