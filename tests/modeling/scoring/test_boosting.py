"""Boosted models of which only the sum over the trees opens: against walking the trees in the plain."""

from __future__ import annotations

from typing import Any

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from modeling import bfv
from modeling.errors import DataUnusable, ProtocolViolation
from modeling.gbdt.features import Split
from modeling.gbdt.settings import Settings
from modeling.gbdt.trees import ActivePart, Leaf, NumberedSplit, OwnNode, PassiveNode, PassivePart, tree_margin
from modeling.scoring import boosting

RUN = "0" * 32


def random_model(
    rng: np.random.Generator, trees: int = 3, depth: int = 3, theirs: float = 0.5
) -> tuple[ActivePart, PassivePart]:
    """Of three own features and two of the provider, which has a share `theirs` of the splits."""
    splits: list[NumberedSplit] = []

    def split(width: int) -> Split:
        return Split(feature=int(rng.integers(width)), below=float(rng.normal()), missing_left=bool(rng.random() < 0.5))

    def node(number: int, place: int) -> Any:
        if place >= 2**depth - 1 or rng.random() < 0.2 * (place > 0):
            return Leaf(weight=float(rng.normal()))
        if rng.random() >= theirs:
            return OwnNode(split=split(3), gain=1.0)
        splits.append(NumberedSplit(tree=number, rows=100, split=split(2)))
        return PassiveNode(party="p", number=len(splits) - 1, gain=1.0)

    grown = []
    for number in range(trees):
        tree: dict[int, Any] = {}
        waiting = [0]
        while waiting:
            place = waiting.pop()
            tree[place] = node(number, place)
            if not isinstance(tree[place], Leaf):
                waiting += [2 * place + 1, 2 * place + 2]
        grown.append(tree)
    active = ActivePart(run=RUN, settings=Settings(), base=0.5, features=3, passives=("p",), trees=tuple(grown))
    return active, PassivePart(run=RUN, features=2, splits=tuple(splits))


class Scoring:
    def __init__(self, rows: int, seed: int = 1, **shape: Any) -> None:
        rng = np.random.default_rng(seed)
        self.active, self.passive = random_model(rng, **shape)
        self.own, self.theirs = rng.normal(size=(rows, 3)), rng.normal(size=(rows, 2))
        for features in (self.own, self.theirs):
            features[rng.random(features.shape) < 0.2] = np.nan
        self.owner = boosting.Owner(self.active)
        self.provider = boosting.Provider(self.passive, self.owner.public, self.owner.opening)

    def answer(self, hidden: Any = None) -> list[bytes]:
        return self.provider.answer(self.theirs, self.owner.ask(self.own), hidden=hidden)

    def plain(self) -> Any:
        def side(node: PassiveNode) -> Any:
            return self.passive.splits[node.number].split.left(self.theirs)

        return self.active.base + sum(tree_margin(tree, self.own, side) for tree in self.active.trees)


@settings(max_examples=12, deadline=None)
@given(
    rows=st.integers(0, 40), seed=st.integers(0, 999), depth=st.integers(1, 4), theirs=st.sampled_from([0.0, 0.5, 1.0])
)
def test_a_margin_is_that_of_walking_the_trees(rows: int, seed: int, depth: int, theirs: float) -> None:
    scoring = Scoring(rows, seed, depth=depth, theirs=theirs)
    found = scoring.owner.open(scoring.answer(), scoring.own)
    np.testing.assert_allclose(found, scoring.plain(), atol=scoring.owner.error + 1e-12)


def test_rows_may_lie_over_the_edge_of_a_ciphertext() -> None:
    scoring = Scoring(900)
    answer = scoring.answer()
    assert len(answer) > 1
    np.testing.assert_allclose(scoring.owner.open(answer, scoring.own), scoring.plain(), atol=1e-8)


def test_slots_say_nothing_but_their_sum() -> None:
    """Declared: the margin. What a slot decrypts to is uniform, whether its path was taken or not, so no side of a split shows."""
    scoring = Scoring(900)
    slots = np.concatenate(scoring.owner._key.decrypt(scoring.answer()))
    width = len(scoring.owner._patterns)
    used = slots[: 900 * width].reshape(900, width)[:, :-1].ravel()
    counts = np.bincount(used // (bfv.PLAIN_MODULUS // 16 + 1), minlength=16)
    assert ((counts - len(used) / 16) ** 2 / (len(used) / 16)).sum() < 60


def test_sums_of_slots_are_exact() -> None:
    slots = bfv.uniform(6000).reshape(6, 1000)
    assert boosting.row_sums(slots).tolist() == [bfv.total_mod_t(row) for row in slots]
    masks = boosting.row_masks((50, 7), np.arange(50) < 3)
    assert (boosting.row_sums(masks) == 0).tolist() == [False] * 3 + [True] * 47


def test_a_hidden_row_does_not_open() -> None:
    scoring = Scoring(40)
    hidden = np.arange(40) % 4 == 1
    answer = scoring.answer(hidden)
    shown = scoring.owner.open(answer, scoring.own, ~hidden)
    assert (np.isnan(shown) == hidden).all()
    np.testing.assert_allclose(shown[~hidden], scoring.plain()[~hidden], atol=1e-8)
    with pytest.raises(
        ProtocolViolation, match="out of range"
    ):  # of ten uniform numbers each is within range once in 8 times
        scoring.owner.open(answer, scoring.own)


def test_several_providers_are_not_scored_so() -> None:
    active, _ = random_model(np.random.default_rng(1))
    with pytest.raises(DataUnusable, match="2 providers"):
        boosting.Owner(msgspec.structs.replace(active, passives=("p", "q")))


def test_what_is_not_of_this_model_is_refused() -> None:
    scoring = Scoring(5)
    alone = PassivePart(run=RUN, features=2, splits=())
    for part, opening in ((alone, scoring.owner.opening), (scoring.passive, b"none"), (scoring.passive, b"\x91\x90")):
        with pytest.raises(ProtocolViolation):
            boosting.Provider(part, scoring.owner.public, opening)
    asked = scoring.owner.ask(scoring.own)
    with pytest.raises(ProtocolViolation, match="do not fill"):
        scoring.provider.answer(scoring.theirs, (*asked, asked[0]))
    with pytest.raises(DataUnusable, match="2 columns"):
        scoring.provider.answer(scoring.own, asked)
    with pytest.raises(ProtocolViolation, match="do not fill"):
        scoring.owner.open([], scoring.own)
    with pytest.raises(DataUnusable, match="too many"):
        boosting.check_slots((1 << 20, 100))
