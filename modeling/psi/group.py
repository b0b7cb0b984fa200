"""The group arithmetic of the intersection, on chunks: ristretto255 by libsodium (`rbcl`), identifiers hashed into it.

    digest    SHA-512 over protocol name, exchange id and identifier, each after its length               64 B
    element   ristretto255 element derivation of the digest (RFC 9496, 4.3.4), times a secret scalar      32 B
    tag       first 16 B of SHA-512 over protocol name, exchange id and an element under both scalars     16 B

An element is derived, never taken as a coordinate: among all curve points of a form half are missing, and which half would tell a
bit of each identifier. ristretto255 has prime order, so that an element times a scalar of 1 .. order-1 says nothing about the
element (DDH). A tag has 128 bits: of 10^7 by 10^7 elements two differ and collide with a probability below 2^-81.

This module is imported by worker processes and knows neither numpy nor channels.
"""

from __future__ import annotations

import hashlib
import secrets
import sys
from contextlib import suppress
from pathlib import Path
from typing import Final

import rbcl

from modeling.errors import ProtocolViolation

PROTOCOL: Final = b"xinqiao-psi-ristretto255-v1"
DIGEST: Final = 64
ELEMENT: Final = 32
TAG: Final = 16

# rbcl writes its libsodium to a temporary file whenever it is imported, and leaves it there: 3 MB for each worker ever started.
# The loaded library does not need its name any more.
with suppress(AttributeError, KeyError, OSError):
    Path(sys.modules["rbcl._sodium"].lib_path).unlink()


def context(exchange: str, part: str) -> bytes:
    """What is hashed before identifiers or elements, so that no digest is of use in another exchange or place."""
    return b"".join(len(each).to_bytes(2, "big") + each for each in (PROTOCOL, exchange.encode(), part.encode()))


def digest(before: bytes, identifier: bytes) -> bytes:
    """SHA-512, 64 B, of an identifier (at most 65535 B) in a context."""
    return hashlib.sha512(before + len(identifier).to_bytes(2, "big") + identifier).digest()


def fresh_scalar() -> bytes:
    """A secret scalar for one run: 512 random bits modulo the order, uniform up to 2^-259; zero does not happen, and would fail."""
    return bytes(rbcl.crypto_core_ristretto255_scalar_reduce(secrets.token_bytes(64)))


def masked(scalar: bytes, digests: bytes) -> bytes:
    """Elements of digests (64 B each), times the scalar: 32 B each, in order."""
    derive, multiply = rbcl.crypto_core_ristretto255_from_hash, rbcl.crypto_scalarmult_ristretto255
    return b"".join(multiply(scalar, derive(digests[at : at + DIGEST])) for at in range(0, len(digests), DIGEST))


def tagged(scalar: bytes, before: bytes, elements: bytes) -> bytes:
    """Tags of the other party's elements (32 B each) times the scalar: 16 B each, in order.

    Raises ProtocolViolation for what is no canonical encoding of an element (RFC 9496, 4.3.1) and for the identity, whose multiples
    would all be the identity.
    """
    multiply, sha512 = rbcl.crypto_scalarmult_ristretto255, hashlib.sha512
    try:
        return b"".join(
            sha512(before + multiply(scalar, elements[at : at + ELEMENT])).digest()[:TAG]
            for at in range(0, len(elements), ELEMENT)
        )
    except RuntimeError:  # libsodium decodes before it multiplies, and refuses a product that is the identity
        raise ProtocolViolation("the other party sent what is no element of the group, or the identity") from None
