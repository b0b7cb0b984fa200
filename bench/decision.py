"""How fast a provider's node decides on a book of 1,000,000 consents: one by one, and all subjects at once.

The rows are made up directly: signatures were verified when an entry arrived and are not looked at again. One consent in
fifty is the second one of its subject, one in a hundred is revoked, one in ten names another bank; a third of the terms
limits the number of uses. Limits of the requirements: 20,000 decisions/s on one core (look-up in the book included), and
2.0 s to filter all subjects.
"""

from __future__ import annotations

import json
import random
import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from typing import Final

from consent.book import ConsentBook, Status
from consent.catalogue import load_catalogue
from consent.decision import Freshness, ItemUse, Permit, Terms, UseRequest, decide
from consent.documents import Frequency, ItemMode, ItemScope, Purpose
from consent.rules import load_rules
from consent.selection import select_subjects

CONSENTS: Final = 1_000_000
DECISIONS: Final = 100_000
RATE_LIMIT: Final = 20_000.0
FILTER_LIMIT_S: Final = 2.0
NOW_MS: Final = 1_760_000_000_000
DAY_MS: Final = 86_400_000
PROVIDER: Final = "taxoffice"
BANK: Final = "firstbank"
ITEMS: Final = ("tax_payment_summary", "tax_registration")

Row = tuple[str, str, int, int, bytes, int, int, int, int | None, int]


def make_terms() -> list[Terms]:
    """Return 30 distinct terms, of the kinds that the module names."""
    base = Terms(
        provider=PROVIDER,
        data_users=(BANK,),
        purpose=Purpose.PRE_LOAN,
        separate_consent=False,
        scope=tuple(ItemScope(item_id=item_id, mode=ItemMode.Q) for item_id in ITEMS),
        fetch="periodic",
        frequency=None,
        max_uses=None,
        data_life_days=30,
    )
    made = []
    for number in range(30):
        limits = ({}, {"max_uses": 100}, {"frequency": Frequency(count=5, unit="day")})[number % 3 if number % 2 else 0]
        users = ("secondbank",) if number % 10 == 9 else (BANK,)
        made.append(replace(base, data_users=users, data_life_days=30 + number, **limits))
    return made


def make_rows(count: int, terms: int) -> Iterator[Row]:
    """Yield rows as a node reads them from its database, the same ones every time."""
    chance = random.Random(7)  # noqa: S311 (made-up data, not secrets)
    for number in range(count):
        subject = number - 1 if number % 50 == 49 else number
        yield (
            f"00000000-0000-4000-8000-{number:012x}",
            f"911{subject:015d}",
            chance.randrange(terms),
            1,
            number.to_bytes(32, "big"),
            NOW_MS - 30 * DAY_MS,
            NOW_MS + chance.randrange(1, 60) * DAY_MS,
            Status.WITHDRAWN if number % 100 == 7 else Status.ACTIVE,
            NOW_MS - 1 if number % 100 == 7 else None,
            number,
        )


def make_book(count: int) -> ConsentBook:
    """Return a book of so many consents."""
    book = ConsentBook(PROVIDER)
    terms = make_terms()
    book.load_columns(make_rows(count, len(terms)), terms)
    return book


def decide_many(book: ConsentBook, count: int) -> float:
    """Look up and decide on `count` queries of two items about subjects at random; return the seconds it took."""
    chance = random.Random(8)  # noqa: S311
    subjects = [book.subjects[chance.randrange(len(book))] for _ in range(count)]
    uses = tuple(ItemUse(item_id=item_id, mode=ItemMode.Q) for item_id in ITEMS)
    freshness, catalogue, rules = Freshness(checkpoint_ms=NOW_MS), load_catalogue(), load_rules()
    permits = 0
    began = time.perf_counter()
    for subject in subjects:
        request = UseRequest(
            subject=subject, requester=BANK, provider=PROVIDER, purpose=Purpose.PRE_LOAN, items=uses, at_ms=NOW_MS
        )
        outcome = decide(request, book.consents_of(subject), freshness, catalogue, rules)
        permits += isinstance(outcome, Permit)
    seconds = time.perf_counter() - began
    if not 0 < permits < count:
        raise RuntimeError(f"{permits} of {count} decisions were permits; the figure would mean nothing")
    return seconds


def filter_all(book: ConsentBook) -> float:
    """Select among all subjects of the book; return the seconds it took."""
    began = time.perf_counter()
    selection = select_subjects(
        book,
        requester=BANK,
        provider=PROVIDER,
        purpose=Purpose.PRE_LOAN,
        items=tuple(ItemUse(item_id=item_id, mode=ItemMode.Q) for item_id in ITEMS),
        at_ms=NOW_MS,
        freshness=Freshness(checkpoint_ms=NOW_MS),
        catalogue=load_catalogue(),
        rules=load_rules(),
    )
    seconds = time.perf_counter() - began
    if not selection.subjects or not selection.refused:
        raise RuntimeError("the selection took or refused everything; the figure would mean nothing")
    return seconds


def run() -> Iterator[dict[str, object]]:
    """Measure and yield the lines `decision.rate` and `decision.filter`."""
    book = make_book(CONSENTS)
    decide_many(book, DECISIONS // 10)  # warm
    rate = DECISIONS / decide_many(book, DECISIONS)
    yield {
        "bench": "decision.rate",
        "value": round(rate, 1),
        "unit": "1/s",
        "reference": RATE_LIMIT,
        "reference_of": f"least rate required: queries of two items, one core, look-up in a book of {CONSENTS} consents",
        "ratio": round(rate / RATE_LIMIT, 3),
    }
    seconds = min(filter_all(book) for _ in range(3))
    yield {
        "bench": "decision.filter",
        "value": round(seconds, 3),
        "unit": "s",
        "reference": FILTER_LIMIT_S,
        "reference_of": f"longest time permitted: two items for all subjects of a book of {CONSENTS} consents",
        "ratio": round(seconds / FILTER_LIMIT_S, 3),
    }


if __name__ == "__main__":
    for line in run():
        sys.stdout.write(json.dumps(line) + "\n")
