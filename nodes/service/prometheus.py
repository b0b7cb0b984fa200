"""What the service measures, for Prometheus. Labels are routes, codes, models and the bank's own column names; never enterprises."""

from __future__ import annotations

from typing import Final

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

from nodes.service.models import ServedModel
from nodes.service.monitor.document import LEVELS, MonitorReport

CONTENT_TYPE: Final = "text/plain; version=0.0.4; charset=utf-8"
_BUCKETS: Final = (0.005, 0.01, 0.02, 0.03, 0.04, 0.06, 0.08, 0.1, 0.15, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)


class ServiceMetrics:
    """The registry of one service process."""

    def __init__(self) -> None:
        """Count nothing yet."""
        self._registry = registry = CollectorRegistry()
        self._calls = Counter("xinqiao_score_calls", "Finished calls", ["door", "route", "status"], registry=registry)
        self._seconds = Histogram(
            "xinqiao_score_call_seconds", "Duration of calls", ["door", "route"], buckets=_BUCKETS, registry=registry
        )
        self._subjects = Counter(
            "xinqiao_score_subjects",
            "Enterprises, scored or refused",
            ["model", "role", "outcome"],
            registry=registry,
        )
        self._shadows = Counter(
            "xinqiao_score_shadows_failed", "Challengers that did not score", ["model", "code"], registry=registry
        )
        self._stability = Gauge(
            "xinqiao_score_stability_index", "PSI in the window", ["model", "column"], registry=registry
        )
        self._level = Gauge(
            "xinqiao_score_drift_level",
            "0 nothing to compare with, 1 too few rows, 2 stable, 3 watch, 4 alarm",
            ["model", "column"],
            registry=registry,
        )
        self._labelled = Gauge(
            "xinqiao_score_outcomes", "Outcomes in the window", ["model", "defaulted"], registry=registry
        )
        self._expected = Gauge(
            "xinqiao_score_expected_defaults", "Defaults predicted for these", ["model"], registry=registry
        )

    def called(self, door: str, route: str, status: str, seconds: float) -> None:
        """One call."""
        self._calls.labels(door, route, status).inc()
        self._seconds.labels(door, route).observe(seconds)

    def scored(self, model: ServedModel, role: str, refused: str) -> None:
        """One subject."""
        self._subjects.labels(model.title, role, refused or "scored").inc()

    def shadow_failed(self, model: ServedModel, code: str) -> None:
        """A challenger did not score."""
        self._shadows.labels(model.title, code).inc()

    def show(self, report: MonitorReport) -> None:
        """Take the monitor's figures over; what it does not name any more goes."""
        for gauge in (self._stability, self._level, self._labelled, self._expected):
            gauge.clear()
        for each in report.models:
            for drift in (*((each.score,) if each.score else ()), *each.columns):
                self._stability.labels(each.title, drift.name).set(drift.value)
                self._level.labels(each.title, drift.name).set(LEVELS[drift.level])
            if each.realised is not None:
                self._labelled.labels(each.title, "yes").set(each.realised.events)
                self._labelled.labels(each.title, "no").set(each.realised.rows - each.realised.events)
                self._expected.labels(each.title).set(each.realised.expected)

    def text(self) -> bytes:
        """As Prometheus reads it."""
        return generate_latest(self._registry)
