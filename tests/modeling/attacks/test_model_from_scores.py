"""Data to model: an asker that chooses the numbers which it sends solves for the model (Tramèr et al., USENIX Security 2016).

This works, as docs/scoring.md declares: a linear model with exact scores is told by as many of them as it has unknowns. What the limits
do is to make it take more enterprises, each with a consent and with receipts.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from modeling.scoring.inputs import ASKER
from modeling.scoring.mirrored import Requester
from modeling.scoring.model import Feature, LinearModel
from modeling.scoring.told import owner_of, told_of
from nodes.scoring.limits import SubjectSpent, refusals
from nodes.settings import ScoringRules
from tests.modeling.scoring.models import number

RULES = ScoringRules()
COLUMNS = 18
A_DAY = RULES.scores_per_subject_per_day
WEIGHTS = np.random.default_rng(1).normal(size=COLUMNS)
MODEL = LinearModel(
    name="m",
    intercept=-1.0,
    features=(
        *(Feature(input=number(f"x{place}", ASKER), weights=(float(each),)) for place, each in enumerate(WEIGHTS)),
        Feature(input=number("item.arrears"), weights=(0.8,)),
    ),
)


def scored(sent: Any, arrears: Any) -> Any:
    """Exact scores by the real protocol."""
    told, owner, asker = told_of(MODEL), owner_of(MODEL), Requester()
    present = np.ones(len(sent), np.bool_)
    own = MODEL.own_predictor({"item.arrears": arrears}, present)
    asked = asker.encrypt(sent, told.preparation.bounds)
    return asker.open(owner.answer(asker.public, asked, own), len(sent), COLUMNS, told.weight_bits)


def allowed(used_today: int) -> bool:
    (limit,), _ = refusals(RULES, None, [SubjectSpent(today=used_today)], 0)
    return limit is None


def attacked(arrears: Any) -> tuple[Any, Any]:
    """The weights, and what the owner adds for each enterprise, as one day's scores tell them."""
    enterprise = np.repeat(np.arange(len(arrears)), sum(allowed(used) for used in range(2 * A_DAY)))
    sent = np.random.default_rng(2).uniform(-10, 10, (len(enterprise), COLUMNS))
    unknowns = np.hstack([sent, np.eye(len(arrears))[enterprise]])
    found = np.linalg.lstsq(unknowns, scored(sent, arrears[enterprise]), rcond=None)[0]
    return found[:COLUMNS], found[COLUMNS:]


def test_two_enterprises_tell_a_model_of_eighteen_columns_and_what_its_owner_knows_of_both() -> None:
    arrears = np.array([2.0, -1.5])
    weights, added = attacked(arrears)
    assert len(WEIGHTS) + len(arrears) == 2 * A_DAY
    np.testing.assert_allclose(weights, WEIGHTS, atol=1e-3)
    np.testing.assert_allclose(added, -1.0 + 0.8 * arrears, atol=1e-2)


def test_one_enterprise_a_day_does_not() -> None:
    weights, _ = attacked(np.array([2.0]))
    assert np.abs(weights - WEIGHTS).max() > 0.1
    assert allowed(A_DAY - 1)
    assert not allowed(A_DAY)
