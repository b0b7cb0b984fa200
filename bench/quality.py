"""quality.*: how far joint models are from pooled plaintext ones: scikit-learn's logistic regression and XGBoost, on every data set.

Split 70 to 30, stratified, seed 42. Both sides see the same prepared columns and have the same ridge, trees, depth, rate and bins.
XGBoost has no least number of rows: here it is one, and not ten.
Both sides see the rows in one order, which is the job's: columns are cut by XGBoost's sketch, and where it cuts depends on the order
(its issue 10834). `apart` is how many test rows have another probability: because they miss a value that no training row of their node
misses, or because two splits of one party gained exactly as much, of which the bank takes the one that it happens to be shown first.
A figure of AUC is the reference's minus the joint model's: below the limit is enough, below zero is better than the reference.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final

import msgspec
import numpy as np

from bench.network import say
from bench.sets import DataSet, load, present
from modeling.gbdt.settings import Settings as BoostingSettings
from modeling.jobs import active, passive
from modeling.jobs.active import ActiveResult
from modeling.jobs.plan import Algorithm, JobPlan
from modeling.jobs.table import fit_columns
from modeling.jobs.work import Unattended
from modeling.local import run_in_processes
from modeling.logistic.settings import Settings as LogisticSettings
from modeling.metrics import auc, brier
from modeling.preparation.columns import OneHotRule, Rule

AUC_LOGISTIC: Final = 0.002
AUC_BOOSTING: Final = 0.005
BRIER: Final = 0.001
PASSIVES: Final = 1e-3
LOGISTIC: Final = LogisticSettings(tolerance=0.001)
BOOSTING: Final = BoostingSettings(trees=10, depth=3, rate=0.3, bins=32, min_rows=1, key_bits=2048)
TEXTS: Final = OneHotRule(maximum=5)

Floats = np.ndarray[Any, np.dtype[np.float64]]


@dataclass(frozen=True, kw_only=True)
class _Cohort:
    """A set in the order of a job: the training rows first. `tables`: the bank's, then the passives'."""

    name: str
    tables: list[dict[str, Any]]
    label: Floats
    training: int

    @property
    def test(self) -> Floats:
        """Labels of the test rows."""
        return self.label[self.training :]

    def plan(self, table: dict[str, Any], algorithm: Algorithm) -> JobPlan:
        """A party's plan."""
        rules: dict[str, Rule | None] = {k: TEXTS if v.dtype == object else None for k, v in table.items()}
        settings: Any = BOOSTING if algorithm == "boosting" else LOGISTIC
        told: dict[str, Any] = {algorithm: settings}
        return JobPlan(
            job="quality", algorithm=algorithm, rows=len(self.label), training=self.training, columns=rules, **told
        )

    def _prepared(self, table: dict[str, Any], algorithm: Algorithm) -> Floats:
        rules: dict[str, Rule | None] = {k: TEXTS if v.dtype == object else None for k, v in table.items()}
        everyone = np.full(len(self.label), True)
        return fit_columns(algorithm, table, rules, np.arange(len(everyone)) < self.training).matrix(table, everyone)

    def pooled(self, algorithm: Algorithm) -> Floats:
        """All parties' prepared columns side by side."""
        return np.hstack([self._prepared(table, algorithm) for table in self.tables])

    def joint(self, algorithm: Algorithm) -> ActiveResult:
        """Train the joint model with a process for each party."""
        own, *others = self.tables
        names = [f"p{place}" for place in range(1, len(self.tables))]
        plans = {name: self.plan(table, algorithm) for name, table in zip(names, others, strict=True)}
        there = np.full(len(self.label), True)

        def lead(channels: Any) -> bytes:  # noqa: ANN401
            table = own | {"": self.label}
            return active.run(table, there, "", channels, plans, self.plan(own, algorithm), Unattended())

        def follow(name: str, table: dict[str, Any]) -> Any:  # noqa: ANN401
            return lambda channels: passive.run(table, there, "bank", name, channels, Unattended())

        parties = {"bank": lead} | {n: follow(n, t) for n, t in zip(names, others, strict=True)}
        return msgspec.json.decode(run_in_processes(parties)["bank"], type=ActiveResult)


def run() -> Iterator[dict[str, object]]:
    """For each set AUC of both algorithms and calibration; on one set, three passives against one."""
    if not present():
        say("quality needs the data sets beside the project; nothing was measured")
    for name in present():
        cohort = _cohort(load(name), 1)
        yield from _logistic(cohort)
        yield from _boosting(cohort)
    if "default_credit" in present():
        yield from _passives(load("default_credit"))


def _logistic(cohort: _Cohort) -> Iterator[dict[str, object]]:
    result, theirs = cohort.joint("logistic"), _scikit_learn(cohort)
    joint, more = _probabilities(result), {"steps": result.steps, "settled": result.settled}
    worse = auc(cohort.test, theirs) - auc(cohort.test, joint)
    yield _line(f"logistic_auc_{cohort.name}", worse, AUC_LOGISTIC, cohort, joint) | more
    off = abs(brier(cohort.test, joint) - brier(cohort.test, theirs))
    yield _line(f"logistic_brier_{cohort.name}", off, BRIER, cohort, joint) | more


def _boosting(cohort: _Cohort) -> Iterator[dict[str, object]]:
    joint, theirs = _probabilities(cohort.joint("boosting")), _xgboost(cohort)
    worse, apart = auc(cohort.test, theirs) - auc(cohort.test, joint), int((np.abs(theirs - joint) > PASSIVES).sum())
    yield _line(f"boosting_auc_{cohort.name}", worse, AUC_BOOSTING, cohort, joint) | {"apart": apart}


def _passives(data: DataSet) -> Iterator[dict[str, object]]:
    """The largest difference between probabilities with one and with three passives."""
    for algorithm in ("logistic", "boosting"):
        one, three = (_cohort(data, passives) for passives in (1, 3))
        found, again = (_probabilities(each.joint(algorithm)) for each in (one, three))
        yield _line(f"passives_{algorithm}", float(np.abs(found - again).max()), PASSIVES, one, again)


def _cohort(data: DataSet, passives: int) -> _Cohort:
    from sklearn.model_selection import train_test_split

    learn, look = train_test_split(np.arange(len(data.label)), test_size=0.3, random_state=42, stratify=data.label)
    order = np.concatenate([learn, look])
    names = list(data.columns)
    parts = [names[: data.own], *(part.tolist() for part in np.array_split(names[data.own :], passives))]
    tables = [{name: data.columns[name][order] for name in part} for part in parts]
    return _Cohort(name=data.name, tables=tables, label=data.label[order], training=len(learn))


def _probabilities(result: ActiveResult) -> Floats:
    return np.frombuffer(result.probabilities, "<f8")


def _scikit_learn(cohort: _Cohort) -> Floats:
    from sklearn.linear_model import LogisticRegression

    x, size = cohort.pooled("logistic"), cohort.training
    peer = LogisticRegression(C=1 / (LogisticSettings().l2 * size), max_iter=5000, tol=1e-8)
    found: Floats = peer.fit(x[:size], cohort.label[:size]).predict_proba(x[size:])[:, 1]
    return found


def _xgboost(cohort: _Cohort) -> Floats:
    import xgboost

    peer = xgboost.XGBClassifier(
        n_estimators=BOOSTING.trees,
        max_depth=BOOSTING.depth,
        learning_rate=BOOSTING.rate,
        max_bin=BOOSTING.bins,
        reg_lambda=BOOSTING.l2,
        tree_method="hist",
        n_jobs=1,
    )
    x, size = cohort.pooled("boosting"), cohort.training
    found: Floats = peer.fit(x[:size], cohort.label[:size]).predict_proba(x[size:])[:, 1].astype(np.float64)
    return found


def _line(name: str, value: float, limit: float, cohort: _Cohort, joint: Floats) -> dict[str, object]:
    return {
        "bench": f"quality.{name}",
        "value": round(value, 5),
        "unit": "",
        "reference": limit,
        "reference_of": "limit of the difference from the pooled plaintext model",
        "ratio": round(value / limit, 3),
        "auc": round(auc(cohort.test, joint), 4),
    }
