"""The joint models of the demonstration, and what they are compared with: the same algorithm over everybody's columns in one place."""

from __future__ import annotations

import csv
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np

from cli.demo.cohort import GOVERNMENT, GOVERNMENT_ITEM, PLATFORM, PLATFORM_ITEM
from cli.demo.loans import LABEL, OWNERS, Loans
from cli.demo.network import DemoFailed, Network, command
from modeling.evaluation import evaluate
from modeling.jobs.alone import alone
from modeling.jobs.plan import JobPlan
from modeling.jobs.table import fit_columns
from nodes.joint.bank_cohort import training_rows
from nodes.joint.cohort import bank_rows
from nodes.joint.job_file import parse_job

APPLICATIONS: Final = "applications.csv"
PROVIDERS: Final = ((GOVERNMENT, GOVERNMENT_ITEM), (PLATFORM, PLATFORM_ITEM))
OWN_FEATURES: Final = ("funded_amnt", "annual_inc", "term", "verification_status")
"""What a bank knows when somebody applies: interest and grade come of the lender's own scoring, and would be its answer."""
PARAMETERS: Final = {
    "logistic": "{steps: 12, l2: 0.01}",
    "boosting": "{trees: 20, depth: 3, rate: 0.1, key_bits: 2048}  # 3072 without a word; here the run should be short",
}
_SAME: Final = 0.01
"""How far the bank's own model, trained here again, may be from the one in the report."""


@dataclass(frozen=True, kw_only=True)
class TrainedJob:
    """A job that was run: its model's figures, and the enterprises that it was tested on."""

    job_id: str
    held_out: tuple[str, ...]
    model: TrainedModel


@dataclass(frozen=True, kw_only=True)
class TrainedModel:
    """A joint model on its test rows, beside the model of all columns in the clear and the one of the bank's own columns."""

    algorithm: str
    auc: float
    ks: float
    auc_pooled: float
    auc_own: float
    seconds: float


def write_applications(loans: Loans, folder: Path) -> None:
    """The bank's own file: its columns of every loan, and the label."""
    with loans.files["demo_application"].open(encoding="utf-8", newline="") as file:
        rows = [{**row, LABEL: label} for row, label in zip(csv.DictReader(file), loans.labels, strict=True)]
    with (folder / APPLICATIONS).open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, rows[0].keys())
        writer.writeheader()
        writer.writerows(rows)


def job_text(
    name: str, algorithm: str, parameters: str, own: Sequence[str], brought: Mapping[tuple[str, str], Sequence[str]]
) -> str:
    """A job file. `brought`: the features by provider and item."""
    providers = "".join(
        f"""
  - member: {member}
    product: {item.replace("_", "-")}
    items: [{{item: {item}, features: [{", ".join(features)}]}}]"""
        for (member, item), features in brought.items()
    )
    return f"""
name: {name}
reason: joint default model of small loans
algorithm: {algorithm}
parameters: {parameters}
own:
  file: {APPLICATIONS}
  label: {{column: {LABEL}, event: bad}}
  features: [{", ".join(own)}]
providers: {providers}
"""


def train_joint(
    network: Network, folder: Path, loans: Loans, consents: Mapping[str, Mapping[str, str]], algorithm: str
) -> TrainedJob:
    """Train through the running hub as a bank does, then over all columns in one place. Raises DemoFailed.

    `folder`: holds the bank's applications; `consents`: of the cohort, by provider, subject to consent id.
    """
    name = f"default-{algorithm}"
    text = job_text(name, algorithm, PARAMETERS[algorithm], OWN_FEATURES, {part: OWNERS[part[1]] for part in PROVIDERS})
    path = folder / f"{name}.yaml"
    path.write_text(text, encoding="utf-8")
    began = time.monotonic()
    told = command("model", "train", str(path), "--home", str(network.node_home("bank-1")), "--out", str(folder / name))
    seconds = time.monotonic() - began
    report = told["report"]
    order = bank_rows(consents, told["job_id"], "all", 1).order
    if report["cohort"]["usable"] != len(order):
        raise DemoFailed(f"{report['cohort']['usable']} enterprises are in the model; {len(order)} consented to it.")
    own, pooled = (_auc(text, loans, order, columns) for columns in (OWN_FEATURES, _every_column()))
    auc_own = report["baselines"][0]["auc"]
    if abs(own - auc_own) > _SAME:
        raise DemoFailed(f"The bank's own columns reach {own:.4f} here and {auc_own:.4f} in the report.")
    test = report["test"]
    model = TrainedModel(
        algorithm=algorithm,
        auc=round(test["auc"]["value"], 4),
        ks=round(test["ks"]["value"], 4),
        auc_pooled=round(pooled, 4),
        auc_own=round(auc_own, 4),
        seconds=round(seconds, 1),
    )
    held_out = order[training_rows(parse_job(text), len(order)) :]
    return TrainedJob(job_id=told["job_id"], held_out=held_out, model=model)


def _every_column() -> tuple[str, ...]:
    return (*OWN_FEATURES, *(name for _, item in PROVIDERS for name in OWNERS[item]))


def _auc(text: str, loans: Loans, order: Sequence[str], columns: Sequence[str]) -> float:
    """Of a model of these columns in the clear, over the rows of the job and on its test rows."""
    job, rows, size = parse_job(text), len(order), training_rows(parse_job(text), len(order))
    settings: dict[str, Any] = {job.algorithm: job.settings()}
    plan = JobPlan(
        job="pooled",
        algorithm=job.algorithm,
        rows=rows,
        training=size,
        columns=dict.fromkeys(columns),
        **settings,
    )
    table, present = columns_of(loans, order, columns), np.full(rows, True)
    prepared = fit_columns(job.algorithm, table, plan.columns, np.arange(rows) < size)
    classes = dict(zip(loans.codes, loans.labels, strict=True))
    label = np.array([classes[code] == "bad" for code in order], np.float64)
    probability = alone(plan, prepared.matrix(table, present), label, present, np.full(size, False))
    return evaluate(label[size:], probability, np.random.default_rng(0)).auc.value


def columns_of(loans: Loans, order: Sequence[str], columns: Sequence[str]) -> dict[str, Any]:
    """The columns of all owners, in the order of the rows: numbers where every value is one."""
    records: dict[str, dict[str, str]] = {code: {} for code in order}
    for file in loans.files.values():
        with file.open(encoding="utf-8", newline="") as lines:
            for row in csv.DictReader(lines):
                if row["uscc"] in records:
                    records[row["uscc"]] |= row
    texts = {name: [records[code][name] for code in order] for name in columns}
    return {name: _numbers_or_texts(values) for name, values in texts.items()}


def _numbers_or_texts(values: list[str]) -> Any:  # noqa: ANN401 - an array of either kind
    try:
        return np.array([float(value) if value else np.nan for value in values])
    except ValueError:
        return np.array([value or None for value in values], dtype=object)
