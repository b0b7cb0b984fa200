"""What each route needs: method and path, as FastAPI has them, a table for each subject."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from portal.permissions.kinds import Action, Need, Open, Rule, Subject

_WEB: Final[Mapping[str, Rule]] = {
    "GET /": Open.EVERYBODY,
    "GET /health": Open.EVERYBODY,
    "GET /static/{name}": Open.EVERYBODY,
    "GET /language/{language}": Open.EVERYBODY,
    "GET /api/v1/openapi.json": Open.EVERYBODY,
    "GET /api/v1/session": Open.EVERYBODY,
}

_ACCOUNTS: Final[Mapping[str, Rule]] = {
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
}

_REGISTRATION: Final[Mapping[str, Rule]] = {
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
    "GET /api/v1/registration": Need(Action.QUERY, Subject.OWN_REGISTRATION),
    "GET /api/v1/registrations": Need(Action.QUERY, Subject.REGISTRATION),
    "POST /api/v1/registrations/{registration_id}/opinion": Need(Action.REVIEW, Subject.REGISTRATION),
}

_CONSENTS: Final[Mapping[str, Rule]] = {
    "GET /unlock": Need(Action.QUERY, Subject.OWN_CONSENTS),
    "POST /unlock": Need(Action.QUERY, Subject.OWN_CONSENTS),
    "GET /consents": Need(Action.QUERY, Subject.OWN_CONSENTS),
    "GET /consents/{record_id}": Need(Action.QUERY, Subject.OWN_CONSENTS),
    "POST /consents/{record_id}/withdraw": Need(Action.MODIFY, Subject.OWN_CONSENTS),
    "GET /uses": Need(Action.QUERY, Subject.OWN_USES),
    "GET /api/v1/consents": Need(Action.QUERY, Subject.OWN_CONSENTS),
    "POST /api/v1/consents/{record_id}/withdraw": Need(Action.MODIFY, Subject.OWN_CONSENTS),
    "GET /api/v1/uses": Need(Action.QUERY, Subject.OWN_USES),
}

_PRODUCTS: Final[Mapping[str, Rule]] = {}

_APPLICATIONS: Final[Mapping[str, Rule]] = {}

_CREDIT: Final[Mapping[str, Rule]] = {}

_CONTENT: Final[Mapping[str, Rule]] = {
    "GET /knowledge": Open.EVERYBODY,
    "GET /knowledge/{content_id}": Open.EVERYBODY,
    "GET /policies": Open.EVERYBODY,
    "GET /policies/{content_id}": Open.EVERYBODY,
    "GET /faq": Open.EVERYBODY,
    "GET /faq/{content_id}": Open.EVERYBODY,
    "GET /announcements": Open.EVERYBODY,
    "GET /announcements/{content_id}": Open.EVERYBODY,
    "GET /search": Open.EVERYBODY,
    "GET /content": Need(Action.QUERY, Subject.CONTENT),
    "GET /content/{content_id}": Need(Action.QUERY, Subject.CONTENT),
    "GET /content/new/{kind}": Need(Action.ENTRY, Subject.CONTENT),
    "POST /content/new/{kind}": Need(Action.ENTRY, Subject.CONTENT),
    "GET /content/{content_id}/edit": Need(Action.ENTRY, Subject.CONTENT),
    "POST /content/{content_id}/edit": Need(Action.ENTRY, Subject.CONTENT),
    "POST /content/{content_id}/act": Need(Action.ENTRY, Subject.CONTENT),
    "POST /content/{content_id}/decision": Need(Action.REVIEW, Subject.CONTENT),
    "GET /api/v1/published/{kind}": Open.EVERYBODY,
    "GET /api/v1/published/{kind}/{content_id}": Open.EVERYBODY,
    "GET /api/v1/search": Open.EVERYBODY,
    "GET /api/v1/content": Need(Action.QUERY, Subject.CONTENT),
    "GET /api/v1/content/{content_id}": Need(Action.QUERY, Subject.CONTENT),
    "POST /api/v1/content/new/{kind}": Need(Action.ENTRY, Subject.CONTENT),
    "POST /api/v1/content/{content_id}/edit": Need(Action.ENTRY, Subject.CONTENT),
    "POST /api/v1/content/{content_id}/act": Need(Action.ENTRY, Subject.CONTENT),
    "POST /api/v1/content/{content_id}/decision": Need(Action.REVIEW, Subject.CONTENT),
}

_QUESTIONS: Final[Mapping[str, Rule]] = {
    "GET /experts": Open.EVERYBODY,
    "GET /seat": Need(Action.MODIFY, Subject.SEAT),
    "POST /seat": Need(Action.MODIFY, Subject.SEAT),
    "GET /experts/{account_id}/ask": Need(Action.ENTRY, Subject.QUESTIONS),
    "POST /experts/{account_id}/ask": Need(Action.ENTRY, Subject.QUESTIONS),
    "GET /questions": Need(Action.QUERY, Subject.QUESTIONS),
    "GET /questions/{question_id}": Need(Action.QUERY, Subject.QUESTIONS),
    "POST /questions/{question_id}/messages": Need(Action.MODIFY, Subject.QUESTIONS),
    "POST /questions/{question_id}/end": Need(Action.ENTRY, Subject.QUESTIONS),
    "GET /questions/{question_id}/offer": Need(Action.EXPORT, Subject.QUESTIONS),
    "POST /questions/{question_id}/offer": Need(Action.EXPORT, Subject.QUESTIONS),
    "GET /api/v1/experts": Open.EVERYBODY,
    "GET /api/v1/questions": Need(Action.QUERY, Subject.QUESTIONS),
    "POST /api/v1/questions": Need(Action.ENTRY, Subject.QUESTIONS),
    "GET /api/v1/questions/{question_id}": Need(Action.QUERY, Subject.QUESTIONS),
    "POST /api/v1/questions/{question_id}/messages": Need(Action.MODIFY, Subject.QUESTIONS),
    "POST /api/v1/questions/{question_id}/end": Need(Action.ENTRY, Subject.QUESTIONS),
}

_STATISTICS: Final[Mapping[str, Rule]] = {}

_BACKOFFICE: Final[Mapping[str, Rule]] = {}

_OPERATIONS: Final[Mapping[str, Rule]] = {}

_NOTICES: Final[Mapping[str, Rule]] = {}

ROUTES: Final[Mapping[str, Rule]] = {
    **_WEB,
    **_ACCOUNTS,
    **_REGISTRATION,
    **_CONSENTS,
    **_PRODUCTS,
    **_APPLICATIONS,
    **_CREDIT,
    **_CONTENT,
    **_QUESTIONS,
    **_STATISTICS,
    **_BACKOFFICE,
    **_OPERATIONS,
    **_NOTICES,
}
