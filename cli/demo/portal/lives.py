"""Applications and financing requests of the past months: each goes a way through the state machine, an act at a time.

The ways are chosen so that every state that can be reached is well filled at the end, and none has more answered than its bank had
time for. Products that want data are left out: consents cannot be signed in the past (`cli.demo.portal.today`).
"""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any, Final

from sqlalchemy import Connection

from cli.demo.portal.firms import Firm
from cli.demo.portal.past import DAY_MS, HOUR_MS, Past
from cli.demo.portal.people import APPROVERS, FIRST, SECOND, STAFF, Person, Staff
from portal.applications import financing, lending, review, service
from portal.applications.moving import By, by, visible
from portal.facts import service as facts
from portal.products.eligibility import Answer, evaluate, overall
from portal.products.product import Guarantee, LoanPurpose, Product
from portal.state import Portal
from portal.today import today

WAYS: Final[tuple[tuple[str, int], ...]] = (
    ("", 20),
    ("submit", 30),
    ("submit endorse", 16),
    ("submit object", 8),
    ("submit object return", 12),
    ("submit object return submit endorse push accept investigate grant", 8),
    ("submit object reject", 16),
    ("submit endorse push", 30),
    ("submit endorse push decline", 14),
    ("submit endorse push time_out", 10),
    ("submit endorse push accept", 26),
    ("submit endorse push accept investigate", 28),
    ("submit endorse push accept investigate grant", 96),
    ("submit endorse push accept investigate refuse", 36),
    ("submit cancel", 10),
    ("submit endorse push accept cancel", 14),
)
"""The acts of each way after its beginning, and how many go it."""

DEMANDS: Final[tuple[tuple[str, int], ...]] = (("", 14), ("take", 8), ("withdraw", 5), ("lapse", 5))
_ENDS: Final = frozenset({"grant", "refuse", "reject", "decline", "cancel", "time_out"})
_FRESH_MS: Final = 3 * DAY_MS
"""What is under way had its last act within so long: shorter than any bank has to answer."""

_WORDS: Final = {
    "endorse": ("材料齐全", "经营情况正常，建议转交", "所填信息与登记一致"),
    "object": ("所填地区与登记不一致", "经营收入与人数不相称", "用途写得不清楚"),
    "return": ("请核对所在地区后重新提交", "请补充收入情况"),
    "push": ("符合产品条件", "同意转交", "已复核"),
    "reject": ("不符合产品条件", "重复申请"),
    "accept": ("受理", "已联系企业，受理", "资料已收到"),
    "decline": ("本季度该类额度已用完", "不在本支行服务范围"),
    "cancel": ("资金已另行解决", "暂不需要贷款"),
    "refuse": ("现金流不足以覆盖还款", "近期负债上升较快", "与产品要求不符"),
}


@dataclass
class Lives:
    """All of them. `products`: what can be applied for; `until_ms`: now, when the past ends."""

    past: Past
    staff: Staff
    firms: Sequence[Firm]
    products: Sequence[Product]
    until_ms: int
    chance: random.Random = field(default_factory=lambda: random.Random("lives"))  # noqa: S311 (invented data)

    @property
    def portal(self) -> Portal:
        """Where it all happens."""
        return self.past.portal

    def plan(self, share: float = 1.0) -> None:
        """Plan everything between the clock's time and now; `share`: of how many go each way, at least one does."""
        pairs = self.portal.db.read_now(self._pairs)
        self.chance.shuffle(pairs)
        for way, count in WAYS:
            for _ in range(max(1, round(count * share))):
                firm, product = pairs.pop()
                self._live(firm, product, way.split())
        askers = list(self.chance.sample(list(self.firms), min(len(self.firms), sum(count for _, count in DEMANDS))))
        for end, count in DEMANDS:
            for _ in range(min(len(askers), max(1, round(count * share)))):
                self._ask(askers.pop(), end)

    def _pairs(self, connection: Connection) -> list[tuple[Firm, Product]]:
        """Every enterprise with every product that it may have."""
        day, found = today(self.past.clock()), []
        for firm in self.firms:
            told = facts.of(self.portal, connection, firm.enterprise.uscc)
            may = [one for one in self.products if overall(evaluate(one.eligibility, told, day)) is not Answer.NO]
            found += [(firm, product) for product in may]
        return found

    def _live(self, firm: Firm, product: Product, acts: list[str]) -> None:
        """An application whose last act lies before now, and recently if it is still under way."""
        waits = [self._wait(act, product) for act in acts]
        latest = self.until_ms - sum(waits) - HOUR_MS
        if not acts or acts[-1] not in _ENDS:
            begin = latest - round(self.chance.random() * _FRESH_MS)
        else:
            begin = self.chance.randint(min(self.past.clock(), latest), latest)
        application = _Life(self, firm, product)
        moment = max(begin, self.past.clock())
        self.past.at(moment, application.begin)
        for act, wait in zip(acts, waits, strict=True):
            moment += wait
            self.past.at(moment, application.doing(act))

    def _wait(self, act: str, product: Product) -> int:
        if act == "time_out":
            return product.processing_days * DAY_MS + HOUR_MS
        longest = {"submit": 3, "endorse": 20, "object": 20, "accept": 48, "decline": 48, "grant": 96, "refuse": 96}
        return round(self.chance.uniform(0.3, longest.get(act, 30)) * HOUR_MS)

    def _ask(self, firm: Firm, end: str) -> None:
        """A financing request, and what becomes of it."""
        product = self.chance.choice(self.products)
        values = {
            "amount_fen": self.chance.choice((30, 50, 80, 100, 150, 200, 300)) * 1_000_000,
            "term": self.chance.choice((6, 12, 24, 36)),
            "term_unit": product.term_unit.value,
            "purpose": self.chance.choice(list(LoanPurpose)).value,
            "guarantee": self.chance.choice(list(Guarantee)).value,
        }
        age = round(self.chance.uniform(0.1, 12) * DAY_MS) + (financing.OPEN_MS if end == "lapse" else 0)
        begin, made = max(self.past.clock(), self.until_ms - age), list[str]()
        bank = self.staff[STAFF[product.institution]]

        def state(connection: Connection) -> None:
            made.append(financing.state_demand(self.portal, connection, firm.who, values))

        def finish(connection: Connection) -> None:
            if end == "take":
                financing.take(self.portal, connection, bank, made[0])
            elif end == "withdraw":
                financing.withdraw(self.portal, connection, firm.who, made[0])
            else:
                financing.lapse(self.portal, connection)

        self.past.at(begin, state)
        if end:
            later = financing.OPEN_MS if end == "lapse" else (self.until_ms - begin) // 2
            self.past.at(begin + later, finish)


class _Life:
    """One application."""

    def __init__(self, lives: Lives, firm: Firm, product: Product) -> None:
        self._all, self._firm, self._product, self._number = lives, firm, product, ""
        self._chance = lives.chance

    def begin(self, connection: Connection) -> None:
        """A draft with all answers."""
        self._number = draft(self._all.portal, connection, self._firm, self._product, self._chance)

    def doing(self, act: str) -> Callable[[Connection], None]:
        """An act, to be done later."""
        return lambda connection: self._do(connection, act)

    def _do(self, connection: Connection, act: str) -> None:
        portal, number = self._all.portal, self._number
        if act == "time_out":
            lending.time_out(portal, connection)
            return
        mover = self._mover(act)
        version = visible(connection, number, mover).version
        reason = self._chance.choice(_WORDS.get(act, ("",)))
        match act:
            case "submit":
                service.submit(portal, connection, mover, number, version, ())
            case "endorse" | "object":
                review.give_opinion(portal, connection, mover, number, act, reason, version)
            case "push" | "return" | "reject":
                review.decide(portal, connection, mover, number, act, reason, version)
            case "accept" | "decline":
                lending.answer(portal, connection, mover, number, act, reason, version)
            case "investigate":
                lending.investigate(portal, connection, mover, number, version)
            case "grant":
                grant(portal, connection, mover, number, self._product, self._chance)
            case "refuse":
                code = self._chance.choice(("eligibility", "repayment", "history", "exposure", "policy"))
                lending.refuse(portal, connection, mover, number, code, reason, version)
            case _:
                service.cancel(portal, connection, mover, number, version, reason)

    def _mover(self, act: str) -> By:
        bank = self._product.institution
        people: dict[str, Person] = {
            **dict.fromkeys(("endorse", "object"), FIRST),
            **dict.fromkeys(("push", "return", "reject"), SECOND),
            **dict.fromkeys(("accept", "decline", "investigate"), STAFF[bank]),
            **dict.fromkeys(("grant", "refuse"), APPROVERS[bank]),
        }
        return by(self._all.staff[people[act]] if act in people else self._firm.who)


def draft(portal: Portal, connection: Connection, firm: Firm, product: Product, chance: random.Random) -> str:
    """Begin an application and answer every step; its number."""
    number = service.begin(portal, connection, firm.who, product.product_code)
    steps = int((product.amount_max - product.amount_min) / product.amount_step)
    most = max(1, min(steps, 1 + round(steps * chance.betavariate(1.3, 3))))
    given: dict[str, Any] = {
        "amount": product.amount_min + product.amount_step * chance.randint(0, most),
        "term": chance.randint(product.term_min, product.term_max),
        "purpose": chance.choice(product.purposes or tuple(LoanPurpose)).value,
        "guarantee": chance.choice(product.guarantee_types).value,
    }
    mover = by(firm.who)
    service.answer(portal, connection, mover, number, visible(connection, number, mover).version, given)
    return number


def grant(
    portal: Portal, connection: Connection, mover: By, number: str, product: Product, chance: random.Random
) -> None:
    """Grant what was applied for, or a part of it."""
    row = visible(connection, number, mover)
    spread = (product.rate_max - product.rate_min) * chance.randint(0, 20) / 20
    rate = (product.rate_min + spread).quantize(Decimal("0.01"))
    terms = lending.Terms(
        limit_fen=row.amount_fen * chance.choice((5, 6, 8, 10, 10, 10)) // 10,
        annual_rate=rate,
        penalty_rate=(rate * Decimal("1.5")).quantize(Decimal("0.0001")),
        term=row.term,
        term_unit=product.term_unit,
    )
    lending.grant(portal, connection, mover, number, terms, row.version)
