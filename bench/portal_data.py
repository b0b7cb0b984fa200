"""A portal's database as large as a province's: 100,000 enterprises, 1,000,000 applications of twenty banks, always the same.

Rows go in by the thousands, past the services, as the services write them; the largest bank has a third of all, as in life. Facts are
sealed for the applications whose own page is measured (`OPENED`), and left empty for the others: lists do not read them.
"""

from __future__ import annotations

import random
import sys
from collections.abc import Iterator, Mapping, Sequence
from datetime import date
from decimal import Decimal
from typing import Any, Final

import msgspec
from sqlalchemy import Connection, Table, insert, select, text

from consent.enterprise_size import EnterpriseSize
from consent.validators import SECTIONS
from portal.accounts.tables import accounts
from portal.applications.moving import seal
from portal.applications.tables import applications, demands, moves
from portal.facts.facts import Facts
from portal.permissions import Role
from portal.products import search
from portal.products.product import Guarantee, LoanPurpose, Product, ProductType, Repayment, TermUnit
from portal.products.tables import versions
from portal.registration.tables import registrations
from portal.state import Portal
from portal.states import APPLICATION, OPEN

ENTERPRISES: Final = 100_000
APPLICATIONS: Final = 1_000_000
DEMANDS: Final = 20_000
BANKS: Final = tuple(f"bank-{number:02}" for number in range(20))
PRODUCTS_EACH: Final = 25
OPENED: Final = 200
CHUNK: Final = 10_000
NOW_MS: Final = 1_790_000_000_000
DAY_MS: Final = 24 * 3600 * 1000
DISTRICTS: Final = tuple(f"1101{number:02}" for number in (1, 2, 5, 6, 7, 8, 9, 11, 12, 13, 14, 15, 16, 17, 18, 19))
INDUSTRIES: Final = tuple(SECTIONS)
SIZES: Final = tuple(each.value for each in EnterpriseSize)
TOLD: Final = Facts(
    region=DISTRICTS[0],
    industry="C3921",
    founded=date(2015, 3, 1),
    employees=40,
    revenue_wan=Decimal(2600),
    assets_wan=Decimal(1800),
)
STAFF: Final = {
    "enterprise": (Role.ENTERPRISE, ""),
    "staff": (Role.STAFF, BANKS[0]),
    "reviewer": (Role.REVIEWER, "hub"),
}


def uscc_of(number: int) -> str:
    """A text with the form of a credit code."""
    return f"91110{number:013d}"


def number_of(application: int) -> str:
    """The application_no of the nth one."""
    return f"A20260101{application:08d}"


def product_code(bank: int, number: int) -> str:
    """The code of a bank's nth product."""
    return f"P{bank:02}{number:07}"


def fill(portal: Portal) -> None:
    """Make the tables that are not there yet."""
    for table, rows in (
        (accounts, _accounts()),
        (registrations, _registrations()),
        (applications, _applications(portal)),
        (moves, _moves()),
        (demands, _demands()),
    ):
        if not _there(portal, table):
            _put(portal, table, rows)
    if not _there(portal, versions):
        portal.db.write_now(_products)
        portal.db.write_now(lambda connection: connection.execute(text("ANALYZE")))


def _there(portal: Portal, table: Table) -> bool:
    return portal.db.read_now(lambda c: c.execute(select(table).limit(1)).first()) is not None


def _put(portal: Portal, table: Table, rows: Iterator[dict[str, Any]]) -> None:
    """All rows of a table; its indexes are made afterwards, which takes a tenth of the time."""

    def drop(connection: Connection) -> None:
        for each in table.indexes:
            each.drop(connection)

    def create(connection: Connection) -> None:
        for each in table.indexes:
            each.create(connection)

    portal.db.write_now(drop)
    done, chunk = 0, list[dict[str, Any]]()
    for row in rows:
        chunk.append(row)
        if len(chunk) == CHUNK:
            done += _insert(portal, table, chunk)
            chunk = []
            if done % 100_000 == 0:
                print(f"portal: {done} rows of {table.name}", file=sys.stderr, flush=True)
    if chunk:
        _insert(portal, table, chunk)
    portal.db.write_now(create)


def _insert(portal: Portal, table: Table, rows: Sequence[Mapping[str, Any]]) -> int:
    def write(connection: Connection) -> int:
        if connection.dialect.name == "postgresql":
            names = ", ".join(f'"{column.name}"' for column in table.columns)
            cursor: Any = connection.connection.cursor()
            with cursor.copy(f"COPY {table.name} ({names}) FROM STDIN") as copy:
                for row in rows:
                    copy.write_row([row[column.name] for column in table.columns])
        else:
            connection.execute(insert(table), list(rows))
        return len(rows)

    return portal.db.write_now(write)


def _accounts() -> Iterator[dict[str, Any]]:
    blank = {"state": "active", "password_hash": "", "operator": "", "totp_confirmed": 1, "totp_step": 0}
    sealed = dict.fromkeys(("name_sealed", "phone_sealed", "totp_sealed", "key_pem"), b"")
    for login, (role, institution) in STAFF.items():
        own = {"account_id": login, "login": login, "role": role.value, "institution": institution or uscc_of(0)}
        yield blank | sealed | own | {"created_ms": NOW_MS}
    for number in range(1, ENTERPRISES):
        uscc = uscc_of(number)
        own = {"account_id": f"e{number}", "login": uscc, "role": Role.ENTERPRISE.value, "institution": uscc}
        yield blank | sealed | own | {"created_ms": NOW_MS}


def _account_of(number: int) -> str:
    return f"e{number}" if number else "enterprise"


def _registrations() -> Iterator[dict[str, Any]]:
    texts = dict.fromkeys(("first_reviewer", "first_reason", "second_reviewer", "second_reason"), "")
    for number in range(ENTERPRISES):
        yield texts | {
            "registration_id": f"r{number}",
            "account_id": _account_of(number),
            "uscc": uscc_of(number),
            "ent_name": f"样例企业{number}有限公司",
            "check_mismatch": 0,
            "state": "approved",
            "document": b"",
            "directory_index": number,
            "submitted_ms": NOW_MS - number,
            "decided_ms": NOW_MS,
        }


def _applications(portal: Portal) -> Iterator[dict[str, Any]]:
    chance = random.Random(11)  # noqa: S311 (made-up data, not secrets)
    states = APPLICATION.states[1:]
    weights = [40 if state in APPLICATION.ends else 12 for state in states]
    for number in range(APPLICATIONS):
        bank = 0 if chance.random() < 1 / 3 else chance.randrange(1, len(BANKS))
        state = chance.choices(states, weights)[0]
        enterprise = number % ENTERPRISES
        submitted_ms = NOW_MS - chance.randrange(3 * 365 * DAY_MS)
        pushed = state not in {"submitted", "platform_review", "returned", "rejected"}
        told = _told(portal, number) if _shown(number) else {"told_sealed": b""}
        yield dict(told) | {
            "application_no": number_of(number),
            "account_id": _account_of(enterprise),
            "uscc": uscc_of(enterprise),
            "ent_name": f"样例企业{enterprise}有限公司",
            "institution": BANKS[bank],
            "product_code": product_code(bank, chance.randrange(PRODUCTS_EACH)),
            "product_name": "流动资金贷款",
            "product_version": 1,
            "demand_id": "",
            "amount_fen": 10_000_000 * chance.randrange(1, 101),
            "term": chance.randrange(3, 25),
            "term_unit": "M",
            "purpose": LoanPurpose.TURNOVER.value,
            "guarantee": Guarantee.CREDIT.value,
            **_place(chance),
            "state": state,
            "in_flight": 0,
            "version": 3,
            "reviewer": "",
            "investigator": "",
            "refusal": "other" if state == "refused" else "",
            "created_ms": submitted_ms,
            "submitted_ms": submitted_ms,
            "pushed_ms": submitted_ms + DAY_MS if pushed else 0,
            "due_ms": NOW_MS + 30 * DAY_MS,
            "moved_ms": submitted_ms,
        }


def _moves() -> Iterator[dict[str, Any]]:
    for number in range(APPLICATIONS):
        if _shown(number):
            yield {
                "application_no": number_of(number),
                "move_no": 1,
                "act": "submit",
                "state": "submitted",
                "mover": "enterprise",
                "actor": "enterprise",
                "institution": uscc_of(number % ENTERPRISES),
                "reason": "",
                "time_ms": NOW_MS,
            }


def _shown(number: int) -> bool:
    """Whether its own page is measured, or read beside one that is: all of the first enterprises."""
    return number % ENTERPRISES < OPENED


def _told(portal: Portal, number: int) -> Mapping[str, object]:
    return {"told_sealed": seal(portal, number_of(number), TOLD)["told_sealed"]}


def _place(chance: random.Random) -> Mapping[str, str]:
    industry = chance.choice("CCCFFFFIIMMLEGHRSA" + "".join(INDUSTRIES))
    return {
        "district": chance.choice(DISTRICTS),
        "industry": industry,
        "size": chance.choices(SIZES, (1, 8, 40, 50, 1))[0],
    }


def _demands() -> Iterator[dict[str, Any]]:
    chance = random.Random(12)  # noqa: S311 (made-up data, not secrets)
    for number in range(DEMANDS):
        opened_ms = NOW_MS - chance.randrange(30 * DAY_MS)
        yield {
            "demand_id": f"d{number:06}",
            "account_id": _account_of(number),
            "uscc": uscc_of(number),
            "ent_name": f"样例企业{number}有限公司",
            "amount_fen": 10_000_000 * chance.randrange(1, 101),
            "term": 12,
            "term_unit": "M",
            "purpose": LoanPurpose.EQUIPMENT.value,
            "guarantee": Guarantee.CREDIT.value,
            "told_sealed": b"",
            **_place(chance),
            "state": OPEN,
            "taken_by": "",
            "application_no": "",
            "opened_ms": opened_ms,
            "lapses_ms": NOW_MS + 30 * DAY_MS,
        }


def _products(connection: Connection) -> None:
    for bank, institution in enumerate(BANKS):
        for number in range(PRODUCTS_EACH):
            one = Product(
                product_code=product_code(bank, number),
                product_name=f"流动资金贷款{number}号",
                institution=institution,
                summary="凭纳税情况申请，随借随还",
                product_type=ProductType.WORKING_CAPITAL,
                amount_min=Decimal(10),
                amount_max=Decimal(100 + 10 * number),
                amount_step=Decimal(10),
                term_min=3,
                term_max=12 + number,
                term_unit=TermUnit.M,
                rate_min=Decimal(350 + number) / 100,
                rate_max=Decimal(600 + number) / 100,
                guarantee_types=(Guarantee.CREDIT,),
                repayment_methods=(Repayment.EQUAL_INSTALMENTS,),
                processing_days=5,
                valid_from=date(2026, 1, 1),
                publish_state="published",
            )
            search.put(connection, one, NOW_MS - number)
            connection.execute(insert(versions), _version(one))


def _version(one: Product) -> Mapping[str, Any]:
    told = dict.fromkeys(("entered_by", "submitted_by", "reviewed_by", "reason"), "")
    return told | {
        "version_id": f"{one.product_code}/{one.version}",
        "product_code": one.product_code,
        "version": one.version,
        "institution": one.institution,
        "product_name": one.product_name,
        "state": one.publish_state,
        "answers": "{}",
        "terms": msgspec.json.encode(one).decode(),
        "edition": 1,
        "changed_ms": NOW_MS,
    }
