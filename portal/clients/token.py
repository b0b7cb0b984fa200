"""Tokens that programs sign: JSON Web Tokens (RFC 7519) under SM2 with SM3 (GB/T 32918.2), for minutes.

`alg` is "SM2", which no registered algorithm is called; a token under any other is refused. `iss` is the program's id at the portal,
`aud` the portal's origin, and `exp` is at most `MOST_S` after `iat`.
"""

from __future__ import annotations

from typing import Any, Final

import jwt
import msgspec
from jwt.algorithms import Algorithm

from trust.errors import SignatureInvalid
from trust.sm2 import PrivateKey, PublicKey, sign, verify_signature

ALGORITHM: Final = "SM2"
MOST_S: Final = 300
LEEWAY_S: Final = 30


class TokenInvalid(Exception):
    """A token that does not hold, and why."""


class _Sm2(Algorithm):
    """SM2 signatures for PyJWT."""

    def prepare_key(self, key: Any) -> Any:  # noqa: ANN401 (PyJWT's)
        """Take a key as it is."""
        return key

    def sign(self, msg: bytes, key: Any) -> bytes:  # noqa: ANN401
        """Sign."""
        assert isinstance(key, PrivateKey)  # noqa: S101 (our only caller is `make`)
        return sign(key, msg)

    def verify(self, msg: bytes, key: Any, sig: bytes) -> bool:  # noqa: ANN401
        """Whether the signature is the key's."""
        assert isinstance(key, PublicKey)  # noqa: S101 (our only caller is `claims_of`)
        try:
            verify_signature(key, msg, sig)
        except SignatureInvalid:
            return False
        return True

    @staticmethod
    def to_jwk(key_obj: Any, as_dict: bool = False) -> Any:  # noqa: ANN401
        """Raise InvalidKeyError: no JWK form of SM2 keys is registered, and PyJWT asks every algorithm for one."""
        raise jwt.InvalidKeyError("an SM2 key has no registered JWK form")

    @staticmethod
    def from_jwk(jwk: Any) -> Any:  # noqa: ANN401
        """Raise InvalidKeyError: no JWK form of SM2 keys is registered, and PyJWT asks every algorithm for one."""
        raise jwt.InvalidKeyError("an SM2 key has no registered JWK form")


def _jws() -> jwt.PyJWS:
    made = jwt.PyJWS(algorithms=[])
    made.register_algorithm(ALGORITHM, _Sm2())
    return made


_JWS: Final = _jws()


class _Claims(msgspec.Struct, frozen=True):
    iss: str
    aud: str
    iat: int
    exp: int


def make(client_id: str, key: PrivateKey, audience: str, now_s: int) -> str:
    """A token for the next `MOST_S`. `audience`: the portal's origin, as https://portal.example.com."""
    claims = _Claims(iss=client_id, aud=audience, iat=now_s, exp=now_s + MOST_S)
    return _JWS.encode(msgspec.json.encode(claims), key, algorithm=ALGORITHM)  # type: ignore[arg-type]  # our own algorithm's key


def client_of(token: str) -> str:
    """Whose token this claims to be, before anything of it is verified. Raises TokenInvalid."""
    try:
        payload = _JWS.decode_complete(token, options={"verify_signature": False})["payload"]
        return msgspec.json.decode(payload, type=_Claims).iss
    except (jwt.InvalidTokenError, msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise TokenInvalid("it is no JSON Web Token with iss, aud, iat and exp") from error


def verify(token: str, key: PublicKey, audience: str, now_s: int) -> None:
    """Raise TokenInvalid unless the key signed the token, for this portal, and it holds now."""
    try:
        payload = _JWS.decode(token, key, algorithms=[ALGORITHM])  # type: ignore[arg-type]  # our own algorithm's key
        claims = msgspec.json.decode(payload, type=_Claims)
    except (jwt.InvalidTokenError, msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise TokenInvalid("its signature is not that of the program's key") from error
    if claims.aud != audience:
        raise TokenInvalid(f"its aud is not {audience}")
    if not 0 < claims.exp - claims.iat <= MOST_S:
        raise TokenInvalid(f"it holds for longer than {MOST_S} seconds")
    if not claims.iat - LEEWAY_S <= now_s < claims.exp + LEEWAY_S:
        raise TokenInvalid("it has expired or is of the future; compare the clocks")
