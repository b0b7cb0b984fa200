"""How content comes about: an editor enters it, a reviewer publishes it or sends it back.

Rules:
1. A version changes as `portal.states.CONTENT` says; only a draft is edited, and whoever saves over what somebody else saved meanwhile
   is told so first (`revision`).
2. Four eyes: whoever entered any of a version does not decide about it.
3. What is published is never changed. A new version is a draft beside it and replaces it when it is published itself.
4. The search index has what is published and nothing else, in the transaction that publishes it.
"""

from __future__ import annotations

import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any, Final

from sqlalchemy import Connection, Row, func, insert, select, update

from portal import events
from portal.accounts.notices import notify
from portal.accounts.tables import ACTIVE
from portal.accounts.tables import accounts as account_rows
from portal.content.kinds import Kind
from portal.content.markdown import plain
from portal.content.regions import province_of
from portal.content.search import index
from portal.content.search.grams import of_kind, weights
from portal.content.tables import contents
from portal.errors import PortalError, not_found
from portal.permissions import Role
from portal.principal import Principal
from portal.state import Portal
from portal.states import CONTENT, OFFLINE, PUBLISHED
from portal.text import Text

EDITS: Final = ("submit", "recall", "revise")
DECISIONS: Final = ("approve", "reject", "withdraw")


@dataclass(frozen=True, kw_only=True)
class Written:
    """What an editor writes. The last five are a policy's, and empty for other kinds; `effective`: a date (ISO 8601)."""

    title: str
    body: str
    title_en: str = ""
    body_en: str = ""
    region: str = ""
    authority: str = ""
    document_no: str = ""
    effective: str = ""
    source: str = ""


@dataclass(frozen=True, kw_only=True)
class Version:
    """One version of a text. `number`: of all versions; `entered_by`: logins."""

    number: int
    content_id: str
    version: int
    kind: Kind
    state: str
    example: bool
    written: Written
    plain: str
    plain_en: str
    entered_by: Sequence[str]
    editor: str
    reviewer: str
    reason: str
    revision: int
    changed_ms: int
    published_ms: int


def create(portal: Portal, connection: Connection, who: Principal, kind: Kind, written: Written) -> str:
    """Begin a text; returns its id. Only inside `Database.write`."""
    content_id = str(uuid.uuid4())
    _add(connection, content_id, 1, kind, written, who, portal.clock())
    events.record(connection, portal.clock(), who.login, "content_created", content_id)
    return content_id


def edit(
    portal: Portal, connection: Connection, who: Principal, content_id: str, revision: int, written: Written
) -> None:
    """Save the newest version. Only inside `Database.write`. Raises PortalError NOT_FOUND, WRONG_STATE, STALE."""
    found = newest(connection, content_id)
    CONTENT.after(found.state, "submit")  # what may be sent for review may be edited
    _require_current(found, revision)
    entered_by = " ".join(dict.fromkeys([*found.entered_by, who.login]))
    columns = {"entered_by": entered_by, **_columns(found.kind, written)}
    _move(portal, connection, found, who, "edit", columns)


def move(portal: Portal, connection: Connection, who: Principal, content_id: str, revision: int, act: str) -> None:
    """Send the newest version for review, or take it back to a draft (`EDITS`). Only inside `Database.write`.

    Raises PortalError NOT_FOUND, WRONG_STATE, STALE.
    """
    found = newest(connection, content_id)
    state = CONTENT.after(found.state, act if act in EDITS else "")
    _require_current(found, revision)
    _move(portal, connection, found, who, act, {"state": state, "editor": who.account_id})
    if act == "submit":
        for account_id in active(connection, Role.REVIEWER):
            notify(connection, account_id, "content_waiting", found.written.title, portal.clock())


def begin_version(portal: Portal, connection: Connection, who: Principal, content_id: str) -> None:
    """Begin the next version of what is or was published. Only inside `Database.write`. Raises PortalError NOT_FOUND, WRONG_STATE."""
    found = newest(connection, content_id)
    if found.state not in {PUBLISHED, OFFLINE}:
        raise PortalError("WRONG_STATE", Text("There is a newer version already; go on with that one."))
    version, now_ms = found.version + 1, portal.clock()
    _add(connection, content_id, version, found.kind, found.written, who, now_ms, example=found.example)
    events.record(connection, now_ms, who.login, "content_version_begun", content_id)


def decide(
    portal: Portal, connection: Connection, who: Principal, content_id: str, revision: int, act: str, reason: str
) -> None:
    """Publish a version or send it back, or take the published one offline (`DECISIONS`). Only inside `Database.write`.

    Raises PortalError NOT_FOUND, WRONG_STATE, STALE, PERMISSION_DENIED.
    """
    found = newest(connection, content_id) if act != "withdraw" else published(connection, content_id)
    state = CONTENT.after(found.state, act if act in DECISIONS else "")
    _require_current(found, revision)
    require_other(found, who)
    now_ms = portal.clock()
    values = {"state": state, "reviewer": who.login, "reason": reason}
    if act == "approve":
        _replace(portal, connection, who, content_id)
        _move(portal, connection, found, who, act, values | {"published_ms": now_ms}, reason)
        index.apply(connection, [_indexed(found)])
    else:
        _move(portal, connection, found, who, act, values, reason)
    if act == "withdraw":
        index.apply(connection, [_indexed(found, gone=True)])
    if found.editor:
        notify(connection, found.editor, f"content_{act}", found.written.title, now_ms)


def require_other(found: Version, who: Principal) -> None:
    """Raise PortalError PERMISSION_DENIED for whoever entered any of it (rule 2)."""
    if who.login in found.entered_by:
        raise PortalError("PERMISSION_DENIED", Text("You entered some of this yourself; another reviewer decides."))


def load(connection: Connection, content_id: str, kind: Kind, written: Written, now_ms: int, *, example: bool) -> bool:
    """Publish a text that comes with the program, unless there is one under this id. Only inside `Database.write`."""
    if connection.execute(select(contents.c.number).where(contents.c.content_id == content_id)).first() is not None:
        return False
    _add(connection, content_id, 1, kind, written, None, now_ms, example=example)
    found = newest(connection, content_id)
    own = contents.c.number == found.number
    connection.execute(update(contents).where(own).values(state=PUBLISHED, published_ms=now_ms))
    index.apply(connection, [_indexed(found)])
    return True


def newest(connection: Connection, content_id: str) -> Version:
    """The newest version, in whatever state. Raises PortalError NOT_FOUND."""
    return versions(connection, content_id)[0]


def versions(connection: Connection, content_id: str) -> Sequence[Version]:
    """All versions, the newest first. Raises PortalError NOT_FOUND."""
    own = select(contents).where(contents.c.content_id == content_id).order_by(contents.c.version.desc())
    found = [told(row) for row in connection.execute(own)]
    if not found:
        raise not_found()
    return found


def published(connection: Connection, content_id: str) -> Version:
    """The version that is published. Raises PortalError NOT_FOUND."""
    own = (contents.c.content_id == content_id) & (contents.c.state == PUBLISHED)
    row = connection.execute(select(contents).where(own)).first()
    if row is None:
        raise not_found()
    return told(row)


def told(row: Row[Any]) -> Version:
    """A row of `contents` as what it means."""
    columns = row._mapping
    return Version(
        number=row.number,
        content_id=row.content_id,
        version=row.version,
        kind=Kind(row.kind),
        state=row.state,
        example=bool(row.example),
        written=Written(**{each.name: columns[each.name] for each in fields(Written)}),
        plain=row.plain,
        plain_en=row.plain_en,
        entered_by=row.entered_by.split(),
        editor=row.editor,
        reviewer=row.reviewer,
        reason=row.reason,
        revision=row.revision,
        changed_ms=row.changed_ms,
        published_ms=row.published_ms,
    )


def active(connection: Connection, role: Role) -> Sequence[str]:
    """The accounts of a role that can log in."""
    own = (account_rows.c.role == role.value) & (account_rows.c.state == ACTIVE)
    return connection.execute(select(account_rows.c.account_id).where(own)).scalars().all()


def _require_current(found: Version, revision: int) -> None:
    if revision != found.revision:
        raise PortalError(
            "STALE",
            Text(
                "Somebody saved this meanwhile. Look at it in another window; what you typed is still here to be saved."
            ),
        )


def _columns(kind: Kind, written: Written) -> Mapping[str, object]:
    columns: dict[str, object] = {each.name: getattr(written, each.name) for each in fields(Written)}
    columns["province"] = province_of(written.region) if kind is Kind.POLICY else ""
    columns["plain"], columns["plain_en"] = plain(written.body), plain(written.body_en)
    return columns


def _add(
    connection: Connection,
    content_id: str,
    version: int,
    kind: Kind,
    written: Written,
    who: Principal | None,
    now_ms: int,
    *,
    example: bool = False,
) -> None:
    row = {
        "number": 1 + (connection.execute(select(func.max(contents.c.number))).scalar() or 0),
        "content_id": content_id,
        "version": version,
        "kind": kind.value,
        "state": CONTENT.initial,
        "example": int(example),
        "entered_by": who.login if who else "",
        "editor": "",
        "reviewer": "",
        "reason": "",
        "revision": 1,
        "changed_ms": now_ms,
        "published_ms": 0,
    }
    connection.execute(insert(contents), row | dict(_columns(kind, written)))


def _replace(portal: Portal, connection: Connection, who: Principal, content_id: str) -> None:
    own = (contents.c.content_id == content_id) & (contents.c.state == PUBLISHED)
    row = connection.execute(select(contents).where(own)).first()
    if row is not None:
        before = told(row)
        _move(portal, connection, before, who, "replace", {"state": CONTENT.after(before.state, "replace")})
        index.apply(connection, [_indexed(before, gone=True)])


def _indexed(found: Version, *, gone: bool = False) -> index.Change:
    written = found.written
    text = "\n".join((found.plain, found.plain_en, written.authority, written.document_no))
    weighed = {**weights(f"{written.title} {written.title_en}", text), of_kind(found.kind): 1}
    return index.Change(number=found.number, before=weighed if gone else {}, after={} if gone else weighed)


def _move(
    portal: Portal,
    connection: Connection,
    found: Version,
    who: Principal,
    act: str,
    values: Mapping[str, object],
    reason: str = "",
) -> None:
    now_ms = portal.clock()
    changed = {**values, "revision": found.revision + 1, "changed_ms": now_ms}
    connection.execute(update(contents).where(contents.c.number == found.number).values(**changed))
    events.record(connection, now_ms, who.login, f"content_{act}", found.content_id, reason)
