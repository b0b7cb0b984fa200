"""Model extraction the other way round: a bank chooses models so that their scores, which are linear queries, solve for features.

Sources: Dinur, Nissim, "Revealing information while preserving privacy", PODS 2003 (answers to enough linear queries are the data);
Luo et al., ICDE 2021 (equality solving). The attacker gets scores by the real protocol, and whatever models the limits of a provider
let it register, in the order in which it tries. It knows the mean and covariance of the features, here even by regression on the truth.

The published band: with the defaults no feature is found to better than half of its standard deviation by the best linear estimate.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from modeling.scoring.fixed import scales_for
from modeling.scoring.leverage import leverage
from modeling.scoring.linear import ModelKey, Provider
from modeling.scoring.masks import PairMasks
from modeling.scoring.model import Part
from nodes.scoring.limits import PartFacts, ScoreLimitReached, SubjectSpent, check_part, refusals
from nodes.settings import ScoringRules
from tests.modeling.scoring.models import part

NAMES = [f"column{letter}" for letter in "abcdefgh"]
COUNT = len(NAMES)
ROWS = 4000
RULES = ScoringRules()
BAND = float(np.sqrt(1 - RULES.maximum_leverage))
BY_CHANCE = 0.03
"""A standard deviation over 4,000 rows is right to a hundredth."""


class Bureau:
    """A provider of eight numbers, and what a bank has scored there. `protected`: by the default limits."""

    def __init__(self, features: Any, *, protected: bool) -> None:
        self.features, self.protected = np.clip(features, -5, 5), protected
        self.registered: list[Part] = []
        self.scores: list[Any] = []

    def try_model(self, weights: Any) -> str:
        """Register a model and score all rows; what refuses it, or nothing."""
        given = part(dict(zip(NAMES, weights.tolist(), strict=True)), clip=5.0)
        if self.protected:
            scored = frozenset(f"model {place}" for place in range(len(self.registered)))
            (limit,), _ = refusals(RULES, "another model", [SubjectSpent(models=scored)], 0)
            if limit:
                return limit
            attested = leverage([*self.registered, given])
            try:
                check_part(RULES, PartFacts(features=given.features, nonzero=given.nonzero, leverage=attested))
            except ScoreLimitReached as refusal:
                return refusal.reason
        self.registered.append(given)
        self.scores.append(self._scored(given))
        return ""

    def _scored(self, given: Part) -> Any:
        weights, bounds = np.array(given.weights), given.preparation.bounds
        scales, key = scales_for(weights, bounds), ModelKey()
        provider = Provider(key.public, key.encrypt(weights, bounds, scales))
        answer = provider.answer_columns(self.features, PairMasks(0, {}), 1)
        return key.open_columns([answer], len(self.features), scales)

    def left(self) -> Any:
        """float64[8]: of each feature, the standard deviation that the best linear estimate leaves, in units of its own."""
        seen = np.column_stack([np.ones(len(self.features)), *self.scores])
        guess = seen @ np.linalg.lstsq(seen, self.features, rcond=None)[0]
        return (self.features - guess).std(axis=0) / self.features.std(axis=0)


def independent(seed: int = 1) -> Any:
    return np.random.default_rng(seed).normal(size=(ROWS, COUNT))


# -- what an attacker may try


def one_feature_each() -> list[Any]:
    return list(np.eye(COUNT))


def nearly_one_feature_each() -> list[Any]:
    """Enough weights that are not zero, and one that counts."""
    return list(np.eye(COUNT) + 1e-3)


def a_model_and_its_neighbours() -> list[Any]:
    """N against N - 1: each feature is the difference of two models."""
    base = np.random.default_rng(2).normal(size=COUNT)
    return [base, *(base + 0.1 * unit for unit in np.eye(COUNT))]


def many_random_models() -> list[Any]:
    return list(np.random.default_rng(3).normal(size=(40, COUNT)))


def as_near_to_the_limit_as_it_gets() -> list[Any]:
    """The first feature with a leverage just below the limit; then others, in what room is left."""
    weights = np.full(COUNT, np.sqrt((1 / 0.749 - 1) / (COUNT - 1)))
    weights[0] = 1.0
    return [weights, *(np.roll(weights, shift) for shift in range(1, COUNT)), *many_random_models()]


ATTEMPTS = (
    one_feature_each,
    nearly_one_feature_each,
    a_model_and_its_neighbours,
    many_random_models,
    as_near_to_the_limit_as_it_gets,
)


@pytest.mark.parametrize("attempt", ATTEMPTS)
def test_the_default_limits_leave_every_feature_its_band(attempt: Callable[[], list[Any]]) -> None:
    """All attempts, against a provider with the default limits. Success: any feature better than the band."""
    bureau = Bureau(independent(), protected=True)
    refused = {bureau.try_model(weights) for weights in attempt()}
    assert refused - {""}, "a limit stood in the way"
    assert (bureau.left() > BAND - BY_CHANCE).all() if bureau.scores else True


def test_the_limit_is_reached_so_the_band_is_no_idle_promise() -> None:
    bureau = Bureau(independent(), protected=True)
    assert not bureau.try_model(as_near_to_the_limit_as_it_gets()[0])
    assert bureau.left()[0] == pytest.approx(BAND, abs=BY_CHANCE)


@pytest.mark.parametrize("attempt", ATTEMPTS)
def test_without_limits_every_feature_is_found(attempt: Callable[[], list[Any]]) -> None:
    """The same attempts, against a provider without limits. They succeed for every feature, to a thousandth."""
    bureau = Bureau(independent(), protected=False)
    for weights in attempt()[: COUNT + 1]:
        assert not bureau.try_model(weights)
    assert (bureau.left() < 1e-3).all()


def test_the_difference_of_two_models_is_a_feature_to_a_thousandth() -> None:
    bureau = Bureau(independent(), protected=False)
    first, second, *_ = a_model_and_its_neighbours()
    for weights in (first, second):
        bureau.try_model(weights)
    found = (bureau.scores[1] - bureau.scores[0]) / 0.1
    assert np.abs(found - bureau.features[:, 0]).max() < 1e-3


def test_each_limit_refuses_by_its_name() -> None:
    for attempt, limit in (
        (one_feature_each, "minimum_nonzero"),
        (nearly_one_feature_each, "maximum_leverage"),
        (many_random_models, "models_per_subject"),
    ):
        bureau = Bureau(independent(), protected=True)
        assert limit in {bureau.try_model(weights) for weights in attempt()}
    bureau = Bureau(independent(), protected=True)
    first, second, *_ = a_model_and_its_neighbours()
    assert [bureau.try_model(weights) for weights in (first, second)] == ["", "maximum_leverage"]


# -- what the limits do not cover: declared (docs/scoring.md)


def test_features_that_go_together_are_told_better_than_the_band() -> None:
    """Declared: leverage is of columns that do not depend on one another. Where all are nearly one, a score tells it."""
    rng = np.random.default_rng(4)
    bureau = Bureau(0.95 * rng.normal(size=(ROWS, 1)) + 0.3 * independent(), protected=True)
    assert not bureau.try_model(np.full(COUNT, 0.5))
    assert (bureau.left() < BAND).all()


def test_features_of_few_values_are_decoded_from_one_precise_score() -> None:
    """Declared: five columns of yes or no have 32 combinations, and a score of seven digits tells which."""
    features = (independent() > 0).astype(float)
    features[:, 5:] = 0.0
    bureau = Bureau(features, protected=True)
    weights = np.array([0.31, -0.43, 0.57, 0.29, -0.37, 0.0, 0.0, 0.0])
    assert not bureau.try_model(weights)
    codes = np.arange(32)[:, None] >> np.arange(5) & 1
    nearest = np.abs(bureau.scores[0][:, None] - codes @ weights[:5]).argmin(axis=1)
    assert (codes[nearest] == features[:, :5]).all()
