"""Several providers: every two parties compare their columns, and of two that say the same the later party's goes."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import permutations
from typing import Any

import msgspec
import numpy as np
import pytest

from modeling.channel import Channel, memory_pair
from modeling.errors import BudgetExceeded, DataUnusable, PeerFailed, ProtocolViolation
from modeling.jobs.choosing import choose_active, choose_passive, peers_of
from modeling.jobs.passive import PassiveResult
from modeling.jobs.plan import SelectionRules
from modeling.jobs.table import Prepared
from modeling.local import Party, run_in_threads
from modeling.preparation.joint_correlation import READY, START
from modeling.preparation.woe import Limits
from tests.modeling.jobs.world import ROWS, Job, result, selecting
from tests.modeling.preparation.test_joint_correlation import CHI_SQUARE_LIMIT, chi_square
from tests.modeling.transcripts import recorded

ALL = Limits(lowest_value=0.0, highest_correlation=1.0)


def chosen(job: Job) -> dict[str, Prepared]:
    """What each party keeps, and why not the rest; nobody trains."""
    names = tuple(f"p{place}" for place in range(1, 1 + len(job.tables)))

    def lead(channels: Mapping[str, Channel]) -> Prepared:
        plan = job.plan(dict.fromkeys(("income", "branch", "same")))
        return choose_active(job.own, job.present, job.label, channels, plan)

    def follow(place: int) -> Party[Prepared]:
        table, there = job.tables[place], job.theirs[place]
        plan = job.plan(dict.fromkeys(table))

        def party(channels: Mapping[str, Channel]) -> Prepared:
            return choose_passive(table, there, peers_of(names, "active", names[place], channels, plan), plan)

        return party

    parties = {"active": lead, **{name: follow(place) for place, name in enumerate(names)}}
    return run_in_threads(parties, deadline_s=90)


def alike(algorithm: str, passives: int, **rules: Any) -> Job:
    """Every provider has the first one's third column, in other units."""
    job = selecting(algorithm, passives, **rules)
    for place, table in enumerate(job.tables[1:], 2):
        table[f"i.same{place}"] = job.tables[0]["i.third"] * -place + 7
    return job


@pytest.mark.parametrize("algorithm", ["logistic", "boosting"])
def test_a_column_that_two_providers_have_is_dropped_at_the_later_one(algorithm: str) -> None:
    found = alike(algorithm, 2).run()
    kept = {name: msgspec.json.decode(found[name], type=PassiveResult).prepared for name in ("p1", "p2")}
    assert kept["p1"].names == ("i.second", "i.third")
    assert kept["p2"].names == ("i.first", "i.second")
    assert "with a column of p1" in kept["p2"].dropped["i.same2"]
    assert set(kept["p1"].dropped) == {"i.first"}
    assert result(found).columns == {"p1": 2, "p2": 2}


def test_a_column_that_was_dropped_takes_no_other_with_it() -> None:
    job = Job("boosting", 2)
    job.selection = SelectionRules(key_bits=2048, limits=Limits(lowest_value=0, highest_correlation=0.5))
    income = np.nan_to_num(job.own["income"])
    job.own["income"], job.tables[0]["i.between"] = income, income + job.tables[1]["i.first"]
    with_income = chosen(job)
    assert "with a column of active" in with_income["p1"].dropped["i.between"]
    assert with_income["p2"].dropped == {}
    job.own["income"] = np.random.default_rng(3).normal(size=ROWS)
    without = chosen(job)
    assert without["p1"].dropped == {}
    assert "with a column of p1" in without["p2"].dropped["i.first"]


def test_a_column_that_cannot_be_in_the_model_takes_no_other_with_it() -> None:
    job = Job("logistic", 2)
    job.selection = SelectionRules(key_bits=2048, limits=Limits(lowest_value=0, highest_value=9, highest_missing=1))
    there = (job.label == 1) | (np.random.default_rng(1).random(ROWS) < 0.5)
    job.tables[0]["i.one"] = np.where(there, 5.0, np.nan)
    job.tables[1]["i.two"] = there.astype(float)
    kept = chosen(job)
    assert kept["p1"].left_out == ("i.one",)
    assert "i.two" in kept["p2"].names


def test_a_provider_that_keeps_nothing_ends_the_job() -> None:
    job = alike("boosting", 2)
    job.tables[1] = {"i.first": job.tables[0]["i.third"] * 2, "i.second": np.ones(ROWS)}
    with pytest.raises(DataUnusable, match=r"no own column keeps to the rules.*with a column of p1"):
        chosen(job)


# -- what is said


def test_four_providers_say_nothing_to_each_other_but_correlations_of_what_they_keep(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    transcript = recorded(monkeypatch)
    kept = chosen(alike("boosting", 4))
    assert "i.third" in kept["p1"].names
    for place in (2, 3, 4):
        assert set(kept[f"p{place}"].dropped) == {f"i.same{place}"}
        assert "with a column of p1" in kept[f"p{place}"].dropped[f"i.same{place}"]

    between = [each for each in transcript.sent if "active" not in (each.sender, each.receiver)]
    assert {each.message.kind.split("-")[0] for each in between} == {"correlation"}
    told = {name for _, _, message in between for name in (*message.fields, *message.arrays)}
    assert told == {"rows", "columns", "sums", "thousandths"}
    widths = {
        (each.sender, each.receiver): each.message.fields["columns"]
        for each in between
        if each.message.kind in (START, READY)
    }
    # Each keeps two; those behind the first have a third until they are compared with it.
    assert widths == {
        (one, other): 3 if other == "p1" else 2 for one, other in permutations(("p1", "p2", "p3", "p4"), 2)
    }
    blobs = [blob for _, _, message in between for blob in message.blobs]
    assert len(blobs) == len(set(blobs))
    assert set(transcript.decrypted) == {"active", "p1", "p2", "p3"}
    assert max(map(chi_square, transcript.opened())) < CHI_SQUARE_LIMIT


def test_providers_that_are_not_compared_say_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    transcript = recorded(monkeypatch)
    kept = chosen(alike("boosting", 2, across=False))
    assert [each for each in transcript.sent if "active" not in (each.sender, each.receiver)] == []
    assert "i.same2" in kept["p2"].names


def test_what_a_party_tells_all_others_together_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of 600 rows 150 correlations: of three providers each pair is below that, and the first one's are above."""
    random = np.random.default_rng(5)
    job = Job("boosting", 3)
    job.selection = SelectionRules(key_bits=2048, monotone=False, limits=ALL)
    for table in job.tables:
        table |= {f"i.more{n}": random.normal(size=ROWS) for n in range(7)}
    transcript = recorded(monkeypatch)
    with pytest.raises(BudgetExceeded, match="9 by 9 correlations after 99 with others"):
        chosen(job)
    results = {(each.sender, each.receiver) for each in transcript.sent if each.message.kind == "correlation-result"}
    assert results == {("p1", "active"), ("p2", "active"), ("p3", "active"), ("p2", "p1")}


# -- what is lost, and what cannot be


def test_a_provider_that_is_lost_when_it_has_chosen_has_all_choose_again() -> None:
    job = alike("boosting", 2)
    job.works["p2"].fails_after = 2  # that it begins, and what it chose
    with pytest.raises((RuntimeError, PeerFailed)):
        job.run()
    job.works["p2"].fails_after = -1
    assert result(job.run()).columns == {"p1": 2, "p2": 2}


@pytest.mark.parametrize(
    "choosers",
    [("p2",), ("p1", "p3"), ("p1", "p2", "p3"), ("p1", "p1", "p2"), ("p1", "active"), ("active", "p1", "p2")],
)
def test_an_order_of_other_parties_is_refused(choosers: tuple[str, ...]) -> None:
    job = alike("boosting", 2)
    channels = {name: memory_pair("p2", name)[0] for name in ("active", "p1")}
    plan = job.theirs_of()
    assert [each.peer for each in peers_of(("p1", "p2"), "active", "p2", channels, plan).earlier] == ["active", "p1"]
    assert [each.peer for each in peers_of(("p2", "p1"), "active", "p2", channels, plan).later] == ["p1"]
    with pytest.raises(ProtocolViolation, match="other parties"):
        peers_of(choosers, "active", "p2", channels, plan)
