"""What permissions are made of: roles, actions, subjects, reach."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum, StrEnum
from typing import Final

from portal.text import Text


class Role(StrEnum):
    """What an account is. One role an account: whoever needs two has two accounts.

    A member's staff investigates, its approver decides: lending keeps the two apart. Editors enter content, experts answer
    enterprises, supervisors watch the market; like reviewers they are the hub's.
    """

    APPLICANT = "applicant"
    ENTERPRISE = "enterprise"
    STAFF = "staff"
    APPROVER = "approver"
    INSTITUTION_ADMIN = "institution_admin"
    REVIEWER = "reviewer"
    EDITOR = "editor"
    EXPERT = "expert"
    SUPERVISOR = "supervisor"
    SYSTEM_ADMIN = "system_admin"
    SECURITY_ADMIN = "security_admin"
    AUDIT_ADMIN = "audit_admin"


TITLES: Final[Mapping[Role, Text]] = {
    Role.APPLICANT: Text("Applicant"),
    Role.ENTERPRISE: Text("Enterprise"),
    Role.STAFF: Text("Member's staff"),
    Role.APPROVER: Text("Member's approver"),
    Role.INSTITUTION_ADMIN: Text("Member's administrator"),
    Role.REVIEWER: Text("Reviewer"),
    Role.EDITOR: Text("Editor"),
    Role.EXPERT: Text("Expert"),
    Role.SUPERVISOR: Text("Supervisor"),
    Role.SYSTEM_ADMIN: Text("System administrator"),
    Role.SECURITY_ADMIN: Text("Security administrator"),
    Role.AUDIT_ADMIN: Text("Audit administrator"),
}
SECOND_FACTOR: Final = frozenset(Role) - {Role.APPLICANT, Role.ENTERPRISE}


class Action(StrEnum):
    """What may be done."""

    QUERY = "query"
    ENTRY = "entry"
    REVIEW = "review"
    APPROVE = "approve"
    EXPORT = "export"
    MODIFY = "modify"


class Subject(StrEnum):
    """To what."""

    OWN_ACCOUNT = "own_account"
    OWN_REGISTRATION = "own_registration"
    REGISTRATION = "registration"
    OPERATOR_KEY = "operator_key"
    OWN_CONSENTS = "own_consents"
    OWN_USES = "own_uses"
    OWN_FACTS = "own_facts"
    STAFF = "staff"
    EVENTS = "events"
    PRODUCTS = "products"
    OWN_APPLICATIONS = "own_applications"
    APPLICATIONS = "applications"
    FINANCING = "financing"
    OWN_CREDIT = "own_credit"
    CREDIT = "credit"
    CONTENT = "content"
    QUESTIONS = "questions"
    SEAT = "seat"
    STATISTICS = "statistics"
    ALERTS = "alerts"
    INSTITUTIONS = "institutions"
    ROLES = "roles"
    OPERATIONS = "operations"


class Reach(Enum):
    """Whose."""

    OWN = "own"
    ALL = "all"


class Open(Enum):
    """Routes that need no permission: for everybody, or for whoever has given the password and not yet the second factor."""

    EVERYBODY = "everybody"
    HALF_WAY = "half_way"


@dataclass(frozen=True)
class Need:
    """The permission that a route needs."""

    action: Action
    subject: Subject


Rule = Open | Need
