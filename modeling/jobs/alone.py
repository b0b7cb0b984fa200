"""The active party's own columns alone, by the same algorithm and settings: what the exchange adds is the distance from it."""

from __future__ import annotations

import numpy as np

from modeling.gbdt import active as boosting
from modeling.gbdt import scoring as boosting_scoring
from modeling.gbdt.gradients import Target
from modeling.gbdt.trees import sigmoid
from modeling.jobs.plan import JobPlan
from modeling.jobs.table import Flags
from modeling.logistic.alone import train_alone
from modeling.logistic.own import Columns, Floats


def alone(plan: JobPlan, matrix: Floats, label: Floats, counts: Flags, validation: Flags) -> Floats:
    """Probabilities of the test rows: float64[rows - training].

    `matrix`: float64[rows, p], as prepared; `label`: float64[rows]; `counts`: bool[rows], rows that are in the joint model;
    `validation`: bool[training]. Raises ModelingError.
    """
    size = plan.training
    weights = counts[:size].astype(np.float64)
    if plan.boosting is not None:
        target = Target(label=label[:size], weights=weights, validation=validation)
        part = boosting.train_alone(matrix[:size], target, plan.boosting)
        return boosting_scoring.score(part, matrix[size:], {})
    if plan.logistic is None:
        raise AssertionError
    columns = Columns(features=matrix[:size], weights=weights, intercept=True)
    coefficients = train_alone(columns, label[:size], plan.logistic)
    return sigmoid(coefficients[0] + matrix[size:] @ coefficients[1:])
