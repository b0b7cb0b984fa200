"""Rules of risk before, during and after a loan, as data: what is measured, in what, and from which value on it is an alert.

A bank's threshold is its own, else the supervisor's, else the one here. `portal.statistics.watching` measures.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from sqlalchemy import Connection, select

from portal.statistics.tables import thresholds
from portal.text import Text

HUB: Final = "hub"


class Phase(StrEnum):
    """贷前, 贷中, 贷后."""

    BEFORE = "before"
    DURING = "during"
    AFTER = "after"


PHASES: Final[Mapping[str, Text]] = {
    Phase.BEFORE: Text("Before the loan"),
    Phase.DURING: Text("During the application"),
    Phase.AFTER: Text("After the loan"),
}


@dataclass(frozen=True, kw_only=True)
class Rule:
    """One rule. `hub_only`: of several banks, which none of them may be told; `least`, `most`: bounds of a threshold."""

    kind: str
    phase: Phase
    title: Text
    unit: Text
    threshold: int
    least: int
    most: int
    hub_only: bool = False


RULES: Final[Mapping[str, Rule]] = {
    each.kind: each
    for each in (
        Rule(
            kind="many_banks",
            phase=Phase.BEFORE,
            title=Text("Applications at different banks within 30 days"),
            unit=Text("banks"),
            threshold=3,
            least=2,
            most=50,
            hub_only=True,
        ),
        Rule(
            kind="finding_differs",
            phase=Phase.DURING,
            title=Text("Provider's data does not agree with what was told"),
            unit=Text("findings"),
            threshold=1,
            least=1,
            most=50,
        ),
        Rule(
            kind="consent_withdrawn",
            phase=Phase.AFTER,
            title=Text("Consents withdrawn while the loan runs"),
            unit=Text("consents"),
            threshold=1,
            least=1,
            most=50,
        ),
        Rule(
            kind="overdue_days",
            phase=Phase.AFTER,
            title=Text("Overdue for long"),
            unit=Text("days"),
            threshold=30,
            least=1,
            most=3650,
        ),
        Rule(
            kind="near_limit",
            phase=Phase.AFTER,
            title=Text("A revolving line is nearly used up"),
            unit=Text("% of the limit"),
            threshold=95,
            least=50,
            most=100,
        ),
        Rule(
            kind="concentration",
            phase=Phase.AFTER,
            title=Text("Much of the balance is in one industry"),
            unit=Text("% of the balance"),
            threshold=40,
            least=5,
            most=100,
        ),
    )
}


@dataclass(frozen=True, kw_only=True)
class Setting:
    """A rule's threshold for an institution. `version`: 0 while it is not the institution's own."""

    threshold: int
    enabled: bool
    version: int


Settings = Mapping[tuple[str, str], Setting]
"""By institution and kind, as they were set."""


def settings_of(connection: Connection) -> Settings:
    """All that was set."""
    return {
        (row.institution, row.kind): Setting(threshold=row.threshold, enabled=bool(row.enabled), version=row.version)
        for row in connection.execute(select(thresholds))
    }


def setting(rule: Rule, institution: str, given: Settings) -> Setting:
    """What counts for an institution."""
    own = given.get((institution, rule.kind))
    if own is not None:
        return own
    hubs = given.get((HUB, rule.kind))
    if hubs is not None:
        return Setting(threshold=hubs.threshold, enabled=hubs.enabled, version=0)
    return Setting(threshold=rule.threshold, enabled=True, version=0)
