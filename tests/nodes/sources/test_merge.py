"""What several sources say together: who has a row, who contradicts, what is lacking, and how old it all is (guideline 6.2, 6.3)."""

from __future__ import annotations

import stat
from datetime import date
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cli.node_work_commands import _report_text
from nodes.sources.config import MAX_SOURCES
from nodes.sources.errors import SourcesInvalid
from tests.nodes.sources.bureau import CATALOGUE, CODES, HEADER, ITEM, Bureau, line, source

DAY_MS = 86_400_000
NOW_MS = 1_790_000_000_000  # 2026-09-21 in China
Row = tuple[int, int, str]


def declared(*names: str, more: str = "") -> str:
    return "".join(source(name, path=f"{name}.csv", more=more) for name in names)


def kept(bureau: Bureau, place: int) -> list[tuple[str, list[str]]]:
    return [(each.quality, [s.name for s in each.sources]) for each in bureau.set.kept(ITEM, CODES[place])]


def test_each_record_has_its_quality_and_every_source_that_has_it(bureau: Bureau) -> None:
    files: dict[str, str | bytes] = {
        "a.csv": HEADER + line(0, 1) + line(1, 1) + line(2, 1) + line(3, 5),
        "b.csv": HEADER + line(0, 2) + line(1, 1) + line(1, 9, since="2024-02") + line(3, 5),
    }
    outcome = bureau.load(declared("a", "b"), files)
    assert kept(bureau, 0) == [("conflict", ["a"]), ("conflict", ["b"])]
    assert kept(bureau, 1) == [("conflict", ["a", "b"]), ("conflict", ["b"])]
    assert kept(bureau, 2) == [("ok", ["a"])]
    assert kept(bureau, 3) == [("ok", ["a", "b"])]
    assert kept(bureau, 4) == []
    assert [report.corroborated for report in outcome.sources] == [2, 2]
    bureau.reopened()
    assert kept(bureau, 0) == [("conflict", ["a"]), ("conflict", ["b"])]
    assert list(bureau.set.lookup(ITEM, CODES[0])[0]) == ["months", "amount", "since"]


def test_origin_method_organisation_and_time_of_collection_are_kept(bureau: Bureau) -> None:
    more = 'origin = "enterprise"\nsource_org = "某局"\ncollect_method = "manual"\nas_of = 2024-03-01'
    bureau.load(declared("a", more=more), {"a.csv": HEADER + line(0)}, NOW_MS)
    (record,) = bureau.set.kept(ITEM, CODES[0])
    (origin,) = record.sources
    assert (origin.origin, origin.source_org, origin.collect_method) == ("enterprise", "某局", "manual")
    assert (record.collected_ms, record.catalogue_version) == (NOW_MS, CATALOGUE.version)


@settings(max_examples=25, deadline=None)
@given(
    told=st.lists(
        st.sets(st.tuples(st.integers(0, 2), st.integers(0, 2), st.sampled_from(["2024-01", "2024-02"])), max_size=6),
        min_size=2,
        max_size=3,
    )
)
def test_conflicts_are_where_a_source_lacks_a_row_of_another(
    tmp_path_factory: pytest.TempPathFactory, told: list[set[Row]]
) -> None:
    """Against the definition, in the plainest form."""
    bureau = Bureau(tmp_path_factory.mktemp("bureau"))
    names = [f"s{number}" for number in range(len(told))]
    files: dict[str, str | bytes] = {
        f"{name}.csv": HEADER + "".join(line(p, m, since=s) for p, m, s in sorted(rows))
        for name, rows in zip(names, told, strict=True)
    }
    (item,) = bureau.load(declared(*names), files).items
    wrong = set()
    for place in range(3):  # the item has no period: the key is the subject
        speaking = [rows for rows in ({row for row in each if row[0] == place} for each in told) if rows]
        if any(rows != speaking[0] for rows in speaking):
            wrong.add(place)
    assert item.conflicts == len(wrong)
    for place in range(3):
        rows = zip(bureau.set.lookup(ITEM, CODES[place]), bureau.set.kept(ITEM, CODES[place]), strict=True)
        found = {(place, r["months"], r["since"]): (k.quality, [int(s.name[1:]) for s in k.sources]) for r, k in rows}
        assert found == {
            row: ("conflict" if place in wrong else "ok", [n for n, each in enumerate(told) if row in each])
            for row in set().union(*told)
            if row[0] == place
        }


def conflicting(bureau: Bureau, last: int) -> Path:
    files: dict[str, str | bytes] = {"a.csv": HEADER + line(0, 1), "b.csv": HEADER + line(0, last)}
    (item,) = bureau.load(declared("a", "b"), files).items
    return Path(item.conflicts_file)


def test_the_list_of_conflicts_is_for_its_owner_only_and_goes_with_its_snapshot(bureau: Bureau) -> None:
    first = conflicting(bureau, 2)
    assert stat.S_IMODE(first.stat().st_mode) == 0o600
    assert first.read_text(encoding="utf-8").splitlines() == ["subject,sources", f"{CODES[0]},a b"]
    bureau.reopened()
    assert first.exists()
    held = bureau.set.pin(ITEM, "transfer")
    second = conflicting(bureau, 3)
    assert held in first.name
    assert first.exists()
    bureau.set.unpin("transfer")
    assert not first.exists()
    assert second.exists()
    assert conflicting(bureau, 1) == Path()
    assert list(bureau.snapshots.glob("*.conflicts")) == []


def test_a_key_that_the_sources_state_is_shown_by_its_form_only(bureau: Bureau) -> None:
    files: dict[str, str | bytes] = {
        "a.csv": HEADER + line(0, 7, "1.00", "2024-01"),
        "b.csv": HEADER + line(0, 7, "2.00", "2024-01"),
    }
    (item,) = bureau.load(declared("a", "b", more='key = ["months", "since"]'), files).items
    assert [conflict.key for conflict in item.conflict_examples] == ["9 9999-99"]


def test_more_sources_than_a_number_has_bits_are_refused_with_words(bureau: Bureau) -> None:
    names = [f"s{number}" for number in range(MAX_SOURCES + 1)]
    with pytest.raises(SourcesInvalid, match="more than 62"):
        bureau.load(declared(*names), {})


def test_as_many_sources_as_a_number_has_bits_are_kept_apart(bureau: Bureau) -> None:
    names = [f"s{number}" for number in range(MAX_SOURCES)]
    files: dict[str, str | bytes] = {f"{name}.csv": HEADER + line(0) for name in names}
    assert bureau.load(declared(*names), files).complete
    assert kept(bureau, 0) == [("ok", names)]


def test_what_the_catalogue_has_and_the_sources_lack_is_told(bureau: Bureau) -> None:
    header = "uscc,identified,released,authority\n"
    rows = f"{CODES[0]},2024-01-01,,x\n{CODES[0]},2024-02-01,2024-03-01,x\n{CODES[1]},2024-01-01,,x\n"
    (item,) = bureau.load(source(item="tax_abnormal"), {"fund.csv": header + rows}).items
    assert item.fields == 3
    assert [(gap.field, gap.subjects) for gap in item.gaps] == [("released", 1)]
    lacking = 'absent = ["authority"]\n[source.fields]\nidentified = "identified"'
    (item,) = bureau.load(source(item="tax_abnormal", more=lacking), {"fund.csv": header + rows}).items
    assert item.absent_fields == ("released", "authority")
    assert [(gap.field, gap.subjects) for gap in item.gaps] == [("released", 2), ("authority", 2)]


def test_a_source_that_states_its_day_is_as_old_as_that(bureau: Bureau) -> None:
    (item,) = bureau.load(declared("a", more="as_of = 2026-08-01"), {"a.csv": HEADER + line(0)}, NOW_MS).items
    assert date.fromtimestamp(item.data_ms / 1000 - 1) == date(2026, 8, 1)
    (status,) = bureau.set.status(NOW_MS)
    assert status.stale
    bureau.load(declared("a", more="as_of = 2026-09-21"), {}, NOW_MS)
    (status,) = bureau.set.status(NOW_MS)
    assert not status.stale
    assert bureau.set.kept(ITEM, CODES[0])[0].sources[0].updated_ms == NOW_MS


def test_a_day_that_is_yet_to_come_is_refused_and_changes_nothing(bureau: Bureau) -> None:
    bureau.load(declared("a"), {"a.csv": HEADER + line(0)}, NOW_MS)
    outcome = bureau.load(declared("a", more="as_of = 2026-09-23"), {"a.csv": HEADER + line(1)}, NOW_MS)
    assert "yet to come" in outcome.sources[0].error
    assert bureau.subjects() == [CODES[0]]


@pytest.mark.parametrize("as_of", ['"soon"', "2026-09-21T10:00:00", "2026"])
def test_a_day_that_is_none_is_refused(bureau: Bureau, as_of: str) -> None:
    with pytest.raises(SourcesInvalid, match="as_of"):
        bureau.load(declared("a", more=f"as_of = {as_of}"), {})


def test_the_command_prints_conflicts_age_and_what_is_lacking(bureau: Bureau) -> None:
    fields = '[source.fields]\nidentified = "identified"\nauthority = "authority"\nreleased = "released"'
    rows = f"uscc,identified,released,authority\n{CODES[0]},2024-01-01,,x\n"
    sources = source("a", item="tax_abnormal", path="a.csv", more=f"as_of = 2026-08-01\n{fields}")
    sources += source("b", item="tax_abnormal", path="b.csv", more=fields)
    outcome = bureau.load(sources, {"a.csv": rows, "b.csv": rows.replace(",x", ",y")}, NOW_MS)
    report: Any = msgspec.json.decode(msgspec.json.encode(outcome))
    said = "\n".join(each for each in _report_text(report) if isinstance(each, str))
    assert "contradict each other in 1 places" in said
    assert "2026-08-0" in said
    assert "3 of the catalogue's 3 fields are filled." in said
    assert "of 1 subjects lack a field: released 1." in said
