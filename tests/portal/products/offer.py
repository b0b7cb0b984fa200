"""A product as a bank's staff types it, and one as it is then."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

from portal.permissions import Role
from portal.principal import Principal
from portal.products import fields, publishing, search
from portal.products.product import Product
from portal.state import Portal
from tests.portal.world import World

ANSWERS: Mapping[str, str] = {
    "product_name": "税易贷",
    "branch": "样例银行中关村支行",
    "summary": "凭纳税记录申请的信用贷款，无须抵押，适合经营满两年的小微企业。",
    "product_type": "working_capital",
    "purposes": "turnover,materials",
    "amount_min": "10",
    "amount_max": "300",
    "amount_step": "1",
    "term_min": "3",
    "term_max": "24",
    "term_unit": "M",
    "revolving": "yes",
    "rate_min": "3.45",
    "rate_max": "4.35",
    "rate_basis": "lpr_1y",
    "spread_bp": "45",
    "guarantee_types": "credit",
    "repayment_methods": "interest_first,at_will",
    "regions": "110000",
    "industries": "",
    "industries_outside": "K70,J",
    "target_sizes": "small,micro",
    "founded_months": "24",
    "revenue_min": "100",
    "item_registration_basic": "P",
    "item_tax_payment_summary": "Q",
    "item_si_headcount_trend": "V",
    "item_payment_flow": "J",
    "documents": "营业执照\n\n法定代表人身份证",
    "processing_days": "3",
    "valid_from": "2026-01-01",
    "valid_to": "",
}


def product(**changes: Any) -> Product:
    """A sound product, with changes to it."""
    made, filled = fields.parse(ANSWERS, "P23456789A", "bank-a", 1)
    assert made is not None, filled.faults
    return msgspec.structs.replace(made, **{"publish_state": "published"} | changes)


def offer(world: World, *products: Product) -> None:
    """Put products on offer without the way there."""
    world.portal.db.write_now(lambda c: [search.put(c, each, world.now_ms[0]) for each in products])


def somebody(login: str, role: Role, institution: str = "hub", account_id: str = "a") -> Principal:
    """Somebody past the second factor, with or without an account."""
    return Principal(
        account_id=account_id, session_id="s", login=login, role=role, institution=institution, second_factor=True
    )


def person(world: World, login: str, role: Role, institution: str = "hub") -> Principal:
    """Somebody with an account."""
    return somebody(login, role, institution, world.account(login, role, institution))


def published(portal: Portal, who: Principal, reviewer: Principal, **changes: str) -> publishing.Version:
    """Enter, submit and approve a product."""

    def write(connection: Any) -> publishing.Version:
        found = publishing.begin(portal, connection, who, {**ANSWERS, **changes})
        found = publishing.enter(portal, connection, who, found, found.edition, "submit")
        return publishing.decide(portal, connection, reviewer, found, found.edition, "approve", "无误")

    return portal.db.write_now(write)
