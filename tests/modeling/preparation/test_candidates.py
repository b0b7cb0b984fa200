"""Own columns as candidates: bins, merging, choice."""

from __future__ import annotations

import numpy as np
import pytest

from modeling.errors import DataUnusable
from modeling.preparation.binning import NumberBins, assign
from modeling.preparation.candidates import LEAST_ROWS, Judged, candidate, choose, judged
from modeling.preparation.woe import Limits, count_labels, evidence

RANDOM = np.random.default_rng(4)
ROWS = 2000
X = RANDOM.normal(size=ROWS)
LABEL = (RANDOM.random(ROWS) < 1 / (1 + np.exp(-1.5 * X))).astype(float)
TRAINING = np.arange(ROWS) < 1400
TEST = ~TRAINING


def judge(name: str, values: np.ndarray, *, monotone: bool = True, bins: int = 8) -> Judged:
    given = candidate(name, values, TRAINING, TEST, bins)
    assert given is not None
    counts = count_labels(np.maximum(given.places, 0), LABEL, given.bins.count, (given.places >= 0).astype(float))
    return judged(given, evidence(*counts), monotone=monotone)


def test_merged_bins_have_the_counts_of_their_rows_and_a_monotone_rate() -> None:
    noisy = np.where(RANDOM.random(ROWS) < 0.5, X, RANDOM.normal(size=ROWS))
    found = judge("x", noisy, bins=20)
    assert isinstance(found.bins, NumberBins)
    assert len(found.bins.edges) < 19
    places = assign(found.bins, noisy[TRAINING])
    again = count_labels(places, LABEL[TRAINING], found.bins.count)
    assert found.evidence.positives.tolist() == again[0].tolist()
    assert found.evidence.negatives.tolist() == again[1].tolist()
    woe = found.evidence.woe[1:]
    assert (np.diff(woe) > 0).all() or (np.diff(woe) < 0).all()
    assert judge("x", noisy, bins=20, monotone=False).bins.count == 21


def test_a_number_is_cut_as_the_rules_say() -> None:
    skewed = np.exp(X)
    for cut, at in (("quantile", np.quantile(skewed[TRAINING], 0.5)), ("equal_width", np.ptp(skewed[TRAINING]) / 2)):
        given = candidate("x", skewed, TRAINING, TEST, 2, cut)  # type: ignore[arg-type]
        assert given is not None and isinstance(given.bins, NumberBins)
        assert given.bins.edges == pytest.approx((at,), rel=0.02)


def test_a_column_is_the_standardised_evidence_of_its_bins() -> None:
    values = X.copy()
    values[::5] = np.nan
    found = judge("x", values)
    column = found.column(values, TRAINING)
    encoded = column.apply(values)
    assert encoded[TRAINING].mean() == pytest.approx(0, abs=1e-9)
    assert encoded[TRAINING].std() == pytest.approx(1)
    assert len(set(encoded[::5].tolist())) == 1
    assert np.corrcoef(encoded, LABEL)[0, 1] > 0.3


def test_bins_of_few_rows_are_not_judged() -> None:
    texts = np.array(["a"] * 1990 + ["b"] * 10, dtype=object)
    texts = texts[RANDOM.permutation(ROWS)]
    given = candidate("t", texts, TRAINING, TEST, 5)
    assert given is not None
    assert not (given.places[texts == "b"] >= 0).any()
    few = TRAINING & (np.arange(ROWS) < LEAST_ROWS - 1)
    assert candidate("x", X, few, TEST, 2) is None
    assert candidate("x", np.full(ROWS, np.nan), TRAINING, TEST, 5) is None
    present = candidate("x", np.where(X > 0, 1.0, np.nan), TRAINING, TEST, 5)
    assert present is not None
    assert present.bins.count == 2


def test_what_says_little_or_the_same_or_drifts_is_dropped_with_its_reason() -> None:
    drifting = X + np.where(TEST, 3.0, 0.0)
    gaps = np.where(RANDOM.random(ROWS) < 0.92, np.nan, X)
    table = {
        "x": X,
        "same": X * 2 + 1,
        "noise": RANDOM.normal(size=ROWS),
        "drifting": drifting,
        "gaps": gaps,
    }
    found = [judge(name, values) for name, values in table.items()]
    chosen = choose(found, table, TRAINING, Limits())
    assert chosen.kept == ("x",)
    assert "correlation 1.000 with x" in chosen.dropped["same"]
    assert "too low" in chosen.dropped["noise"]
    assert "stability index" in chosen.dropped["drifting"]
    assert "missing" in chosen.dropped["gaps"]
    nearly = np.where(np.arange(ROWS) % 100 == 0, 2.0, 1.0)  # its second bin has too few rows
    only = choose([judge("nearly", nearly)], {"nearly": nearly}, TRAINING, Limits(lowest_value=0))
    assert only.dropped == {"nearly": "one weight of evidence in all rows"}
    assert candidate("flat", np.ones(ROWS), TRAINING, TEST, 5) is None
    with pytest.raises(DataUnusable, match="one weight"):
        found[0].column(np.ones(ROWS), TRAINING)
