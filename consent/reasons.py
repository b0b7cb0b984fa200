"""Why a use of data is refused: one stable code each, in the order in which the rules are checked, and a sentence.

The rules themselves stand in `consent.decision`.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Final


class Reason(StrEnum):
    """Why a use is refused. The values are stable; REASONS has a sentence for each."""

    ITEM_UNKNOWN = "ITEM_UNKNOWN"
    ITEM_NOT_PROVIDED = "ITEM_NOT_PROVIDED"
    LOG_INCONSISTENT = "LOG_INCONSISTENT"
    CONSENT_STALE = "CONSENT_STALE"
    NO_CONSENT = "NO_CONSENT"
    WRONG_PROVIDER = "WRONG_PROVIDER"
    WRONG_GRANTEE = "WRONG_GRANTEE"
    SIGNATURE_INVALID = "SIGNATURE_INVALID"
    CONSENT_NOT_YET_VALID = "CONSENT_NOT_YET_VALID"
    CONSENT_REVOKED = "CONSENT_REVOKED"
    CONSENT_EXPIRED = "CONSENT_EXPIRED"
    PURPOSE_NOT_COVERED = "PURPOSE_NOT_COVERED"
    ITEM_NOT_COVERED = "ITEM_NOT_COVERED"
    MODE_NOT_ALLOWED = "MODE_NOT_ALLOWED"
    FIELD_NOT_COVERED = "FIELD_NOT_COVERED"
    SEPARATE_CONSENT_REQUIRED = "SEPARATE_CONSENT_REQUIRED"
    USES_EXHAUSTED = "USES_EXHAUSTED"
    FREQUENCY_EXCEEDED = "FREQUENCY_EXCEEDED"


REASONS: Final[dict[Reason, str]] = {
    Reason.ITEM_UNKNOWN: "The catalogue has no such item or field. Choose one that `xinqiao node products` lists.",
    Reason.ITEM_NOT_PROVIDED: "The catalogue says that this item is never provided. Leave it out.",
    Reason.LOG_INCONSISTENT: "The provider's node saw the hub contradict itself and refuses. Ask the provider: its operator must look.",
    Reason.CONSENT_STALE: "The provider's node has no fresh proof of what is revoked. It refuses until it reaches the hub again.",
    Reason.NO_CONSENT: "The enterprise has given no consent for data of this provider. Ask it for one: `xinqiao consent request`.",
    Reason.WRONG_PROVIDER: "The consent is for another provider's data. Ask for one that names this provider.",
    Reason.WRONG_GRANTEE: "The consent names other institutions, not this one. Ask the enterprise for one that names it.",
    Reason.SIGNATURE_INVALID: "The consent's signature does not verify. Do not rely on it; ask the enterprise for a new one.",
    Reason.CONSENT_NOT_YET_VALID: "The consent begins later. Wait until then, or ask for one that begins now.",
    Reason.CONSENT_REVOKED: "The enterprise has withdrawn its consent. Stop using its data; ask again if there is a reason to.",
    Reason.CONSENT_EXPIRED: "The consent has ended. Ask the enterprise for a new one.",
    Reason.PURPOSE_NOT_COVERED: "The consent is for another purpose. Ask for one that names this purpose.",
    Reason.ITEM_NOT_COVERED: "The consent does not cover this item. Ask for it, or leave the item out.",
    Reason.MODE_NOT_ALLOWED: "The item may not be used so. Choose a mode that the catalogue, the purpose and the consent allow.",
    Reason.FIELD_NOT_COVERED: "The consent does not cover every field asked for. Ask only for the fields that it names.",
    Reason.SEPARATE_CONSENT_REQUIRED: "The item's level demands a separate, explicit consent. Ask the enterprise for one.",
    Reason.USES_EXHAUSTED: "All uses that the consent allows are spent. Ask the enterprise for a new one.",
    Reason.FREQUENCY_EXCEEDED: "The consent allows no further use in this hour, day or month. Wait, or ask for a higher frequency.",
}
"""What happened, and what to do."""

PROGRESS: Final[dict[Reason, int]] = {reason: place for place, reason in enumerate(Reason)}
"""How far a consent got before it was refused: the order of the checks."""
