"""Whom a bank lets talk to whom."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from nodes.joint.job_run import JobRun, Partner
from tests.nodes.hub_simulator import OTHER_PROVIDER, PROVIDER
from tests.nodes.joint.job_texts import job, provider

SETTINGS = {"logistic": {"steps": 3}, "boosting": {"trees": 3}}


@pytest.mark.parametrize(
    ("algorithm", "selection", "talk"),
    [
        ("boosting", None, False),
        ("boosting", {"across": False}, False),
        ("boosting", {"bins": 5}, True),
        ("logistic", None, True),
    ],
)
def test_providers_are_told_of_each_other_where_they_have_to_talk(
    algorithm: str, selection: dict[str, Any] | None, talk: bool
) -> None:
    members = (PROVIDER, OTHER_PROVIDER)
    asked = job(
        algorithm=algorithm,
        parameters=SETTINGS[algorithm],
        providers=[provider(member) for member in members],
        selection=selection,
    )
    run = JobRun(cast(Any, None), "ab" * 16, asked, Path(), Path(), lambda *_: None)
    partners = tuple(
        Partner(member, place, cast(Any, SimpleNamespace(provider_node=f"node-{place}")), *cast(Any, (None, None)))
        for place, member in enumerate(members, 1)
    )
    expected = [{2: "node-2"}, {1: "node-1"}] if talk else [{}, {}]
    assert [run._others(each, partners) for each in partners] == expected
    assert run._others(partners[0], partners[:1]) == {}
