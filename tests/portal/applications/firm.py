"""An enterprise, a bank and two reviewers around one product, for the tests of applications."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from datetime import date
from decimal import Decimal
from typing import Any

import msgspec
from sqlalchemy import insert

from consent.directory import Member, ProductPublished
from consent.directory_entries import ProductItem
from consent.documents import ItemMode
from portal.applications import lending
from portal.applications.moving import CLOCK, get
from portal.facts import service as facts
from portal.facts.facts import Facts
from portal.permissions import Role
from portal.principal import Principal
from portal.products.product import Guarantee, Product, ProductType, Repayment, RequiredItem, TermUnit
from portal.products.tables import versions
from tests.portal.world import NOW_MS, PASSWORD, USCC, Browser, World

BANK = "bank-a"
PRODUCT = "bank-a-tax-loan"
ITEM = "tax_payment_summary"
EXCHANGE = "6f1d2f1a-0000-4000-8000-000000000001"
FACTS = Facts(
    region="110108",
    industry="C3921",
    founded=date(2015, 3, 1),
    employees=40,
    revenue_wan=Decimal(2600),
    assets_wan=Decimal(1800),
)
OTHER_USCC = "91310110666007217T"


def product(code: str = PRODUCT, **changed: Any) -> Product:
    plain = Product(
        product_code=code,
        product_name="税易贷",
        institution=BANK,
        product_type=ProductType.WORKING_CAPITAL,
        amount_min=Decimal(10),
        amount_max=Decimal(300),
        amount_step=Decimal(10),
        term_min=3,
        term_max=24,
        term_unit=TermUnit.M,
        rate_min=Decimal("3.65"),
        rate_max=Decimal("5.2"),
        guarantee_types=(Guarantee.CREDIT, Guarantee.GUARANTOR),
        repayment_methods=(Repayment.EQUAL_INSTALMENTS,),
        required_items=(RequiredItem(item_id=ITEM, mode=ItemMode.Q),),
        processing_days=5,
        valid_from=date(2026, 1, 1),
        publish_state="published",
    )
    return msgspec.structs.replace(plain, **changed)


def version_row(one: Product) -> dict[str, Any]:
    """The row of a version that is published."""
    return {
        "version_id": f"{one.product_code}/{one.version}",
        "product_code": one.product_code,
        "version": one.version,
        "institution": one.institution,
        "product_name": one.product_name,
        "state": one.publish_state,
        "answers": "{}",
        "terms": msgspec.json.encode(one).decode(),
        "edition": 1,
        "entered_by": "x",
        "submitted_by": "x",
        "reviewed_by": "y",
        "reason": "",
        "changed_ms": NOW_MS,
    }


def publish(world: World, one: Product) -> None:
    world.portal.db.write_now(lambda connection: connection.execute(insert(versions), version_row(one)))


@dataclass
class Case:
    """Everybody, logged in."""

    world: World
    firm: Browser
    number: str = ""
    people: dict[str, Browser] = field(default_factory=dict)

    async def person(self, login: str, role: Role, institution: str = "hub") -> Browser:
        if login not in self.people:
            self.people[login] = await self.world.logged_in(login, role, institution)
        return self.people[login]

    async def applied(self) -> str:
        """Walk the enterprise's pages from the product to the submitted application."""
        firm = self.firm
        await firm.get(f"/products/{PRODUCT}")
        path = (await firm.post("/applications", product_code=PRODUCT)).headers["location"]
        self.number = path.split("/")[2]
        await self.answers(path, amount="80", term="12")
        await self.answers(f"/applications/{self.number}/steps/use", purpose="turnover", guarantee="credit")
        await self.signed()
        await firm.get(f"/applications/{self.number}/check")
        answer = await firm.post(f"/applications/{self.number}/submit")
        assert answer.status_code == 303, answer.text
        return self.number

    async def answers(self, path: str, **fields: str) -> str:
        await self.firm.get(path)
        answer = await self.firm.post(path, **fields)
        assert answer.status_code == 303, answer.text
        return str(answer.headers["location"])

    async def signed(self) -> None:
        """Follow to what is to be signed, and sign it."""
        answer = await self.firm.get(f"/applications/{self.number}/authorizations")
        to = answer.headers["location"]
        assert to.startswith("/consents/grant?"), to
        await self.firm.get(to)
        answer = await self.firm.post("/consents/grant", signatory="王小明", role="legal_rep")
        assert answer.status_code == 303, re.findall(r'class="fault"[^>]*>([^<]*)', answer.text)

    async def pushed(self) -> str:
        """Applied, looked at by two reviewers, and passed on."""
        await self.applied()
        return await self.pushed_from_submitted()

    async def pushed_from_submitted(self) -> str:
        number = self.number
        one = await self.person("first", Role.REVIEWER)
        two = await self.person("second", Role.REVIEWER)
        path = f"/application-reviews/{number}"
        await one.get(path)
        assert (await one.post(f"{path}/opinion", act="endorse", reason="材料齐全")).status_code == 303
        await two.get(path)
        assert (await two.post(f"{path}/decision", act="push", reason="符合条件")).status_code == 303
        return number

    async def staff(self) -> Browser:
        return await self.person("staff", Role.STAFF, BANK)

    async def approver(self) -> Browser:
        return await self.person("approver", Role.APPROVER, BANK)

    async def does(self, who: Browser, what: str, **fields: str) -> int:
        """A form of the bank's page of this application; the status."""
        path = f"/lending/{self.number}"
        await who.get(path)
        return (await who.post(f"{path}/{what}", **fields)).status_code

    async def investigated(self) -> None:
        staff = await self.staff()
        assert await self.does(staff, "answer", act="accept", reason="受理") == 303
        assert await self.does(staff, "investigation") == 303
        sent = {"kind": "query", "exchange_id": EXCHANGE, "agrees": "yes", "note": ""}
        assert await self.does(staff, "findings", **sent) == 303

    async def fresh_firm(self) -> Any:
        """The enterprise's inbox after a new login, when its session is over."""
        browser = self.world.browser()
        await browser.get("/login")
        await browser.post("/login", login=USCC, password=PASSWORD)
        return await browser.get("/account")

    def state(self) -> str:
        return self.world.portal.db.read_now(lambda c: get(self.world.portal, c, self.number, CLOCK)).state


async def case(world: World) -> Case:
    """A bank's product is published, an enterprise is logged in and has told its facts."""
    world.hub.offered.append(offer())
    world.hub.admitted.append(Member(member_id=BANK, name="甲银行", kind="bank"))
    publish(world, product())
    firm = await world.logged_in(USCC.casefold(), Role.ENTERPRISE, USCC)
    tell(world, USCC)
    return Case(world, firm)


def offer() -> ProductPublished:
    """What the tax office publishes at the hub, so that consents can name it."""
    part = ProductItem(item_id=ITEM, modes=(ItemMode.Q,))
    return ProductPublished(product_id="taxoffice-1", provider="taxoffice", title="t", items=(part,), time_ms=1)


def tell(world: World, uscc: str) -> None:
    """Tell the facts of an enterprise."""
    who = Principal(
        account_id="", session_id="", login=uscc, role=Role.ENTERPRISE, institution=uscc, second_factor=False
    )
    world.portal.db.write_now(lambda connection: facts.keep(world.portal, connection, who, FACTS))


TERMS = lending.Terms(
    limit_fen=60_000_000,
    annual_rate=Decimal("4.35"),
    penalty_rate=Decimal("6.525"),
    term=12,
    term_unit=TermUnit.M,
)
