"""Who is told of which move: a table. The sentences are `portal.accounts.notices.KINDS`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from enum import Enum
from typing import Any, Final

from sqlalchemy import Connection, Row

from portal.accounts.notices import holders, notify
from portal.permissions import Role


class Audience(Enum):
    """Whom a move concerns. The bank is told only of what was passed on to it."""

    ENTERPRISE = "enterprise"
    REVIEWERS = "reviewers"
    STAFF = "staff"
    APPROVERS = "approvers"


_WAITS: Final = ((Audience.REVIEWERS, "application_waits"),)
_CHANGED: Final = ((Audience.ENTERPRISE, "application_changed"),)
TOLD: Final[Mapping[str, Sequence[tuple[Audience, str]]]] = {
    "submit": _WAITS,
    "endorse": _WAITS,
    "object": _WAITS,
    "look_again": _WAITS,
    "push": ((Audience.ENTERPRISE, "application_pushed"), (Audience.STAFF, "application_arrived")),
    "return": ((Audience.ENTERPRISE, "application_returned"),),
    "reject": ((Audience.ENTERPRISE, "application_rejected"),),
    "take": ((Audience.ENTERPRISE, "application_taken"),),
    "accept": ((Audience.ENTERPRISE, "application_accepted"),),
    "decline": ((Audience.ENTERPRISE, "application_declined"),),
    "time_out": ((Audience.ENTERPRISE, "application_timed_out"), (Audience.STAFF, "application_missed")),
    "investigate": ((Audience.ENTERPRISE, "application_investigated"), (Audience.APPROVERS, "application_to_decide")),
    "grant": ((Audience.ENTERPRISE, "application_granted"), (Audience.STAFF, "application_decided")),
    "refuse": ((Audience.ENTERPRISE, "application_refused"), (Audience.STAFF, "application_decided")),
    "cancel": ((Audience.STAFF, "application_cancelled"),),
    # After the grant `portal.credit` tells, which knows the figures.
    **dict.fromkeys(("contract", "expire", "terminate", "draw", "repay"), ()),
    **dict.fromkeys(("fall_overdue", "mark_overdue", "recover", "settle", "write_off"), ()),
}


def tell(connection: Connection, row: Row[Any], act: str, actor_id: str, now_ms: int) -> None:
    """Leave a notice with everybody whom a move of an application concerns, but not with who made it."""
    for audience, kind in TOLD.get(act, _CHANGED):
        for account_id in _accounts(connection, row, audience):
            if account_id != actor_id:
                notify(connection, account_id, kind, row.application_no, now_ms)


def _accounts(connection: Connection, row: Row[Any], audience: Audience) -> Sequence[str]:
    match audience:
        case Audience.ENTERPRISE:
            return [row.account_id]
        case Audience.REVIEWERS:
            role, institution = Role.REVIEWER, "hub"
        case Audience.STAFF:
            role, institution = Role.STAFF, row.institution
        case Audience.APPROVERS:
            role, institution = Role.APPROVER, row.institution
    if audience in {Audience.STAFF, Audience.APPROVERS} and not row.pushed_ms:
        return []
    return holders(connection, role, institution)
