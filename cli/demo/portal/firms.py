"""Enterprises register at the portal, two reviewers look at each, and those that are let in tell their facts."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from sqlalchemy import Connection

from cli.demo.enterprises import Enterprise
from cli.demo.loans import synthetic_uscc
from cli.demo.names import facts_of, name_of
from cli.demo.portal.past import HOUR_MS, Clock
from cli.demo.portal.people import FIRST, SECOND, Staff, acting
from consent.documents import encode
from consent.registration import SUBJECT_REGISTRATION_TYPE, SubjectRegistration
from portal.facts import service as facts
from portal.permissions import Role
from portal.principal import Principal
from portal.registration import service as registration
from portal.state import Portal
from portal.today import today
from trust.document import sign_document
from trust.keyfile import encode_private_key, secret_from_passphrase
from trust.sm2 import PrivateKey

COST: Final = 2**14
"""Of scrypt, for key files of made-up enterprises under a password that stands on the screen."""

TOGETHER: Final = 10
"""Enterprises that register in the same hour."""

_FIRST_NEW: Final = 20_001
"""The number of the first enterprise that the demonstration's network does not know."""

WAITING: Final = ("submitted",) * 6 + ("endorsed",) * 4 + ("objected",) * 2 + ("rejected",) * 3
"""In which state each of the newest registrations is left."""


@dataclass(frozen=True, kw_only=True)
class Firm:
    """An enterprise that was let in. `number`: of its invented facts."""

    number: int
    enterprise: Enterprise
    who: Principal


@dataclass(frozen=True)
class Door:
    """What it takes to let enterprises in."""

    portal: Portal
    clock: Clock
    staff: Staff
    password: str
    password_hash: str

    async def let_in(self, members: Sequence[Enterprise], between_ms: int) -> list[Firm]:
        """Register enterprises that have keys, some together, with so long between them; they tell their facts at once."""
        firms: list[Firm] = []
        for begin in range(0, len(members), TOGETHER):
            together = members[begin : begin + TOGETHER]
            made = [await asyncio.to_thread(self._apply, each) for each in together]
            self.clock.go(self.clock() + HOUR_MS)
            for _, registration_id in made:
                self._opine(registration_id, "endorse", "执照与登记信息一致")
            self.clock.go(self.clock() + HOUR_MS)
            await asyncio.gather(*(self._decide(one, "approve", "电话已核实") for _, one in made))
            self.clock.go(self.clock() + HOUR_MS)
            for number, (each, (account_id, _)) in enumerate(zip(together, made, strict=True), begin):
                who = acting(account_id, each.uscc.casefold(), Role.ENTERPRISE, each.uscc)
                firms.append(Firm(number=number, enterprise=each, who=who))
            self.portal.db.write_now(lambda c, new=firms[begin:]: self._tell(c, new))  # type: ignore[misc]
            self.clock.go(self.clock() + between_ms)
        return firms

    async def leave_waiting(self, between_ms: int) -> list[str]:
        """Register enterprises that are left where reviewers find them; the codes of those whose turn it is to decide."""
        for number, state in enumerate(WAITING, _FIRST_NEW):
            enterprise = Enterprise(synthetic_uscc(number), name_of(number), PrivateKey.generate())
            _, registration_id = await asyncio.to_thread(self._apply, enterprise)
            if state == "endorsed":
                self._opine(registration_id, "endorse", "执照与登记信息一致")
            elif state != "submitted":
                self._opine(registration_id, "object", "电话无人接听，地址无法核实")
            if state == "rejected":
                await self._decide(registration_id, "reject", "三次联系未果")
            self.clock.go(self.clock() + between_ms)
        return [synthetic_uscc(number) for number, state in enumerate(WAITING, _FIRST_NEW) if state == "endorsed"]

    def _apply(self, enterprise: Enterprise) -> tuple[str, str]:
        """Leave a registration; the ids of account and registration."""
        given = {"uscc": enterprise.uscc, "ent_name": enterprise.name, "contact": "联系人", "phone": "13800000000"}
        statement = SubjectRegistration(
            uscc=enterprise.uscc,
            ent_name=enterprise.name,
            contact="portal:demo",
            public_key=enterprise.key.public.encode(),
            time_ms=self.clock(),
        )
        signed = sign_document(SUBJECT_REGISTRATION_TYPE, encode(statement), enterprise.key)
        made = registration.Prepared(
            registration_id=str(uuid.uuid4()),
            document=signed.encode(),
            key_pem=encode_private_key(enterprise.key, secret_from_passphrase(self.password), cost=COST),
            password_hash=self.password_hash,
        )
        account_id = self.portal.db.write_now(lambda c: registration.submit(self.portal, c, given, made))
        return account_id, made.registration_id

    def _opine(self, registration_id: str, act: str, reason: str) -> None:
        who = self.staff[FIRST]
        self.portal.db.write_now(
            lambda connection: registration.give_opinion(self.portal, connection, who, registration_id, act, reason)
        )

    async def _decide(self, registration_id: str, act: str, reason: str) -> None:
        # Nobody's registration has these enterprises: they were made up.
        made_up, second = act == "approve", self.staff[SECOND]
        await registration.decide(self.portal, second, registration_id, act, reason, self.password, despite=made_up)

    def _tell(self, connection: Connection, firms: Sequence[Firm]) -> None:
        day = today(self.clock())
        for firm in firms:
            facts.keep(self.portal, connection, firm.who, facts_of(firm.number, day))
