"""A report as a file: read back as it was written, and refused when it is another's."""

from __future__ import annotations

import json
from typing import Any

import msgspec
import pytest

from modeling.errors import DataUnusable
from modeling.report.document import VERSION, Report, from_json, to_json
from tests.modeling.report.sample import sample


@pytest.mark.parametrize("algorithm", ["boosting", "logistic"])
def test_a_report_is_read_back_as_it_was_written(algorithm: Any) -> None:
    report = sample(algorithm)
    data = to_json(report)
    assert from_json(data) == report
    assert to_json(from_json(data)) == data


def test_equal_reports_have_equal_bytes_whatever_order_their_mappings_have() -> None:
    report = sample()
    turned = msgspec.structs.replace(
        report,
        settings=dict(reversed(report.settings.items())),
        versions=dict(reversed(report.versions.items())),
    )
    assert list(turned.settings) != list(report.settings)
    assert to_json(turned) == to_json(report)


def test_names_of_columns_are_the_active_partys_own_only() -> None:
    told = json.loads(to_json(sample()))
    assert [bool(party["names"]) for party in told["parties"]] == [True, False]


def test_a_later_version_is_named_even_if_nothing_else_of_it_can_be_read() -> None:
    with pytest.raises(DataUnusable, match=f"version 7; this software reads version {VERSION}"):
        from_json(b'{"version": 7, "verdict": "of a form that is not known yet"}')


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\xff\xfe",
        b"[]",
        b"{}",
        b'{"version": "1"}',
        b'{"version": 1}',
        to_json(sample())[:-20],
        to_json(sample()).replace(b'"attempts"', b'"tries"'),
        to_json(sample()).replace(b'"boosting"', b'"oracle"'),
        b'{"version": 1, "settings": ' + b"[" * 100_000 + b"]" * 100_000 + b"}",
    ],
    ids=["empty", "bytes", "list", "nothing", "text", "bare", "cut", "field", "algorithm", "deep"],
)
def test_what_is_no_report_is_refused(data: bytes) -> None:
    with pytest.raises(DataUnusable, match="cannot be read"):
        from_json(data)


def test_a_report_cannot_be_changed() -> None:
    report: Report = sample()
    with pytest.raises(AttributeError):
        report.name = "another"  # type: ignore[misc]
