"""Scores under encryption against numpy, against Python's integers, and against TenSEAL's CKKS."""

from __future__ import annotations

import dataclasses
from typing import Any

import msgspec
import numpy as np
import pytest
import tenseal
from hypothesis import given, settings
from hypothesis import strategies as st

from modeling.errors import ArgumentInvalid, DataUnusable, ProtocolViolation
from modeling.scoring.linear import BLOCK, EncryptedWeights, Provider, tiled_rows
from tests.modeling.scoring.parties import Parties, pair_masks

LAYOUTS = pytest.mark.parametrize("layout", ["columns", "tiled"])


def whole_scores(parties: Parties) -> list[int]:
    """The sum in fixed point, by Python's integers."""
    total = [0] * parties.rows
    for x, w, b in zip(parties.features, parties.weights, parties.bounds, strict=True):
        scale = 2.0**parties.scales.weight_bits
        weights = [round(weight * bound * scale) for weight, bound in zip(w.tolist(), b.tolist(), strict=True)]
        units = [2.0**22 / bound for bound in b.tolist()]
        for row, values in enumerate(x.tolist()):
            total[row] += sum(c * round(v * unit) for c, v, unit in zip(weights, values, units, strict=True))
    return total


@settings(max_examples=12, deadline=None)
@given(
    widths=st.lists(st.integers(1, 9), min_size=1, max_size=4),
    rows=st.integers(0, 60),
    seed=st.integers(0, 99),
    size=st.sampled_from([0.0, 1e-7, 0.3, 1.0]),
    layout=st.sampled_from(["columns", "tiled"]),
)
def test_a_score_is_exactly_the_inner_product_in_fixed_point(
    widths: list[int], rows: int, seed: int, size: float, layout: str
) -> None:
    parties = Parties(tuple(widths), rows, seed, size)
    found = parties.opened(layout) * 2.0**parties.scales.fraction_bits
    assert [int(each) for each in found] == whole_scores(parties)
    assert np.abs(found / 2.0**parties.scales.fraction_bits - parties.plain()).max(initial=0) <= parties.scales.error


def test_many_rows_rank_as_in_the_plain() -> None:
    parties = Parties((6,), rows=2 * BLOCK + 500)
    found, plain = parties.opened("columns"), parties.plain()
    assert np.abs(found - plain).max() <= parties.scales.error < 1e-5
    ordered = plain[np.argsort(found, kind="stable")]
    assert (np.diff(ordered) > -2 * parties.scales.error).all()


def test_a_tiled_answer_can_be_full() -> None:
    parties = Parties((7, 30), rows=tiled_rows(30))
    assert parties.rows == 273
    np.testing.assert_allclose(parties.opened("tiled"), parties.plain(), atol=parties.scales.error)


def test_ckks_of_tenseal_finds_the_same_scores() -> None:
    parties = Parties((4,), rows=50)
    context = tenseal.context(tenseal.SCHEME_TYPE.CKKS, 8192, coeff_mod_bit_sizes=[60, 40, 60])
    context.global_scale = 2.0**40
    columns_, weights = parties.features[0].T.tolist(), parties.weights[0].tolist()
    products = [
        tenseal.ckks_vector(context, [w] * parties.rows) * column for w, column in zip(weights, columns_, strict=True)
    ]
    peer = np.array(sum(products[1:], products[0]).decrypt())
    for layout in ("columns", "tiled"):
        np.testing.assert_allclose(parties.opened(layout), peer, atol=1e-4)


@LAYOUTS
def test_a_row_opens_only_where_every_provider_lets_it(layout: str) -> None:
    parties = Parties((3, 2), rows=40)
    hidden = [np.arange(40) % 5 == 0, np.arange(40) % 7 == 0]
    kept = ~hidden[0] & ~hidden[1]
    scales, parties.scales = parties.scales, dataclasses.replace(parties.scales, largest=1 << 62)
    blind = parties.opened(layout, hidden=hidden)
    parties.scales = scales
    np.testing.assert_allclose(blind[kept], parties.plain()[kept], atol=parties.scales.error)
    assert (np.abs(blind - parties.plain())[~kept] < 1e-3).sum() <= 2  # each by accident once in 30,000 times
    shown = parties.opened(layout, kept, hidden)
    assert (np.isnan(shown) == ~kept).all()


@LAYOUTS
def test_a_request_is_answered_once(layout: str) -> None:
    parties = Parties((2, 2), rows=4)
    getattr(parties, layout)()
    parties.request -= 1
    with pytest.raises(ProtocolViolation, match="new number"):
        getattr(parties, layout)()


def test_a_request_whose_answers_were_lost_is_asked_again() -> None:
    parties = Parties((2, 3), rows=4)
    parties.tiled()
    np.testing.assert_allclose(parties.opened("tiled"), parties.plain(), atol=parties.scales.error)


# -- what cannot be


@LAYOUTS
def test_features_out_of_their_bounds_are_not_scored(layout: str) -> None:
    parties = Parties((3,), rows=4)
    parties.features[0][2, 1] = 5.1
    with pytest.raises(DataUnusable, match="feature 1 of row 2"):
        getattr(parties, layout)()
    parties.features[0] = parties.features[0][:, :2]
    with pytest.raises(DataUnusable, match="3 features"):
        getattr(parties, layout)()


def test_too_many_rows_for_a_tiled_answer_are_refused() -> None:
    parties = Parties((30,), rows=274)
    with pytest.raises(DataUnusable, match="at most 273"):
        parties.tiled()


def test_flags_and_names_that_do_not_fit_are_refused() -> None:
    parties = Parties((2,), rows=3)
    for unfit in ({"hidden": [np.zeros(2, np.bool_)]}, {"names": ["one"]}):
        with pytest.raises(ArgumentInvalid):
            parties.columns(**unfit)


def test_answers_of_too_few_blocks_or_another_session_do_not_open() -> None:
    parties, others = Parties((2,), rows=BLOCK + 1), Parties((2,), rows=BLOCK + 1)
    (answer,) = parties.columns()
    with pytest.raises(ProtocolViolation, match="2 blocks"):
        parties.key.open_columns([answer[:1]], parties.rows, parties.scales)
    with pytest.raises(ProtocolViolation, match="under this key"):
        others.key.open_columns([answer], parties.rows, parties.scales)


@pytest.mark.parametrize(
    "changed",
    [
        {"bounds": (5.0,)},
        {"bounds": (5.0, -1.0)},
        {"bounds": (5.0, float("nan"))},
        {"feature_bits": 40},
        {"columns": (b"none", b"none")},
        {"tiled": b""},
        {"bounds": (), "columns": ()},
    ],
)
def test_a_provider_refuses_weights_that_are_none(changed: Any) -> None:
    parties = Parties((2,))
    with pytest.raises(ProtocolViolation):
        Provider(parties.key.public, msgspec.structs.replace(parties.encrypted[0], **changed))
    with pytest.raises(ProtocolViolation):
        Provider(b"no key", parties.encrypted[0])


def test_encrypted_weights_travel() -> None:
    parties = Parties((2,))
    sent = msgspec.msgpack.encode(parties.encrypted[0])
    assert msgspec.msgpack.decode(sent, type=EncryptedWeights) == parties.encrypted[0]


@LAYOUTS
def test_scores_that_the_model_cannot_give_are_not_taken_for_scores(layout: str) -> None:
    """Masks that do not cancel leave uniform numbers; here at most half of them are within what the model can give."""
    parties = Parties((3, 2), rows=200)
    parties.masks = [*pair_masks(2)[:1], *pair_masks(2)[1:]]
    parties.scales = dataclasses.replace(parties.scales, largest=1 << 48)
    with pytest.raises(ProtocolViolation, match="same rows"):
        parties.opened(layout)
