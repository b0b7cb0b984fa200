"""How a command fails: one exception, and the one table from error codes to exit codes.

| exit | meaning |
|---|---|
| 0 | done |
| 1 | something unforeseen: report it |
| 2 | the command or a value in it is wrong |
| 3 | refused: by the consent decision, by an approval, or because this key or member may not |
| 4 | not reachable, busy or full: try again |
| 5 | not found, or not in the state that this needs |
| 6 | verification failed: a signature, proof or log is not what it claims to be |
| 7 | configuration: settings, key files, clock, certificate |

A code that is in no row is unforeseen. The codes are those of errors.proto and of the errors of trust, consent, nodes and hub.
"""

from __future__ import annotations

from typing import Final

from consent.errors import ConsentError
from hub.errors import HubError
from hub.settings import SettingsInvalid
from modeling.errors import ModelingError
from nodes.errors import NodeError
from trust.errors import TrustError

OK: Final = 0
UNEXPECTED: Final = 1
USAGE: Final = 2
REFUSED: Final = 3
UNREACHABLE: Final = 4
STATE: Final = 5
UNVERIFIED: Final = 6
CONFIGURATION: Final = 7

MEANINGS: Final[dict[int, str]] = {
    OK: "done",
    UNEXPECTED: "something unforeseen: report it",
    USAGE: "the command or a value in it is wrong",
    REFUSED: "refused: by the consent decision, by an approval, or because this key or member may not",
    UNREACHABLE: "not reachable, busy or full: try again",
    STATE: "not found, or not in the state that this needs",
    UNVERIFIED: "verification failed: a signature, proof or log is not what it claims to be",
    CONFIGURATION: "configuration: settings, key files, clock, certificate",
}

_CODES_OF: Final[dict[int, tuple[str, ...]]] = {
    UNEXPECTED: ("ERROR_CODE_UNSPECIFIED", "INTERNAL"),
    USAGE: (
        "INVALID_ARGUMENT",
        "TOO_LARGE",
        "DOCUMENT_MALFORMED",
        "CONSENT_MALFORMED",
        "IDENTIFIER_INVALID",
        "USCC_INVALID",
        "ITEM_UNKNOWN",
        "KEY_MALFORMED",
        "VALUE_INVALID",
        "JOB_INVALID",
        "DATA_UNUSABLE",
        "RANGE_EXCEEDED",
        "MODEL_INVALID",
        "MODEL_PRECISION",
    ),
    REFUSED: (
        "USE_REFUSED",
        "APPROVAL_REQUIRED",
        "PERMISSION_DENIED",
        "UNAUTHENTICATED",
        "TOKEN_INVALID",
        "TICKET_INVALID",
        "NODE_REVOKED",
        "MEMBER_SUSPENDED",
        "JOB_STOPPED",
        "COHORT_TOO_SMALL",
        "BUDGET_EXCEEDED",
        "PSI_NOT_PERMITTED",
        "PSI_LIMIT_REACHED",
        "MODEL_NOT_APPROVED",
        "SCORE_LIMIT_REACHED",
    ),
    UNREACHABLE: (
        "UNAVAILABLE",
        "PEER_OFFLINE",
        "DEADLINE_EXCEEDED",
        "PEER_FAILED",
        "RATE_LIMITED",
        "DISK_FULL",
        "WORKERS_FAILED",
    ),
    STATE: (
        "NOT_FOUND",
        "ALREADY_EXISTS",
        "REPLAYED",
        "WRONG_STATE",
        "CONSENT_CONFLICT",
        "DIRECTORY_RULE",
        "SUBJECT_UNKNOWN",
        "PRODUCT_UNAVAILABLE",
        "EXCHANGE_ENDED",
        "PROOF_OUT_OF_RANGE",
        "OUTSIDE_LOG",
        "ITEM_NOT_LOADED",
        "MODEL_RETIRED",
    ),
    UNVERIFIED: ("SIGNATURE_INVALID", "LOG_INCONSISTENT", "AUDIT_FAILED", "CHECKPOINT_STALE", "PROTOCOL_VIOLATION"),
    CONFIGURATION: (
        "CONFIGURATION",
        "CLOCK_SKEW",
        "CERTIFICATE_EXPIRED",
        "CERTIFICATE_REJECTED",
        "KEY_FILE",
        "WRONG_PASSPHRASE",
        "SUITE_UNAVAILABLE",
        "SUITE_UNKNOWN",
        "SETTINGS_INVALID",
        "CREDENTIALS_INVALID",
        "ENROLMENT_FAILED",
        "SOURCES_INVALID",
        "SOURCE_UNREADABLE",
        "SOURCE_DRIVER_MISSING",
        "LOAD_INTERRUPTED",
        "SNAPSHOT_DAMAGED",
        "CATALOGUE_INVALID",
        "STORE_FAILED",
        "STORE_IN_USE",
        "SCHEMA_TOO_NEW",
        "PARAMETERS_UNSAFE",
    ),
}
EXIT_CODES: Final[dict[str, int]] = {code: number for number, codes in _CODES_OF.items() for code in codes}
"""The one table."""


class CliError(Exception):
    """A command failed. `code` is stable, `reason` the consent decision's where there is one, `incident` the hub's number."""

    def __init__(self, code: str, message: str, *, reason: str = "", incident: str = "") -> None:
        """`message` says what happened, to what, and what to do."""
        super().__init__(message)
        self.code = code
        self.message = message
        self.reason = reason
        self.incident = incident

    @property
    def exit_code(self) -> int:
        """What the process ends with."""
        return EXIT_CODES.get(self.code, UNEXPECTED)

    def as_json(self) -> dict[str, object]:
        """The one object that --json prints."""
        error = {"code": self.code, "message": self.message, "reason": self.reason}
        return {"error": error | ({"incident": self.incident} if self.incident else {})}


KNOWN: Final = (CliError, NodeError, HubError, SettingsInvalid, TrustError, ConsentError, ModelingError)
"""The errors that our packages raise on purpose."""


def to_cli_error(
    error: CliError | NodeError | HubError | SettingsInvalid | TrustError | ConsentError | ModelingError,
) -> CliError:
    """Translate an error of one of our packages; its code and words stay."""
    if isinstance(error, CliError):
        return error
    if isinstance(error, NodeError):
        return CliError(error.code, error.message, reason=error.reason, incident=error.incident)
    if isinstance(error, HubError):
        return CliError(error.code, error.message, reason=error.reason)
    return CliError(error.code, str(error))
