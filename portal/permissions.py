"""Who may call what: one table from routes to permissions, one from roles to what they are granted.

Rules:
1. A route that is not in `ROUTES` is refused, and the application does not start with one (`require_all_declared`).
2. A permission is an action on an object. A role is granted it for everything, or for its own institution (an enterprise's own is
   the enterprise): then services are given that institution and see nothing else.
3. Staff pass a second factor before any permission counts (`SECOND_FACTOR`).
4. The three administrators are separate: none has a permission that changes what another one watches.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import Enum, StrEnum
from typing import Final

from portal.text import Text


class Role(StrEnum):
    """What an account is. One role an account: whoever needs two has two accounts."""

    APPLICANT = "applicant"
    ENTERPRISE = "enterprise"
    STAFF = "staff"
    INSTITUTION_ADMIN = "institution_admin"
    REVIEWER = "reviewer"
    SYSTEM_ADMIN = "system_admin"
    SECURITY_ADMIN = "security_admin"
    AUDIT_ADMIN = "audit_admin"


TITLES: Final[Mapping[Role, Text]] = {
    Role.APPLICANT: Text("Applicant"),
    Role.ENTERPRISE: Text("Enterprise"),
    Role.STAFF: Text("Member's staff"),
    Role.INSTITUTION_ADMIN: Text("Member's administrator"),
    Role.REVIEWER: Text("Reviewer"),
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
    STAFF = "staff"
    EVENTS = "events"


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
    ),
    Role.STAFF: _granted(),
    Role.INSTITUTION_ADMIN: _granted(
        (Action.QUERY, Subject.STAFF, Reach.OWN),
        (Action.MODIFY, Subject.STAFF, Reach.OWN),
    ),
    Role.REVIEWER: _granted(
        (Action.MODIFY, Subject.OPERATOR_KEY, Reach.OWN),
        (Action.QUERY, Subject.REGISTRATION, Reach.ALL),
        (Action.REVIEW, Subject.REGISTRATION, Reach.ALL),
        (Action.APPROVE, Subject.REGISTRATION, Reach.ALL),
    ),
    Role.SYSTEM_ADMIN: _granted(),
    Role.SECURITY_ADMIN: _granted(
        (Action.QUERY, Subject.STAFF, Reach.ALL),
        (Action.MODIFY, Subject.STAFF, Reach.ALL),
    ),
    Role.AUDIT_ADMIN: _granted((Action.QUERY, Subject.EVENTS, Reach.ALL)),
}

ROUTES: Final[Mapping[str, Rule]] = {
    "GET /": Open.EVERYBODY,
    "GET /health": Open.EVERYBODY,
    "GET /static/{name}": Open.EVERYBODY,
    "GET /language/{language}": Open.EVERYBODY,
    "GET /login": Open.EVERYBODY,
    "POST /login": Open.EVERYBODY,
    "POST /logout": Open.EVERYBODY,
    "GET /login/code": Open.HALF_WAY,
    "POST /login/code": Open.HALF_WAY,
    "GET /invitations/{token}": Open.EVERYBODY,
    "POST /invitations/{token}": Open.EVERYBODY,
    "GET /account": Need(Action.QUERY, Subject.OWN_ACCOUNT),
    "POST /account/notices": Need(Action.MODIFY, Subject.OWN_ACCOUNT),
    "GET /account/operator-key": Need(Action.MODIFY, Subject.OPERATOR_KEY),
    "POST /account/operator-key": Need(Action.MODIFY, Subject.OPERATOR_KEY),
    "GET /staff": Need(Action.QUERY, Subject.STAFF),
    "POST /staff/invitations": Need(Action.MODIFY, Subject.STAFF),
    "POST /staff/{account_id}/disable": Need(Action.MODIFY, Subject.STAFF),
    "GET /events": Need(Action.QUERY, Subject.EVENTS),
    "GET /register": Open.EVERYBODY,
    "GET /register/{slug}": Open.EVERYBODY,
    "POST /register/{slug}": Open.EVERYBODY,
    "GET /register-check": Open.EVERYBODY,
    "GET /register-send": Open.EVERYBODY,
    "POST /register-send": Open.EVERYBODY,
    "GET /registered": Open.EVERYBODY,
    "GET /registration": Need(Action.QUERY, Subject.OWN_REGISTRATION),
    "GET /registrations": Need(Action.QUERY, Subject.REGISTRATION),
    "GET /registrations/{registration_id}": Need(Action.QUERY, Subject.REGISTRATION),
    "POST /registrations/{registration_id}/opinion": Need(Action.REVIEW, Subject.REGISTRATION),
    "POST /registrations/{registration_id}/decision": Need(Action.APPROVE, Subject.REGISTRATION),
    "GET /unlock": Need(Action.QUERY, Subject.OWN_CONSENTS),
    "POST /unlock": Need(Action.QUERY, Subject.OWN_CONSENTS),
    # consents
    "GET /consents": Need(Action.QUERY, Subject.OWN_CONSENTS),
    "GET /consents/new": Need(Action.MODIFY, Subject.OWN_CONSENTS),
    "GET /consents/new/items": Need(Action.MODIFY, Subject.OWN_CONSENTS),
    "GET /consents/grant": Need(Action.MODIFY, Subject.OWN_CONSENTS),
    "POST /consents/grant": Need(Action.MODIFY, Subject.OWN_CONSENTS),
    "GET /consents/granted": Need(Action.QUERY, Subject.OWN_CONSENTS),
    "GET /consents/requests": Need(Action.QUERY, Subject.OWN_CONSENTS),
    "GET /consents/requests/{request_id}": Need(Action.QUERY, Subject.OWN_CONSENTS),
    "POST /consents/requests/{request_id}/grant": Need(Action.MODIFY, Subject.OWN_CONSENTS),
    "POST /consents/requests/{request_id}/refuse": Need(Action.MODIFY, Subject.OWN_CONSENTS),
    "GET /consents/{record_id}": Need(Action.QUERY, Subject.OWN_CONSENTS),
    "POST /consents/{record_id}/withdraw": Need(Action.MODIFY, Subject.OWN_CONSENTS),
    "GET /consents/{record_id}/withdrawal": Need(Action.QUERY, Subject.OWN_CONSENTS),
    "GET /consents/{record_id}/withdrawal/live": Need(Action.QUERY, Subject.OWN_CONSENTS),
    "GET /outside": Need(Action.QUERY, Subject.OWN_CONSENTS),
    "GET /outside/questions": Need(Action.QUERY, Subject.OWN_CONSENTS),
    "POST /outside": Need(Action.MODIFY, Subject.OWN_CONSENTS),
    "GET /outside/consents": Need(Action.MODIFY, Subject.OWN_CONSENTS),
    "GET /outside/requests/{request_id}": Need(Action.MODIFY, Subject.OWN_CONSENTS),
    "GET /outside/requests/{request_id}/refusal": Need(Action.MODIFY, Subject.OWN_CONSENTS),
    "GET /outside/withdrawals/{record_id}": Need(Action.MODIFY, Subject.OWN_CONSENTS),
    "GET /uses": Need(Action.QUERY, Subject.OWN_USES),
    "GET /uses/{log_index}": Need(Action.QUERY, Subject.OWN_USES),
    "GET /my-data.json": Need(Action.EXPORT, Subject.OWN_USES),
    "GET /my-data.pdf": Need(Action.EXPORT, Subject.OWN_USES),
    "GET /api/v1/openapi.json": Open.EVERYBODY,
    "GET /api/v1/consents": Need(Action.QUERY, Subject.OWN_CONSENTS),
    "POST /api/v1/consents": Need(Action.MODIFY, Subject.OWN_CONSENTS),
    "POST /api/v1/consents/needed": Need(Action.MODIFY, Subject.OWN_CONSENTS),
    "POST /api/v1/consents/{record_id}/withdraw": Need(Action.MODIFY, Subject.OWN_CONSENTS),
    "GET /api/v1/consents/{record_id}/withdrawal": Need(Action.QUERY, Subject.OWN_CONSENTS),
    "GET /api/v1/consent-requests": Need(Action.QUERY, Subject.OWN_CONSENTS),
    "POST /api/v1/consent-requests/{request_id}/grant": Need(Action.MODIFY, Subject.OWN_CONSENTS),
    "POST /api/v1/consent-requests/{request_id}/refuse": Need(Action.MODIFY, Subject.OWN_CONSENTS),
    "GET /api/v1/uses": Need(Action.QUERY, Subject.OWN_USES),
    "GET /api/v1/lineage": Need(Action.QUERY, Subject.OWN_USES),
    "GET /api/v1/session": Open.EVERYBODY,
    "GET /api/v1/registration": Need(Action.QUERY, Subject.OWN_REGISTRATION),
    "GET /api/v1/registrations": Need(Action.QUERY, Subject.REGISTRATION),
    "POST /api/v1/registrations/{registration_id}/opinion": Need(Action.REVIEW, Subject.REGISTRATION),
}
"""Method and path, as FastAPI has them."""


def rule_of(method: str, path: str) -> Rule | None:
    """The rule of a route, None for one that is not declared. HEAD is a GET."""
    return ROUTES.get(f"{'GET' if method == 'HEAD' else method} {path}")


def reach_of(role: Role, need: Need) -> Reach | None:
    """How far a role's permission reaches, None if it has none."""
    return GRANTS[role].get(need)


def require_all_declared(routes: Iterable[str]) -> None:
    """Raise ValueError for a route without a rule, or a rule without a route."""
    found = set(routes)
    if found != set(ROUTES):
        raise ValueError(f"not declared: {sorted(found - set(ROUTES))}; without route: {sorted(set(ROUTES) - found)}")
