"""The report as one page that needs nothing from another host: plots, tables, and what each party learned. Every value is escaped."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import jinja2

from modeling.report.document import Report
from modeling.report.words import words_of


def page(report: Report, language: str = "en") -> str:
    """HTML. Raises DataUnusable for a language that there is not."""
    from plotly.offline import get_plotlyjs  # a node that makes no report does not load it

    from modeling.report.plots import figures

    words = words_of(language)
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("modeling.report", "."), autoescape=True, undefined=jinja2.StrictUndefined
    )
    environment.filters["figure"] = _figure
    plots = [
        # A text inside a script ends at "</": escaped as JSON allows.
        {"id": name, "title": title, "json": figure.to_json().replace("<", "\\u003c")}
        for name, title, figure in figures(report, words)
    ]
    return environment.get_template("page.html").render(
        report=report,
        t=words,
        language=language,
        made=datetime.fromtimestamp(report.made_ms / 1000, tz=UTC).strftime("%Y-%m-%d %H:%M UTC"),
        plots=plots,
        plotly=get_plotlyjs(),
        figures=_figures(report),
    )


def _figures(report: Report) -> list[tuple[str, str, str, str]]:
    """(name, test, its interval, training) of the headline figures."""
    test, train = report.test, report.train
    return [
        ("rows", f"{test.rows:,}", "", f"{train.rows:,}" if train else ""),
        ("events", f"{test.events:,}", "", f"{train.events:,}" if train else ""),
        ("auc", _figure(test.auc.value), _between(test.auc), _figure(train.auc.value) if train else ""),
        ("ks", _figure(test.ks.value), _between(test.ks), _figure(train.ks.value) if train else ""),
        ("gini", _figure(test.gini), "", _figure(train.gini) if train else ""),
        ("brier", _figure(test.brier), "", _figure(train.brier) if train else ""),
        ("log_loss", _figure(test.log_loss), "", _figure(train.log_loss) if train else ""),
        ("calibration_error", _figure(test.calibration_error), "", _figure(train.calibration_error) if train else ""),
    ]


def _between(interval: Any) -> str:  # noqa: ANN401 - evaluation.Interval
    return f"{interval.low:.4f} – {interval.high:.4f}"


def _figure(value: float) -> str:
    return f"{value:.4f}"
