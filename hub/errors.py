"""How the hub fails: one exception with a code of `errors.proto`, and the table that gives it its gRPC status.

Rules:
1. Every failure that a caller sees has a code of the list in `xinqiao/v1/errors.proto`; the list grows there first.
2. `STATUS` is the only place where a code becomes a gRPC status; `error_catalogue.SENTENCES` the only place of its
   sentence.
3. The message says what happened, to what, and what to do; it holds no key, payload or personal data, for it is sent.
4. Errors of the cores keep their meaning: `of_core_error` maps their codes; one that is not in the table is a fault
   of ours.
"""

from __future__ import annotations

from typing import Final

import grpc

from hub.error_catalogue import SENTENCES

_S = grpc.StatusCode

STATUS: Final[dict[str, grpc.StatusCode]] = {
    "INVALID_ARGUMENT": _S.INVALID_ARGUMENT,
    "NOT_FOUND": _S.NOT_FOUND,
    "ALREADY_EXISTS": _S.ALREADY_EXISTS,
    "PERMISSION_DENIED": _S.PERMISSION_DENIED,
    "UNAUTHENTICATED": _S.UNAUTHENTICATED,
    "SIGNATURE_INVALID": _S.PERMISSION_DENIED,
    "CLOCK_SKEW": _S.FAILED_PRECONDITION,
    "RATE_LIMITED": _S.RESOURCE_EXHAUSTED,
    "TOO_LARGE": _S.INVALID_ARGUMENT,
    "REPLAYED": _S.ALREADY_EXISTS,
    "WRONG_STATE": _S.FAILED_PRECONDITION,
    "TOKEN_INVALID": _S.UNAUTHENTICATED,
    "NODE_REVOKED": _S.PERMISSION_DENIED,
    "MEMBER_SUSPENDED": _S.PERMISSION_DENIED,
    "CERTIFICATE_EXPIRED": _S.UNAUTHENTICATED,
    "USE_REFUSED": _S.FAILED_PRECONDITION,
    "CONSENT_CONFLICT": _S.FAILED_PRECONDITION,
    "SUBJECT_UNKNOWN": _S.NOT_FOUND,
    "PRODUCT_UNAVAILABLE": _S.FAILED_PRECONDITION,
    "PEER_OFFLINE": _S.UNAVAILABLE,
    "TICKET_INVALID": _S.PERMISSION_DENIED,
    "EXCHANGE_ENDED": _S.FAILED_PRECONDITION,
    "APPROVAL_REQUIRED": _S.FAILED_PRECONDITION,
    "PEER_FAILED": _S.ABORTED,
    "DEADLINE_EXCEEDED": _S.DEADLINE_EXCEEDED,
    "JOB_INVALID": _S.INVALID_ARGUMENT,
    "JOB_STOPPED": _S.ABORTED,
    "COHORT_TOO_SMALL": _S.FAILED_PRECONDITION,
    "DATA_UNUSABLE": _S.INVALID_ARGUMENT,
    "BUDGET_EXCEEDED": _S.FAILED_PRECONDITION,
    "RANGE_EXCEEDED": _S.OUT_OF_RANGE,
    "PARAMETERS_UNSAFE": _S.FAILED_PRECONDITION,
    "PROTOCOL_VIOLATION": _S.ABORTED,
    "PSI_NOT_PERMITTED": _S.PERMISSION_DENIED,
    "PSI_LIMIT_REACHED": _S.RESOURCE_EXHAUSTED,
    "WORKERS_FAILED": _S.ABORTED,
    "MODEL_INVALID": _S.INVALID_ARGUMENT,
    "MODEL_NOT_APPROVED": _S.FAILED_PRECONDITION,
    "MODEL_RETIRED": _S.FAILED_PRECONDITION,
    "SCORE_LIMIT_REACHED": _S.RESOURCE_EXHAUSTED,
    "MODEL_PRECISION": _S.OUT_OF_RANGE,
    "LOG_INCONSISTENT": _S.DATA_LOSS,
    "PROOF_OUT_OF_RANGE": _S.OUT_OF_RANGE,
    "UNAVAILABLE": _S.UNAVAILABLE,
    "DISK_FULL": _S.RESOURCE_EXHAUSTED,
    "INTERNAL": _S.INTERNAL,
}


class HubError(Exception):
    """A refusal or failure of the hub.

    `code` is a name of `ErrorCode` in errors.proto; without a message the code's own sentence stands. `reason` is the
    consent decision's reason where code is USE_REFUSED; `retry_after_ms` is 0 where trying again will not help.
    """

    def __init__(self, code: str, message: str = "", *, reason: str = "", retry_after_ms: int = 0) -> None:
        """Make an error; a code that the catalogue does not know is a programming error (KeyError)."""
        self.code = code
        self.message = message or SENTENCES[code]
        self.reason = reason
        self.retry_after_ms = retry_after_ms
        self.status = STATUS[code]
        super().__init__(f"{code}: {self.message}")


# What the cores raise, by their stable code. All but these mean that the hub itself is broken.
CORE_CODES: Final[dict[str, str]] = {
    "SIGNATURE_INVALID": "SIGNATURE_INVALID",
    "DOCUMENT_MALFORMED": "INVALID_ARGUMENT",
    "KEY_MALFORMED": "INVALID_ARGUMENT",
    "SUITE_UNKNOWN": "INVALID_ARGUMENT",
    "CERTIFICATE_REJECTED": "INVALID_ARGUMENT",
    "OUTSIDE_LOG": "PROOF_OUT_OF_RANGE",
    "LOG_INCONSISTENT": "LOG_INCONSISTENT",
    "CONSENT_MALFORMED": "INVALID_ARGUMENT",
    "IDENTIFIER_INVALID": "INVALID_ARGUMENT",
    "USCC_INVALID": "INVALID_ARGUMENT",
    "ITEM_UNKNOWN": "INVALID_ARGUMENT",
    "CONSENT_CONFLICT": "CONSENT_CONFLICT",
    "DIRECTORY_RULE": "WRONG_STATE",
    "WRONG_STATE": "WRONG_STATE",
}


def of_core_error(code: str, text: str) -> HubError | None:
    """The hub's error for an error of trust/ or consent/, or None if it should never have reached a caller."""
    known = CORE_CODES.get(code)
    return None if known is None else HubError(known, text)
