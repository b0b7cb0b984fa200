"""Staff: invited by an administrator, who never learns their password; removed with a reason.

Rules:
1. A member's administrator invites to its own institution, and only the two roles of members; the security administrator invites
   everybody else's staff, too.
2. An invitation is a link that works once, for `invitation_s`. What is kept is its digest.
3. Nobody removes their own account: somebody must remain.
"""

from __future__ import annotations

import secrets
from dataclasses import dataclass
from typing import Final

from sqlalchemy import Connection, insert, select, update

from portal import events
from portal.accounts import sessions
from portal.accounts.service import DISABLED, NewAccount, create, get, normalise
from portal.accounts.tables import accounts, invitations
from portal.errors import PortalError, form_fault, not_found
from portal.permissions import SECOND_FACTOR, Role
from portal.principal import Principal
from portal.state import Portal
from portal.text import Text
from trust.suite import sm3

HUB: Final = "hub"
OF_MEMBERS: Final = (Role.STAFF, Role.APPROVER, Role.INSTITUTION_ADMIN)
_TOKEN_BYTES: Final = 32


@dataclass(frozen=True, kw_only=True)
class Invitation:
    """What somebody is invited to."""

    login: str
    role: Role
    institution: str
    invited_by: str


def may_invite(who: Principal) -> tuple[Role, ...]:
    """The roles that somebody may give."""
    if who.role is Role.INSTITUTION_ADMIN:
        return OF_MEMBERS
    return tuple(role for role in Role if role in SECOND_FACTOR)


def invite(portal: Portal, connection: Connection, invitation: Invitation) -> str:
    """Make an invitation; returns the token of its link. Only inside `Database.write`. Raises PortalError."""
    if (invitation.institution == HUB) is (invitation.role in OF_MEMBERS):
        raise form_fault(
            "institution",
            Text("This role belongs to the hub or to a member: the hub's people have “hub” here, a member's its id."),
        )
    login = normalise(invitation.login)
    if connection.execute(select(accounts.c.login).where(accounts.c.login == login)).first():
        raise form_fault("login", Text("There is an account under this name already. Choose another name."))
    token, now_ms = secrets.token_urlsafe(_TOKEN_BYTES), portal.clock()
    row = {
        "token_sm3": _digest(token),
        "login": login,
        "role": invitation.role.value,
        "institution": invitation.institution,
        "invited_by": invitation.invited_by,
        "expires_ms": now_ms + 1000 * portal.settings.invitation_s,
        "used_ms": None,
    }
    connection.execute(insert(invitations), row)
    events.record(connection, now_ms, invitation.invited_by, "invited", login, invitation.role.value)
    return token


def find(portal: Portal, connection: Connection, token: str) -> Invitation:
    """An invitation that still holds. Raises PortalError NOT_FOUND."""
    wanted = invitations.c.token_sm3 == _digest(token)
    row = connection.execute(select(invitations).where(wanted)).first()
    if row is None or row.used_ms is not None or row.expires_ms <= portal.clock():
        raise PortalError("NOT_FOUND", Text("This invitation was used or has expired. Ask for a new one."))
    return Invitation(login=row.login, role=Role(row.role), institution=row.institution, invited_by=row.invited_by)


def accept(portal: Portal, connection: Connection, token: str, name: str, password_hash: str) -> str:
    """Use an invitation; returns the account's id. Only inside `Database.write`. Raises PortalError NOT_FOUND, ALREADY_EXISTS."""
    found, now_ms = find(portal, connection, token), portal.clock()
    new = NewAccount(
        login=found.login, role=found.role, institution=found.institution, name=name, password_hash=password_hash
    )
    account_id = create(portal, connection, new)
    own = invitations.c.token_sm3 == _digest(token)
    connection.execute(update(invitations).where(own).values(used_ms=now_ms))
    events.record(connection, now_ms, found.login, "accepted_invitation", found.login)
    return account_id


def disable(
    portal: Portal, connection: Connection, who: Principal, institution: str | None, account_id: str, reason: str
) -> None:
    """Remove one of the staff and end its sessions. Only inside `Database.write`. Raises PortalError NOT_FOUND, WRONG_STATE."""
    row = get(connection, account_id)
    if Role(row.role) not in SECOND_FACTOR or institution not in {None, row.institution}:
        raise not_found()
    if account_id == who.account_id:
        raise PortalError("WRONG_STATE", Text("You cannot remove your own account; another administrator can."))
    connection.execute(update(accounts).where(accounts.c.account_id == account_id).values(state=DISABLED))
    sessions.end_all(portal, connection, account_id)
    events.record(connection, portal.clock(), who.login, "disabled", row.login, reason)


def _digest(token: str) -> str:
    return sm3(token.encode()).hex()
