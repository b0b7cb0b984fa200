"""A granted application and what banks do with it afterwards, for the tests of credit, statistics and alerts."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from sqlalchemy import select

from portal.credit.tables import lines
from portal.products.tables import versions
from portal.today import today
from tests.portal.applications.firm import Case
from tests.portal.world import Browser

GRANT = {"limit": "60", "annual_rate": "4.35", "penalty_rate": "6.525", "term": "12", "term_unit": "M"}


class Loan:
    """A case after its grant. `revolving`: whether its product says so."""

    def __init__(self, case: Case) -> None:
        self.case, self.world = case, case.world

    def day(self, days: int = 0) -> str:
        return (today(self.world.portal.clock()) + timedelta(days=days)).isoformat()

    @property
    def path(self) -> str:
        return f"/credit/{self.case.number}"

    def line(self) -> Any:
        wanted = select(lines).where(lines.c.application_no == self.case.number)
        return self.world.portal.db.read_now(lambda c: c.execute(wanted).one())

    async def granted(self, *, revolving: bool = False) -> None:
        if revolving:
            row = self.world.portal.db.read_now(lambda c: c.execute(select(versions.c.terms)).scalar_one())
            changed = row.replace('"revolving":false', '"revolving":true')
            self.world.portal.db.write_now(lambda c: c.execute(versions.update().values(terms=changed)))
        await self.case.pushed()
        await self.case.investigated()
        assert await self.case.does(await self.case.approver(), "grant", **GRANT) == 303

    async def enters(self, name: str, who: Browser | None = None, group: str = "entries", **fields: str) -> int:
        """Send a form of the line's page; the status."""
        who = who or await self.case.staff()
        await who.get(self.path)
        named = {f"{name.replace('-', '_')}_{field}": value for field, value in fields.items()}
        return (await who.post(f"{self.path}/{group}/{name}", **named)).status_code

    async def decides(self, name: str, reason: str = "核对无误", who: Browser | None = None) -> int:
        return await self.enters(name, who or await self.case.approver(), "decisions", reason=reason)

    def signed(self, **changed: str) -> dict[str, str]:
        plain = {"contract_no": "HT-2026-1", "branch": "海淀支行", "amount": "60", "first_loan": "1"}
        days = {"signed_on": self.day(), "begins_on": self.day(), "ends_on": self.day(360)}
        return plain | days | changed

    async def contracted(self, **kinds: bool) -> None:
        await self.granted(**kinds)
        assert await self.enters("contract", **self.signed()) == 303
        assert await self.decides("confirm") == 303

    async def drawn(self, amount: str = "40", *, due: int | None = None, **kinds: bool) -> None:
        await self.contracted(**kinds)
        assert await self.draws(amount, due=due) == 303

    async def draws(self, amount: str, *, due: int | None = None) -> int:
        due_on = "" if due is None else self.day(due)
        return await self.enters("drawdown", amount=amount, day=self.day(), due_on=due_on, due_amount="")

    async def repays(self, amount: str) -> int:
        return await self.enters("repayment", amount=amount, day=self.day(), due_on="", due_amount="")
