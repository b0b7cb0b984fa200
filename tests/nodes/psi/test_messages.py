"""What two agents say in a comparison: it comes back as it was said, and nothing else is taken."""

from __future__ import annotations

import json
import uuid

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nodes.errors import ExchangeFailed
from nodes.psi.messages import Agreed, Begin, Broken, Done, Proposal, Said, Settled, decode, ended_by

RUN = str(uuid.UUID(int=5))
EVERY: list[Said] = [
    Proposal(run=RUN, place=1, keep="all"),
    Agreed(minimum=100, legal_basis="PIPL art. 13"),
    Begin(minimum=100),
    Settled(size=100, batch_root="ab" * 32),
    Broken(code="COHORT_TOO_SMALL"),
    Done(),
]


@pytest.mark.parametrize("said", EVERY)
def test_it_comes_back_and_neither_more_nor_less_is_taken(said: Said) -> None:
    payload = msgspec.json.encode(said)
    assert decode(payload) == said
    document = json.loads(payload)
    for other in (document | {"extra": 1}, *({k: v for k, v in document.items() if k != name} for name in document)):
        with pytest.raises(ExchangeFailed):
            decode(json.dumps(other).encode())


@pytest.mark.parametrize(
    ("which", "changes"),
    [
        (0, {"run": "x"}),
        (0, {"place": 0}),
        (0, {"place": 5}),
        (0, {"keep": "some"}),
        (1, {"minimum": 0}),
        (1, {"legal_basis": ""}),
        (2, {"minimum": 1_000_001}),
        (3, {"size": 0}),
        (3, {"batch_root": "ab"}),
        (4, {"code": ""}),
    ],
)
def test_a_value_out_of_bounds_is_refused(which: int, changes: dict[str, object]) -> None:
    with pytest.raises(ExchangeFailed):
        decode(json.dumps(json.loads(msgspec.json.encode(EVERY[which])) | changes).encode())


@given(st.binary(max_size=200))
def test_garbage_ends_in_our_error(payload: bytes) -> None:
    with pytest.raises(ExchangeFailed):
        decode(payload)


def test_how_the_other_node_ended_it_keeps_its_code() -> None:
    assert ended_by(Broken(code="COHORT_TOO_SMALL")).code == "COHORT_TOO_SMALL"
    assert ended_by(Done()).code == "PROTOCOL_VIOLATION"
