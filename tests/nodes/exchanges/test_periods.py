"""The periods of consents, also while the book changes."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace

from consent.decision import ItemUse, Terms
from consent.documents import ItemMode, ItemScope
from nodes.exchanges.periods import bounds_of
from tests.consent.test_selection import ITEM, TERMS, add, book_of, view

USE = ItemUse(item_id=ITEM, mode=ItemMode.Q)


def until(period: str) -> Terms:
    return replace(TERMS, scope=(ItemScope(item_id=ITEM, mode=ItemMode.Q, range_to=period),))


class ReadThen(list[Terms]):
    """Terms that are followed by a change as soon as they were read."""

    def __init__(self, terms: list[Terms], change: Callable[[], None]) -> None:
        super().__init__(terms)
        self._change = change

    def __iter__(self) -> Iterator[Terms]:
        yield from tuple(super().__iter__())
        self._change()


def test_a_consent_that_changes_while_bounds_are_read_is_never_without_them() -> None:
    book = book_of([view(0, "one", terms=until("2024")), view(1, "two")])
    book.terms = ReadThen(book.terms, lambda: add(book, [view(0, "one", terms=until("2025"))]))
    assert bounds_of(book, USE) == {"one": (None, "2024")}
    assert bounds_of(book, USE) == {"one": (None, "2025")}
