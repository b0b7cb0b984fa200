"""The one cryptographic suite, SM2-SM3-SM4GCM: hashing, key derivation and authenticated encryption.

Rules:
1. Every signed or encrypted object names its suite; an unknown name is refused (`check_suite`), never
   guessed.
2. SM3 (GM/T 0004) comes from GmSSL for short messages, because it is the faster one (65 bytes: 0.9 us
   against 1.7 us), and from OpenSSL for long ones, equally fast, because Python's `hashlib` lets other
   threads run meanwhile; also where GmSSL has no wheel or the input comes in parts.
3. SM4-GCM (GM/T 0002, RFC 8998) comes from OpenSSL: 2.5 times as fast as GmSSL at 1 MiB.
4. A ciphertext is opened whole or not at all: nothing unauthenticated is ever returned.
"""

from __future__ import annotations

import functools
import hashlib
from typing import Any, Final

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives import hashes, hmac
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from trust.errors import DecryptionFailed, SuiteUnavailable, SuiteUnknown

try:
    import gmssl_pyx as _gmssl_module

    _gmssl: Any = _gmssl_module
except ImportError:  # no wheel for this platform: hashing goes on with OpenSSL, SM2 refuses (`gmssl`)
    _gmssl = None

SUITE: Final = "SM2-SM3-SM4GCM"
HASH_SIZE: Final = 32
KEY_SIZE: Final = 16
NONCE_SIZE: Final = 12
TAG_SIZE: Final = 16

_LONG: Final = 64 << 10
"""From so many bytes on a message is long (rule 2)."""

Buffer = bytes | bytearray | memoryview


def check_suite(name: str) -> None:
    """Refuse every suite but ours.

    Raises SuiteUnknown.
    """
    if name != SUITE:
        raise SuiteUnknown(
            f"the suite {name[:64]!r} is unknown; this version speaks {SUITE} only: upgrade it, or the sender"
        )


def gmssl() -> Any:  # noqa: ANN401 (the binding has no types)
    """Return the GmSSL binding that SM2 needs.

    Raises SuiteUnavailable where it is not installed.
    """
    if _gmssl is None:
        raise SuiteUnavailable(
            "SM2 is unavailable: the package gmssl-pyx is not installed or has no wheel for this platform; "
            "use CPython 3.9 or later on x86-64 or arm64 Linux, macOS or Windows and install the locked "
            "requirements"
        )
    return _gmssl


def _hashlib_sm3() -> Any:  # noqa: ANN401 (hashlib names no type)
    """`hashlib`'s SM3 if the OpenSSL that Python was built with has it (distributions may leave it out), or None."""
    try:
        return functools.partial(hashlib.new, "sm3") if hashlib.new("sm3") else None
    except ValueError:
        return None


_hashlib = _hashlib_sm3()


def _sm3_openssl(data: bytes) -> bytes:
    return Sm3(data).digest()


_sm3_short = _sm3_openssl if _gmssl is None else _gmssl.sm3_hash


def sm3(data: bytes) -> bytes:
    """Return the SM3 digest (32 bytes) of `data`. Source: GM/T 0004-2012, GB/T 32905-2016."""
    digest: bytes = _sm3_short(data) if len(data) < _LONG else _sm3_openssl(data)
    return digest


class Sm3:
    """SM3 over a message that comes in parts.

    `update` any number of times, then `digest` (which may be repeated).
    """

    __slots__ = ("_hash",)

    def __init__(self, data: Buffer = b"") -> None:
        self._hash: Any = _hashlib() if _hashlib is not None else hashes.Hash(hashes.SM3())
        self._hash.update(data)

    def update(self, data: Buffer) -> None:
        """Add a part of the message."""
        self._hash.update(data)

    def digest(self) -> bytes:
        """Return the 32 bytes of the digest of everything added so far."""
        copy = self._hash.copy()
        digest: bytes = copy.digest() if _hashlib is not None else copy.finalize()
        return digest


def hmac_sm3(key: bytes, data: bytes) -> bytes:
    """Return HMAC-SM3 (32 bytes). Source: RFC 2104, GM/T 0042. Compare with `hmac.compare_digest` only."""
    mac = hmac.HMAC(key, hashes.SM3())
    mac.update(data)
    return mac.finalize()


def hkdf_sm3(secret: bytes, salt: bytes, info: bytes, length: int) -> bytes:
    """Derive `length` bytes (1 to 8,160) from a secret.

    HKDF with SM3, extract and expand. Source: RFC 5869.
    """
    return HKDF(hashes.SM3(), length, salt or None, info).derive(secret)


def seal(key: bytes, nonce: bytes, plaintext: Buffer, aad: bytes) -> bytes:
    """Encrypt with SM4-GCM: ciphertext followed by the 16-byte tag.

    `key` has 16 bytes, `nonce` 12; a nonce MUST NOT serve twice under one key (GCM then gives both the
    plaintexts' difference and the authentication key away). `aad` is authenticated and not encrypted. Source:
    RFC 8998, 3.2.
    """
    encryptor = Cipher(algorithms.SM4(key), modes.GCM(nonce)).encryptor()
    encryptor.authenticate_additional_data(aad)
    return b"".join((encryptor.update(plaintext), encryptor.finalize(), encryptor.tag))


def open_sealed(key: bytes, nonce: bytes, sealed: Buffer, aad: bytes) -> bytes:
    """Open what `seal` made, with the same key, nonce and associated data.

    Raises DecryptionFailed when anything differs, without saying what.
    """
    body = memoryview(sealed)
    if len(body) < TAG_SIZE:
        raise DecryptionFailed("a sealed object is shorter than its tag; fetch it again, it was cut or is not sealed")
    decryptor = Cipher(algorithms.SM4(key), modes.GCM(nonce, bytes(body[-TAG_SIZE:]))).decryptor()
    decryptor.authenticate_additional_data(aad)
    plaintext = decryptor.update(body[:-TAG_SIZE])
    try:
        decryptor.finalize()
    except InvalidTag:
        raise DecryptionFailed(
            "a sealed object does not open: another key, another context, or it was altered; ask its sender for it anew"
        ) from None
    return plaintext
