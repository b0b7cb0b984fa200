"""What a bank's approver decides: contracts and write-offs that somebody else entered, and that a line ends early."""

from __future__ import annotations

from typing import Any

from sqlalchemy import Connection, select

from portal.applications.moving import By, move, visible
from portal.credit.keeping import enter, figures, keep, line_of, tell_bank, tell_firm
from portal.credit.service import CONTRACT, WRITE_OFF
from portal.credit.tables import lines
from portal.errors import PortalError
from portal.permissions import Role
from portal.state import Portal
from portal.text import Text


def confirm(portal: Portal, connection: Connection, mover: By, application_no: str, version: int, reason: str) -> None:
    """Confirm what waits. Only inside `Database.write`. Raises PortalError NOT_FOUND, WRONG_STATE, PERMISSION_DENIED, STALE."""
    row, now_ms = line_of(connection, application_no, mover.institution, version), portal.clock()
    if row.pending not in {CONTRACT, WRITE_OFF}:
        raise PortalError("WRONG_STATE", Text("Nothing waits to be confirmed."))
    if row.pending_by == mover.login:
        raise PortalError("PERMISSION_DENIED", Text("You entered it; somebody else of your institution confirms it."))
    done: dict[str, Any] = {"pending": "", "pending_reason": ""}
    state = move(portal, connection, application_no, row.pending, mover, reason)
    if row.pending == CONTRACT:
        keep(connection, row, now_ms, state=state, opened_ms=now_ms, **done)
        enter(connection, application_no, CONTRACT, mover, now_ms, amount_fen=row.limit_fen, day=row.signed_on)
        tell_firm(connection, row, "credit_contracted", now_ms)
    else:
        keep(connection, row, now_ms, state=state, due_on="", due_fen=0, **done)
        left = figures(row).balance_fen
        enter(connection, application_no, WRITE_OFF, mover, now_ms, amount_fen=left, detail=reason)
        tell_firm(connection, row, "credit_written_off", now_ms)


def send_back(
    portal: Portal, connection: Connection, mover: By, application_no: str, version: int, reason: str
) -> None:
    """Give back what waits, to be corrected or left. Only inside `Database.write`. Raises PortalError NOT_FOUND, WRONG_STATE, STALE."""
    row, now_ms = line_of(connection, application_no, mover.institution, version), portal.clock()
    if not row.pending:
        raise PortalError("WRONG_STATE", Text("Nothing waits to be confirmed."))
    keep(connection, row, now_ms, pending="", pending_reason=reason)
    enter(connection, application_no, "sent_back", mover, now_ms, detail=reason)
    tell_bank(connection, row, Role.STAFF, "credit_sent_back", mover, now_ms)


def terminate(
    portal: Portal, connection: Connection, mover: By, application_no: str, version: int, reason: str
) -> None:
    """End a grant or contract of which nothing was drawn. Only inside `Database.write`.

    Raises PortalError NOT_FOUND, WRONG_STATE, STALE.
    """
    found, now_ms = visible(connection, application_no, mover), portal.clock()
    if connection.execute(select(lines.c.version).where(lines.c.application_no == application_no)).first() is None:
        move(portal, connection, application_no, "terminate", mover, reason)
        tell_firm(connection, found, "credit_ended", now_ms)
        return
    row = line_of(connection, application_no, mover.institution, version)
    state = move(portal, connection, application_no, "terminate", mover, reason)
    keep(connection, row, now_ms, state=state, pending="")
    enter(connection, application_no, "terminate", mover, now_ms, detail=reason)
    tell_firm(connection, row, "credit_ended", now_ms)
