"""The invitation token: all that a node needs to find this hub, know it, and enrol once.

Only the SM3 digest of the secret is stored. The token carries the hub's authority and log key, so that whoever hands
it over hands over what the node pins; it must travel by a way that cannot be altered unseen.
"""

from __future__ import annotations

import base64
import binascii
import secrets
from typing import Annotated, Final, Literal

import msgspec

from hub.errors import HubError
from trust.suite import sm3

SECRET_BYTES: Final = 32
_MAX_TOKEN: Final = 8192


class Token(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What a token says; `authority` is the certificate in DER (base64 in JSON), `hub_key` the SM2 key as text."""

    v: Literal[1] = 1
    public_address: str
    node_address: str
    authority: bytes
    hub_key: str
    secret: Annotated[str, msgspec.Meta(min_length=20, max_length=100)]
    member_id: str
    node_id: str
    expires_ms: int

    def encode(self) -> str:
        """The text to hand over: base64url of JSON, without padding."""
        return base64.urlsafe_b64encode(msgspec.json.encode(self)).rstrip(b"=").decode()

    @classmethod
    def decode(cls, text: str) -> Token:
        """Read a token. Raises HubError TOKEN_INVALID."""
        try:
            if len(text) > _MAX_TOKEN:
                raise ValueError("too long")
            raw = base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True)
            return msgspec.json.decode(raw, type=cls)
        except (msgspec.MsgspecError, ValueError, binascii.Error) as problem:
            raise HubError("TOKEN_INVALID", "this is no invitation token; copy the whole of it") from problem


def new_secret() -> str:
    """A fresh secret of 256 bits."""
    return secrets.token_urlsafe(SECRET_BYTES)


def secret_digest(secret: str) -> str:
    """What is stored of a secret: a plain hash of 256 random bits cannot be searched, a look-up by it leaks nothing."""
    return sm3(b"xinqiao/invitation/v1\0" + secret.encode()).hex()
