"""What agents say to each other: every document comes back as it was, and everything else is the typed error."""

from __future__ import annotations

import json
from typing import Any, get_args

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from modeling.gbdt.settings import Settings as BoostingSettings
from modeling.logistic.settings import Settings as LogisticSettings
from modeling.preparation.columns import NumberRule, OneHotRule, OrdinalRule
from nodes.errors import ExchangeFailed
from nodes.joint.messages import (
    MAX_ROWS,
    Begin,
    Broken,
    Cohort,
    Done,
    ItemColumns,
    ModelMade,
    PartMade,
    Proposal,
    Said,
    decode,
    plan_of,
)
from tests.nodes.joint.two_nodes import proposal

HASH, ID = "0a" * 32, "00000000-0000-4000-8000-000000000001"
RULES = {
    "n": NumberRule(winsorise=(0.01, 0.99), clip=None),
    "c": OneHotRule(maximum=3),
    "o": OrdinalRule(order=("a", "b")),
    "any": None,
}
EVERY: list[Said] = [
    proposal(100, items=(ItemColumns(item_id="i", fields=RULES, aggregate="mean"),)),
    Cohort(permitted=3, batch_root=HASH, receipt_id=ID, refused={"CONSENT_REVOKED": 2}),
    Begin(attempt=1_780_000_000, place=2, others={1: "tax-1", 3: "pay-1"}),
    Broken(attempt=0, code="PARTY_LOST", message="", again=True),
    PartMade(attempt=7, commitment=HASH),
    ModelMade(commitment=HASH, withdrawn=(1, 5), batch_root=HASH),
    Done(receipt_id=ID),
]


def test_the_samples_are_of_every_kind() -> None:
    assert {type(each) for each in EVERY} == set(get_args(Said))


@pytest.mark.parametrize("said", EVERY, ids=lambda said: type(said).__name__)
def test_every_message_comes_back_as_it_was(said: Said) -> None:
    assert decode(msgspec.json.encode(said)) == said


@pytest.mark.parametrize("said", EVERY, ids=lambda said: type(said).__name__)
def test_a_message_with_more_or_less_in_it_is_refused(said: Said) -> None:
    document = json.loads(msgspec.json.encode(said))
    with pytest.raises(ExchangeFailed, match="malformed"):
        decode(json.dumps(document | {"extra": 1}).encode())
    for name in document:
        if name in {"others", "selection"}:  # these have a default
            continue
        with pytest.raises(ExchangeFailed, match="malformed"):
            decode(json.dumps({key: value for key, value in document.items() if key != name}).encode())


def _changed(said: Said, **changes: Any) -> bytes:
    return json.dumps(json.loads(msgspec.json.encode(said)) | changes).encode()


@pytest.mark.parametrize(
    ("said", "changes"),
    [
        (EVERY[0], {"say": "offer"}),
        (EVERY[0], {"job": "AB" * 16}),
        (EVERY[0], {"job": "ab" * 17}),
        (EVERY[0], {"name": "n" * 101}),
        (EVERY[0], {"algorithm": "neural"}),
        (EVERY[0], {"rows": 0}),
        (EVERY[0], {"rows": MAX_ROWS + 1}),
        (EVERY[0], {"training": 0}),
        (EVERY[0], {"parties": 1}),
        (EVERY[0], {"parties": 6}),
        (EVERY[0], {"items": []}),
        (EVERY[0], {"items": [{"item_id": "i", "fields": {}}]}),
        (EVERY[0], {"items": [{"item_id": "i", "fields": {f"f{n}": None for n in range(1001)}}]}),
        (EVERY[0], {"items": [{"item_id": "i", "fields": {"f": {"type": "woe"}}}]}),
        (EVERY[0], {"items": [{"item_id": "i", "fields": {"f": None}, "aggregate": "median"}]}),
        (EVERY[1], {"permitted": MAX_ROWS + 1}),
        (EVERY[1], {"permitted": -1}),
        (EVERY[1], {"batch_root": "0a"}),
        (EVERY[1], {"receipt_id": "1"}),
        (EVERY[2], {"attempt": 1 << 32}),
        (EVERY[2], {"attempt": -1}),
        (EVERY[2], {"place": 0}),
        (EVERY[2], {"place": 5}),
        (EVERY[2], {"others": {"0": "bank-1"}}),
        (EVERY[2], {"others": {"-1": "tax-1"}}),
        (EVERY[2], {"others": {"2": "tax-1"}}),
        (EVERY[2], {"others": {"1": "a", "3": "b", "4": "c", "2": "d"}}),
        (EVERY[3], {"code": "C" * 501}),
        (EVERY[3], {"again": 1}),
        (EVERY[4], {"commitment": "not hex"}),
        (EVERY[5], {"withdrawn": [-1]}),
        (EVERY[5], {"withdrawn": [MAX_ROWS + 1]}),
    ],
)
def test_a_value_out_of_bounds_is_refused(said: Said, changes: dict[str, Any]) -> None:
    with pytest.raises(ExchangeFailed, match="malformed"):
        decode(_changed(said, **changes))


DEEP = msgspec.json.encode(EVERY[0]).replace(b'"trees":3', b'"trees":' + b"[" * 100_000 + b"]" * 100_000)


@pytest.mark.parametrize("payload", [b"", b"null", b"[]", b"{}", b'{"say":"\xff"}', b'{"say":"done"', DEEP])
def test_bytes_that_are_no_message_are_the_typed_error(payload: bytes) -> None:
    with pytest.raises(ExchangeFailed, match="malformed message of joint modelling"):
        decode(payload)


@settings(max_examples=200, deadline=None)
@given(st.binary(max_size=100), st.integers(0, len(EVERY) - 1), st.integers(0, 400))
def test_a_message_with_any_bytes_in_it_is_a_message_or_the_typed_error(noise: bytes, which: int, at: int) -> None:
    whole = msgspec.json.encode(EVERY[which])
    for payload in (noise, whole[:at] + noise + whole[at + len(noise) :]):
        try:
            assert isinstance(decode(payload), get_args(Said))
        except ExchangeFailed:
            continue


# -- the plan of a proposal


def test_the_plan_names_columns_by_item_and_keeps_their_rules() -> None:
    asked = proposal(
        100,
        training=70,
        items=(ItemColumns(item_id="i", fields=RULES), ItemColumns(item_id="k", fields={"n": None})),
    )
    plan = plan_of(asked)
    assert plan.columns == {**{f"i.{name}": rule for name, rule in RULES.items()}, "k.n": None}
    assert (plan.job, plan.rows, plan.training) == (asked.job, 100, 70)
    assert (plan.boosting, plan.logistic) == (BoostingSettings(trees=3), None)


@pytest.mark.parametrize("settings_of", [BoostingSettings(trees=7, rate=0.1), LogisticSettings(steps=3)])
def test_both_sides_make_the_same_plan_of_a_proposal_that_travelled(settings_of: Any) -> None:
    algorithm = "logistic" if isinstance(settings_of, LogisticSettings) else "boosting"
    asked = proposal(100, algorithm=algorithm, settings=msgspec.to_builtins(settings_of))
    travelled = decode(msgspec.json.encode(asked))
    assert isinstance(travelled, Proposal)
    assert plan_of(travelled) == plan_of(asked)
    assert getattr(plan_of(asked), algorithm) == settings_of


@pytest.mark.parametrize(
    "changes",
    [
        {"settings": {"trees": 0}},
        {"settings": {"steps": 3}},
        {"settings": {"trees": None}},
        {"algorithm": "logistic"},
        {"training": 101},
        {"items": tuple(ItemColumns(item_id=f"i{n}", fields={f"f{m}": None for m in range(1000)}) for n in range(6))},
    ],
)
def test_a_proposal_of_settings_or_rows_that_there_are_not_is_refused(changes: dict[str, Any]) -> None:
    with pytest.raises(ExchangeFailed) as refused:
        plan_of(proposal(100, **changes))
    assert refused.value.code == "JOB_INVALID"
