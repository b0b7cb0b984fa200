"""The report of a whole job, and its page."""

from __future__ import annotations

import msgspec
import numpy as np
import pytest

from modeling.errors import DataUnusable
from modeling.jobs.leaks import statement
from modeling.report.build import Told, build_report
from modeling.report.document import Party, Report, from_json, to_json
from modeling.report.page import page
from modeling.scorecard import Scale
from tests.modeling.jobs.world import SETTINGS, Job, result


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
