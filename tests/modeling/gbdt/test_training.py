"""The protocol against the same algorithm in the clear, written anew, and against XGBoost."""

from __future__ import annotations

import functools
from collections.abc import Mapping
from typing import Any

import msgspec
import numpy as np
import pytest
import xgboost

from modeling.additive import SecretKey
from modeling.errors import DataUnusable
from modeling.gbdt import active, passive, scoring
from modeling.gbdt.checkpoint import ActiveCheckpoint
from modeling.gbdt.features import binned
from modeling.gbdt.gradients import Target
from modeling.gbdt.passive import PassiveCheckpoint
from modeling.gbdt.settings import Settings
from modeling.gbdt.trees import ActivePart, Leaf, OwnNode, PassiveNode, PassivePart
from modeling.local import run_in_threads
from modeling.metrics import auc
from tests.modeling.gbdt.test_sketch import xgboost_edges

SMALL = Settings(trees=3, depth=3, bins=8, min_rows=1, key_bits=2048)
NOBODY: Mapping[int, Any] = {}


@functools.cache
def key(scheme: Any = "okamoto-uchiyama") -> SecretKey:
    return SecretKey(scheme, 2048)


class Cohort:
    """Synthetic rows: a block of columns for each party (the first is active), uneven weights, so that sums hardly tie."""

    def __init__(self, rows: int = 400, widths: tuple[int, ...] = (3, 2), seed: int = 1, missing: float = 0.0) -> None:
        rng = np.random.default_rng(seed)
        x = rng.normal(size=(rows, sum(widths))).astype(np.float32).astype(np.float64)  # XGBoost keeps no others
        signal = np.sin(2 * x).sum(axis=1) + x[:, 0] * x[:, -1]
        signal += 1.5 * (rng.random(rows) < 0.5) if not missing else 0
        gone = rng.random(x.shape) < missing * (1 + np.sign(signal)[:, None]) / 2 * 2
        self.label = (rng.random(rows) < 1 / (1 + np.exp(-signal))).astype(float)
        x[gone] = np.nan
        self.parts = np.split(x, np.cumsum(widths)[:-1], axis=1)
        self.weights = rng.uniform(0.3, 1, rows)
        self.validation = np.zeros(rows, np.bool_)
        self.names = [f"p{place}" for place in range(1, len(widths))]

    def target(self) -> Target:
        return Target(label=self.label, weights=self.weights, validation=self.validation)

    def train(self, settings: Settings = SMALL, **given: Any) -> tuple[ActivePart, dict[str, PassivePart]]:
        given = {"key": key(settings.scheme)} | given
        resumed = given.pop("passives", {})
        kept = given.pop("passive_keep", lambda _name, _checkpoint: None)
        left = given.pop("passive_withdrawn", {})

        def lead(channels: Any) -> ActivePart:
            return active.train(self.parts[0], self.target(), channels, settings, **given)

        def follow(name: str, part: Any) -> Any:
            keep = functools.partial(kept, name)
            more = {"resume": resumed.get(name), "keep": keep} | ({"withdrawn": left[name]} if name in left else {})
            return lambda channels: passive.train(part, channels["active"], **more)

        parties = {"active": lead} | {n: follow(n, p) for n, p in zip(self.names, self.parts[1:], strict=True)}
        found = run_in_threads(parties, deadline_s=60)
        return found["active"], {name: found[name] for name in self.names}

    def score(self, part: ActivePart, passives: dict[str, PassivePart], rows: Any = slice(None)) -> Any:
        def answering(name: str, own: Any) -> Any:
            return lambda channels: scoring.answer(passives[name], own[rows], channels["active"])

        parties: dict[str, Any] = {"active": lambda channels: scoring.score(part, self.parts[0][rows], channels)}
        parties |= {n: answering(n, p) for n, p in zip(self.names, self.parts[1:], strict=True)}
        return run_in_threads(parties, deadline_s=60)["active"]


def described(part: ActivePart, passives: dict[str, PassivePart]) -> list[dict[int, Any]]:
    """Each tree with what every split means, wherever it is kept."""

    def meaning(node: Any) -> Any:
        if isinstance(node, Leaf):
            return round(node.weight, 12)
        if isinstance(node, OwnNode):
            return ("", node.split.feature, node.split.below)
        split = passives[node.party].splits[node.number].split
        return (node.party, split.feature, split.below)

    return [{place: meaning(node) for place, node in tree.items()} for tree in part.trees]


def in_the_clear(cohort: Cohort, settings: Settings, leave: Mapping[int, Any] = NOBODY) -> list[dict[int, Any]]:
    """SecureBoost's algorithm in one place by plain loops, on XGBoost's edges, for rows without missing values.

    Gradients are rounded to 2^-20. Before tree k the rows `leave[k]` lose their weight. The first trees are of the first party's
    columns, where the settings say so.
    """
    w = np.where(cohort.validation, 0, cohort.weights)
    y, lam = cohort.label, settings.l2
    mean = np.average(y, weights=w)
    margin = np.full(len(y), np.log(mean / (1 - mean)))
    owners = ["", *cohort.names]
    edges = [xgboost_edges(x, settings.bins) for x in cohort.parts]
    trees = []
    for number in range(settings.trees):
        w[leave.get(number, [])] = 0
        p = 1 / (1 + np.exp(-margin))
        g, h = np.round(w * (p - y) * 2**20) / 2**20, np.round(w * p * (1 - p) * 2**20) / 2**20
        tree: dict[int, Any] = {}
        nodes = {0: np.arange(len(y))}
        while nodes:
            node, rows = nodes.popitem()
            gt, ht, best = g[rows].sum(), h[rows].sum(), (1e-6, None, None)
            shown = slice(1 if number < settings.own_trees else None)
            for owner, x, cuts in zip(owners[shown], cohort.parts[shown], edges[shown], strict=True):
                for feature, thresholds in enumerate(cuts if node < 2**settings.depth - 1 else []):
                    for threshold in thresholds:
                        left = x[rows, feature] < threshold
                        gl, hl = g[rows][left].sum(), h[rows][left].sum()
                        if min(hl, ht - hl) >= settings.min_child_weight:
                            gain = gl**2 / (hl + lam) + (gt - gl) ** 2 / (ht - hl + lam) - gt**2 / (ht + lam)
                            if gain > best[0] + 1e-9:
                                best = (gain, (owner, feature, threshold), left)
            if best[1] is None or best[0] < settings.gamma:
                tree[node] = round(-settings.rate * gt / (ht + lam), 12)
                margin[rows] += tree[node]
            else:
                tree[node] = best[1]
                nodes[2 * node + 1], nodes[2 * node + 2] = rows[best[2]], rows[~best[2]]
        trees.append(tree)
    return trees


def same(found: list[dict[int, Any]], expected: list[dict[int, Any]]) -> None:
    assert len(found) == len(expected)
    for mine, reference in zip(found, expected, strict=True):
        assert mine.keys() == reference.keys()
        for node, value in reference.items():
            assert mine[node] == (pytest.approx(value, abs=1e-6) if isinstance(value, float) else value)


@pytest.mark.parametrize("widths", [(3, 2), (2, 2, 2), (2, 1, 2, 2)])
def test_the_encrypted_run_is_the_plain_run(widths: tuple[int, ...]) -> None:
    cohort = Cohort(widths=widths)
    part, passives = cohort.train()
    same(described(part, passives), in_the_clear(cohort, SMALL))
    assert any(isinstance(node, PassiveNode) for tree in part.trees for node in tree.values())


def test_who_holds_all_columns_trains_the_same_model_alone() -> None:
    cohort = Cohort(missing=0.1)
    part, passives = cohort.train()
    pooled = np.hstack(cohort.parts)
    own = active.train_alone(pooled, cohort.target(), SMALL)
    np.testing.assert_allclose(scoring.score(own, pooled, {}), cohort.score(part, passives), atol=1e-9)


def test_paillier_gives_the_same_model() -> None:
    cohort = Cohort(rows=150)
    settings = msgspec.structs.replace(SMALL, trees=2, depth=2, scheme="paillier", gamma=0.4, l2=0.5, rate=0.1)
    same(described(*cohort.train(settings)), in_the_clear(cohort, settings))


def test_auc_is_that_of_xgboost() -> None:
    cohort = Cohort(rows=3000, widths=(3, 3), missing=0.1, seed=5)
    train = np.arange(3000) < 2000
    cohort.validation = ~train
    settings = msgspec.structs.replace(SMALL, trees=6, bins=32)
    part, passives = cohort.train(settings)
    mine = cohort.score(part, passives, ~train)
    x = np.hstack(cohort.parts)
    theirs = xgboost.XGBClassifier(
        n_estimators=6, max_depth=3, learning_rate=0.3, max_bin=32, tree_method="hist", n_jobs=1
    ).fit(x[train], cohort.label[train], sample_weight=cohort.weights[train])
    expected = auc(cohort.label[~train], theirs.predict_proba(x[~train])[:, 1])
    assert auc(cohort.label[~train], mine) > expected - 0.01 > 0.7


def test_missing_values_learn_their_side() -> None:
    """The label follows from whether the passive's only telling value is there."""
    cohort = Cohort(rows=300, widths=(1, 2), seed=3)
    cohort.label = (np.arange(300) % 3 == 0).astype(float)
    cohort.parts[1][cohort.label == 1, 0] = np.nan
    part, passives = cohort.train(msgspec.structs.replace(SMALL, trees=2))
    (first, *_) = passives["p1"].splits
    assert first.split.feature == 0
    assert auc(cohort.label, cohort.score(part, passives)) == 1.0
    cohort.parts[0] = np.full((300, 1), np.nan)  # a column of which nothing is known takes part, and does nothing
    assert auc(cohort.label, cohort.score(*cohort.train(msgspec.structs.replace(SMALL, trees=2)))) == 1.0


def test_missing_direction_where_none_was_missing() -> None:
    table = binned(np.array([[1.0, np.nan], [2.0, 1.0], [3.0, 2.0], [4.0, 3.0]]), 8)
    candidate = int(np.flatnonzero((table.feature == 1) & (table.upto == 1) & table.missing_left)[0])
    split, left = table.split(candidate, np.array([1, 2, 3]))
    assert left.tolist() == [True, False, False] and not split.missing_left
    assert split.left(np.array([[0.0, np.nan], [0.0, 1.0]])).tolist() == [False, True]


@pytest.mark.parametrize("seed", range(8))
def test_what_is_recorded_parts_rows_as_training_did(seed: int) -> None:
    rng = np.random.default_rng(seed)
    x = np.round(rng.normal(size=(60, 3)), 1)
    x[rng.random(x.shape) < 0.2] = np.nan
    table = binned(x, 6)
    for candidate in range(len(table.feature)):
        rows = np.flatnonzero(rng.random(60) < 0.3)
        split, left = table.split(candidate, rows)
        assert (split.left(x[rows]) == left).all()
        assert left.sum() == table.left_sums(rows, np.ones(60))[candidate] or not np.isnan(x[rows, split.feature]).any()
        column = x[rows, split.feature]
        known = ~np.isnan(column)
        assert (
            left[known].sum() + (~known).sum() * table.missing_left[candidate]
            == table.left_sums(rows, np.ones(60))[candidate]
        )


def test_weight_zero_is_leaving_the_row_out() -> None:
    cohort = Cohort(rows=300)
    out = np.arange(300) % 5 == 0
    whole = Cohort(rows=300)
    whole.weights = np.where(out, 0.0, cohort.weights)
    whole.label = np.where(out, 7.0, cohort.label)  # what stands there does not matter
    for place, part in enumerate(whole.parts):  # the same bins, and splits told by thresholds that both have
        cohort.parts[place], whole.parts[place] = np.round(part[~out]), np.round(part)
    cohort.label, cohort.weights = cohort.label[~out], cohort.weights[~out]
    cohort.validation = cohort.validation[~out]
    settings = msgspec.structs.replace(SMALL, trees=2, bins=32)
    without, rest = cohort.train(settings)
    found, passives = whole.train(settings)
    assert np.allclose(whole.score(found, passives)[~out], cohort.score(without, rest), atol=1e-6)


def test_sampling_and_own_trees() -> None:
    cohort = Cohort(rows=1200, seed=2)
    settings = msgspec.structs.replace(SMALL, trees=4, sample=0.3, top=0.1, own_trees=1, min_rows=12)
    part, passives = cohort.train(settings)
    assert not any(isinstance(node, PassiveNode) for node in part.trees[0].values())
    assert any(isinstance(node, PassiveNode) for tree in part.trees for node in tree.values())
    assert auc(cohort.label, cohort.score(part, passives)) > 0.7
    uniform, _ = cohort.train(msgspec.structs.replace(settings, top=0.0))
    assert len(uniform.trees) == 4


def test_early_stopping_keeps_the_best_trees() -> None:
    cohort = Cohort(rows=300, seed=4)
    cohort.label = (np.random.default_rng(0).random(300) < 0.4).astype(float)  # nothing to learn
    cohort.validation = np.arange(300) % 3 == 0
    losses: list[ActiveCheckpoint] = []
    settings = msgspec.structs.replace(SMALL, trees=30, patience=2, min_child_weight=0.2)
    part, passives = cohort.train(settings, keep=losses.append)
    history = losses[-1].losses
    assert len(part.trees) == int(np.argmin(history)) + 1 == len(history) - 2 < 30
    used = sum(isinstance(node, PassiveNode) for tree in part.trees for node in tree.values())
    assert len(passives["p1"].splits) == used
    with pytest.raises(DataUnusable, match="validation rows"):
        Cohort().train(settings)


def test_a_checkpoint_leads_to_the_same_model_and_survives_json() -> None:
    cohort = Cohort(widths=(2, 2, 2), rows=300)
    settings = msgspec.structs.replace(SMALL, sample=0.7)
    kept: list[ActiveCheckpoint] = []
    theirs: dict[str, list[PassiveCheckpoint]] = {"p1": [], "p2": []}
    whole = cohort.train(settings, keep=kept.append, passive_keep=lambda name, each: theirs[name].append(each))
    after = msgspec.json.decode(msgspec.json.encode(kept[0]), type=ActiveCheckpoint)
    passives = {
        "p1": msgspec.json.decode(msgspec.json.encode(theirs["p1"][0]), type=PassiveCheckpoint),
        "p2": theirs["p2"][1],  # this one had got further
    }
    resumed = cohort.train(settings, resume=after, passives=passives)
    assert msgspec.json.encode(resumed[0]) == msgspec.json.encode(whole[0])
    assert resumed[1] == whole[1]
    with pytest.raises(DataUnusable, match="checkpoint"):
        cohort.train(settings, resume=after)
    with pytest.raises(DataUnusable, match="other settings"):
        cohort.train(SMALL, resume=after)


def test_importance_names_own_features_and_parties_only() -> None:
    cohort = Cohort()
    part, passives = cohort.train()
    own, other = part.own_importance(), part.passive_importance()
    assert own.shape == (3,) and set(other) == {"p1"} and other["p1"] > 0 and own.sum() > 0
    assert passives["p1"].importance().shape == (2,) and passives["p1"].importance().sum() > 0


def test_unusable_data_is_told() -> None:
    cohort = Cohort()
    for change in (
        {"label": np.full(400, 2.0)},
        {"label": np.ones(400)},
        {"weights": np.full(400, 2.0)},
        {"weights": np.ones(3)},
    ):
        given = {"label": cohort.label, "weights": cohort.weights, "validation": cohort.validation} | change
        with pytest.raises(DataUnusable):
            Target(**given)
    for bad in (np.full((400, 2), np.inf), np.zeros((400, 2)), np.full((400, 2), np.nan), np.zeros((400, 0))):
        cohort.parts[1] = bad
        with pytest.raises(DataUnusable):
            cohort.train()
    with pytest.raises(DataUnusable, match="1 to 4"):
        active.train(cohort.parts[0], cohort.target(), {}, SMALL)
