"""The bank's side: accept or decline in time, investigate, and decide by somebody who did not investigate.

Rules:
1. A bank answers within the days that its product promises; after that the application has timed out (`time_out`, by the clock).
2. Data is used only under consents that stand: without them nothing is investigated and no finding is recorded.
3. The portal never sees the data: a finding says which exchange it was, and whether it agrees with what the enterprise told. Each
   exchange is named once. That it took place is shown by the enterprise's own verified record of use (`verify`).
4. A grant needs a finding, unless the product needs no data; a refusal a reason. Who investigated does not decide.
5. A grant is not more than was applied for, and at rates that the product offers; a penalty rate is at most twice the rate.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, Final

from sqlalchemy import Connection, Row, func, insert, select, update

from portal import events
from portal.applications import covering
from portal.applications.application import WAN, Application, Finding
from portal.applications.moving import CLOCK, By, change, move, shown, visible
from portal.applications.tables import applications, findings, grants
from portal.errors import PortalError, form_fault
from portal.forms import CORRECT
from portal.products import service as products
from portal.products.product import DAYS, MOST_RATE, Product, TermUnit
from portal.state import Portal
from portal.states import DUE_DILIGENCE, PUSHED
from portal.text import Text

ANSWERS: Final = ("accept", "decline")
KINDS: Final = {"query": Text("Interface query"), "score": Text("Score run")}
AGREES: Final = {
    "": Text("Not compared"),
    "yes": Text("Agrees with what the enterprise told"),
    "no": Text("Does not agree with what the enterprise told"),
}
REFUSALS: Final[Mapping[str, Text]] = {
    "eligibility": Text("The conditions of the product are not met"),
    "repayment": Text("Not enough income to repay"),
    "history": Text("Credit history"),
    "facts": Text("What was told does not agree with what was found"),
    "security": Text("Not enough security"),
    "exposure": Text("Too much debt already"),
    "policy": Text("Outside what the bank lends for"),
    "other": Text("Another reason"),
}
BATCH: Final = 200


@dataclass(frozen=True, kw_only=True)
class Terms:
    """What an approver grants. Rates in percent a year."""

    limit_fen: int
    annual_rate: Decimal
    penalty_rate: Decimal
    term: int
    term_unit: TermUnit


def answer(
    portal: Portal, connection: Connection, mover: By, application_no: str, act: str, reason: str, version: int
) -> None:
    """Accept or decline. Only inside `Database.write`. Raises PortalError NOT_FOUND, WRONG_STATE, STALE."""
    row = visible(connection, application_no, mover, version)
    if row.state == PUSHED and row.due_ms <= portal.clock():
        raise PortalError("WRONG_STATE", Text("The time to answer this application is over."))
    move(portal, connection, application_no, act if act in ANSWERS else "", mover, reason, version=version)


def investigate(portal: Portal, connection: Connection, mover: By, application_no: str, version: int) -> None:
    """Begin due diligence (rule 2). Only inside `Database.write`. Raises PortalError NOT_FOUND, WRONG_STATE, STALE."""
    row = visible(connection, application_no, mover, version)
    _require_live(portal, connection, row)
    move(portal, connection, application_no, "investigate", mover, version=version, investigator=mover.login)


def find(
    portal: Portal,
    connection: Connection,
    mover: By,
    application_no: str,
    version: int,
    *,
    kind: str,
    exchange_id: str,
    agrees: str,
    note: str,
) -> None:
    """Record that data was used in an exchange (rules 2, 3). Only inside `Database.write`.

    Raises PortalError NOT_FOUND, WRONG_STATE, STALE, INVALID_ARGUMENT for an exchange that was named before.
    """
    row = visible(connection, application_no, mover, version)
    if row.state != DUE_DILIGENCE:
        raise PortalError("WRONG_STATE", Text("Findings are recorded while the application is investigated."))
    _require_live(portal, connection, row)
    if connection.execute(select(findings.c.kind).where(findings.c.exchange_id == exchange_id)).first() is not None:
        raise form_fault("exchange_id", Text("This exchange is recorded already."))
    own, now_ms = findings.c.application_no == application_no, portal.clock()
    number = connection.execute(select(func.count()).select_from(findings).where(own)).scalar_one()
    found = {"kind": kind, "exchange_id": exchange_id, "agrees": agrees, "note": note, "found_by": mover.login}
    key = {"application_no": application_no, "finding_no": number + 1}
    connection.execute(insert(findings), key | found | {"found_ms": now_ms, "verified_ms": 0})
    change(connection, row)
    events.record(connection, now_ms, mover.login, f"application_{kind}", application_no, exchange_id)


def findings_of(connection: Connection, application_no: str) -> Sequence[Finding]:
    """What was found, the first finding first."""
    own = select(findings).where(findings.c.application_no == application_no).order_by(findings.c.finding_no)
    names = Finding.__dataclass_fields__
    return [Finding(**{name: getattr(row, name) for name in names}) for row in connection.execute(own)]


def verify(connection: Connection, application_no: str, exchanges: Collection[str], now_ms: int) -> None:
    """Mark findings whose exchange stands in the enterprise's verified record of use. Only inside `Database.write`."""
    unverified = (findings.c.application_no == application_no) & (findings.c.verified_ms == 0)
    found = unverified & findings.c.exchange_id.in_(sorted(exchanges))
    connection.execute(update(findings).where(found).values(verified_ms=now_ms))


def grant(portal: Portal, connection: Connection, mover: By, application_no: str, terms: Terms, version: int) -> None:
    """Grant it (rules 4, 5). Only inside `Database.write`.

    Raises PortalError NOT_FOUND, WRONG_STATE, PERMISSION_DENIED, STALE, INVALID_ARGUMENT with a fault of each term that does not fit.
    """
    row = _to_decide(connection, mover, application_no, version)
    _require_live(portal, connection, row)
    found = shown(portal, row)
    count, _ = covering.ended(connection, application_no, portal.clock())
    if count and not findings_of(connection, application_no):
        raise PortalError("WRONG_STATE", Text("Record first in which exchanges data was used for it."))
    product = None
    if row.product_code:
        product = products.version_of(connection, row.product_code, row.product_version)
    faults = misfits(found, product, terms)
    if faults:
        raise PortalError("INVALID_ARGUMENT", CORRECT, faults=faults)
    move(portal, connection, application_no, "grant", mover, version=version)
    values = {
        "limit_fen": terms.limit_fen,
        "annual_rate": f"{terms.annual_rate:f}",
        "penalty_rate": f"{terms.penalty_rate:f}",
        "term": terms.term,
        "term_unit": terms.term_unit.value,
    }
    who = {"application_no": application_no, "granted_by": mover.login, "granted_ms": portal.clock()}
    connection.execute(insert(grants), who | values)


def misfits(found: Application, product: Product | None, terms: Terms) -> Mapping[str, Text]:
    """What of the terms does not fit application and product (rule 5), by field."""
    faults: dict[str, Text] = {}
    if not 0 < terms.limit_fen <= found.amount_fen:
        faults["limit"] = Text(
            "The limit is more than 0 and at most {most} (CNY 10,000), what was applied for.",
            most=in_wan(found.amount_fen),
        )
    least, most = (product.rate_min, product.rate_max) if product is not None else (Decimal("0.01"), MOST_RATE)
    if not least <= terms.annual_rate <= most:
        faults["annual_rate"] = Text(
            "The rate of this product is from {least} to {most} % a year.", least=least, most=most
        )
    if not terms.annual_rate <= terms.penalty_rate <= 2 * terms.annual_rate:
        faults["penalty_rate"] = Text("The penalty rate is at least the rate, and at most twice the rate.")
    days = terms.term * DAYS[terms.term_unit]
    longest = product.term_max_days if product is not None else found.term * DAYS[TermUnit(found.term_unit)]
    if not 0 < days <= longest:
        faults["term"] = Text("The term is 1 or more, and at most what the product or the request allows.")
    return faults


def refuse(
    portal: Portal, connection: Connection, mover: By, application_no: str, code: str, text: str, version: int
) -> None:
    """Refuse it, by a code of `REFUSALS` and in words (rule 4). Only inside `Database.write`.

    Raises PortalError NOT_FOUND, WRONG_STATE, PERMISSION_DENIED, STALE.
    """
    _to_decide(connection, mover, application_no, version)
    move(portal, connection, application_no, "refuse", mover, text, version=version, refusal=code)


def time_out(portal: Portal, connection: Connection) -> int:
    """End at most `BATCH` applications that the bank did not answer in time (rule 1); how many. Only inside `Database.write`."""
    due = (applications.c.state == PUSHED) & (applications.c.due_ms <= portal.clock())
    wanted = select(applications.c.application_no).where(due).order_by(applications.c.due_ms).limit(BATCH)
    late = connection.execute(wanted).scalars().all()
    for application_no in late:
        move(portal, connection, application_no, "time_out", CLOCK)
    return len(late)


def in_wan(amount_fen: int) -> str:
    """An amount in CNY 10,000, as people write it."""
    return f"{(Decimal(amount_fen) / WAN).normalize():f}"


def _to_decide(connection: Connection, mover: By, application_no: str, version: int) -> Row[Any]:
    row = visible(connection, application_no, mover, version)
    if row.state != DUE_DILIGENCE:
        raise PortalError("WRONG_STATE", Text("It is decided after it was investigated, once."))
    found = findings_of(connection, application_no)
    if mover.login in {row.investigator, *(each.found_by for each in found)}:
        raise PortalError("PERMISSION_DENIED", Text("You investigated it; somebody else of your institution decides."))
    return row


def _require_live(portal: Portal, connection: Connection, row: Row[Any]) -> None:
    covering.require_live(connection, row.application_no, portal.clock(), some=not row.product_code)
