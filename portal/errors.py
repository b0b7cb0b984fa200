"""How the portal fails: one exception with a stable code, a sentence that can be translated, and its HTTP status.

A code is one of errors.proto where it means the same; `STATUS` is the only place where it becomes an HTTP status.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from portal.text import Text

STATUS: Final[dict[str, int]] = {
    "INVALID_ARGUMENT": 422,
    "UNAUTHENTICATED": 401,
    "PERMISSION_DENIED": 403,
    "FORM_EXPIRED": 403,
    "NOT_FOUND": 404,
    "WRONG_METHOD": 405,
    "ALREADY_EXISTS": 409,
    "WRONG_STATE": 409,
    "STALE": 409,
    "TOO_LARGE": 413,
    "RATE_LIMITED": 429,
    "ACCOUNT_LOCKED": 429,
    "INTERNAL": 500,
    "HUB_REFUSED": 502,
    "UNVERIFIED": 502,
    "UNAVAILABLE": 503,
}


class PortalError(Exception):
    """A refusal or failure that a person reads.

    `faults`: what is wrong with which field of a form. `retry_after_s`: 0 where trying again will not help.
    """

    def __init__(
        self, code: str, text: Text, *, faults: Mapping[str, Text] | None = None, retry_after_s: int = 0
    ) -> None:
        """Make an error; a code that the table does not know is a programming error (KeyError)."""
        self.code = code
        self.text = text
        self.faults: Mapping[str, Text] = faults or {}
        self.retry_after_s = retry_after_s
        self.status = STATUS[code]
        super().__init__(f"{code}: {text}")

    @property
    def message(self) -> str:
        """The sentence in English."""
        return str(self.text)


def not_found() -> PortalError:
    """What is not there, or not the asker's to see: the two must not be told apart."""
    return PortalError("NOT_FOUND", Text("There is no such page, or it is not yours to see."))


def form_fault(field: str, text: Text) -> PortalError:
    """One field that a service, not the form, found wrong."""
    return PortalError("INVALID_ARGUMENT", Text("Correct what is marked below."), faults={field: text})
