"""Passwords: argon2id at the cost that RFC 9106 recommends second (64 MiB, 3 passes), and no password that is easily guessed.

What is easily guessed is judged by zxcvbn: lists of common and leaked passwords that ship with it, names, dates, keyboard rows, and
what the account itself tells, which is also taken out of the password to see what remains. No rule about kinds of characters (NIST SP
800-63B 3.1.1).
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from typing import Final

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError
from argon2.profiles import RFC_9106_LOW_MEMORY
from zxcvbn import zxcvbn

from portal.forms import Wrong
from portal.text import Text

SHORTEST: Final = 10
LONGEST: Final = 128
_JUDGED: Final = 72  # zxcvbn takes long over long texts
_GOOD: Final = 3  # of 4: more than 10^8 guesses
_WORD: Final = 3
_REST: Final = 8
_HASHER: Final = PasswordHasher.from_parameters(RFC_9106_LOW_MEMORY)


def parse_new(text: str) -> str:
    """A new password of a length that will do. Raises Wrong."""
    if len(text) < SHORTEST:
        raise Wrong(
            Text("Choose a password of at least {shortest} characters; a few words will do.", shortest=SHORTEST)
        )
    return text


def require_strong(password: str, known: Sequence[str]) -> None:
    """Raise Wrong for a password that would soon be guessed; `known`: what others know of the account."""
    words = sorted((each.casefold() for each in known if len(each) >= _WORD), key=len, reverse=True)
    rest = password.casefold()
    for word in words:
        rest = rest.replace(word, "")
    found = zxcvbn(password[:_JUDGED], user_inputs=[each for each in known if each])
    if found["score"] < _GOOD or len(rest) < _REST:
        raise Wrong(Text("This password is among those that are tried first. Choose one that is longer or less usual."))


def hash_password(password: str) -> str:
    """The text to keep. Takes some 0.1 s and 64 MiB: call it on a thread."""
    return _HASHER.hash(password)


def matches(kept: str, password: str) -> bool:
    """Whether a password is the one that was kept. For no account (an empty text) it takes as long, and is no."""
    try:
        return _HASHER.verify(kept or _nobodys(), password) and bool(kept)
    except (VerificationError, InvalidHashError):
        return False


@cache
def _nobodys() -> str:
    return _HASHER.hash("nobody has this password")
