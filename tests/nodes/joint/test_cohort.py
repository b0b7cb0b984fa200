"""The rows of a job by consents alone: who is in, what both sides commit to, and who has left."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from consent.decision import Reason
from consent.documents import ConsentRevocation, Limits
from consent.usage import SubjectUse
from modeling.alignment import TOKEN_BYTES
from modeling.errors import CohortTooSmall, DataUnusable, ProtocolViolation
from nodes.errors import ExchangeFailed
from nodes.joint.cohort import (
    SALT_BYTES,
    BankRows,
    bank_rows,
    commitment_of,
    from_table,
    provider_rows,
    stayed,
    to_table,
    told,
    withdrawn_rows,
)
from tests.consent.builders import NOW, PROVIDER, RECORD, USCC, Log, consent, record_id
from tests.nodes.hub_simulator import make_uscc

CODES = [make_uscc(number) for number in range(40)]
TAX = {code: record_id(place) for place, code in enumerate(CODES[:30])}
PAY = {code: record_id(100 + place) for place, code in enumerate(CODES[10:])}


def test_all_are_those_who_consented_for_every_provider_and_any_those_for_one() -> None:
    every = bank_rows({"tax": TAX, "pay": PAY}, "job", "all", 20)
    assert set(every.order) == set(CODES[10:30])
    assert every.consents == {"tax": {c: TAX[c] for c in CODES[10:30]}, "pay": {c: PAY[c] for c in CODES[10:30]}}
    some = bank_rows({"tax": TAX, "pay": PAY}, "job", "any", 20)
    assert sorted(some.order) == sorted(CODES)
    assert some.consents == {"tax": TAX, "pay": PAY}


@pytest.mark.parametrize(
    ("minimum", "rows", "enough"), [(20, "all", True), (21, "all", False), (40, "any", True), (41, "any", False)]
)
def test_fewer_than_the_minimum_are_refused(minimum: int, rows: str, enough: bool) -> None:
    if enough:
        assert len(bank_rows({"tax": TAX, "pay": PAY}, "job", rows, minimum).order) == minimum  # type: ignore[arg-type]
        return
    with pytest.raises(CohortTooSmall, match=f"fewer than {minimum}"):
        bank_rows({"tax": TAX, "pay": PAY}, "job", rows, minimum)  # type: ignore[arg-type]


def test_every_job_has_an_order_of_its_own_and_every_cohort_a_secret() -> None:
    one, again, other = (bank_rows({"tax": TAX}, job, "all", 20) for job in ("job", "job", "other"))
    assert one.order == again.order != other.order
    assert one.secret != again.secret
    assert repr(one.secret) not in repr(one)


def test_tokens_are_the_same_as_long_as_the_job_runs_and_others_in_another_exchange() -> None:
    rows = bank_rows({"tax": TAX, "pay": PAY}, "job", "any", 20)
    again = BankRows(order=rows.order, consents=rows.consents, secret=rows.secret)
    assert rows.tokens("tax", "x-1") == again.tokens("tax", "x-1")
    assert len(rows.tokens("tax", "x-1")) == TOKEN_BYTES * 40
    other = rows.tokens("tax", "x-2")
    assert not {*_split(rows.tokens("tax", "x-1"))} & {*_split(other)}


def _split(data: bytes) -> list[bytes]:
    return [data[at : at + TOKEN_BYTES] for at in range(0, len(data), TOKEN_BYTES)]


Held = st.dictionaries(st.sampled_from(CODES[:12]), st.integers(0, 10**6).map(record_id), max_size=12).filter(
    lambda held: len(set(held.values())) == len(held)
)


@settings(max_examples=80, deadline=None)
@given(Held, st.sets(st.sampled_from(CODES[:12])), st.sampled_from(["all", "any"]))
def test_a_provider_recognises_exactly_the_rows_that_it_permits_and_both_commit_to_the_same(
    held: dict[str, str], refused: set[str], rows: str
) -> None:
    others = {code: record_id(2_000_000 + place) for place, code in enumerate(CODES[:12])}
    bank = bank_rows({"tax": held, "pay": others}, "job", rows, 0)  # type: ignore[arg-type]
    permitted = {code: consent_id for code, consent_id in held.items() if code not in refused}
    found = provider_rows(bank.tokens("tax", "x"), permitted, "x", 0) if bank.order else None
    if found is None:
        assert rows == "all"
        return
    assert found.subjects == tuple(code if code in permitted else None for code in bank.order)
    assert len(found.salts) == SALT_BYTES * found.permitted.sum()
    uses = bank.uses("tax", found.permitted, found.salts)
    assert uses == list(found.uses)
    assert commitment_of(uses) == commitment_of(found.uses)
    assert from_table(to_table(found)) == found


def test_a_provider_takes_part_from_its_own_minimum_on_and_counts_no_row_twice() -> None:
    bank = bank_rows({"tax": TAX}, "job", "all", 20)
    tokens = bank.tokens("tax", "x")
    assert provider_rows(tokens, TAX, "x", 30).permitted.all()
    with pytest.raises(CohortTooSmall):
        provider_rows(tokens, TAX, "x", 31)
    with pytest.raises(CohortTooSmall):
        provider_rows(tokens, TAX, "another exchange", 1)
    with pytest.raises(ProtocolViolation, match="twice"):
        provider_rows(tokens + tokens[:TOKEN_BYTES], TAX, "x", 1)


def test_the_bank_refuses_rows_that_it_gave_no_consent_for() -> None:
    bank = bank_rows({"tax": TAX, "pay": PAY}, "job", "any", 20)
    everybody = np.ones(40, np.bool_)
    with pytest.raises(ExchangeFailed, match="no consent"):
        bank.uses("tax", everybody, bytes(SALT_BYTES * 40))
    own = np.array([code in TAX for code in bank.order])
    assert {use.uscc for use in bank.uses("tax", own, bytes(SALT_BYTES * 30))} == set(TAX)
    for size in (0, SALT_BYTES * 29, SALT_BYTES * 30 + 1):
        with pytest.raises(ExchangeFailed):
            bank.uses("tax", own, bytes(size))


def test_who_stayed_are_the_permitted_rows_that_did_not_leave() -> None:
    permitted = np.array([True, False, True, True])
    uses = [SubjectUse(uscc=code, consent_id=record_id(1), record_count=1, salt="0" * 32) for code in CODES[:3]]
    assert stayed(uses, permitted, []) == uses
    assert stayed(uses, permitted, [1]) == uses
    assert stayed(uses, permitted, [2, 2, 0]) == uses[2:]
    for outside in (-1, 4):
        with pytest.raises(ExchangeFailed, match="does not have"):
            stayed(uses, permitted, [outside])


def test_a_stored_cohort_of_another_form_is_refused() -> None:
    with pytest.raises(DataUnusable, match="another form"):
        from_table(pa.table({"uscc": ["a"], "consent_id": ["b"]}))


def test_refusals_are_told_by_their_reason() -> None:
    selected = {Reason.CONSENT_EXPIRED: 3, Reason.CONSENT_REVOKED: 1}
    assert told(Counter(selected)) == {"CONSENT_EXPIRED": 3, "CONSENT_REVOKED": 1}


# -- who has left


END = NOW + 1000


def book_of(*, revoked: bool = False) -> Log:
    log = Log()
    log.enter("consent", consent(limits=Limits(valid_from_ms=NOW, valid_to_ms=END, data_life_days=30)))
    if revoked:
        log.enter(
            "consent-revocation", ConsentRevocation(record_id=RECORD, provider=PROVIDER, uscc=USCC, time_ms=NOW + 1)
        )
    return log


SUBJECTS = (None, USCC, "somebody else's", None)
HELD = {USCC: RECORD}


@pytest.mark.parametrize(
    ("revoked", "covered", "now_ms", "left"),
    [
        (False, {USCC}, NOW, []),
        (False, {USCC}, END - 1, []),
        (False, {USCC}, END, [1]),
        (True, {USCC}, NOW + 2, [1]),
        (False, set(), NOW, [1]),
    ],
)
def test_a_row_leaves_when_its_consent_ends_or_covers_the_job_no_more(
    revoked: bool, covered: set[str], now_ms: int, left: list[int]
) -> None:
    assert withdrawn_rows(book_of(revoked=revoked).book, SUBJECTS, HELD, covered, now_ms) == left


def test_a_consent_that_the_book_does_not_know_has_ended() -> None:
    assert withdrawn_rows(None, SUBJECTS, HELD, {USCC}, NOW) == [1]
    assert withdrawn_rows(Log().book, SUBJECTS, HELD, {USCC}, NOW) == [1]
    assert withdrawn_rows(book_of().book, SUBJECTS, {}, set(), NOW) == []
