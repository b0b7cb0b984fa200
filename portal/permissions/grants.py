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
        (Action.QUERY, Subject.OWN_APPLICATIONS, Reach.OWN),
        (Action.ENTRY, Subject.OWN_APPLICATIONS, Reach.OWN),
        (Action.ENTRY, Subject.FINANCING, Reach.OWN),
        (Action.QUERY, Subject.OWN_FACTS, Reach.OWN),
        (Action.MODIFY, Subject.OWN_FACTS, Reach.OWN),
    ),
    Role.STAFF: _granted(
        (Action.QUERY, Subject.PRODUCTS, Reach.OWN),
        (Action.ENTRY, Subject.PRODUCTS, Reach.OWN),
        (Action.QUERY, Subject.APPLICATIONS, Reach.OWN),
        (Action.ENTRY, Subject.APPLICATIONS, Reach.OWN),
        (Action.QUERY, Subject.FINANCING, Reach.ALL),
        (Action.MODIFY, Subject.FINANCING, Reach.OWN),
    ),
    Role.APPROVER: _granted(
        (Action.QUERY, Subject.PRODUCTS, Reach.OWN),
        (Action.MODIFY, Subject.PRODUCTS, Reach.OWN),
        (Action.QUERY, Subject.APPLICATIONS, Reach.OWN),
        (Action.APPROVE, Subject.APPLICATIONS, Reach.OWN),
    ),
    Role.INSTITUTION_ADMIN: _granted(
        (Action.QUERY, Subject.STAFF, Reach.OWN),
        (Action.MODIFY, Subject.STAFF, Reach.OWN),
    ),
    Role.REVIEWER: _granted(
        (Action.MODIFY, Subject.OPERATOR_KEY, Reach.OWN),
        (Action.QUERY, Subject.REGISTRATION, Reach.ALL),
        (Action.REVIEW, Subject.REGISTRATION, Reach.ALL),
        (Action.APPROVE, Subject.REGISTRATION, Reach.ALL),
        (Action.REVIEW, Subject.APPLICATIONS, Reach.ALL),
        (Action.QUERY, Subject.PRODUCTS, Reach.ALL),
        (Action.REVIEW, Subject.PRODUCTS, Reach.ALL),
    ),
    Role.EDITOR: _granted(),
    Role.EXPERT: _granted(),
    Role.SUPERVISOR: _granted(),
    Role.SYSTEM_ADMIN: _granted(
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
    ),
}
