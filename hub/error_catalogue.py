"""The public sentence of every error code: the comments of errors.proto, kept where the running hub can read them.

A test compares the two, so that the proto stays the one place where they are written.
"""

# ruff: noqa: E501 (the sentences stand as they do in the proto)

from __future__ import annotations

from typing import Final

SENTENCES: Final[dict[str, str]] = {
    "INVALID_ARGUMENT": "A field of the request is missing or malformed - correct it as the detail says and call again.",
    "NOT_FOUND": "What the request names does not exist or is not yours to see - check the identifier.",
    "ALREADY_EXISTS": "It exists already - use the existing one or choose another identifier.",
    "PERMISSION_DENIED": "The caller's certificate or signature does not allow this call - use the node or key that the call belongs to.",
    "UNAUTHENTICATED": "The caller presented no valid certificate or signature - enrol the node, or sign with the registered key.",
    "SIGNATURE_INVALID": "A signature does not verify against the key in the directory - check which key signed and whether it was rotated.",
    "CLOCK_SKEW": "The caller's clock is off by more than a minute - synchronise it (chrony or ntpd) and call again.",
    "RATE_LIMITED": "Too many calls from this member - wait for the time in retry_after_ms.",
    "TOO_LARGE": "The request is larger than the limit - send it in parts.",
    "REPLAYED": "This signed request was used before - sign a new one.",
    "WRONG_STATE": "The document is not in the state that this step needs - read its present state first.",
    "TOKEN_INVALID": "The token is unknown, expired or used - ask the hub operator for a new invitation.",
    "NODE_REVOKED": "This node was revoked and is cut off - the operator must enrol a new node.",
    "MEMBER_SUSPENDED": "The member is suspended - ask the hub operator.",
    "CERTIFICATE_EXPIRED": "The certificate has expired - enrol the node again with a new token.",
    "USE_REFUSED": "The consent decision refused the use - the reason code says why.",
    "CONSENT_CONFLICT": "The document contradicts an earlier one - read the consent's history.",
    "SUBJECT_UNKNOWN": "The enterprise has no approved key in the directory - register it and have it approved first.",
    "PRODUCT_UNAVAILABLE": "The product is not published - choose one from the catalogue.",
    "PEER_OFFLINE": "The other node is not connected - try again when its operator has it running.",
    "TICKET_INVALID": "The ticket is not valid for this node or this exchange - open a new exchange.",
    "EXCHANGE_ENDED": "The exchange has ended - open a new one.",
    "APPROVAL_REQUIRED": "The provider's operator must approve this exchange by hand, or refused it - ask the provider.",
    "PEER_FAILED": "The other side broke off - the detail says why.",
    "DEADLINE_EXCEEDED": "An answer did not come in time - the detail names who was silent; ask again under the same request key, it counts once.",
    "JOB_INVALID": "The job file cannot be used - correct the place that the detail names.",
    "JOB_STOPPED": "A party's operator stopped the job - ask the one that the detail names.",
    "COHORT_TOO_SMALL": "Fewer common enterprises than a result may be about - ask for more consents.",
    "DATA_UNUSABLE": "A party's data cannot be trained on - correct the column that the detail names.",
    "BUDGET_EXCEEDED": "The job would tell a party more than the protocol's statement allows; it was not begun - fewer steps, fewer features, or more rows.",
    "RANGE_EXCEEDED": "The job's numbers do not fit the fixed-point range - train on fewer rows, or clip lower.",
    "PARAMETERS_UNSAFE": "The cryptographic parameters are too weak or failed their test on this machine - use the defaults.",
    "PROTOCOL_VIOLATION": "A party sent what the protocol does not have at this place; the job was ended - check that all run the same version.",
    "PSI_NOT_PERMITTED": "The provider has no rule that lets this member compare sets with this product - ask it for one, with your legal basis.",
    "PSI_LIMIT_REACHED": "This member has compared sets with this product as often as the provider's rule allows for today - go on tomorrow.",
    "WORKERS_FAILED": "Workers of a computation died again and again, or their cluster is away - its node's log says which; a job goes on when it is asked to.",
    "MODEL_INVALID": "A model cannot be registered or imported as it is - correct what the detail names.",
    "MODEL_NOT_APPROVED": "A provider has not approved this version of the model, or declined it - ask the one that the detail names.",
    "MODEL_RETIRED": "The model is out of service: its owner retired it, or a provider withdrew its approval - score with another version.",
    "SCORE_LIMIT_REACHED": "A limit that protects the enterprises' features from being computed from scores is reached - the detail says which.",
    "MODEL_PRECISION": "The score cannot be computed exactly enough with these weights and bounds; nothing was sent - clip lower, or scale the features.",
    "LOG_INCONSISTENT": "The log does not extend what was seen before - stop and look at it; `xinqiao audit verify` names the place.",
    "PROOF_OUT_OF_RANGE": "The proof reaches past the end of the log - ask for the current checkpoint first.",
    "UNAVAILABLE": "The service is busy or restarting - try again, calls are idempotent.",
    "DISK_FULL": "The disk is full - free space; nothing that was acknowledged is lost.",
    "INTERNAL": "The hub failed in a way it did not foresee; nothing was changed - report the incident number.",
}
