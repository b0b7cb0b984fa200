"""Laws of a line of credit: whatever is drawn and repaid in whatever order, the ledger's invariants hold."""

from __future__ import annotations

from dataclasses import replace
from datetime import date
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from portal.applications.application import Grant
from portal.credit.line import Contract, Line, after, contract_faults, draw, fall_overdue, overdue_days, repay
from portal.errors import PortalError
from portal.products.product import TermUnit

ACTS = {"draw": draw, "repay": repay, "overdue": fall_overdue}
TODAY = date(2026, 9, 21)
GRANT = Grant(
    application_no="A1",
    institution="bank-a",
    uscc="x",
    product_code="p",
    limit_fen=60_000_000,
    annual_rate=Decimal(4),
    penalty_rate=Decimal(6),
    term=12,
    term_unit="M",
    guarantee="credit",
    granted_by="approver",
    granted_ms=0,
)
SIGNED = Contract(
    contract_no="C1",
    branch="海淀支行",
    amount_fen=60_000_000,
    signed_on=TODAY,
    begins_on=TODAY,
    ends_on=date(2027, 9, 21),
    first_loan=True,
)


@given(
    limit=st.integers(1, 10**13),
    revolving=st.booleans(),
    acts=st.lists(st.tuples(st.sampled_from(sorted(ACTS)), st.integers(-5, 10**13)), max_size=30),
)
def test_available_drawn_and_balance_keep_their_invariants(
    limit: int, revolving: bool, acts: list[tuple[str, int]]
) -> None:
    line, drawn, repaid = Line(limit_fen=limit, revolving=revolving), 0, 0
    for act, asked in acts:
        amount = asked % (limit + 2)
        try:
            line = ACTS[act](line, amount)
        except PortalError:
            continue
        drawn, repaid = drawn + amount * (act == "draw"), repaid + amount * (act == "repay")
        assert line.available_fen == limit - drawn + (repaid if revolving else 0) >= 0
        assert line.balance_fen == drawn - repaid >= 0
        assert line.balance_fen <= limit and (revolving or drawn <= limit)
        assert 0 <= line.overdue_fen <= line.balance_fen


@given(limit=st.integers(1, 10**9), part=st.integers(1, 10**9))
def test_a_revolving_line_gives_back_what_is_repaid_and_another_one_does_not(limit: int, part: int) -> None:
    part = min(part, limit)
    for revolving in (True, False):
        line = repay(draw(Line(limit_fen=limit, revolving=revolving), limit), part)
        assert line.available_fen == (part if revolving else 0)
        if not revolving:
            with pytest.raises(PortalError, match="INVALID_ARGUMENT"):
                draw(line, part)


@pytest.mark.parametrize(
    ("changed", "field"),
    [
        ({"amount_fen": 60_000_001}, "amount"),
        ({"amount_fen": 0}, "amount"),
        ({"signed_on": date(2026, 9, 22)}, "signed_on"),
        ({"begins_on": date(2026, 9, 20)}, "begins_on"),
        ({"ends_on": date(2027, 9, 22)}, "ends_on"),
        ({"ends_on": TODAY}, "ends_on"),
    ],
    ids=str,
)
def test_a_contract_that_does_not_fit_its_grant_is_told_by_field(changed: dict[str, object], field: str) -> None:
    assert contract_faults(SIGNED, GRANT, TODAY) == {}
    assert field in contract_faults(replace(SIGNED, **changed), GRANT, TODAY)  # type: ignore[arg-type]


def test_a_term_ends_on_the_last_day_of_a_month_that_is_too_short() -> None:
    assert after(date(2026, 1, 31), 1, TermUnit.M) == date(2026, 2, 28)
    assert after(date(2024, 2, 29), 1, TermUnit.Y) == date(2025, 2, 28)
    assert after(date(2026, 12, 15), 3, TermUnit.M) == date(2027, 3, 15)
    assert after(date(2026, 12, 31), 5, TermUnit.D) == date(2027, 1, 5)
    assert overdue_days("2026-09-01", TODAY) == 20 and overdue_days("", TODAY) == 0
