"""Alarms are a function of the figures: each for its own cause, none without one."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from portal.hub_link import LogHead, NodeStatus
from portal.operations.alarms import DAY_MS, MINUTE_MS, Kind, Limits, alarms_of
from portal.operations.figures import NodeState, nodes_of
from portal.operations.words import span
from tests.portal.operations.figures import ENTRIES, NOW_MS, exchange, node, operations

LIMITS = Limits()


def kinds(*nodes: NodeStatus, **changes: Any) -> list[Kind]:
    return [alarm.kind for alarm in alarms_of(operations(*nodes, **changes), LIMITS)]


def test_where_all_is_well_there_is_no_alarm() -> None:
    assert kinds(node("tax-1", "taxoffice"), exchanges=(exchange(),)) == []


@pytest.mark.parametrize(
    ("changes", "raised"),
    [
        ({"connected": False, "age_ms": LIMITS.away_ms}, []),
        ({"connected": False, "age_ms": LIMITS.away_ms + 1}, [Kind.NODE_AWAY]),
        ({"connected": False, "acknowledged": ()}, [Kind.NODE_AWAY]),
        ({"connected": False, "acknowledged": (), "revoked": True}, []),
        ({"size": ENTRIES - 1, "age_ms": LIMITS.lag_ms}, []),
        ({"size": ENTRIES - 1, "age_ms": LIMITS.lag_ms + 1}, [Kind.CONSENT_LAG]),
        ({"age_ms": LIMITS.checkpoint_ms}, []),
        ({"age_ms": LIMITS.checkpoint_ms + 1}, [Kind.CHECKPOINT_OLD]),
        ({"acknowledged": ()}, [Kind.CHECKPOINT_OLD]),
        ({"certificate_ends_ms": NOW_MS + LIMITS.certificate_ms}, []),
        ({"certificate_ends_ms": NOW_MS + LIMITS.certificate_ms - 1}, [Kind.CERTIFICATE_ENDING]),
        ({"certificate_ends_ms": NOW_MS}, [Kind.CERTIFICATE_ENDED]),
        ({"certificate_ends_ms": 0}, [Kind.CERTIFICATE_ENDED]),
    ],
)
def test_a_node_raises_an_alarm_just_beyond_its_limit(changes: dict[str, Any], raised: list[Kind]) -> None:
    assert kinds(node("tax-1", "taxoffice", **changes)) == raised


@pytest.mark.parametrize(
    ("changes", "raised"),
    [
        ({"active_ms": NOW_MS - LIMITS.stuck_ms}, []),
        ({"active_ms": NOW_MS - LIMITS.stuck_ms - 1}, [Kind.EXCHANGE_STUCK]),
        ({"active_ms": NOW_MS - LIMITS.stuck_ms - 1, "state": "failed", "ended_ms": NOW_MS - 9}, []),
        ({"active_ms": NOW_MS - DAY_MS, "state": "waiting_approval"}, []),
        ({"active_ms": NOW_MS - DAY_MS - 1, "state": "waiting_approval"}, [Kind.APPROVAL_WAITS]),
    ],
)
def test_an_exchange_raises_an_alarm_just_beyond_its_limit(changes: dict[str, Any], raised: list[Kind]) -> None:
    assert kinds(exchanges=(exchange(**changes),)) == raised


def test_a_log_that_the_hub_signs_no_more_is_the_first_thing_to_look_at() -> None:
    stalled = LogHead(origin="usage", size=7, time_ms=NOW_MS - LIMITS.checkpoint_ms - 1)
    never = LogHead(origin="consent/new", size=0, time_ms=0)
    lost = node("tax-1", "taxoffice", connected=False, acknowledged=())
    alarms = alarms_of(operations(lost, logs=(stalled, never)), LIMITS)
    assert [(alarm.kind, alarm.about) for alarm in alarms] == [
        (Kind.LOG_STALLED, "consent/new"),
        (Kind.LOG_STALLED, "usage"),
        (Kind.NODE_AWAY, "tax-1"),
    ]


def test_the_nodes_of_a_suspended_member_are_cut_off_and_raise_nothing() -> None:
    found = operations(node("tax-1", "taxoffice", connected=False, acknowledged=(), certificate_ends_ms=0))
    found = replace(found, members=tuple(replace(member, suspended=True) for member in found.members))
    assert {each.state for each in nodes_of(found)} == {NodeState.CUT_OFF}
    assert alarms_of(found, LIMITS) == []


_NODES = st.builds(
    lambda number, **changes: node(f"tax-{number}", "taxoffice", **changes),
    st.integers(0, 9),
    size=st.integers(0, 2 * ENTRIES),
    age_ms=st.integers(-MINUTE_MS, 2 * DAY_MS),
    connected=st.booleans(),
    revoked=st.booleans(),
    certificate_ends_ms=st.integers(0, NOW_MS + 90 * DAY_MS),
)


@given(nodes=st.lists(_NODES, max_size=6), later_ms=st.integers(0, DAY_MS))
def test_alarms_are_sorted_by_urgency_and_time_alone_takes_none_away(nodes: list[NodeStatus], later_ms: int) -> None:
    now = operations(*nodes)
    alarms = alarms_of(now, LIMITS)
    assert [alarm.kind for alarm in alarms] == sorted((alarm.kind for alarm in alarms), key=list(Kind).index)
    about = {alarm.about for alarm in alarms}
    assert about <= {alarm.about for alarm in alarms_of(replace(now, time_ms=NOW_MS + later_ms), LIMITS)}


@given(nodes=st.lists(_NODES, max_size=6))
def test_no_figure_is_negative_and_a_lag_is_there_exactly_where_something_is_behind(nodes: list[NodeStatus]) -> None:
    for each in nodes_of(operations(*nodes)):
        assert each.certificate_ms >= 0
        assert each.behind is not None and each.behind >= 0
        assert each.lag_ms is not None and each.lag_ms >= 0 and (each.behind > 0 or each.lag_ms == 0)


@pytest.mark.parametrize(
    ("ms", "told"),
    [
        (0, "0 seconds"),
        (119_999, "119 seconds"),
        (120_000, "2 minutes"),
        (7_200_000, "2 hours"),
        (2 * DAY_MS, "2 days"),
    ],
)
def test_a_duration_is_told_in_its_largest_whole_unit(ms: int, told: str) -> None:
    assert str(span(ms)) == told
    assert str(span(None)) == "over 10 minutes"
