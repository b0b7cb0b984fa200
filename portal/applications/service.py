"""The enterprise's side of an application: begun from a product, answered step by step, submitted, answered again, cancelled.

Rules:
1. One application of an enterprise for a product is in flight at a time; beginning another one leads to it.
2. Every step is kept as it is answered, and the enterprise goes on later. What the platform knows (`portal.facts`) is not asked for.
3. What is submitted fits the product as it is offered on that day, and the bank has every consent that the product needs.
4. The facts are those of the moment at which it is submitted; later changes leave them as they were told.
"""

from __future__ import annotations

import secrets
from collections.abc import Mapping, Sequence
from dataclasses import replace
from decimal import Decimal
from typing import Any, Final

from sqlalchemy import Connection, insert, select

from portal import events
from portal.applications import covering
from portal.applications.application import WAN, Application
from portal.applications.moving import By, change, move, seal, shown, visible
from portal.applications.tables import applications
from portal.errors import PortalError
from portal.facts import service as facts
from portal.facts.facts import Facts
from portal.facts.names import number
from portal.forms import CORRECT
from portal.hub_link import Standing
from portal.principal import Principal
from portal.products import service as products
from portal.products.product import Product
from portal.registration import service as registration
from portal.state import Portal
from portal.states import APPLICATION, DRAFT, RETURNED
from portal.text import Text
from portal.today import today

EDITABLE: Final = (DRAFT, RETURNED)
_ALPHABET: Final = "0123456789ABCDEFGHJKLMNPQRTUWXY"
_LENGTH: Final = 8


def new_number(now_ms: int) -> str:
    """An application_no: the day in China, and what nobody guesses or counts by."""
    chosen = "".join(secrets.choice(_ALPHABET) for _ in range(_LENGTH))
    return f"A{today(now_ms):%Y%m%d}{chosen}"


def begin(portal: Portal, connection: Connection, who: Principal, product_code: str) -> str:
    """Begin a draft, or find the one that is in flight (rule 1); its number. Only inside `Database.write`.

    Raises PortalError NOT_FOUND for a product that takes no applications.
    """
    mine = (applications.c.uscc == who.institution) & (applications.c.product_code == product_code)
    wanted = select(applications.c.application_no).where(mine & (applications.c.in_flight == 1))
    found = connection.execute(wanted).scalar()
    if found is not None:
        return str(found)
    product, now_ms = offered(connection, product_code, portal.clock()), portal.clock()
    purpose, guarantee = product.purposes, product.guarantee_types
    row = {
        "institution": product.institution,
        "product_code": product_code,
        "product_name": product.product_name,
        "product_version": product.version,
        "term_unit": product.term_unit.value,
        "purpose": purpose[0].value if len(purpose) == 1 else "",
        "guarantee": guarantee[0].value if len(guarantee) == 1 else "",
    }
    return create(portal, connection, who, row, now_ms)


def create(portal: Portal, connection: Connection, who: Principal, values: Mapping[str, Any], now_ms: int) -> str:
    """A draft with what is known of it; its number. Only inside `Database.write`."""
    application_no = new_number(now_ms)
    own = registration.of_account(portal, connection, who.account_id)
    blank = dict.fromkeys(("demand_id", "purpose", "guarantee", "reviewer", "investigator", "refusal"), "")
    zero = dict.fromkeys(("amount_fen", "term", "submitted_ms", "pushed_ms", "due_ms"), 0)
    row = {
        "application_no": application_no,
        "account_id": who.account_id,
        "uscc": who.institution,
        "ent_name": own.ent_name,
        "state": APPLICATION.initial,
        "in_flight": 1,
        "version": 1,
        "created_ms": now_ms,
        "moved_ms": now_ms,
    }
    sealed = seal(portal, application_no, facts.of(portal, connection, who.institution))
    connection.execute(insert(applications), blank | zero | row | dict(sealed) | dict(values))
    events.record(connection, now_ms, who.login, "application_begun", application_no)
    return application_no


def offered(connection: Connection, product_code: str, now_ms: int) -> Product:
    """A product that can be applied for today. Raises PortalError NOT_FOUND, WRONG_STATE."""
    product = products.get(connection, product_code)
    if not product.takes_applications(today(now_ms)):
        raise PortalError("WRONG_STATE", Text("The bank does not offer this product any more. Choose another one."))
    return product


def editable(portal: Portal, connection: Connection, mover: By, application_no: str) -> Application:
    """One's own application while it can be answered. Raises PortalError NOT_FOUND, WRONG_STATE."""
    found = shown(portal, visible(connection, application_no, mover))
    if found.state not in EDITABLE:
        raise PortalError("WRONG_STATE", Text("This application was submitted and cannot be edited any more."))
    return found


def answer(
    portal: Portal, connection: Connection, mover: By, application_no: str, version: int, given: Mapping[str, Any]
) -> None:
    """Keep an answered step: amount (CNY 10,000), term, purpose, guarantee. Only inside `Database.write`.

    Raises PortalError NOT_FOUND, WRONG_STATE, STALE, INVALID_ARGUMENT with a fault of each answer that does not fit the product.
    """
    found = editable(portal, connection, mover, application_no)
    row = visible(connection, application_no, mover, version)
    product = offered(connection, found.product_code, portal.clock())
    values = {"term_unit": product.term_unit.value} | {name: given[name] for name in given if name != "amount"}
    if "amount" in given:
        values["amount_fen"] = int(given["amount"] * WAN)
    wrong = misfits(replace(found, **values), product, found.told)
    faults = {name: text for name, text in wrong.items() if name in given}
    if faults:
        raise PortalError("INVALID_ARGUMENT", CORRECT, faults=faults)
    change(connection, row, **values)


def submit(
    portal: Portal, connection: Connection, mover: By, application_no: str, version: int, standing: Sequence[Standing]
) -> None:
    """Send it to the platform, with the consents that the bank has for it. Only inside `Database.write`.

    Raises PortalError NOT_FOUND, WRONG_STATE, STALE, INVALID_ARGUMENT with a fault of each answer that is missing or does not fit.
    """
    found, now_ms = editable(portal, connection, mover, application_no), portal.clock()
    product, told = offered(connection, found.product_code, now_ms), facts.of(portal, connection, found.uscc)
    faults = misfits(found, product, told)
    if faults:
        raise PortalError("INVALID_ARGUMENT", CORRECT, faults=faults)
    covering.keep(connection, application_no, standing)
    named = {"product_name": product.product_name, "product_version": product.version, "submitted_ms": now_ms}
    values: dict[str, Any] = {**seal(portal, application_no, told), **named, "reviewer": ""}
    move(portal, connection, application_no, "submit", mover, version=version, **values)


def misfits(found: Application, product: Product, told: Facts) -> Mapping[str, Text]:
    """What is missing of an application, or does not fit the product, by field; nothing if it can be submitted."""
    faults: dict[str, Text] = {}
    if not product.amount_fits(Decimal(found.amount_fen) / WAN):
        faults["amount"] = amount_fault(product)
    if not product.term_min <= found.term <= product.term_max or found.term_unit != product.term_unit:
        faults["term"] = term_fault(product)
    if not found.purpose or (product.purposes and found.purpose not in product.purposes):
        faults["purpose"] = Text("Choose what the money is for.")
    if found.guarantee not in product.guarantee_types:
        faults["guarantee"] = Text("Choose a security that the bank accepts for this product.")
    if not told.complete:
        faults["facts"] = Text("Complete the facts of your enterprise.")
    return faults


def amount_fault(product: Product) -> Text:
    """What an amount must be."""
    least, most, step = product.amount_min, product.amount_max, product.amount_step
    return Text(
        "The bank lends from {least} to {most} (CNY 10,000), in steps of {step}.",
        least=number(least),
        most=number(most),
        step=number(step),
    )


def term_fault(product: Product) -> Text:
    """What a term must be."""
    return Text("The term is a whole number from {least} to {most}.", least=product.term_min, most=product.term_max)


def cancel(portal: Portal, connection: Connection, mover: By, application_no: str, version: int, reason: str) -> None:
    """End it, before it is granted. Only inside `Database.write`. Raises PortalError NOT_FOUND, WRONG_STATE, STALE."""
    move(portal, connection, application_no, "cancel", mover, reason, version=version)
