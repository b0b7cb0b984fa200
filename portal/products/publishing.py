"""How a product gets from a member's draft to enterprises, and away from them again.

Rules:
1. A member enters, the hub decides; whoever entered or submitted a version does not decide about it.
2. Only a whole version without a fault can be submitted, and one that was submitted is not changed: it is recalled first.
3. A version that is published replaces the one before, which was on offer until then.
4. A change states the edition of what was changed; an older one is STALE, so that nobody overwrites what they did not see.
5. A member sees its own products only: another's are NOT_FOUND.
"""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

import msgspec
from sqlalchemy import Connection, Row, Select, func, insert, select, update

from portal import events
from portal.accounts.invitations import HUB
from portal.accounts.notices import notify, notify_role
from portal.accounts.tables import accounts
from portal.errors import PortalError, not_found
from portal.permissions import Role
from portal.principal import Principal
from portal.products import fields, search
from portal.products.product import Product
from portal.products.tables import versions
from portal.state import Portal
from portal.states import DRAFT, OFFLINE, PRODUCT, PUBLISHED
from portal.text import Text

DECISIONS: Final = ("approve", "reject")
ENTERED: Final = ("submit", "recall", "revise")
_ALPHABET: Final = "23456789ABCDEFGHJKMNPQRSTUVWXYZ"


@dataclass(frozen=True, kw_only=True)
class Version:
    """A version as its member and reviewers see it. `answers`: as typed; `product`: None before it was submitted once."""

    product_code: str
    version: int
    institution: str
    product_name: str
    state: str
    answers: Mapping[str, str]
    product: Product | None
    edition: int
    entered_by: str
    submitted_by: str
    reviewed_by: str
    reason: str
    changed_ms: int

    @property
    def version_id(self) -> str:
        """Code and version."""
        return f"{self.product_code}/{self.version}"

    @property
    def path(self) -> str:
        """Its page."""
        return f"/product-versions/{self.version_id}"


def get(connection: Connection, only: str | None, product_code: str, version: int) -> Version:
    """One version, within an institution or (None) as the hub sees it: not before it was submitted. Raises PortalError NOT_FOUND."""
    found = _get(connection, product_code, version)
    if found is None or only not in {None, found.institution} or (only is None and found.state == DRAFT):
        raise not_found()
    return found


def on_offer(connection: Connection, found: Version) -> Version | None:
    """The version that enterprises see while another one is prepared; None if there is none."""
    own = (versions.c.product_code == found.product_code) & (versions.c.state == PUBLISHED)
    row = connection.execute(select(versions).where(own, versions.c.version != found.version)).first()
    return _version(row) if row is not None else None


def rows(only: str | None) -> Select[Any]:
    """Versions for a list, without what is long. The hub sees none that was not submitted yet."""
    wanted = select(*(column for column in versions.c if column.name not in {"answers", "terms"}))
    return wanted.where(versions.c.state != DRAFT) if only is None else wanted.where(versions.c.institution == only)


def begin(portal: Portal, connection: Connection, who: Principal, answers: Mapping[str, str]) -> Version:
    """Begin a product with a first version; its code is made here. Only inside `Database.write`."""
    code = "P" + "".join(secrets.choice(_ALPHABET) for _ in range(9))
    return _enter(portal, connection, who, code, 1, answers)


def begin_next(portal: Portal, connection: Connection, who: Principal, only: str | None, product_code: str) -> Version:
    """Begin the next version with what the last one says; the one on offer stays. Only inside `Database.write`.

    A version that is a draft, waits or was rejected is itself the next one: it is returned, so that there is never a second.
    """
    newest = select(func.max(versions.c.version)).where(versions.c.product_code == product_code)
    last = get(connection, only, product_code, connection.execute(newest).scalar() or 0)
    if last.state not in {PUBLISHED, OFFLINE}:
        return last
    return _enter(portal, connection, who, product_code, last.version + 1, last.answers)


def answer(portal: Portal, connection: Connection, found: Version, edition: int, more: Mapping[str, str]) -> Version:
    """Keep further answers of a draft. Only inside `Database.write`. Raises PortalError STALE, WRONG_STATE."""
    _require_edition(found, edition)
    if found.state != DRAFT:
        raise PortalError("WRONG_STATE", Text("Only a draft can be changed; take it back or begin a new version."))
    answers = {**found.answers, **{name: text for name, text in more.items() if name in _NAMES}}
    name = answers.get("product_name", "").strip()
    _change(portal, connection, found, answers=msgspec.json.encode(answers).decode(), product_name=name)
    return _changed(connection, found.product_code, found.version)


def enter(portal: Portal, connection: Connection, who: Principal, found: Version, edition: int, act: str) -> Version:
    """The member submits, recalls or revises. Only inside `Database.write`.

    Raises PortalError STALE, WRONG_STATE, and INVALID_ARGUMENT with all faults of a version that is not whole.
    """
    _require_edition(found, edition)
    following = PRODUCT.after(found.state, act if act in ENTERED else "")
    values: dict[str, Any] = {"state": following}
    if act == "submit":
        values |= {"terms": _terms(found), "submitted_by": who.login, "reviewed_by": "", "reason": ""}
        notify_role(connection, Role.REVIEWER, HUB, "product_waits", found.product_name, portal.clock())
    _change(portal, connection, found, **values)
    _record(portal, connection, who, found, act)
    return _changed(connection, found.product_code, found.version)


def decide(
    portal: Portal, connection: Connection, who: Principal, found: Version, edition: int, act: str, reason: str
) -> Version:
    """A reviewer of the hub approves or rejects (rules 1 and 3). Only inside `Database.write`.

    Raises PortalError STALE, WRONG_STATE, PERMISSION_DENIED.
    """
    _require_edition(found, edition)
    following = PRODUCT.after(found.state, act if act in DECISIONS else "")
    if who.login in {found.entered_by, found.submitted_by}:
        raise PortalError("PERMISSION_DENIED", Text("You entered this; somebody else decides."))
    if following == PUBLISHED:
        _replace(portal, connection, found)
    _change(portal, connection, found, state=following, reviewed_by=who.login, reason=reason)
    _record(portal, connection, who, found, act, reason)
    kind, detail = ("product_published", found.product_name) if following == PUBLISHED else ("product_rejected", reason)
    _tell(portal, connection, found, kind, detail)
    return _changed(connection, found.product_code, found.version)


def withdraw(
    portal: Portal, connection: Connection, who: Principal, found: Version, edition: int, reason: str
) -> Version:
    """The member takes a product off the market. Only inside `Database.write`. Raises PortalError STALE, WRONG_STATE."""
    _require_edition(found, edition)
    following = PRODUCT.after(found.state, "withdraw")
    search.remove(connection, found.product_code)
    _change(portal, connection, found, state=following, reason=reason)
    _record(portal, connection, who, found, "withdraw", reason)
    return _changed(connection, found.product_code, found.version)


_NAMES: Final = frozenset(each.name for each in fields.FIELDS)


def _enter(
    portal: Portal, connection: Connection, who: Principal, code: str, version: int, answers: Mapping[str, str]
) -> Version:
    kept = {name: text for name, text in answers.items() if name in _NAMES}
    row = {
        "version_id": f"{code}/{version}",
        "product_code": code,
        "version": version,
        "institution": who.institution,
        "product_name": kept.get("product_name", "").strip(),
        "state": PRODUCT.initial,
        "answers": msgspec.json.encode(kept).decode(),
        "terms": "",
        "edition": 1,
        "entered_by": who.login,
        "submitted_by": "",
        "reviewed_by": "",
        "reason": "",
        "changed_ms": portal.clock(),
    }
    connection.execute(insert(versions), row)
    events.record(connection, portal.clock(), who.login, "product_entered", f"{code}/{version}")
    return _changed(connection, code, version)


def _replace(portal: Portal, connection: Connection, found: Version) -> None:
    """What enterprises saw until now goes; the terms are those that were submitted."""
    assert found.product is not None  # noqa: S101 (what waits for review was submitted)
    before = (versions.c.product_code == found.product_code) & (versions.c.state == PUBLISHED)
    values = {"state": PRODUCT.after(PUBLISHED, "replace"), "edition": versions.c.edition + 1}
    connection.execute(update(versions).where(before).values(**values))
    search.put(connection, found.product, portal.clock())


def _terms(found: Version) -> str:
    product, filled = fields.parse(found.answers, found.product_code, found.institution, found.version)
    if product is None:
        filled.require()
    return msgspec.json.encode(product).decode()


def _require_edition(found: Version, edition: int) -> None:
    if edition != found.edition:
        raise PortalError(
            "STALE",
            Text("Somebody else changed this meanwhile. Look at what it says now; what you typed is still here."),
        )


def _change(portal: Portal, connection: Connection, found: Version, **values: object) -> None:
    own = versions.c.version_id == found.version_id
    values |= {"edition": found.edition + 1, "changed_ms": portal.clock()}
    connection.execute(update(versions).where(own).values(**values))


def _record(portal: Portal, connection: Connection, who: Principal, found: Version, act: str, reason: str = "") -> None:
    events.record(connection, portal.clock(), who.login, f"product_{act}", found.version_id, reason)


def _tell(portal: Portal, connection: Connection, found: Version, kind: str, detail: str) -> None:
    """Whoever submitted a version hears of the decision."""
    submitter = select(accounts.c.account_id).where(accounts.c.login == found.submitted_by.casefold())
    account_id = connection.execute(submitter).scalar()
    if account_id is not None:
        notify(connection, account_id, kind, detail, portal.clock())


def _get(connection: Connection, product_code: str, version: int) -> Version | None:
    own = versions.c.version_id == f"{product_code}/{version}"
    row = connection.execute(select(versions).where(own)).first()
    return _version(row) if row is not None else None


def _changed(connection: Connection, product_code: str, version: int) -> Version:
    found = _get(connection, product_code, version)
    assert found is not None  # noqa: S101 (it was just written)
    return found


def _version(row: Row[Any]) -> Version:
    product = msgspec.json.decode(row.terms, type=Product) if row.terms else None
    if product is not None:
        product = msgspec.structs.replace(product, publish_state=row.state)
    return Version(
        product_code=row.product_code,
        version=row.version,
        institution=row.institution,
        product_name=row.product_name,
        state=row.state,
        answers=msgspec.json.decode(row.answers, type=dict[str, str]),
        product=product,
        edition=row.edition,
        entered_by=row.entered_by,
        submitted_by=row.submitted_by,
        reviewed_by=row.reviewed_by,
        reason=row.reason,
        changed_ms=row.changed_ms,
    )
