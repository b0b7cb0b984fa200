"""Requests and consents for hypothesis: few enough values that they meet, with every bound on and beside its edge."""

from __future__ import annotations

from typing import Final

from hypothesis import strategies as st

from consent.catalogue import load_catalogue
from consent.decision import ConsentView, Freshness, ItemUse, Terms, UseCounts, UseRequest
from consent.documents import Frequency, ItemMode, ItemScope, Purpose
from tests.consent.builders import BANK, DAY, NOW, OTHER_USCC, PROVIDER, USCC, record_id

Spent = dict[tuple[str, int | None], tuple[int, int]]

CATALOGUE: Final = load_catalogue()
ITEMS: Final = ("tax_payment_summary", "platform_repayment", "property_verify", "judgments", "tax_registration")
"""Levels 2 to 4, modes P, Q, J and V."""
MODES: Final = st.sampled_from([ItemMode.Q, ItemMode.Q, ItemMode.Q, ItemMode.J, ItemMode.V])
MINUTE: Final = 60_000


def mostly(usual: object, *others: object) -> st.SearchStrategy:
    """Draw the usual value more often than not, so that a request gets far enough to meet the later rules."""
    return st.sampled_from([usual] * (12 * len(others)) + list(others))


PURPOSES: Final = mostly(Purpose.SCORING, Purpose.PRE_LOAN)


@st.composite
def some_fields(draw: st.DrawFn, item_id: str) -> tuple[str, ...]:
    """Draw none (all of them), or some fields of the item."""
    names = [field.name for field in CATALOGUE.item(item_id).fields] if item_id in CATALOGUE.items else ["nothing"]
    return tuple(draw(st.lists(st.sampled_from(names), unique=True, max_size=2)))


@st.composite
def scopes(draw: st.DrawFn) -> tuple[ItemScope, ...]:
    """Draw the scope of a consent."""
    drawn = draw(st.lists(st.tuples(st.sampled_from(ITEMS), MODES), max_size=4))
    pairs = dict.fromkeys([draw(mostly((ITEMS[0], ItemMode.Q), (ITEMS[0], ItemMode.J))), *drawn])
    return tuple(
        ItemScope(
            item_id=item_id,
            mode=mode,
            fields=draw(some_fields(item_id)),
            range_from=draw(mostly(None, "2025-01")),
            range_to=draw(mostly(None, "2025-12")),
        )
        for item_id, mode in pairs
    )


terms = st.builds(
    Terms,
    provider=mostly(PROVIDER, "platform"),
    data_users=mostly((BANK,), ("secondbank",), (BANK, "secondbank")),
    purpose=PURPOSES,
    separate_consent=st.booleans(),
    scope=scopes(),
    fetch=mostly("periodic", "once"),
    frequency=st.none() | st.builds(Frequency, count=st.integers(1, 3), unit=st.sampled_from(["hour", "day", "month"])),
    max_uses=st.none() | st.integers(1, 3),
    data_life_days=st.sampled_from([1, 30, 3000]),
)


@st.composite
def consents(draw: st.DrawFn, number: int, *, signed: bool = False, shared: tuple[Terms, ...] = ()) -> ConsentView:
    """Draw a consent with this number; `signed`: always with a good signature; `shared`: terms to choose among."""
    return ConsentView(
        record_id=record_id(number),
        uscc=draw(mostly(USCC, OTHER_USCC)),
        terms=draw(st.sampled_from(shared) if shared else terms),
        valid_from_ms=NOW + draw(mostly(-DAY, 0, 1, -180 * DAY, -395 * DAY + 1, -396 * DAY)),
        valid_to_ms=NOW + draw(mostly(DAY, 0, 1, 2 * DAY, 300 * DAY)),
        revoked_ms=draw(mostly(None, NOW - 1, NOW + 1)),
        signature_ok=signed or draw(mostly(True, False)),
    )


@st.composite
def uses(draw: st.DrawFn) -> ItemUse:
    """Draw what is asked of one item."""
    item_id, mode = draw(
        st.sampled_from([(ITEMS[0], ItemMode.Q)] * 4 + [(ITEMS[1], ItemMode.Q), (ITEMS[3], ItemMode.P)])
    )
    item_id = draw(mostly(item_id, *ITEMS, "pboc_report", "no_such_item"))
    mode = draw(mostly(mode, *ItemMode))
    return ItemUse(item_id=item_id, mode=mode, fields=draw(st.just(()) | some_fields(item_id)))


requests = st.builds(
    UseRequest,
    subject=mostly(USCC, OTHER_USCC),
    requester=mostly(BANK, "secondbank"),
    provider=mostly(PROVIDER, "platform"),
    purpose=PURPOSES,
    items=mostly(1, 0, 2, 3).flatmap(lambda n: st.tuples(*[uses()] * n)),
    at_ms=mostly(NOW, NOW + 1, NOW - DAY),
)
freshness = st.builds(
    Freshness,
    checkpoint_ms=mostly(NOW, None, NOW - MINUTE, NOW - MINUTE + 1, NOW + 2 * MINUTE),
    consistent=mostly(True, False),
)


class Counted:
    """Uses that were spent, as the decision and as the reference ask for them: drawn for a record, whatever the window."""

    def __init__(self, spent: dict[str, tuple[int, int]]) -> None:
        self.spent = spent

    def __call__(self, record: str, window_start: int | None) -> UseCounts:
        """Answer the decision."""
        total, in_window = self.spent.get(record, (0, 0))
        return UseCounts(total=total, in_window=in_window if window_start is not None else 0)

    def get(self, key: tuple[str, int | None], default: tuple[int, int]) -> tuple[int, int]:
        """Answer the reference."""
        return self.spent.get(key[0], default)


spent = st.lists(st.tuples(st.integers(0, 3), st.integers(0, 3)), max_size=8).map(
    lambda counts: Counted({record_id(number): each for number, each in enumerate(counts)})
)
