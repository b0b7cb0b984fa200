"""Label inference: a passive ranks its rows by what it sees of them, and hopes for the order of the labels.

Sources: Li et al., "Label leakage and protection in two-party split learning", ICLR 2022 (a gradient's norm or direction tells the
label); Fu et al., "Label inference attacks against vertical federated learning", USENIX Security 2022 (the sign of a gradient does;
a few known labels complete the rest).
"""

from __future__ import annotations

import functools
from collections.abc import Iterator
from typing import Any

import msgspec
import numpy as np
import pytest

from modeling.additive import PublicKey, take
from modeling.gbdt import wire
from modeling.gbdt.settings import Settings as BoostingSettings
from modeling.gbdt.stock import Stock
from modeling.logistic.settings import Settings
from modeling.metrics import auc
from tests.modeling.attacks.success import best_leak, guessing, leak_auc
from tests.modeling.attacks.views import everything, residuals_of_the_other_in_the_clear, views
from tests.modeling.gbdt.test_training import Cohort as BoostingCohort
from tests.modeling.logistic.test_training import Cohort
from tests.modeling.transcripts import Transcript, recorded

LOGISTIC = Settings(steps=3, tolerance=0.0)
BOOSTING = BoostingSettings(trees=6, depth=3, bins=8, key_bits=2048)


@pytest.fixture
def transcript(monkeypatch: pytest.MonkeyPatch) -> Transcript:
    return recorded(monkeypatch)


# -- logistic regression


@pytest.mark.parametrize("widths", [(3, 2), (2, 1, 2)])
def test_nothing_that_a_passive_sees_of_a_row_ranks_labels(
    widths: tuple[int, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Li's norm attack and Fu's sign attack, in logistic regression without a coordinator.

    Seen by each passive: its shares of predictors and residuals, its masks; and sums of any two of these. Success: a leak AUC that
    guessing does not reach.
    """
    seen = views(monkeypatch)
    cohort = Cohort(rows=600, widths=widths)
    cohort.train(LOGISTIC)
    for party in ("p1", "p2")[: len(widths) - 1]:
        numbers = list(everything(seen, party, 600))
        assert len(numbers) > 10
        assert best_leak(cohort.label, numbers) < guessing(cohort.label) < 0.7


def test_residual_shares_in_the_clear_would_tell_every_label(monkeypatch: pytest.MonkeyPatch) -> None:
    """The same attack where the other computing party's share of the residual can be read: with its own, that is the residual."""
    seen = views(monkeypatch)
    residuals_of_the_other_in_the_clear(monkeypatch, seen)
    cohort = Cohort(rows=600)
    cohort.train(LOGISTIC)
    assert best_leak(cohort.label, everything(seen, "p1", 600)) == 1.0


# -- boosting: the ciphertexts of gradients


def alike(transcript: Transcript) -> Any:
    """For each row, how many rows have the same ciphertext in the first tree."""
    rows = np.vstack([message.arrays["ciphers"] for message in first_tree(transcript)])
    _, group, counts = np.unique(rows, axis=0, return_inverse=True, return_counts=True)
    return counts[group.reshape(-1)]


def first_tree(transcript: Transcript) -> list[Any]:
    kinds = [each.message.kind for each in transcript.sent if each.receiver == "p1"]
    trees = [place for place, kind in enumerate(kinds) if kind == wire.NEXT]
    return transcript.of_kind(wire.ROWS, receiver="p1")[: kinds[trees[0] : trees[1]].count(wire.ROWS)]


def boosting_cohort() -> BoostingCohort:
    """Rows of one weight: in the first tree a gradient has two values, one for each label. The passive's column says nothing."""
    cohort = BoostingCohort(rows=300, widths=(3, 1))
    cohort.weights = np.ones(300)
    cohort.parts[1] = np.random.default_rng(3).normal(size=(300, 1))
    return cohort


def test_ciphertexts_of_gradients_cannot_be_grouped_by_label(transcript: Transcript) -> None:
    """Li's observation that gradients of one label are alike, in boosting.

    Seen by the passive: an encrypted gradient for each row. Success: rows of equal ciphertexts are rows of one label.
    """
    cohort = boosting_cohort()
    cohort.train(msgspec.structs.replace(BOOSTING, trees=2))
    assert (alike(transcript) == 1).all()


def test_ciphertexts_of_one_randomness_would_be(transcript: Transcript, monkeypatch: pytest.MonkeyPatch) -> None:
    """The same attack where all rows are encrypted with the same random number; the rarer label is the smaller group."""

    @functools.cache
    def zero(public: PublicKey) -> Any:
        return public.zeros(1)

    def batch(stock: Stock, values: Any) -> Any:
        return stock._key.to_wire(stock._key.add_plain(take(zero(stock._key), [0] * len(values)), values))

    monkeypatch.setattr(Stock, "_batch", batch)
    cohort = boosting_cohort()
    cohort.train(msgspec.structs.replace(BOOSTING, trees=2))
    assert leak_auc(cohort.label, alike(transcript)) == 1.0


# -- boosting: rows that are together in a node, which a passive is told


def places(transcript: Transcript, rows: int) -> Iterator[Any]:
    """For each tree the node of each row, as far as the passive is told."""
    at = np.zeros(rows, np.int64)
    for each in transcript.sent:
        if each.receiver != "p1" or each.message.kind not in (wire.NEXT, wire.PARTED):
            continue
        if each.message.kind == wire.NEXT:
            if at.any():
                yield at
            at = np.zeros(rows, np.int64)
            continue
        nodes = each.message.arrays["nodes"].tolist()
        members = [np.flatnonzero(at == node) for node in nodes]
        left = wire.flags(each.message, "left", sum(map(len, members)))
        for node, there in zip(nodes, members, strict=True):
            goes, left = left[: len(there)], left[len(there) :]
            at[there] = np.where(goes, 2 * node + 1, 2 * node + 2)


def completed(transcript: Transcript, label: Any, known: int) -> Any:
    """Fu's completion: of each further row, how often the known positives and negatives are in its node."""
    score = np.zeros(len(label) - known)
    sign = np.where(label[:known] == 1, 1 / label[:known].sum(), -1 / (1 - label[:known]).sum())
    for at in places(transcript, len(label)):
        score += (at[known:, None] == at[:known]) @ sign
    return score


def test_rows_that_are_together_tell_labels_to_whom_knows_some_and_no_more_than_the_model(
    transcript: Transcript,
) -> None:
    """Fu's model completion, in boosting: declared, for a passive has to know which rows are in a node that it sums.

    Seen by the passive: the nodes of all trees but their last level, and the labels of 60 enterprises from elsewhere. Success: the
    labels of the others. It works in part, better than the passive's own column, and ranks no better than the model.
    """
    cohort, known = boosting_cohort(), 60
    part, passives = cohort.train(BOOSTING)
    rest = cohort.label[known:]
    found = auc(rest, completed(transcript, cohort.label, known))
    assert 0.6 < found < auc(rest, cohort.score(part, passives)[known:])
    assert leak_auc(rest, cohort.parts[1][known:, 0]) < 0.6


def test_trees_of_own_features_tell_no_row_s_place(transcript: Transcript) -> None:
    """The same attack where trees are of the active party's features, as far as the option `own_trees` says: here all."""
    cohort = boosting_cohort()
    cohort.train(msgspec.structs.replace(BOOSTING, own_trees=6))
    assert not list(places(transcript, 300))
    assert auc(cohort.label[60:], completed(transcript, cohort.label, 60)) == 0.5
