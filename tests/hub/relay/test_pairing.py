from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from hub.relay.pairing import End, Pairing, Side

EXCHANGES = ("a", "b")


def test_two_sides_of_one_exchange_are_paired() -> None:
    pairing = Pairing()
    first = pairing.attach("a", Side.REQUESTER)
    second = pairing.attach("a", Side.PROVIDER)
    assert (first.partner, first.ended) == (None, ())
    assert (second.partner, second.ended) == (first.end, ())
    assert pairing.partner(first.end) == second.end


def test_sides_of_different_exchanges_never_meet() -> None:
    pairing = Pairing()
    pairing.attach("a", Side.REQUESTER)
    assert pairing.attach("b", Side.PROVIDER).partner is None


def test_a_newer_end_of_the_same_side_ends_the_older_and_its_partner() -> None:
    pairing = Pairing()
    old = pairing.attach("a", Side.REQUESTER).end
    partner = pairing.attach("a", Side.PROVIDER).end
    new = pairing.attach("a", Side.REQUESTER)
    assert set(new.ended) == {old, partner}
    assert new.partner is None
    assert pairing.attach("a", Side.PROVIDER).partner == new.end


def test_when_one_end_leaves_the_other_is_ended() -> None:
    pairing = Pairing()
    one = pairing.attach("a", Side.REQUESTER).end
    other = pairing.attach("a", Side.PROVIDER).end
    assert pairing.leave(one) == (other,)
    assert pairing.leave(other) == ()


def test_the_leaving_of_a_replaced_end_does_not_touch_its_successor() -> None:
    pairing = Pairing()
    old = pairing.attach("a", Side.REQUESTER).end
    new = pairing.attach("a", Side.REQUESTER).end
    assert pairing.leave(old) == ()
    assert pairing.attach("a", Side.PROVIDER).partner == new


def test_closing_an_exchange_ends_both_and_forgets_them() -> None:
    pairing = Pairing()
    ends = {pairing.attach("a", side).end for side in Side}
    assert set(pairing.close("a")) == ends
    assert (len(pairing), pairing.exchanges()) == (0, frozenset())


class AnyOrder(RuleBasedStateMachine):
    """Attach, leave and close in any order."""

    def __init__(self) -> None:
        super().__init__()
        self.pairing = Pairing()
        self.open: set[End] = set()
        self.partner_ever: dict[End, End] = {}

    @rule(exchange=st.sampled_from(EXCHANGES), side=st.sampled_from(Side))
    def attach(self, exchange: str, side: Side) -> None:
        attached = self.pairing.attach(exchange, side)
        assert set(attached.ended) <= self.open
        self.open -= set(attached.ended)
        self.open.add(attached.end)
        if attached.partner is not None:
            for end, other in ((attached.end, attached.partner), (attached.partner, attached.end)):
                assert self.partner_ever.setdefault(end, other) == other

    @rule(data=st.data())
    def leave(self, data: st.DataObject) -> None:
        if self.open:
            end = data.draw(st.sampled_from(sorted(self.open, key=lambda one: one.number)))
            ended = self.pairing.leave(end)
            assert set(ended) == ({self.partner_ever[end]} if end in self.partner_ever else set())
            self.open -= {end, *ended}

    @rule(exchange=st.sampled_from(EXCHANGES))
    def close(self, exchange: str) -> None:
        self.open -= set(self.pairing.close(exchange))

    @invariant()
    def partners_are_mutual_and_of_opposite_sides_of_one_exchange(self) -> None:
        assert len(self.pairing) == len(self.open)
        for end in self.open:
            other = self.pairing.partner(end)
            if other is not None:
                assert (other.exchange_id, other.side) == (end.exchange_id, end.side.other)
                assert self.pairing.partner(other) == end

    @invariant()
    def at_most_one_end_a_side(self) -> None:
        assert len({(end.exchange_id, end.side) for end in self.open}) == len(self.open)


TestAnyOrder = AnyOrder.TestCase


@given(st.lists(st.sampled_from(Side), max_size=12))
def test_numbers_never_come_back(sides: list[Side]) -> None:
    pairing = Pairing()
    numbers = [pairing.attach("a", side).end.number for side in sides]
    assert len(set(numbers)) == len(numbers)
