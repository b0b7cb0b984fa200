"""SM2 keys, signatures and key wrapping on the recommended curve (GB/T 32918, GM/T 0009).

Rules:
1. A public key is 64 bytes x || y of a point on the curve; its text form is 130 lower-case hex digits that
   begin with 04. Nothing else is accepted: off-curve keys leak the private key of whoever computes with them
   (invalid-curve attack).
2. A signature is over SM3(Z || message), Z with the user id of GM/T 0009, and has one encoding: DER of (r,
   s), both in [1, n-1], nothing behind it.
3. A wrapped secret has one wire form: DER of C1 || C3 || C2 as in GM/T 0009, 7.2; C1 is on the curve, C3 has
   32 bytes.
4. GmSSL in C computes with secrets; Python only checks public encodings. We compute Z and the digest
   ourselves because signing a digest is ten times as fast in this binding as signing a message.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import lru_cache
from typing import Final

from trust import der
from trust.errors import DecryptionFailed, KeyMalformed, SignatureInvalid
from trust.suite import HASH_SIZE, gmssl, sm3

POINT_SIZE: Final = 64
SECRET_SIZE: Final = 32
MAX_WRAP: Final = 255
USER_ID: Final = b"1234567812345678"
"""The default user id of GM/T 0009-2012, clause 10."""

_P: Final = 0xFFFFFFFEFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFF00000000FFFFFFFFFFFFFFFF
_A: Final = _P - 3
_B: Final = 0x28E9FA9E9D9F5E344D5A9E4BCF6509A7F39789F515AB8F92DDBCBD414D940E93
_N: Final = 0xFFFFFFFEFFFFFFFFFFFFFFFFFFFFFFFF7203DF6B21C6052B53BBF40939D54123
_GENERATOR: Final = bytes.fromhex(
    "32c4ae2c1f1981195f9904466a39c9948fe30bbff2660be1715a4589334c74c7"
    "bc3736a2f4f6779c59bdcee36b692153d0a9877cc62a474002df32e52139f0a0"
)
_Z_HEAD: Final = (
    (8 * len(USER_ID)).to_bytes(2, "big") + USER_ID + _A.to_bytes(32, "big") + _B.to_bytes(32, "big") + _GENERATOR
)


def _on_curve(x: int, y: int) -> bool:
    return x < _P and y < _P and (y * y - (x * x * x + _A * x + _B)) % _P == 0


@lru_cache(maxsize=65536)
def _z(point: bytes) -> bytes:
    return sm3(_Z_HEAD + point)


@dataclass(frozen=True, slots=True)
class PublicKey:
    """A point of the curve, 64 bytes x || y, checked when made (infinity has no such form).

    Raises KeyMalformed.
    """

    point: bytes

    def __post_init__(self) -> None:
        if not isinstance(self.point, bytes) or len(self.point) != POINT_SIZE:
            raise KeyMalformed("an SM2 public key is not 64 bytes; ask its owner for it anew")
        if not _on_curve(int.from_bytes(self.point[:32], "big"), int.from_bytes(self.point[32:], "big")):
            raise KeyMalformed("an SM2 public key is not a point of the curve; refuse it and ask its owner for it anew")

    @property
    def key_id(self) -> str:
        """Name of the key, `sm2:` and 16 hex digits.

        It is a label for finding it, never a proof of which key it is.
        """
        return "sm2:" + sm3(b"\x04" + self.point).hex()[:16]

    def encode(self) -> str:
        """Return the text form: lower-case hex of 0x04 || x || y (130 digits)."""
        return "04" + self.point.hex()

    @classmethod
    def decode(cls, text: str) -> PublicKey:
        """Parse the text form. Raises KeyMalformed for any other writing of the same point."""
        try:
            point = bytes.fromhex(text[2:])
        except ValueError:
            raise KeyMalformed("an SM2 public key is not hexadecimal; expected 130 digits that begin with 04") from None
        if text != "04" + point.hex():
            raise KeyMalformed(
                "an SM2 public key is not in its text form: 130 lower-case hex digits that begin with 04"
            )
        return cls(point)


@dataclass(frozen=True, slots=True, eq=False)
class PrivateKey:
    """A private key with its public key. Neither `repr` nor an error message shows the secret (32 bytes).

    Make one with `generate`, or load it with `trust.keyfile`. Raises KeyMalformed for a secret outside [1,
    n-2]; that secret and public key belong together is checked by `verify_pair`.
    """

    secret: bytes = field(repr=False)
    public: PublicKey

    def __post_init__(self) -> None:
        if not isinstance(self.secret, bytes) or len(self.secret) != SECRET_SIZE:
            raise KeyMalformed("an SM2 private key is not 32 bytes; load it from its key file or make a new one")
        if not 1 <= int.from_bytes(self.secret, "big") <= _N - 2:
            raise KeyMalformed("an SM2 private key is outside [1, n-2]; load it from its key file or make a new one")

    def __reduce__(self) -> str:
        """Refuse to be pickled: a private key leaves the process in an encrypted key file only."""
        raise TypeError("a private key cannot be pickled or copied; use trust.keyfile to store it")

    @classmethod
    def generate(cls) -> PrivateKey:
        """Make a new key from the operating system's randomness. Raises SuiteUnavailable."""
        point, secret = gmssl().sm2_key_generate()
        return cls(secret, PublicKey(point))


def verify_pair(key: PrivateKey) -> None:
    """Check that the two halves of a key belong together, by a signature. Raises KeyMalformed."""
    probe = b"xinqiao/pairwise-consistency"
    try:
        verify_signature(key.public, probe, sign(key, probe))
    except SignatureInvalid:
        raise KeyMalformed(
            f"the private key stored beside public key {key.public.key_id} is another one's; restore it from a backup"
        ) from None


def sign(private: PrivateKey, message: bytes) -> bytes:
    """Sign the exact bytes of `message`; returns DER of (r, s), 8 to 72 bytes.

    Source: GB/T 32918.2, clause 6; encoding GM/T 0009, 7.3. Raises SuiteUnavailable.
    """
    digest = sm3(_z(private.public.point) + message)
    signature: bytes = gmssl().sm2_sign_sm3_digest(private.secret, digest)
    return signature


def verify_signature(public: PublicKey, message: bytes, signature: bytes) -> None:
    """Accept the signature of this key over exactly these bytes, or raise SignatureInvalid.

    Source: GB/T 32918.2, clause 7. The encoding is checked here first, since the binding accepts what it can
    parse.
    """
    _check_signature_encoding(signature)
    digest = sm3(_z(public.point) + message)
    if gmssl().sm2_verify_sm3_digest(public.point, digest, signature) is not True:
        raise SignatureInvalid(
            f"a signature is not that of key {public.key_id} over these bytes; refuse them, and ask their "
            "sender for the original"
        )


def _check_signature_encoding(signature: bytes) -> None:
    try:
        outer = der.Reader(signature)
        body = outer.sequence()
        outer.finish()
        r, s = body.integer(), body.integer()
        body.finish()
    except der.DerMalformed as problem:
        raise SignatureInvalid(f"a signature is not DER in its one form ({problem}); refuse it") from None
    if not (1 <= r < _N and 1 <= s < _N) or r + s == _N:
        raise SignatureInvalid("a signature holds numbers outside [1, n-1]; refuse it")


def wrap(public: PublicKey, secret: bytes) -> bytes:
    """Encrypt a secret of 1 to 255 bytes to a public key; returns DER C1C3C2.

    Source: GB/T 32918.4, GM/T 0009, 7.2. Raises ValueError for another length, SuiteUnavailable.
    """
    if not 1 <= len(secret) <= MAX_WRAP:
        raise ValueError(f"SM2 wraps 1 to {MAX_WRAP} bytes, got {len(secret)}: wrap a key and seal the data under it")
    blob: bytes = gmssl().sm2_encrypt(public.point, secret)
    return blob


def unwrap(private: PrivateKey, blob: bytes) -> bytes:
    """Open what `wrap` made for this key; its C3 authenticates it.

    Raises DecryptionFailed for anything else, without saying why (no oracle).
    """
    if not _is_wrap_encoding(blob):
        raise DecryptionFailed("a wrapped secret is not DER C1C3C2 in its one form; ask its sender for it anew")
    binding = gmssl()
    try:
        secret: bytes = binding.sm2_decrypt(private.secret, blob)
    except binding.GmsslInnerError:
        raise DecryptionFailed(
            f"a wrapped secret does not open under key {private.public.key_id}: it is for another key, or was altered"
        ) from None
    return secret


def _is_wrap_encoding(blob: bytes) -> bool:
    try:
        outer = der.Reader(blob)
        body = outer.sequence()
        outer.finish()
        x, y = body.integer(), body.integer()
        c3, c2 = body.element(der.OCTET_STRING), body.element(der.OCTET_STRING)
        body.finish()
    except der.DerMalformed:
        return False
    return _on_curve(x, y) and len(c3) == HASH_SIZE and 1 <= len(c2) <= MAX_WRAP
