"""Parts of a joint logistic model: only their sum opens, and it is that of the scoring in training."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from modeling.errors import DataUnusable, ProtocolViolation
from modeling.scoring.joint import ERROR, logistic_part, logistic_total
from modeling.scoring.masks import PairMasks
from tests.modeling.logistic.test_scoring import Model
from tests.modeling.scoring.parties import CHI_SQUARE_LIMIT, chi_square, pair_masks


def parts(model: Model, hidden: Any = None) -> list[Any]:
    names = model.names[1:]
    flags = hidden or [None] * len(names)
    return [
        logistic_part(model.w[name], model.x[name], masks, 1, hidden=hides)
        for name, masks, hides in zip(names, pair_masks(len(names)), flags, strict=True)
    ]


@settings(max_examples=15, deadline=None)
@given(
    passives=st.integers(1, 4), rows=st.integers(0, 50), seed=st.integers(0, 99), size=st.sampled_from([1e-6, 1.0, 1e4])
)
def test_the_sum_is_the_sum(passives: int, rows: int, seed: int, size: float) -> None:
    model = Model(passives, rows, seed, size)
    found = logistic_total(model.w["a"], model.x["a"], parts(model))
    np.testing.assert_allclose(found, model.plain(), atol=passives * ERROR + 1e-9, rtol=1e-12)


def test_the_scoring_of_the_training_finds_the_same() -> None:
    model = Model(2)
    np.testing.assert_allclose(logistic_total(model.w["a"], model.x["a"], parts(model)), model.score(), atol=1e-9)


def test_each_part_of_two_is_uniform() -> None:
    assert max(chi_square(each, 64) for each in parts(Model(2))) < CHI_SQUARE_LIMIT


@pytest.mark.parametrize("passives", [1, 2])
def test_a_hidden_row_does_not_open(passives: int) -> None:
    model = Model(passives, rows=30)
    hidden = [np.arange(30) == 7] * passives
    shown = logistic_total(model.w["a"], model.x["a"], parts(model, hidden), kept=~hidden[0])
    np.testing.assert_allclose(shown[~hidden[0]], model.plain()[~hidden[0]], atol=1e-8)
    assert np.isnan(shown[7])
    with pytest.raises(ProtocolViolation, match="out of range"):  # uniform in 2^64: within range once in 2,000
        for _ in range(3):
            logistic_total(model.w["a"], model.x["a"], parts(model, hidden))


def test_what_is_no_part_is_refused() -> None:
    model = Model(1, rows=5)
    with pytest.raises(ProtocolViolation, match="5 rows"):
        logistic_total(model.w["a"], model.x["a"], [np.zeros(4, np.uint64)])
    model.x["p1"][0, 0] = np.nan
    with pytest.raises(DataUnusable, match="2 finite columns"):
        logistic_part(model.w["p1"], model.x["p1"], PairMasks(0, {}), 1)
    with pytest.raises(DataUnusable, match="beyond"):
        logistic_part(np.array([1e9, 0]), np.ones((5, 2)), PairMasks(0, {}), 1)
