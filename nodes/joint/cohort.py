"""The rows of a job, from consents alone (protocols.md 4a), and what both nodes record about them.

1. The bank selects, for each provider, the subjects whose consents cover this job, from its own verified copy, and orders them
   (`modeling.alignment`). A provider is told a token for each row: it recognises those of its own consents, the others say nothing.
2. The provider decides each recognised subject on its own book, with its counts; what it refuses is a row without a record, and the
   bank is told which rows these are, not why. Uses are charged and the receipt is written in one transaction, before any data is read.
3. Both commit to the same subjects in the order of the rows, with the provider's salts. How many records there are is nobody's
   business here: each subject counts one.
4. At the end both write a second receipt with the model's commitment, over the subjects that stayed.
"""

from __future__ import annotations

import secrets
from collections import Counter
from collections.abc import Container, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, Literal

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from consent.columns import ConsentColumns
from consent.documents import encode
from consent.usage import BatchCommitment, SubjectTree, SubjectUse
from modeling.alignment import TOKEN_BYTES, rows_of_tokens, tokens_for, union_order
from modeling.errors import DataUnusable
from nodes.errors import ExchangeFailed

SALT_BYTES: Final = 16
MINIMUM: Final = 100
"""The fewest rows that a job may have, unless the provider's settings ask for more."""

Rows = Literal["all", "any"]
"""Which subjects are in: those who consented for every provider, or for any."""
Flags = npt.NDArray[np.bool_]


@dataclass(frozen=True, kw_only=True)
class BankRows:
    """The bank's side: the subjects in the order of the rows, and for each provider the consent that each row has there."""

    order: tuple[str, ...]
    consents: Mapping[str, Mapping[str, str]]
    secret: bytes = field(repr=False)
    """Makes the tokens of rows that a provider has no consent for; the same as long as the job runs."""

    def tokens(self, provider: str, exchange_id: str) -> bytes:
        """32 bytes a row; they say nothing where the subject has no consent for this provider."""
        return tokens_for(self.order, self.consents[provider], exchange_id, self.secret).tobytes()

    def uses(self, provider: str, permitted: Flags, salts: bytes) -> list[SubjectUse]:
        """What the provider's receipt commits to. Raises ExchangeFailed if it permits a row that it has no consent for."""
        rows = np.flatnonzero(permitted).tolist()
        held = self.consents[provider]
        if len(salts) != SALT_BYTES * len(rows) or any(self.order[row] not in held for row in rows):
            raise ExchangeFailed(
                "The provider takes part with rows that it was given no consent for; the job was stopped."
            )
        return [
            _use(self.order[row], held[self.order[row]], salts[SALT_BYTES * at : SALT_BYTES * (at + 1)])
            for at, row in enumerate(rows)
        ]


def bank_rows(consents: Mapping[str, Mapping[str, str]], job: str, rows: Rows, minimum: int) -> BankRows:
    """Order the cohort. `consents`: for each provider, subject to consent id. Raises CohortTooSmall."""
    held = dict(consents)
    if rows == "all":
        common = set.intersection(*(set(each) for each in held.values()))
        held = {name: {uscc: each[uscc] for uscc in each if uscc in common} for name, each in held.items()}
    order = union_order(list(held.values()), job, minimum)
    return BankRows(order=order, consents=held, secret=secrets.token_bytes(TOKEN_BYTES))


@dataclass(frozen=True, kw_only=True)
class ProviderRows:
    """The provider's side: which row is which subject (None: nobody it may use), and what its receipt commits to."""

    subjects: tuple[str | None, ...]
    uses: tuple[SubjectUse, ...]

    @property
    def permitted(self) -> Flags:
        """bool[n]."""
        return np.array([subject is not None for subject in self.subjects], np.bool_)

    @property
    def salts(self) -> bytes:
        """16 bytes for each permitted row."""
        return b"".join(bytes.fromhex(use.salt) for use in self.uses)


def provider_rows(tokens: bytes, consents: Mapping[str, str], exchange_id: str, minimum: int) -> ProviderRows:
    """Recognise the rows. `consents`: permitted subject to consent id. Raises ProtocolViolation, CohortTooSmall."""
    table = np.frombuffer(tokens, np.uint8).reshape(-1, TOKEN_BYTES)
    subjects = tuple(rows_of_tokens(table, consents, exchange_id, minimum))
    uses = tuple(
        _use(subject, consents[subject], secrets.token_bytes(SALT_BYTES)) for subject in subjects if subject is not None
    )
    return ProviderRows(subjects=subjects, uses=uses)


def commitment_of(uses: Sequence[SubjectUse]) -> BatchCommitment:
    """The root over the subjects, in the order of the rows."""
    return SubjectTree([encode(use) for use in uses]).commitment


def stayed(uses: Sequence[SubjectUse], permitted: Flags, withdrawn: Sequence[int]) -> list[SubjectUse]:
    """The uses of the rows that were not withdrawn. Raises ExchangeFailed for a row that does not exist."""
    if any(not 0 <= row < len(permitted) for row in withdrawn):
        raise ExchangeFailed("The other node named a row that the job does not have.")
    kept = permitted.copy()
    kept[list(withdrawn)] = False
    return [use for use, row in zip(uses, np.flatnonzero(permitted).tolist(), strict=True) if kept[row]]


def withdrawn_rows(
    book: ConsentColumns | None,
    subjects: Sequence[str | None],
    consents: Mapping[str, str],
    covered: Container[str],
    now_ms: int,
) -> list[int]:
    """Rows whose consent has ended by now (revoked, expired, unknown to this book), or whose subject is not `covered` any more.

    `covered`: the subjects that the job is allowed for as things are now. A consent that stands may say less than it did: a later
    version of it leaves out the bank or an item, or another consent that the job needs besides is gone.
    """
    found = []
    for row, subject in enumerate(subjects):
        if subject is None or subject not in consents:
            continue
        if book is None or subject not in covered or not book.stands(consents[subject], now_ms):
            found.append(row)
    return found


_STORED: Final = pa.schema([("uscc", pa.string()), ("consent_id", pa.string()), ("salt", pa.string())])


def to_table(rows: ProviderRows) -> pa.Table:
    """One row for each row of the job; nulls where the provider takes no part."""
    uses = iter(rows.uses)
    lines: list[Any] = [next(uses) if subject is not None else None for subject in rows.subjects]
    return pa.table(
        [[None if each is None else getattr(each, name) for each in lines] for name in _STORED.names], schema=_STORED
    )


def from_table(table: pa.Table) -> ProviderRows:
    """Read what `to_table` made. Raises DataUnusable if it has another form."""
    if table.schema != _STORED:
        raise DataUnusable("the stored cohort of a job has another form; begin the job anew")
    lines = table.to_pylist()
    return ProviderRows(
        subjects=tuple(line["uscc"] for line in lines),
        uses=tuple(
            _use(line["uscc"], line["consent_id"], bytes.fromhex(line["salt"])) for line in lines if line["uscc"]
        ),
    )


def told(refused: Counter[Any]) -> dict[str, int]:
    """Refusals by reason."""
    return {reason.value: count for reason, count in refused.items()}


def _use(uscc: str, consent_id: str, salt: bytes) -> SubjectUse:
    return SubjectUse(uscc=uscc, consent_id=consent_id, record_count=1, salt=salt.hex())
