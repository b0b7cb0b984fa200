"""Row alignment by consent: both sides hold the same consents, so they have the same rows without any protocol (protocols.md 4a).

For one passive, the rows are the subjects whose consents cover this bank, provider, purpose and items, in the order of a hash of
consent and exchange: the same at both sides, another in each exchange, and saying nothing of who a subject is. For several
passives the rows are the union; a passive knows its own consents only, so the active party sends it a token for each row, which
it recognises where it has the consent and which says nothing where it has not (`tokens_for`, `rows_of_tokens`).

A side that lacks a record keeps the row with zeros and weight zero. Leak: with several passives each learns how many rows the job
has and which of them it has a consent for; nobody learns for whom another has a record or a label.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from modeling.errors import CohortTooSmall, DataUnusable, ProtocolViolation
from trust.suite import hmac_sm3, sm3

MINIMUM_COHORT: Final = 100
TOKEN_BYTES: Final = 32

Rows = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]


def token(consent_id: str, exchange_id: str) -> bytes:
    """What a consent is called in one exchange: 32 bytes, the same at whoever holds it."""
    return sm3(b"\0".join((b"xinqiao/row/v1", exchange_id.encode(), consent_id.encode())))


def common_order(consents: Mapping[str, str], exchange_id: str, minimum: int = MINIMUM_COHORT) -> tuple[str, ...]:
    """The subjects of one passive's cohort in their common order. `consents`: subject to consent id.

    Raises CohortTooSmall, DataUnusable if two subjects share a consent.
    """
    if len(set(consents.values())) != len(consents):
        raise DataUnusable("two subjects of the cohort have the same consent; every consent is of one enterprise")
    _require(len(consents), minimum)
    return tuple(sorted(consents, key=lambda subject: token(consents[subject], exchange_id)))


def union_order(
    consents: Sequence[Mapping[str, str]], exchange_id: str, minimum: int = MINIMUM_COHORT
) -> tuple[str, ...]:
    """The active party's order of the union over its passives; `consents`: for each of them, subject to consent id.

    A subject stands where the first of its consents puts it. Raises CohortTooSmall.
    """
    first: dict[str, str] = {}
    for held in consents:
        for subject, consent_id in held.items():
            first.setdefault(subject, consent_id)
    return common_order(first, exchange_id, minimum)


def tokens_for(
    order: Sequence[str], consents: Mapping[str, str], exchange_id: str, secret: bytes
) -> npt.NDArray[np.uint8]:
    """uint8[n, 32] for one passive: its consent's token in each row, and what it cannot tell from one where it has none.

    `secret`: 32 random bytes of the active party, kept as long as the job: a job that goes on announces the same rows.
    """
    rows = [
        token(consents[subject], exchange_id)
        if subject in consents
        else hmac_sm3(secret, b"%s/%d" % (exchange_id.encode(), row))
        for row, subject in enumerate(order)
    ]
    return np.frombuffer(b"".join(rows), np.uint8).reshape(len(rows), TOKEN_BYTES)


def rows_of_tokens(
    tokens: npt.NDArray[np.uint8], consents: Mapping[str, str], exchange_id: str, minimum: int = MINIMUM_COHORT
) -> list[str | None]:
    """A passive's reading of them: its subject in each row, None where it has no consent.

    Raises ProtocolViolation for a token that comes twice (a row would be counted twice), CohortTooSmall below the minimum.
    """
    own = {token(consent_id, exchange_id): subject for subject, consent_id in consents.items()}
    told = [bytes(row) for row in tokens]
    if len(set(told)) != len(told):
        raise ProtocolViolation("a row of the cohort was announced twice")
    subjects = [own.get(each) for each in told]
    _require(sum(subject is not None for subject in subjects), minimum)
    return subjects


def placed(order: Sequence[str | None], records: Mapping[str, int], features: Floats) -> tuple[Floats, Floats]:
    """Features float64[n, p] and weights float64[n] in the common order; zeros where there is no record.

    `records`: subject to its row of `features` float64[m, p].
    """
    rows: Rows = np.array([-1 if subject is None else records.get(subject, -1) for subject in order], np.int64)
    there = rows >= 0
    found = np.zeros((len(rows), features.shape[1]))
    found[there] = features[rows[there]]
    weights: Any = there.astype(np.float64)
    return found, weights


def _require(count: int, minimum: int) -> None:
    if count < minimum:
        raise CohortTooSmall(
            f"the cohort has fewer than {minimum} enterprises: a model about so few would say something of each. Ask for more consents"
        )
