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
    "POST /staff/{account_id}/password-link": Need(Action.MODIFY, Subject.STAFF),
    "POST /staff/{account_id}/second-factor": Need(Action.MODIFY, Subject.STAFF),
    "GET /account/password": Need(Action.QUERY, Subject.OWN_ACCOUNT),
    "POST /account/password": Need(Action.MODIFY, Subject.OWN_ACCOUNT),
    "GET /passwords/{token}": Open.EVERYBODY,
    "POST /passwords/{token}": Open.EVERYBODY,
    "GET /account/clients": Need(Action.QUERY, Subject.OWN_ACCOUNT),
    "POST /account/clients": Need(Action.MODIFY, Subject.OWN_ACCOUNT),
    "POST /account/clients/{client_id}/end": Need(Action.MODIFY, Subject.OWN_ACCOUNT),
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
    "GET /api/v1/registrations/{registration_id}": Need(Action.QUERY, Subject.REGISTRATION),
    "POST /api/v1/registrations/{registration_id}/opinion": Need(Action.REVIEW, Subject.REGISTRATION),
}

_CONSENTS: Final[Mapping[str, Rule]] = {
    "GET /unlock": Need(Action.QUERY, Subject.OWN_CONSENTS),
    "POST /unlock": Need(Action.QUERY, Subject.OWN_CONSENTS),
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
    "GET /uses": Need(Action.QUERY, Subject.OWN_USES),
    "GET /uses/{log_index}": Need(Action.QUERY, Subject.OWN_USES),
    "GET /my-data.json": Need(Action.EXPORT, Subject.OWN_USES),
    "GET /my-data.pdf": Need(Action.EXPORT, Subject.OWN_USES),
    "GET /outside": Need(Action.QUERY, Subject.OWN_CONSENTS),
    "GET /outside/questions": Need(Action.QUERY, Subject.OWN_CONSENTS),
    "POST /outside": Need(Action.MODIFY, Subject.OWN_CONSENTS),
    "GET /outside/consents": Need(Action.MODIFY, Subject.OWN_CONSENTS),
    "GET /outside/requests/{request_id}": Need(Action.MODIFY, Subject.OWN_CONSENTS),
    "GET /outside/requests/{request_id}/refusal": Need(Action.MODIFY, Subject.OWN_CONSENTS),
    "GET /outside/withdrawals/{record_id}": Need(Action.MODIFY, Subject.OWN_CONSENTS),
    "GET /api/v1/lineage": Need(Action.QUERY, Subject.OWN_USES),
    "GET /api/v1/consents": Need(Action.QUERY, Subject.OWN_CONSENTS),
    "POST /api/v1/consents": Need(Action.MODIFY, Subject.OWN_CONSENTS),
    "POST /api/v1/consents/needed": Need(Action.MODIFY, Subject.OWN_CONSENTS),
    "POST /api/v1/consents/{record_id}/withdraw": Need(Action.MODIFY, Subject.OWN_CONSENTS),
    "GET /api/v1/consents/{record_id}/withdrawal": Need(Action.QUERY, Subject.OWN_CONSENTS),
    "GET /api/v1/consent-requests": Need(Action.QUERY, Subject.OWN_CONSENTS),
    "POST /api/v1/consent-requests/{request_id}/grant": Need(Action.MODIFY, Subject.OWN_CONSENTS),
    "POST /api/v1/consent-requests/{request_id}/refuse": Need(Action.MODIFY, Subject.OWN_CONSENTS),
    "GET /api/v1/uses": Need(Action.QUERY, Subject.OWN_USES),
}

_PRODUCTS: Final[Mapping[str, Rule]] = {
    "GET /products": Open.EVERYBODY,
    "GET /products/{product_code}": Open.EVERYBODY,
    "GET /api/v1/products": Open.EVERYBODY,
    "GET /api/v1/products/{product_code}": Open.EVERYBODY,
    "GET /api/v1/products/{product_code}/eligibility": Need(Action.QUERY, Subject.OWN_FACTS),
    "GET /facts": Need(Action.QUERY, Subject.OWN_FACTS),
    "POST /facts": Need(Action.MODIFY, Subject.OWN_FACTS),
    "GET /api/v1/facts": Need(Action.QUERY, Subject.OWN_FACTS),
    "PUT /api/v1/facts": Need(Action.MODIFY, Subject.OWN_FACTS),
    "GET /product-versions": Need(Action.QUERY, Subject.PRODUCTS),
    "POST /product-versions": Need(Action.ENTRY, Subject.PRODUCTS),
    "GET /product-versions/{product_code}/{version}": Need(Action.QUERY, Subject.PRODUCTS),
    "POST /product-versions/{product_code}/{version}/next": Need(Action.ENTRY, Subject.PRODUCTS),
    "GET /product-versions/{product_code}/{version}/sections/{slug}": Need(Action.ENTRY, Subject.PRODUCTS),
    "POST /product-versions/{product_code}/{version}/sections/{slug}": Need(Action.ENTRY, Subject.PRODUCTS),
    "POST /product-versions/{product_code}/{version}/entry": Need(Action.ENTRY, Subject.PRODUCTS),
    "POST /product-versions/{product_code}/{version}/decision": Need(Action.REVIEW, Subject.PRODUCTS),
    "POST /product-versions/{product_code}/{version}/withdrawal": Need(Action.MODIFY, Subject.PRODUCTS),
    "GET /api/v1/product-versions": Need(Action.QUERY, Subject.PRODUCTS),
    "POST /api/v1/product-versions": Need(Action.ENTRY, Subject.PRODUCTS),
    "GET /api/v1/product-versions/{product_code}/{version}": Need(Action.QUERY, Subject.PRODUCTS),
    "POST /api/v1/product-versions/{product_code}/{version}/next": Need(Action.ENTRY, Subject.PRODUCTS),
    "PATCH /api/v1/product-versions/{product_code}/{version}": Need(Action.ENTRY, Subject.PRODUCTS),
    "POST /api/v1/product-versions/{product_code}/{version}/entry": Need(Action.ENTRY, Subject.PRODUCTS),
    "POST /api/v1/product-versions/{product_code}/{version}/decision": Need(Action.REVIEW, Subject.PRODUCTS),
    "POST /api/v1/product-versions/{product_code}/{version}/withdrawal": Need(Action.MODIFY, Subject.PRODUCTS),
}

_APPLICATIONS: Final[Mapping[str, Rule]] = {
    "GET /applications": Need(Action.QUERY, Subject.OWN_APPLICATIONS),
    "POST /applications": Need(Action.ENTRY, Subject.OWN_APPLICATIONS),
    "GET /applications/{application_no}": Need(Action.QUERY, Subject.OWN_APPLICATIONS),
    "POST /applications/{application_no}/cancel": Need(Action.ENTRY, Subject.OWN_APPLICATIONS),
    "POST /applications/{application_no}/verify": Need(Action.ENTRY, Subject.OWN_APPLICATIONS),
    "GET /applications/{application_no}/steps/{slug}": Need(Action.ENTRY, Subject.OWN_APPLICATIONS),
    "POST /applications/{application_no}/steps/{slug}": Need(Action.ENTRY, Subject.OWN_APPLICATIONS),
    "GET /applications/{application_no}/facts": Need(Action.ENTRY, Subject.OWN_APPLICATIONS),
    "GET /applications/{application_no}/authorizations": Need(Action.ENTRY, Subject.OWN_APPLICATIONS),
    "GET /applications/{application_no}/check": Need(Action.ENTRY, Subject.OWN_APPLICATIONS),
    "POST /applications/{application_no}/submit": Need(Action.ENTRY, Subject.OWN_APPLICATIONS),
    "GET /application-reviews": Need(Action.REVIEW, Subject.APPLICATIONS),
    "GET /application-reviews/{application_no}": Need(Action.REVIEW, Subject.APPLICATIONS),
    "POST /application-reviews/{application_no}/opinion": Need(Action.REVIEW, Subject.APPLICATIONS),
    "POST /application-reviews/{application_no}/decision": Need(Action.REVIEW, Subject.APPLICATIONS),
    "GET /lending": Need(Action.QUERY, Subject.APPLICATIONS),
    "GET /lending/{application_no}": Need(Action.QUERY, Subject.APPLICATIONS),
    "POST /lending/{application_no}/answer": Need(Action.ENTRY, Subject.APPLICATIONS),
    "POST /lending/{application_no}/investigation": Need(Action.ENTRY, Subject.APPLICATIONS),
    "POST /lending/{application_no}/findings": Need(Action.ENTRY, Subject.APPLICATIONS),
    "POST /lending/{application_no}/grant": Need(Action.APPROVE, Subject.APPLICATIONS),
    "POST /lending/{application_no}/refusal": Need(Action.APPROVE, Subject.APPLICATIONS),
    "GET /financing": Need(Action.ENTRY, Subject.FINANCING),
    "POST /financing": Need(Action.ENTRY, Subject.FINANCING),
    "POST /financing/{demand_id}/withdraw": Need(Action.ENTRY, Subject.FINANCING),
    "GET /demands": Need(Action.QUERY, Subject.FINANCING),
    "POST /demands/{demand_id}/take": Need(Action.MODIFY, Subject.FINANCING),
    "GET /api/v1/applications": Need(Action.QUERY, Subject.OWN_APPLICATIONS),
    "POST /api/v1/applications": Need(Action.ENTRY, Subject.OWN_APPLICATIONS),
    "GET /api/v1/applications/{application_no}": Need(Action.QUERY, Subject.OWN_APPLICATIONS),
    "PUT /api/v1/applications/{application_no}": Need(Action.ENTRY, Subject.OWN_APPLICATIONS),
    "POST /api/v1/applications/{application_no}/submit": Need(Action.ENTRY, Subject.OWN_APPLICATIONS),
    "POST /api/v1/applications/{application_no}/cancel": Need(Action.ENTRY, Subject.OWN_APPLICATIONS),
    "GET /api/v1/application-reviews": Need(Action.REVIEW, Subject.APPLICATIONS),
    "POST /api/v1/application-reviews/{application_no}/opinion": Need(Action.REVIEW, Subject.APPLICATIONS),
    "POST /api/v1/application-reviews/{application_no}/decision": Need(Action.REVIEW, Subject.APPLICATIONS),
    "GET /api/v1/lending": Need(Action.QUERY, Subject.APPLICATIONS),
    "GET /api/v1/lending/{application_no}": Need(Action.QUERY, Subject.APPLICATIONS),
    "POST /api/v1/lending/{application_no}/answer": Need(Action.ENTRY, Subject.APPLICATIONS),
    "POST /api/v1/lending/{application_no}/investigation": Need(Action.ENTRY, Subject.APPLICATIONS),
    "POST /api/v1/lending/{application_no}/findings": Need(Action.ENTRY, Subject.APPLICATIONS),
    "POST /api/v1/lending/{application_no}/decision": Need(Action.APPROVE, Subject.APPLICATIONS),
    "GET /api/v1/financing": Need(Action.ENTRY, Subject.FINANCING),
    "POST /api/v1/financing": Need(Action.ENTRY, Subject.FINANCING),
    "GET /api/v1/demands": Need(Action.QUERY, Subject.FINANCING),
    "POST /api/v1/demands/{demand_id}/take": Need(Action.MODIFY, Subject.FINANCING),
}

_CREDIT: Final[Mapping[str, Rule]] = {}

_CONTENT: Final[Mapping[str, Rule]] = {}

_STATISTICS: Final[Mapping[str, Rule]] = {}

_BACKOFFICE: Final[Mapping[str, Rule]] = {}

_OPERATIONS: Final[Mapping[str, Rule]] = {}

_NOTICES: Final[Mapping[str, Rule]] = {
    "GET /account/mail": Need(Action.QUERY, Subject.OWN_ACCOUNT),
    "POST /account/mail": Need(Action.MODIFY, Subject.OWN_ACCOUNT),
    "GET /account/mail/{code}": Need(Action.QUERY, Subject.OWN_ACCOUNT),
    "POST /account/mail/{code}": Need(Action.MODIFY, Subject.OWN_ACCOUNT),
    "POST /account/switches": Need(Action.MODIFY, Subject.OWN_ACCOUNT),
}

ROUTES: Final[Mapping[str, Rule]] = {
    **_WEB,
    **_ACCOUNTS,
    **_REGISTRATION,
    **_CONSENTS,
    **_PRODUCTS,
    **_APPLICATIONS,
    **_CREDIT,
    **_CONTENT,
    **_STATISTICS,
    **_BACKOFFICE,
    **_OPERATIONS,
    **_NOTICES,
}
