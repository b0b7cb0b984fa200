"""What each role is granted."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from portal.permissions.kinds import Action, Need, Reach, Role, Subject

_MINE: Final = (
    (Action.QUERY, Subject.OWN_ACCOUNT, Reach.OWN),
    (Action.MODIFY, Subject.OWN_ACCOUNT, Reach.OWN),
)


def _granted(*grants: tuple[Action, Subject, Reach]) -> Mapping[Need, Reach]:
    return {Need(action, subject): reach for action, subject, reach in (*_MINE, *grants)}


GRANTS: Final[Mapping[Role, Mapping[Need, Reach]]] = {
    Role.APPLICANT: _granted((Action.QUERY, Subject.OWN_REGISTRATION, Reach.OWN)),
    Role.ENTERPRISE: _granted(
        (Action.QUERY, Subject.OWN_REGISTRATION, Reach.OWN),
        (Action.QUERY, Subject.OWN_CONSENTS, Reach.OWN),
        (Action.MODIFY, Subject.OWN_CONSENTS, Reach.OWN),
        (Action.QUERY, Subject.OWN_USES, Reach.OWN),
        (Action.EXPORT, Subject.OWN_USES, Reach.OWN),
        (Action.QUERY, Subject.OWN_APPLICATIONS, Reach.OWN),
        (Action.ENTRY, Subject.OWN_APPLICATIONS, Reach.OWN),
        (Action.ENTRY, Subject.FINANCING, Reach.OWN),
        (Action.QUERY, Subject.OWN_FACTS, Reach.OWN),
        (Action.MODIFY, Subject.OWN_FACTS, Reach.OWN),
        (Action.QUERY, Subject.QUESTIONS, Reach.OWN),
        (Action.ENTRY, Subject.QUESTIONS, Reach.OWN),
        (Action.MODIFY, Subject.QUESTIONS, Reach.OWN),
        (Action.QUERY, Subject.OWN_CREDIT, Reach.OWN),
    ),
    Role.STAFF: _granted(
        (Action.QUERY, Subject.PRODUCTS, Reach.OWN),
        (Action.ENTRY, Subject.PRODUCTS, Reach.OWN),
        (Action.QUERY, Subject.APPLICATIONS, Reach.OWN),
        (Action.ENTRY, Subject.APPLICATIONS, Reach.OWN),
        (Action.QUERY, Subject.FINANCING, Reach.ALL),
        (Action.MODIFY, Subject.FINANCING, Reach.OWN),
        (Action.QUERY, Subject.CREDIT, Reach.OWN),
        (Action.ENTRY, Subject.CREDIT, Reach.OWN),
        (Action.QUERY, Subject.ALERTS, Reach.OWN),
        (Action.REVIEW, Subject.ALERTS, Reach.OWN),
    ),
    Role.APPROVER: _granted(
        (Action.QUERY, Subject.PRODUCTS, Reach.OWN),
        (Action.MODIFY, Subject.PRODUCTS, Reach.OWN),
        (Action.QUERY, Subject.APPLICATIONS, Reach.OWN),
        (Action.APPROVE, Subject.APPLICATIONS, Reach.OWN),
        (Action.QUERY, Subject.CREDIT, Reach.OWN),
        (Action.APPROVE, Subject.CREDIT, Reach.OWN),
        (Action.QUERY, Subject.ALERTS, Reach.OWN),
        (Action.REVIEW, Subject.ALERTS, Reach.OWN),
        (Action.MODIFY, Subject.ALERTS, Reach.OWN),
        (Action.EXPORT, Subject.CREDIT, Reach.OWN),
        (Action.QUERY, Subject.STATISTICS, Reach.OWN),
    ),
    Role.INSTITUTION_ADMIN: _granted(
        (Action.QUERY, Subject.STAFF, Reach.OWN),
        (Action.MODIFY, Subject.STAFF, Reach.OWN),
        (Action.QUERY, Subject.CREDIT, Reach.OWN),
        (Action.EXPORT, Subject.CREDIT, Reach.OWN),
        (Action.QUERY, Subject.STATISTICS, Reach.OWN),
        (Action.QUERY, Subject.OPERATIONS, Reach.OWN),
    ),
    Role.REVIEWER: _granted(
        (Action.MODIFY, Subject.OPERATOR_KEY, Reach.OWN),
        (Action.QUERY, Subject.REGISTRATION, Reach.ALL),
        (Action.REVIEW, Subject.REGISTRATION, Reach.ALL),
        (Action.APPROVE, Subject.REGISTRATION, Reach.ALL),
        (Action.REVIEW, Subject.APPLICATIONS, Reach.ALL),
        (Action.QUERY, Subject.PRODUCTS, Reach.ALL),
        (Action.REVIEW, Subject.PRODUCTS, Reach.ALL),
        (Action.QUERY, Subject.CONTENT, Reach.ALL),
        (Action.REVIEW, Subject.CONTENT, Reach.ALL),
    ),
    Role.EDITOR: _granted(
        (Action.QUERY, Subject.CONTENT, Reach.ALL),
        (Action.ENTRY, Subject.CONTENT, Reach.ALL),
    ),
    # An expert's own is its own account's: services ask for the account, for experts share the hub as their institution.
    Role.EXPERT: _granted(
        (Action.MODIFY, Subject.SEAT, Reach.OWN),
        (Action.QUERY, Subject.QUESTIONS, Reach.OWN),
        (Action.MODIFY, Subject.QUESTIONS, Reach.OWN),
        (Action.EXPORT, Subject.QUESTIONS, Reach.OWN),
    ),
    Role.SUPERVISOR: _granted(
        (Action.QUERY, Subject.CREDIT, Reach.ALL),
        (Action.EXPORT, Subject.CREDIT, Reach.ALL),
        (Action.QUERY, Subject.STATISTICS, Reach.ALL),
        (Action.QUERY, Subject.ALERTS, Reach.ALL),
        (Action.REVIEW, Subject.ALERTS, Reach.OWN),
        (Action.MODIFY, Subject.ALERTS, Reach.OWN),
    ),
    Role.SYSTEM_ADMIN: _granted(
        (Action.QUERY, Subject.OPERATIONS, Reach.ALL),
        (Action.QUERY, Subject.INSTITUTIONS, Reach.ALL),
        (Action.ENTRY, Subject.INSTITUTIONS, Reach.ALL),
    ),
    Role.SECURITY_ADMIN: _granted(
        (Action.QUERY, Subject.STAFF, Reach.ALL),
        (Action.MODIFY, Subject.STAFF, Reach.ALL),
        (Action.QUERY, Subject.INSTITUTIONS, Reach.ALL),
        (Action.APPROVE, Subject.INSTITUTIONS, Reach.ALL),
        (Action.QUERY, Subject.ROLES, Reach.ALL),
        (Action.MODIFY, Subject.ROLES, Reach.ALL),
    ),
    Role.AUDIT_ADMIN: _granted(
        (Action.QUERY, Subject.EVENTS, Reach.ALL),
        (Action.EXPORT, Subject.EVENTS, Reach.ALL),
        (Action.QUERY, Subject.QUESTIONS, Reach.ALL),
    ),
}
