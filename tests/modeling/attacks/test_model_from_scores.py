"""Data to model: an asker that chooses the numbers which it sends solves for the model (Tramèr et al., USENIX Security 2016).

A linear model with exact scores is told by as many of them as it has unknowns, whatever enterprises they are about. So unless its owner
says otherwise an asker gets half as many as it sends columns. What that leaves is the published band: the best guess explains at most
half of how the weights spread. With more scores, which an owner has to allow, the attack works, as docs/scoring.md declares.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from modeling.scoring.inputs import ASKER
from modeling.scoring.mirrored import Requester
from modeling.scoring.model import Feature, LinearModel
from modeling.scoring.told import owner_of, told_of
from nodes.scoring.limits import SubjectSpent, refusals, served_scores
from nodes.settings import ScoringRules
from tests.modeling.scoring.models import number

RULES = ScoringRules()
COLUMNS = 18
CLIP = 10.0
WEIGHTS = np.random.default_rng(1).normal(size=COLUMNS)
MODEL = LinearModel(
    name="m",
    intercept=-1.0,
    features=(
        *(Feature(input=number(f"x{place}", ASKER), weights=(float(each),)) for place, each in enumerate(WEIGHTS)),
        Feature(input=number("item.arrears"), weights=(0.8,)),
    ),
)
ARREARS = np.array([2.0, -1.5])


def scored(sent: Any, arrears: Any) -> Any:
    """Exact scores by the real protocol."""
    told, owner, asker = told_of(MODEL), owner_of(MODEL), Requester()
    present = np.ones(len(sent), np.bool_)
    own = MODEL.own_predictor({"item.arrears": arrears}, present)
    asked = asker.encrypt(sent, told.preparation.bounds)
    return asker.open(owner.answer(asker.public, asked, own), len(sent), COLUMNS, told.weight_bits)


def allowed(rules: ScoringRules) -> Any:
    """int[scores]: which of two enterprises each score is about that an asker gets on one day."""
    tried = [SubjectSpent(today=used) for used in range(2 * rules.scores_per_subject_per_day)]
    each = refusals(rules, None, tried, 0)[0].count(None)
    wanted = np.repeat(np.arange(len(ARREARS)), each)
    limits, _ = refusals(rules, None, [SubjectSpent()] * len(wanted), 0, served_left=served_scores(rules, COLUMNS))
    return wanted[[limit is None for limit in limits]]


def attacked(rules: ScoringRules, sent: Any = None) -> tuple[Any, Any]:
    """The weights, and what the owner adds for each enterprise: the best linear guess from the scores that it gets."""
    enterprise = allowed(rules)
    chosen = np.random.default_rng(2).uniform(-CLIP, CLIP, (len(enterprise), COLUMNS)) if sent is None else sent
    unknowns = np.hstack([chosen, np.eye(len(ARREARS))[enterprise]])
    found = np.linalg.lstsq(unknowns, scored(chosen, ARREARS[enterprise]), rcond=None)[0]
    return found[:COLUMNS], found[COLUMNS:]


def unexplained(weights: Any) -> float:
    """Share of the weights' sum of squares that a guess misses."""
    return float(((weights - WEIGHTS) ** 2).sum() / (WEIGHTS**2).sum())


def test_with_the_defaults_most_of_the_model_stays_unknown() -> None:
    assert len(allowed(RULES)) == COLUMNS // 2
    weights, _ = attacked(RULES)
    assert unexplained(weights) > 0.3  # one model by chance; the next test is over all
    honest = np.random.default_rng(4).uniform(-1, 1, (1000, COLUMNS))
    assert np.std(honest @ (weights - WEIGHTS)) > 0.5 * np.std(honest @ WEIGHTS)


def test_over_models_the_best_guess_explains_at_most_half_of_the_spread_of_weights() -> None:
    """The same equations with the weights drawn anew: even where the attacker knows what the owner adds."""
    random, missed = np.random.default_rng(5), []
    for _ in range(200):
        weights = random.normal(size=COLUMNS)
        sent = random.uniform(-CLIP, CLIP, (COLUMNS // 2, COLUMNS))
        guess = np.linalg.lstsq(sent, sent @ weights, rcond=None)[0]
        missed.append(((guess - weights) ** 2).sum() / (weights**2).sum())
    assert abs(float(np.mean(missed)) - 0.5) < 0.03


def test_two_scores_that_differ_in_one_column_tell_its_weight_as_declared() -> None:
    sent = np.zeros((COLUMNS // 2, COLUMNS))
    sent[1:, : COLUMNS // 2 - 1] = np.eye(COLUMNS // 2 - 1)
    weights, _ = attacked(RULES, sent)
    np.testing.assert_allclose(weights[: COLUMNS // 2 - 1], WEIGHTS[: COLUMNS // 2 - 1], atol=1e-3)
    np.testing.assert_array_equal(weights[COLUMNS // 2 - 1 :].round(9), 0)


def test_where_the_owner_allows_more_two_enterprises_tell_the_model_and_what_it_knows_of_both() -> None:
    weights, added = attacked(ScoringRules(served_scores=1000))
    assert len(allowed(ScoringRules(served_scores=1000))) == len(WEIGHTS) + len(ARREARS)
    np.testing.assert_allclose(weights, WEIGHTS, atol=1e-3)
    np.testing.assert_allclose(added, -1.0 + 0.8 * ARREARS, atol=1e-2)
