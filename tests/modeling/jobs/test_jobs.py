"""Whole jobs in one process: every party from its table to its part, broken off and gone on with, refused where it must be."""

from __future__ import annotations

from typing import Any

import msgspec
import numpy as np
import pytest

from modeling.errors import BudgetExceeded, DataUnusable, PeerFailed, ProtocolViolation
from modeling.jobs import passive
from modeling.jobs.leaks import statement
from modeling.jobs.passive import PassiveResult
from modeling.jobs.plan import SelectionRules, receive_plan
from modeling.jobs.table import fit_columns
from modeling.jobs.work import Unattended
from modeling.metrics import auc
from tests.modeling.jobs.world import ROWS, TRAINING, Job, Kept, floats, result


@pytest.mark.parametrize("algorithm", ["logistic", "boosting"])
@pytest.mark.parametrize("passives", [1, 2])
def test_a_job_ends_with_a_model_that_ranks_the_test_rows(algorithm: str, passives: int) -> None:
    job = Job(algorithm, passives)
    found = job.run()
    told = result(found)
    counts = floats(told.weight)[TRAINING:] > 0
    assert auc(job.label[TRAINING:][counts], floats(told.probabilities)[counts]) > 0.68
    assert counts.sum() == job.present[TRAINING:].sum()
    assert told.part.prepared.left_out == ("same",)
    assert told.columns == {f"p{n}": 2 for n in range(1, passives + 1)}
    assert [phase.name for phase in told.phases] == ["prepare", "train", "score"]
    own = msgspec.json.decode(found["p1"], type=PassiveResult)
    assert (len(own.coefficients) == 2) == (algorithm == "logistic")
    assert (own.boosting is not None) == (algorithm == "boosting")


@pytest.mark.parametrize("algorithm", ["logistic", "boosting"])
@pytest.mark.parametrize("victim", ["active", "p1"])
def test_a_job_that_was_broken_off_goes_on_to_the_same_model(algorithm: str, victim: str) -> None:
    whole = result(Job(algorithm).run())
    job = Job(algorithm)
    job.works[victim].fails_after = 2
    with pytest.raises((RuntimeError, PeerFailed)):
        job.run()
    steps = job.works["active"].count
    job.works[victim].fails_after = -1
    found = result(job.run())
    assert 0 < steps < whole.steps
    np.testing.assert_allclose(floats(found.probabilities), floats(whole.probabilities), atol=5e-3)
    assert found.curve == pytest.approx(whole.curve, abs=1e-2 if algorithm == "logistic" else 1e-9)
    assert len(found.curve) == whole.steps


@pytest.mark.parametrize("algorithm", ["logistic", "boosting"])
def test_own_columns_alone_are_worth_less(algorithm: str) -> None:
    job = Job(algorithm, passives=2)
    told = result(job.run())
    counts = floats(told.weight)[TRAINING:] > 0
    joint, own = (auc(job.label[TRAINING:][counts], floats(each)[counts]) for each in (told.probabilities, told.alone))
    assert 0.55 < own < joint - 0.02


@pytest.mark.parametrize("algorithm", ["logistic", "boosting"])
def test_subjects_that_withdraw_leave_training_and_test(algorithm: str) -> None:
    job = Job(algorithm)
    gone = {1: [3, 10], 2: [TRAINING + 4]}
    job.works["p1"] = Kept(withdrawn=gone)
    job.works["active"] = Kept(withdrawn=gone)
    found = job.run()
    told = result(found)
    assert told.withdrawn == (3, 10, TRAINING + 4)
    assert not floats(told.weight)[[3, 10, TRAINING + 4]].any()
    assert msgspec.json.decode(found["p1"], type=PassiveResult).withdrawn == told.withdrawn


def test_a_passive_with_other_rows_is_told() -> None:
    job = Job("boosting")
    with pytest.raises(ProtocolViolation, match="rows"):
        job.run(
            p1=lambda channels: passive.run({"a": np.ones(3)}, np.full(3, True), "active", "p1", channels, Unattended())
        )


def one_class(job: Job) -> None:
    job.own["label"][TRAINING:] = 0.0


def the_other_class_counts_nowhere(job: Job) -> None:
    job.present[TRAINING:] &= job.label[TRAINING:] == 0.0


def no_test_row_counts(job: Job) -> None:
    job.present[TRAINING:] = False


def no_label_is_known(job: Job) -> None:
    job.own["label"] = np.where(np.arange(ROWS) < TRAINING, job.label, np.nan)
    job.present[TRAINING:] = False


@pytest.mark.parametrize("algorithm", ["logistic", "boosting"])
@pytest.mark.parametrize("spoiled", [one_class, the_other_class_counts_nowhere, no_test_row_counts, no_label_is_known])
def test_what_cannot_be_tested_is_not_trained(algorithm: str, spoiled: Any) -> None:
    job = Job(algorithm)
    spoiled(job)
    told: list[bytes] = []

    def waiting(channels: Any) -> None:
        with pytest.raises(PeerFailed, match="DATA_UNUSABLE"):
            receive_plan(channels["active"])
        told.append(b"nothing")

    with pytest.raises(DataUnusable, match="one class only"):
        job.run(p1=waiting)
    assert told == [b"nothing"]
    assert job.works["active"].count == 0


def test_a_single_row_of_the_other_class_is_enough_to_test() -> None:
    job = Job("boosting")
    _, *others = (TRAINING + np.flatnonzero(job.present[TRAINING:] & (job.label[TRAINING:] == 1))).tolist()
    job.present[others] = False

    def told(channels: Any) -> None:
        receive_plan(channels["active"])
        raise BudgetExceeded("the job has begun")

    with pytest.raises(BudgetExceeded, match="has begun"):
        job.run(p1=told)


def test_a_provider_without_a_usable_column_ends_the_job_at_both_ends() -> None:
    job = Job("logistic")
    job.tables[0] = {"i.first": np.ones(ROWS), "i.second": np.full(ROWS, np.nan)}
    with pytest.raises(DataUnusable, match="constant or empty"):
        job.run()


def test_a_single_provider_with_one_column_would_show_it_by_its_scores() -> None:
    job = Job("logistic")
    job.tables[0]["i.second"] = np.ones(ROWS)
    with pytest.raises(DataUnusable, match="would show that column"):
        job.run()
    again = Job("logistic", passives=2)
    again.tables[0]["i.second"] = np.ones(ROWS)
    assert result(again.run()).columns == {"p1": 1, "p2": 2}


@pytest.mark.parametrize(
    "columns", [{"x": np.ones(4)}, {"x": np.full(4, np.nan)}, {"x": np.array(["a"] * 4, dtype=object)}]
)
def test_columns_that_say_nothing_are_left_out(columns: dict[str, Any]) -> None:
    table = {**columns, "y": np.arange(4.0)}
    prepared = fit_columns("boosting", table, {"x": None, "y": None}, np.full(4, True))
    assert prepared.left_out == ("x",)
    with pytest.raises(DataUnusable):
        fit_columns("boosting", table, {"x": None}, np.full(4, True))
    with pytest.raises(DataUnusable, match="not in the data"):
        fit_columns("boosting", table, {"z": None}, np.full(4, True))
    with pytest.raises(DataUnusable, match="no training row"):
        fit_columns("boosting", table, {"y": None}, np.full(4, False))


@pytest.mark.parametrize("algorithm", ["logistic", "boosting"])
def test_who_scores_nothing_learns_nothing_of_scoring(algorithm: str) -> None:
    scored, trained = (statement(algorithm, "bank", ("tax",), rows_scored=rows) for rows in (300, 0))  # type: ignore[arg-type]
    assert [leak.party for leak in scored] == [leak.party for leak in trained]
    (more,) = set(scored[0].learns) - set(trained[0].learns)
    assert "test enterprise" in more
    assert scored[1:] == trained[1:]


@pytest.mark.parametrize("algorithm", ["logistic", "boosting"])
@pytest.mark.parametrize("selection", [None, SelectionRules(across=False), SelectionRules()])
@pytest.mark.parametrize("providers", [("tax",), ("tax", "pay")])
def test_what_providers_tell_each_other_is_stated_where_they_do(
    algorithm: Any, selection: SelectionRules | None, providers: tuple[str, ...]
) -> None:
    bank, *parties, _ = statement(algorithm, "bank", providers, rows_scored=300, selection=selection)
    compared = len(providers) == 2 and selection is not None and selection.across
    assert any("leaves out" in line for line in bank.learns) == compared
    for party in parties:
        assert any("every other party" in line for line in party.learns) == compared
        talks = compared or (len(providers) == 2 and algorithm == "logistic")
        assert any("other providers' nodes" in line for line in party.learns) == talks
