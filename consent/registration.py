"""How an enterprise asks to be known: a statement of its code, name, contact and public key, signed by that very key.

It proves only that the sender holds the key. That the key belongs to the enterprise is what an operator establishes
and states in a `consent.directory.SubjectKey`. A registration that replaces a key carries a second signature, by the
key that it replaces.
"""

from __future__ import annotations

from typing import Annotated, Final

import msgspec

from consent.directory import KeyText
from consent.documents import Document, ShortText, TimeMs, UsccText, parse, payload_type
from consent.identifiers import Uscc

SUBJECT_REGISTRATION_TYPE: Final = payload_type("subject-registration")


class SubjectRegistration(Document, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """An enterprise's own statement; `contact` is how the operator reaches it, and stays out of every log."""

    uscc: UsccText
    ent_name: ShortText
    contact: Annotated[str, msgspec.Meta(min_length=1, max_length=200)]
    public_key: KeyText
    time_ms: TimeMs


def parse_registration(payload: bytes) -> SubjectRegistration:
    """Parse and check a registration. Raises DocumentMalformed or UsccInvalid.

    A wrong check character is let through to the operator: early pilot regions issued such codes, and a person looks
    at each.
    """
    registration = parse(payload, SubjectRegistration)
    Uscc.parse(registration.uscc, allow_check_mismatch=True)
    return registration
