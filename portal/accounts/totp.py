"""The second factor: time-based one-time passwords (RFC 6238; SHA-1, six digits, 30 s, as authenticator apps have them)."""

from __future__ import annotations

import base64
import secrets
from typing import Final

import segno
from cryptography.hazmat.primitives.hashes import SHA1
from cryptography.hazmat.primitives.twofactor import InvalidToken
from cryptography.hazmat.primitives.twofactor.totp import TOTP

STEP_S: Final = 30
SECRET_BYTES: Final = 20
ISSUER: Final = "Xinqiao"


def new_secret() -> str:
    """A secret in base32, as apps take it."""
    return base64.b32encode(secrets.token_bytes(SECRET_BYTES)).decode()


def code_at(secret: str, time_s: int) -> str:
    """The code of a moment."""
    return _totp(secret).generate(time_s).decode()


def matching_step(secret: str, code: str, now_ms: int, used_step: int) -> int | None:
    """The step whose code this is: now, the one before or after, and later than the last one used. None if none."""
    now_step = now_ms // 1000 // STEP_S
    for step in (now_step, now_step - 1, now_step + 1):
        if step <= used_step:
            continue
        try:
            _totp(secret).verify(code.encode(), step * STEP_S)
        except InvalidToken:
            continue
        return step
    return None


def picture(secret: str, login: str) -> str:
    """A QR code for an app, as a data URI of an SVG."""
    uri = _totp(secret).get_provisioning_uri(login, ISSUER)
    return str(segno.make(uri, error="m").svg_data_uri(scale=5, border=3, dark="#14191f", light="#ffffff"))


def _totp(secret: str) -> TOTP:
    return TOTP(base64.b32decode(secret), 6, SHA1(), STEP_S)  # noqa: S303 (RFC 6238's default; all apps know it)
