from __future__ import annotations

import pytest

from hub.errors import HubError
from hub.exchanges.states import ANSWERS, FINAL, NEXT, State, check_step


def test_nothing_comes_after_a_final_state_and_every_other_one_can_end() -> None:
    for state in State:
        assert (NEXT[state] == frozenset()) == (state in FINAL)
        if state not in FINAL:
            assert {State.FAILED, State.CANCELLED} <= NEXT[state]


def test_nothing_leads_back() -> None:
    order = list(State)
    for state, following in NEXT.items():
        assert all(order.index(one) > order.index(state) for one in following)


def test_only_a_joined_exchange_can_finish() -> None:
    assert {state for state in State if State.FINISHED in NEXT[state]} == {State.JOINED, State.RUNNING}


@pytest.mark.parametrize(
    ("present", "following", "code"),
    [
        (State.OPENED, State.RUNNING, "WRONG_STATE"),
        (State.OPENED, State.FINISHED, "WRONG_STATE"),
        (State.RUNNING, State.JOINED, "WRONG_STATE"),
        (State.FINISHED, State.RUNNING, "EXCHANGE_ENDED"),
        (State.CANCELLED, State.FAILED, "EXCHANGE_ENDED"),
    ],
)
def test_steps_that_are_not_in_the_table_are_refused(present: State, following: State, code: str) -> None:
    with pytest.raises(HubError) as caught:
        check_step(present, following)
    assert caught.value.code == code


def test_every_answer_follows_from_an_open_invitation() -> None:
    assert set(ANSWERS.values()) <= NEXT[State.OPENED]
