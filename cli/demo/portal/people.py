"""Who works at the hub and at the banks: invited by the security administrator, as in life."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from cli.demo.cohort import BANK, OTHER_BANK
from portal.accounts import invitations, service
from portal.permissions import SECOND_FACTOR, Role
from portal.principal import Principal
from portal.state import Portal


@dataclass(frozen=True, kw_only=True)
class Person:
    """Somebody of the demonstration. `institution`: "hub" or a member's id; `name`: invented."""

    login: str
    role: Role
    institution: str
    name: str


def _hub(login: str, role: Role, name: str) -> Person:
    return Person(login=login, role=role, institution=invitations.HUB, name=name)


SECURITY: Final = _hub("security", Role.SECURITY_ADMIN, "安全管理员甲")
FIRST: Final = _hub("reviewer-1", Role.REVIEWER, "审核员甲")
SECOND: Final = _hub("reviewer-2", Role.REVIEWER, "审核员乙")
STAFF: Final = {
    BANK: Person(login="bank-staff", role=Role.STAFF, institution=BANK, name="客户经理甲"),
    OTHER_BANK: Person(login="bank2-staff", role=Role.STAFF, institution=OTHER_BANK, name="客户经理乙"),
}
APPROVERS: Final = {
    BANK: Person(login="bank-approver", role=Role.APPROVER, institution=BANK, name="审批人甲"),
    OTHER_BANK: Person(login="bank2-approver", role=Role.APPROVER, institution=OTHER_BANK, name="审批人乙"),
}
PEOPLE: Final = (
    SECURITY,
    FIRST,
    SECOND,
    *STAFF.values(),
    *APPROVERS.values(),
    Person(login="bank-admin", role=Role.INSTITUTION_ADMIN, institution=BANK, name="机构管理员甲"),
    _hub("editor", Role.EDITOR, "编辑甲"),
    _hub("expert", Role.EXPERT, "专家甲"),
    _hub("supervisor", Role.SUPERVISOR, "监管员甲"),
    _hub("system", Role.SYSTEM_ADMIN, "系统管理员甲"),
    _hub("audit", Role.AUDIT_ADMIN, "审计管理员甲"),
)


@dataclass(frozen=True, kw_only=True)
class Staff:
    """Everybody's account, by login, and the secret of each one's second factor."""

    principals: dict[str, Principal]
    secrets: dict[str, str]

    def __getitem__(self, person: Person) -> Principal:
        """Somebody as services take them."""
        return self.principals[person.login]


def employ(portal: Portal, password_hash: str) -> Staff:
    """Invite everybody, and accept for them. `password_hash`: of the demonstration's password."""
    staff = Staff(principals={}, secrets={})
    for person in PEOPLE:
        _employ(portal, staff, person, password_hash)
    return staff


def _employ(portal: Portal, staff: Staff, person: Person, password_hash: str) -> None:
    invited_by = "command" if person is SECURITY else SECURITY.login
    invitation = invitations.Invitation(
        login=person.login, role=person.role, institution=person.institution, invited_by=invited_by
    )
    token = portal.db.write_now(lambda connection: invitations.invite(portal, connection, invitation))
    account_id = portal.db.write_now(
        lambda connection: invitations.accept(portal, connection, token, person.name, password_hash)
    )
    staff.principals[person.login] = acting(account_id, person.login, person.role, person.institution)
    secret = portal.db.read_now(lambda connection: service.unconfirmed_secret(portal, connection, account_id))
    assert person.role in SECOND_FACTOR and secret is not None  # noqa: S101 (nobody gave a code yet)
    staff.secrets[person.login] = secret


def acting(account_id: str, login: str, role: Role, institution: str) -> Principal:
    """An account as services take it, in a session of the demonstration's own."""
    return Principal(
        account_id=account_id,
        session_id=f"demo:{account_id}",
        login=login,
        role=role,
        institution=institution,
        second_factor=True,
    )
