"""Whole jobs in one process: every party from its table to its part, broken off and gone on with, and the report of it."""

from __future__ import annotations

from typing import Any

import msgspec
import numpy as np
import pytest

from modeling.errors import BudgetExceeded, DataUnusable, PeerFailed, ProtocolViolation
from modeling.gbdt.settings import Settings as BoostingSettings
from modeling.jobs import active, passive
from modeling.jobs.active import ActiveResult
from modeling.jobs.estimate import estimate
from modeling.jobs.leaks import statement
from modeling.jobs.passive import PassiveResult
from modeling.jobs.plan import JobPlan, SelectionRules, receive_plan
from modeling.jobs.table import fit_columns
from modeling.jobs.work import Unattended
from modeling.local import run_in_threads
from modeling.logistic.settings import Settings as LogisticSettings
from modeling.messages import Message
from modeling.metrics import auc
from modeling.preparation.candidates import WoeColumn
from modeling.preparation.columns import NumberRule
from modeling.preparation.woe import Limits
from modeling.report.build import Told, build_report
from modeling.report.document import Party, Report, from_json, to_json
from modeling.report.page import page
from modeling.scorecard import Scale

ROWS, TRAINING = 900, 600
SETTINGS: dict[str, Any] = {
    "logistic": LogisticSettings(steps=8, tolerance=0.0),
    "boosting": BoostingSettings(trees=4, depth=2, key_bits=2048),
}


class Kept(Unattended):
    """Keeps checkpoints in memory, and fails after some of them."""

    def __init__(self, withdrawn: dict[int, list[int]] | None = None) -> None:
        self.data: bytes | None = None
        self.count = 0
        self.fails_after = -1
        self.leave = withdrawn or {}

    def kept(self) -> bytes | None:
        return self.data

    def keep(self, checkpoint: bytes) -> None:
        self.data = checkpoint
        self.count += 1
        if self.count == self.fails_after:
            raise RuntimeError("killed")

    def withdrawn(self) -> list[int]:
        return [row for after, rows in self.leave.items() if self.count >= after for row in rows]


class Job:
    """A bank and providers with columns of every kind, and gaps."""

    def __init__(self, algorithm: str, passives: int = 1) -> None:
        random = np.random.default_rng(7)
        x = random.normal(size=(ROWS, 2 + 2 * passives))
        z = x @ np.linspace(1.0, 0.4, x.shape[1])
        self.label = (random.random(ROWS) < 1 / (1 + np.exp(-z))).astype(float)
        self.algorithm = algorithm
        self.selection: SelectionRules | None = None
        branch = np.where(x[:, 1] > 0, "city", "land").astype(object)
        branch[::50] = None
        self.own: dict[str, Any] = {
            "income": x[:, 0].copy(),
            "branch": branch,
            "same": np.ones(ROWS),
            "label": self.label,
        }
        self.own["income"][::40] = np.nan
        self.present = np.full(ROWS, True)
        self.present[::30] = False
        self.tables = [
            {"i.first": x[:, 2 + 2 * place].copy(), "i.second": x[:, 3 + 2 * place].copy()} for place in range(passives)
        ]
        self.theirs = [np.full(ROWS, True) for _ in range(passives)]
        self.theirs[0][5::25] = False
        for table, there in zip(self.tables, self.theirs, strict=True):
            for column in table.values():
                column[~there] = np.nan
        self.works: dict[str, Any] = {"active": Kept(), **{f"p{n}": Kept() for n in range(1, passives + 1)}}

    def plan(self, columns: dict[str, Any]) -> JobPlan:
        return JobPlan(
            job="ab" * 16,
            algorithm=self.algorithm,  # type: ignore[arg-type]
            rows=ROWS,
            training=TRAINING,
            columns=columns,
            selection=self.selection,
            **{self.algorithm: SETTINGS[self.algorithm]},
        )

    def theirs_of(self, **changes: Any) -> JobPlan:
        """What a passive is told."""
        return msgspec.structs.replace(self.plan({"i.first": None, "i.second": NumberRule()}), **changes)

    def run(self, **replaced: Any) -> dict[str, bytes]:
        plans = {
            f"p{n}": self.theirs_of(
                columns={"i.first": None, "i.second": NumberRule()}
                | dict.fromkeys(set(table) - {"i.first", "i.second"})
            )
            for n, table in enumerate(self.tables, start=1)
        }
        own = self.plan({"income": None, "branch": None, "same": None})
        parties: dict[str, Any] = {
            "active": lambda channels: active.run(
                self.own, self.present, "label", channels, plans, own, self.works["active"]
            )
        }
        for n, (table, there) in enumerate(zip(self.tables, self.theirs, strict=True), start=1):
            parties[f"p{n}"] = lambda channels, n=n, table=table, there=there: passive.run(
                table, there, "active", f"p{n}", channels, self.works[f"p{n}"]
            )
        return run_in_threads(parties | replaced, deadline_s=90)  # a key takes long on a busy machine


def result(found: dict[str, bytes]) -> ActiveResult:
    return msgspec.json.decode(found["active"], type=ActiveResult)


def floats(data: bytes) -> np.ndarray:
    return np.frombuffer(data, "<f8")


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


def selecting(algorithm: str, **rules: Any) -> Job:
    """A job with a column that says the same as one of the bank's, and one that says nothing."""
    job = Job(algorithm)
    job.selection = SelectionRules(key_bits=2048, bins=5, **rules)
    job.tables[0]["i.third"] = np.random.default_rng(2).normal(size=ROWS) + job.label
    job.tables[0]["i.first"] = np.where(job.theirs[0], np.nan_to_num(job.own["income"]) * 3 + 1, np.nan)
    return job


@pytest.mark.parametrize("algorithm", ["logistic", "boosting"])
def test_columns_are_chosen_at_every_party_before_the_training(algorithm: str) -> None:
    job = selecting(algorithm, **({"encode": "woe"} if algorithm == "logistic" else {}))
    found = job.run()
    told, theirs = result(found), msgspec.json.decode(found["p1"], type=PassiveResult)
    assert theirs.prepared.names == ("i.second", "i.third")
    assert "with a column of active" in theirs.prepared.dropped["i.first"]
    assert set(theirs.prepared.values) == {"i.first", "i.second", "i.third"}
    assert told.columns == {"p1": 2}
    assert "income" in told.part.prepared.names
    assert any(isinstance(each, WoeColumn) for each in told.part.prepared.columns) == (algorithm == "logistic")
    assert told.part.prepared.dropped.keys() | told.part.prepared.left_out >= {"same"}


@pytest.mark.parametrize("victim", ["active", "p1"])
def test_a_choice_is_made_once_however_often_the_job_is_broken_off(victim: str) -> None:
    whole = result(selecting("logistic", encode="woe").run())
    job = selecting("logistic", encode="woe")
    job.works[victim].fails_after = 3  # the choice, and two steps
    with pytest.raises((RuntimeError, PeerFailed)):
        job.run()
    job.works[victim].fails_after = -1
    kinds = counted_kinds(job)
    found = result(job.run())
    assert not [kind for kind in kinds if kind.startswith(("bins.", "correlation"))]
    np.testing.assert_allclose(floats(found.probabilities), floats(whole.probabilities), atol=5e-3)


def counted_kinds(job: Job) -> list[str]:
    """The kinds of messages that the passive sends from now on."""
    kinds: list[str] = []

    def follow(channels: Any) -> bytes:
        channel = channels["active"]
        send = channel.send
        channel.send = lambda message: (kinds.append(message.kind), send(message))[1]
        return passive.run(job.tables[0], job.theirs[0], "active", "p1", channels, job.works["p1"])

    run = job.run
    job.run = lambda: run(p1=follow)  # type: ignore[method-assign]
    return kinds


def broken_off(job: Job, after: int) -> None:
    """Run until the active party has kept so much and fails, and let it forget all of it."""
    job.works["active"].fails_after = after
    with pytest.raises((RuntimeError, PeerFailed)):
        job.run()
    job.works["active"] = Kept()


def test_a_passive_answers_for_a_choice_once_more_after_a_loss_and_not_for_ever() -> None:
    job = selecting("logistic")
    for _ in range(passive.MOST_CHOICES):
        broken_off(job, 1)
    with pytest.raises(ProtocolViolation, match="once more"):
        job.run()


def test_a_passive_that_has_trained_chooses_no_more() -> None:
    job = selecting("logistic")
    broken_off(job, 3)  # the choice, and two steps
    with pytest.raises(ProtocolViolation, match="once more"):
        job.run()


@pytest.mark.parametrize("who", ["active", "p1"])
def test_who_has_left_before_the_choice_is_not_counted(who: str) -> None:
    gone = list(range(0, TRAINING, 4))
    left, absent = selecting("boosting"), selecting("boosting")
    left.works[who] = Kept(withdrawn={0: gone})
    if who == "active":
        absent.present[gone] = False
    else:
        absent.theirs[0][gone] = False
    values = [msgspec.json.decode(job.run()["p1"], type=PassiveResult).prepared.values for job in (left, absent)]
    assert (
        values[0]
        == values[1]
        != msgspec.json.decode(selecting("boosting").run()["p1"], type=PassiveResult).prepared.values
    )


def test_a_passive_that_lost_the_choice_ends_the_job() -> None:
    job = selecting("logistic")
    job.works["active"].fails_after = 2
    with pytest.raises((RuntimeError, PeerFailed)):
        job.run()
    job.works["active"].fails_after = -1
    job.works["p1"] = Kept()
    with pytest.raises(DataUnusable, match="choice is lost"):
        job.run()


def test_rules_that_no_column_keeps_to_are_told() -> None:
    with pytest.raises(DataUnusable, match="keeps to the rules"):
        selecting("logistic", limits=Limits(lowest_value=2.0)).run()


def test_a_passive_with_other_rows_is_told() -> None:
    job = Job("boosting")
    with pytest.raises(ProtocolViolation, match="rows"):
        job.run(
            p1=lambda channels: passive.run({"a": np.ones(3)}, np.full(3, True), "active", "p1", channels, Unattended())
        )


def agreeing(job: Job, agreed: JobPlan, sent: list[Message] | None = None) -> Any:
    """A passive that takes part in the agreed job only; all that it sends is noted."""

    def party(channels: Any) -> bytes:
        channel = channels["active"]
        send = channel.send

        def noted(message: Message) -> None:
            if sent is not None:
                sent.append(message)
            send(message)

        channel.send = noted
        return passive.run(job.tables[0], job.theirs[0], "active", "p1", channels, job.works["p1"], agreed=agreed)

    return party


@pytest.mark.parametrize("algorithm", ["logistic", "boosting"])
def test_a_passive_takes_part_in_the_job_that_it_agreed_to(algorithm: str) -> None:
    job = Job(algorithm)
    found = job.run(p1=agreeing(job, job.theirs_of()))
    assert msgspec.json.decode(found["p1"], type=PassiveResult).job == "ab" * 16


@pytest.mark.parametrize("algorithm", ["logistic", "boosting"])
@pytest.mark.parametrize(
    "changes",
    [
        {"job": "cd" * 16},
        {"training": TRAINING - 1},
        {"columns": {"i.first": None}},
        {"columns": {"i.first": None, "i.second": None}},
        {
            "logistic": LogisticSettings(steps=9, tolerance=0.0),
            "boosting": BoostingSettings(trees=5, depth=2, key_bits=2048),
        },
    ],
)
def test_a_passive_that_agreed_to_another_job_refuses_and_says_nothing(algorithm: str, changes: dict[str, Any]) -> None:
    job = Job(algorithm)
    other = {"boosting": "logistic", "logistic": "boosting"}[algorithm]
    agreed = job.theirs_of(**{name: value for name, value in changes.items() if name != other})
    sent: list[Message] = []
    with pytest.raises(ProtocolViolation, match="another job than was agreed"):
        job.run(p1=agreeing(job, agreed, sent))
    assert sent == []


@pytest.mark.parametrize("algorithm", ["logistic", "boosting"])
def test_a_passive_refuses_a_training_with_other_settings_than_the_plan_told(
    algorithm: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    job = Job(algorithm)
    lies = {
        "logistic": LogisticSettings(steps=7, tolerance=0.0),
        "boosting": BoostingSettings(trees=3, depth=2, key_bits=2048),
    }
    module = {"logistic": active.logistic, "boosting": active.boosting}[algorithm]
    train = module.train

    def with_others(*given: Any, **named: Any) -> Any:
        return train(*given[:3], lies[algorithm], **named)

    monkeypatch.setattr(module, "train", with_others)
    with pytest.raises(ProtocolViolation, match="other settings than were agreed"):
        job.run()
    assert job.works["p1"].count == 0


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


def test_an_estimate_grows_with_rows_and_refuses_what_training_would() -> None:
    few = estimate(BoostingSettings(trees=10), 10_000, 7_000, (5, 5))
    many = estimate(BoostingSettings(trees=10), 100_000, 70_000, (5, 5))
    assert many.megabytes == pytest.approx(10 * few.megabytes, rel=0.2)
    assert many.seconds > 5 * (few.seconds - 3)
    with pytest.raises(Exception, match="equations"):
        estimate(LogisticSettings(), 1000, 700, (5, 50))


def test_an_estimate_of_bytes_is_near_what_a_training_sends() -> None:
    told = result(Job("logistic").run())
    sent = sum(phase.sent_bytes + phase.received_bytes for phase in told.phases if phase.name == "train")
    expected = estimate(SETTINGS["logistic"], ROWS, TRAINING, (4, 2)).megabytes
    assert sent / 1e6 == pytest.approx(expected, rel=0.35)


# -- the report


def report_of(algorithm: str, name: str = "default") -> Report:
    job = Job(algorithm)
    told = result(job.run())
    about = Told(
        job="ab" * 16,
        name=name,
        reason="test",
        purpose="joint_modelling",
        settings=msgspec.to_builtins(SETTINGS[algorithm]),
        made_ms=1_780_000_000_000,
        commitment="cd" * 32,
        parties=(
            Party(name="bank", role="active", columns=0),
            Party(name="tax", role="passive", product="t", columns=0),
        ),
        refused={"tax": {"CONSENT_EXPIRED": 3}},
        attempts=1,
        leaks=statement(algorithm, "bank", ("tax",), rows_scored=300),  # type: ignore[arg-type]
        scale=Scale(),
    )
    return build_report(told, job.own, job.present, about, np.random.default_rng(0))


@pytest.mark.parametrize("algorithm", ["logistic", "boosting"])
def test_a_report_tells_what_the_job_was(algorithm: str) -> None:
    report = report_of(algorithm)
    assert from_json(to_json(report)) == report
    assert report.cohort.usable == report.cohort.training + report.cohort.test == 870
    assert (report.scorecard is not None) == (algorithm == "logistic")
    assert (report.train is not None) == (algorithm == "boosting")
    assert {table.name for table in report.tables} == {"income", "branch"}
    assert [party.columns for party in report.parties] == [report.parties[0].columns, 2]
    assert report.parties[1].names == ()
    assert any(each.of_party for each in report.importance) == (algorithm == "boosting")
    assert sum(line.rows for line in report.tables[0].bins) == report.cohort.training


@pytest.mark.parametrize("language", ["en", "zh"])
def test_the_page_needs_nothing_from_elsewhere_and_escapes_every_name(language: str) -> None:
    report = report_of("boosting", name="<script>alert(1)</script>")
    hostile = msgspec.structs.replace(
        report, tables=tuple(msgspec.structs.replace(t, name="</script><b>") for t in report.tables)
    )
    text = page(hostile, language)
    head, _, tail = text.partition("<script>")
    assert "alert(1)" in head
    assert "<script>alert" not in text
    assert "</script><b>" not in text
    assert 'src="http' not in tail[-200_000:]
    assert "<link" not in head
    for leak in report.leaks:
        assert leak.learns[0].split(";")[0].split("'")[0] in head


def test_a_report_of_another_version_is_refused() -> None:
    report = msgspec.structs.replace(report_of("logistic"), version=9)
    with pytest.raises(DataUnusable, match="version 9"):
        from_json(to_json(report))
    with pytest.raises(DataUnusable, match="cannot be read"):
        from_json(b"{}")
    with pytest.raises(DataUnusable, match="written in"):
        page(report, "fr")
