"""What a bank's staff enters: the contract, drawdowns, repayments, what is overdue, the class, the end.

Rules:
1. A contract and a write-off count when an approver who did not enter them has confirmed them (`portal.credit.deciding`).
2. Figures keep the invariants of `portal.credit.line`; while something waits to be confirmed nothing else is entered.
3. A line is settled when its balance is 0.
4. Every act has its entry, its record and its notices, in the transaction that does it.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import date
from typing import Any, Final

from sqlalchemy import Connection, Row, insert, select

from portal.applications.moving import By, grant_of, move, visible
from portal.applications.tables import covering, moves
from portal.credit.keeping import RUNNING, enter, figures, keep, line_of, tell_bank, tell_firm
from portal.credit.line import Class5, Contract, Line, contract_faults, draw, fall_overdue, repay
from portal.credit.tables import lines
from portal.errors import PortalError, form_fault
from portal.forms import CORRECT
from portal.permissions import Role
from portal.products import service as products
from portal.state import Portal
from portal.states import GRANTED
from portal.text import Text
from portal.today import today

CONTRACT: Final = "contract"
WRITE_OFF: Final = "write_off"


def enter_contract(
    portal: Portal, connection: Connection, mover: By, application_no: str, version: int, contract: Contract
) -> None:
    """Enter what was signed, or correct it; an approver confirms it (rule 1). `version`: 0 for the first time.

    Only inside `Database.write`. Raises PortalError NOT_FOUND, WRONG_STATE, STALE, INVALID_ARGUMENT by field.
    """
    found, now_ms = visible(connection, application_no, mover), portal.clock()
    granted = grant_of(connection, application_no)
    if found.state != GRANTED or granted is None:
        raise PortalError("WRONG_STATE", Text("A contract is entered once, after the grant."))
    faults = dict(contract_faults(contract, granted, today(now_ms)))
    same = (lines.c.institution == found.institution) & (lines.c.contract_no == contract.contract_no)
    other = connection.execute(select(lines.c.application_no).where(same)).scalar()
    if other not in {None, application_no}:
        faults["contract_no"] = Text("This number belongs to another contract of your institution.")
    if faults:
        raise PortalError("INVALID_ARGUMENT", CORRECT, faults=faults)
    signed: dict[str, Any] = {
        "contract_no": contract.contract_no,
        "branch": contract.branch,
        "limit_fen": contract.amount_fen,
        "signed_on": contract.signed_on.isoformat(),
        "begins_on": contract.begins_on.isoformat(),
        "ends_on": contract.ends_on.isoformat(),
        "first_loan": int(contract.first_loan),
        "pending": CONTRACT,
        "pending_by": mover.login,
        "pending_reason": "",
    }
    if connection.execute(select(lines.c.version).where(lines.c.application_no == application_no)).first() is None:
        connection.execute(insert(lines), _blank(connection, found, now_ms) | signed)
    else:
        keep(connection, line_of(connection, application_no, mover.institution, version), now_ms, **signed)
    row = line_of(connection, application_no, mover.institution)
    enter(connection, application_no, "contract_entered", mover, now_ms, amount_fen=contract.amount_fen)
    tell_bank(connection, row, Role.APPROVER, "credit_to_confirm", mover, now_ms)


def enter_drawdown(
    portal: Portal,
    connection: Connection,
    mover: By,
    application_no: str,
    version: int,
    *,
    amount_fen: int,
    day: date,
    due_on: date | None,
    due_fen: int | None,
) -> None:
    """Money was paid out, never more than is available. Only inside `Database.write`.

    Raises PortalError NOT_FOUND, WRONG_STATE, STALE, INVALID_ARGUMENT by field.
    """
    row, now_ms = _open(connection, mover, application_no, version), portal.clock()
    if row.state not in {"contracted", "drawn", "repaying"}:
        raise PortalError("WRONG_STATE", Text("Nothing is drawn from this line now."))
    _require_day(row, day, today(now_ms))
    if day.isoformat() > row.ends_on:
        raise form_fault("day", Text("The contract was over on this day."))
    line = draw(figures(row), amount_fen)
    state = move(portal, connection, application_no, "draw", mover) if row.state == "contracted" else row.state
    first = row.first_drawn_ms or now_ms
    due = _due(line, day, due_on, due_fen)
    keep(connection, row, now_ms, line, state=state, first_drawn_ms=first, **due)
    enter(connection, application_no, "draw", mover, now_ms, amount_fen=amount_fen, day=day.isoformat())
    tell_firm(connection, row, "credit_drawn", now_ms)


def enter_repayment(
    portal: Portal,
    connection: Connection,
    mover: By,
    application_no: str,
    version: int,
    *,
    amount_fen: int,
    day: date,
    due_on: date | None,
    due_fen: int | None,
) -> None:
    """Principal was repaid, what is overdue first. Only inside `Database.write`.

    Raises PortalError NOT_FOUND, WRONG_STATE, STALE, INVALID_ARGUMENT by field.
    """
    row, now_ms = _running(connection, mover, application_no, version), portal.clock()
    _require_day(row, day, today(now_ms))
    line, state, since = repay(figures(row), amount_fen), row.state, row.overdue_since
    if row.state == "drawn":
        state = move(portal, connection, application_no, "repay", mover)
    elif row.state == "overdue" and not line.overdue_fen:
        state, since = move(portal, connection, application_no, "recover", mover), ""
    due = _due(line, day, due_on, due_fen)
    keep(connection, row, now_ms, line, state=state, overdue_since=since, **due)
    enter(connection, application_no, "repay", mover, now_ms, amount_fen=amount_fen, day=day.isoformat())
    tell_firm(connection, row, "credit_repaid", now_ms)


def mark_overdue(
    portal: Portal, connection: Connection, mover: By, application_no: str, version: int, *, amount_fen: int, day: date
) -> None:
    """Say that an amount was due on a day and was not repaid. Only inside `Database.write`.

    Raises PortalError NOT_FOUND, WRONG_STATE, STALE, INVALID_ARGUMENT by field.
    """
    row, now_ms = _running(connection, mover, application_no, version), portal.clock()
    _require_day(row, day, today(now_ms))
    line = fall_overdue(figures(row), amount_fen)
    state = row.state if row.state == "overdue" else move(portal, connection, application_no, "mark_overdue", mover)
    keep(connection, row, now_ms, line, state=state, overdue_since=day.isoformat(), due_on="", due_fen=0)
    enter(connection, application_no, "overdue", mover, now_ms, amount_fen=amount_fen, day=day.isoformat())
    tell_firm(connection, row, "credit_overdue", now_ms)


def classify(
    portal: Portal, connection: Connection, mover: By, application_no: str, version: int, *, class5: Class5, reason: str
) -> None:
    """Put it in another of the five classes, with the reason. Only inside `Database.write`.

    Raises PortalError NOT_FOUND, WRONG_STATE, STALE.
    """
    row, now_ms = _running(connection, mover, application_no, version), portal.clock()
    keep(connection, row, now_ms, class5=class5.value)
    enter(connection, application_no, "class5", mover, now_ms, detail=f"{class5.value}: {reason}")


def settle(portal: Portal, connection: Connection, mover: By, application_no: str, version: int) -> None:
    """Close it, everything being repaid (rule 3). Only inside `Database.write`. Raises PortalError NOT_FOUND, WRONG_STATE, STALE."""
    row, now_ms = _running(connection, mover, application_no, version), portal.clock()
    if row.balance_fen:
        raise PortalError("WRONG_STATE", Text("Something is still outstanding: enter the last repayment first."))
    state = move(portal, connection, application_no, "settle", mover)
    keep(connection, row, now_ms, state=state, overdue_since="", due_on="", due_fen=0)
    enter(connection, application_no, "settle", mover, now_ms)
    tell_firm(connection, row, "credit_settled", now_ms)


def propose_write_off(
    portal: Portal, connection: Connection, mover: By, application_no: str, version: int, reason: str
) -> None:
    """Ask an approver to write off what is overdue (rule 1). Only inside `Database.write`.

    Raises PortalError NOT_FOUND, WRONG_STATE, STALE.
    """
    row, now_ms = _running(connection, mover, application_no, version), portal.clock()
    if row.state != "overdue":
        raise PortalError("WRONG_STATE", Text("Only what is overdue is written off."))
    keep(connection, row, now_ms, pending=WRITE_OFF, pending_by=mover.login, pending_reason=reason)
    enter(connection, application_no, "write_off_entered", mover, now_ms, amount_fen=row.balance_fen, detail=reason)
    tell_bank(connection, row, Role.APPROVER, "credit_to_confirm", mover, now_ms)


def _open(connection: Connection, mover: By, application_no: str, version: int) -> Row[Any]:
    row = line_of(connection, application_no, mover.institution, version)
    if row.pending:
        raise PortalError("WRONG_STATE", Text("Something waits to be confirmed by an approver first."))
    return row


def _running(connection: Connection, mover: By, application_no: str, version: int) -> Row[Any]:
    row = _open(connection, mover, application_no, version)
    if row.state not in RUNNING:
        raise PortalError("WRONG_STATE", Text("Nothing of this line is outstanding."))
    return row


def _require_day(row: Row[Any], day: date, now: date) -> None:
    if not row.begins_on <= day.isoformat() <= now.isoformat():
        raise form_fault("day", Text("Give a day from the contract's first day on that is not yet to come."))


def _due(line: Line, day: date, due_on: date | None, due_fen: int | None) -> dict[str, Any]:
    """The next repayment that is due; none where nothing was given or nothing is outstanding."""
    if due_on is None or not line.balance_fen:
        return {"due_on": "", "due_fen": 0}
    if due_on < day:
        raise form_fault("due_on", Text("The next repayment is due on this day or later."))
    amount = due_fen or line.balance_fen
    return {"due_on": due_on.isoformat(), "due_fen": fall_overdue(replace(line, overdue_fen=0), amount).overdue_fen}


def _blank(connection: Connection, found: Row[Any], now_ms: int) -> dict[str, Any]:
    """The line of an application that has none yet."""
    granted = grant_of(connection, found.application_no)
    assert granted is not None  # noqa: S101 (looked at by the caller)
    product = None
    if found.product_code:
        product = products.version_of(connection, found.product_code, found.product_version)
    own = moves.c.application_no == found.application_no
    accepted = select(moves.c.time_ms).where(own & moves.c.act.in_(("accept", "take")))
    consents = select(covering.c.record_id).where(covering.c.application_no == found.application_no)
    same = ("application_no", "account_id", "institution", "uscc", "ent_name", "product_code", "product_name")
    cut = ("guarantee", "size", "industry", "district", "state")
    zero = ("drawn_fen", "repaid_fen", "balance_fen", "overdue_fen", "due_fen", "opened_ms", "first_drawn_ms")
    return {
        **{name: getattr(found, name) for name in (*same, *cut)},
        **dict.fromkeys(zero, 0),
        "loan_type": product.product_type.value if product else "",
        "repayment": product.repayment_methods[0].value if product else "",
        "revolving": int(product.revolving) if product else 0,
        "consent_ids": " ".join(connection.execute(consents).scalars()),
        "credit_loan": int(found.guarantee == "credit"),
        "annual_rate": f"{granted.annual_rate:f}",
        "penalty_rate": f"{granted.penalty_rate:f}",
        "class5": Class5.NORMAL.value,
        "due_on": "",
        "overdue_since": "",
        "accepted_ms": connection.execute(accepted).scalar() or 0,
        "decided_ms": granted.granted_ms,
        "reported_ms": now_ms,
        "version": 1,
    }
