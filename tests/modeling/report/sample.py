"""A report of a job that was not run: real figures of drawn rows, names that a page must bear."""

from __future__ import annotations

import msgspec
import numpy as np

from modeling.evaluation import evaluate, score_stability
from modeling.jobs.leaks import statement
from modeling.jobs.plan import Algorithm
from modeling.report.document import (
    Baseline,
    Bin,
    BinTable,
    Cohort,
    Importance,
    Party,
    PhaseCost,
    Points,
    Report,
    ScorecardPart,
)

NAMES = (
    "annual_income",
    "funded_amount",
    "verification_status",
    "months_in_business",
    "行业类别",
    "debt_to_income_ratio_12m",
)


def drawn(rows: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Labels and calibrated probabilities, about one default in eight."""
    random = np.random.default_rng(seed)
    probability = 1 / (1 + np.exp(2.6 - 1.3 * random.normal(size=rows)))
    return (random.random(rows) < probability).astype(float), probability


def bins(name: str, place: int) -> BinTable:
    """Six bins, the first of missing values."""
    labels = ("missing", "≤ 12500", "12500 < x ≤ 24000", "24000 < x ≤ 41250.5", "41250.5 < x ≤ 88000", "> 88000")
    rates = np.array([0.19, 0.24, 0.16, 0.12, 0.09, 0.05]) ** (1 - place / 12)
    found = tuple(
        Bin(
            label=label,
            rows=700,
            events=round(700 * rate),
            rate=float(rate),
            woe=float(np.log(rate / (1 - rate)) + 1.9),
        )
        for label, rate in zip(labels, rates, strict=True)
    )
    return BinTable(name=name, value=0.42 / (1 + place), stability=0.004 * (1 + place), bins=found)


def sample(algorithm: Algorithm = "boosting", *, parties: int = 2) -> Report:
    """A whole report; logistic without training figures, as its jobs have none."""
    (train, fitted), (test, tested) = drawn(4200, 1), drawn(1800, 2)
    boosting = algorithm == "boosting"
    trained = evaluate(train, fitted, np.random.default_rng(0)) if boosting else None
    providers = ("tax-bureau", "customs", "power-grid", "water")[: parties - 1]
    own = tuple(Importance(name=name, value=80.0 / (1 + place)) for place, name in enumerate(NAMES))
    theirs = tuple(Importance(name=name, value=130.5 - 40 * at, of_party=True) for at, name in enumerate(providers))
    lines = tuple(
        Points(
            name=name,
            coefficient=0.4 - 0.1 * at,
            lowest=-1.2,
            highest=2.5,
            points_lowest=14 - at,
            points_highest=-29 + at,
        )
        for at, name in enumerate(NAMES)
    )
    return Report(
        job="ab" * 16,
        name="Loan default 2026",
        reason="joint default model of small loans",
        purpose="joint_modelling",
        algorithm=algorithm,
        settings={"trees": 30, "depth": 3, "rate": 0.3, "scheme": "okamoto-uchiyama"} if boosting else {"steps": 15},
        made_ms=1_790_000_000_000,
        commitment="c0ffee" * 10 + "beef",
        parties=(
            Party(name="bank-of-the-north", role="active", columns=len(NAMES), names=NAMES, left_out=("country",)),
            *(Party(name=name, role="passive", product=f"{name}-basic", columns=4) for name in providers),
        ),
        cohort=Cohort(
            rows=6104,
            usable=6000,
            training=4200,
            test=1800,
            withdrawn=3,
            refused={"tax-bureau": {"CONSENT_EXPIRED": 12}},
        ),
        test=evaluate(test, tested, np.random.default_rng(0)),
        train=trained,
        score_stability=score_stability(fitted, tested) if boosting else None,
        steps=30 if boosting else 15,
        settled=True,
        curve=tuple(0.3 + 0.12 * 0.9**tree for tree in range(30)) if boosting else (1.1, 0.3, 0.06, 0.02),
        importance=tuple(sorted((*own, *theirs), key=lambda each: -each.value)) if boosting else own,
        scorecard=None
        if boosting
        else ScorecardPart(base_score=600.0, base_odds=50.0, pdo=20.0, base=487 + 55, lines=lines),
        tables=tuple(bins(name, place) for place, name in enumerate(NAMES)),
        baselines=(Baseline(name="the bank's columns alone", auc=0.7012, ks=0.3021),),
        phases=(
            PhaseCost(name="prepare", seconds=0.42, messages=12, sent_bytes=18_000, received_bytes=2_400),
            PhaseCost(name="train", seconds=184.2, messages=1260, sent_bytes=88_400_000, received_bytes=214_000_000),
            PhaseCost(name="score", seconds=3.9, messages=61, sent_bytes=120_000, received_bytes=1_900_000),
        ),
        leaks=statement(algorithm, "bank-of-the-north", providers, rows_scored=1800),
        versions={"xinqiao": "0.1.0", "numpy": "2.4.0"},
    )


def hostile(text: str) -> Report:
    """Every text that somebody outside could have chosen is this one."""
    report = sample()
    replace = msgspec.structs.replace
    return replace(
        report,
        job=text,
        name=text,
        reason=text,
        purpose=text,
        commitment=text,
        settings={text: text},
        versions={text: text},
        parties=tuple(replace(each, name=text, product=text, left_out=(text,)) for each in report.parties),
        cohort=replace(report.cohort, refused={text: {text: 1}}),
        importance=tuple(replace(each, name=text) for each in report.importance),
        tables=tuple(
            replace(each, name=text, bins=tuple(replace(one, label=text) for one in each.bins))
            for each in report.tables
        ),
        baselines=(Baseline(name=text, auc=0.7, ks=0.3),),
        phases=tuple(replace(each, name=text) for each in report.phases),
        scorecard=ScorecardPart(base_score=600.0, base_odds=50.0, pdo=20.0, base=1, lines=(replace_points(text),)),
        leaks=tuple(replace(each, party=text, learns=(text,)) for each in report.leaks),
    )


def replace_points(text: str) -> Points:
    """A line of a scorecard with this name."""
    return Points(name=text, coefficient=0.1, lowest=0, highest=1, points_lowest=0, points_highest=-3)
