"""The report as one page that needs nothing from another host: plots, tables, and what each party learned. Every value is escaped."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import jinja2

from modeling.evaluation import Evaluation, Interval
from modeling.report.document import Report
from modeling.report.words import words_of


@dataclass(frozen=True)
class _Plot:
    """A figure's place on the page. `json`: as it stands in a script."""

    id: str
    title: str
    note: str
    json: str


def page(report: Report, language: str = "en") -> str:
    """HTML, about 5 MB: plotly's script is in it. Raises DataUnusable for a language that there is not."""
    from plotly.offline import get_plotlyjs  # a node that makes no report does not load it

    from modeling.report.charts import rounded
    from modeling.report.plots import evidence_figures, figures

    words = words_of(language)
    plots = [
        _plot(name, words(name), words(f"{name.removesuffix('_curve')}_note"), it)
        for name, it in figures(report, words)
    ]
    evidence = [
        _plot(f"woe{at}", name, words("woe_note"), it) for at, (name, it) in enumerate(evidence_figures(report, words))
    ]
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("modeling.report", "."),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {
        "figure": "{:.4f}".format,
        "count": "{:,}".format,
        "percent": "{:.1%}".format,
        "short": "{:.4g}".format,
        "megabytes": lambda value: rounded(value / 1e6),
        "interval": _interval,
    }
    return environment.get_template("page.html").render(
        report=report,
        t=words,
        language={"en": "en", "zh": "zh-CN"}[language],
        made=datetime.fromtimestamp(report.made_ms / 1000, tz=UTC).strftime("%Y-%m-%d %H:%M UTC"),
        figures=_figures(report),
        plots=plots,
        evidence=evidence,
        most=max((each.value for each in report.importance), default=0) or 1,
        plotly=get_plotlyjs(),
    )


def _plot(name: str, title: str, note: str, figure: Any) -> _Plot:  # noqa: ANN401 - plotly
    # a text inside a script ends it with "</", and "<!--" changes how it is read: escaped as JSON allows
    return _Plot(name, title, note, figure.to_json().replace("<", "\\u003c"))


def _figures(report: Report) -> list[tuple[str, str, str, str]]:
    """(name, test, its interval, training) of the headline figures."""
    readers: list[tuple[str, Callable[[Evaluation], float | Interval], str]] = [
        ("rows", lambda of: of.rows, "{:,}"),
        ("events", lambda of: of.events, "{:,}"),
        ("auc", lambda of: of.auc, "{:.4f}"),
        ("ks", lambda of: of.ks, "{:.4f}"),
        ("gini", lambda of: of.gini, "{:.4f}"),
        ("brier", lambda of: of.brier, "{:.4f}"),
        ("log_loss", lambda of: of.log_loss, "{:.4f}"),
        ("calibration_error", lambda of: of.calibration_error, "{:.4f}"),
    ]
    lines = []
    for name, read, form in readers:
        test, train = (None if of is None else read(of) for of in (report.test, report.train))
        between = _interval(test) if isinstance(test, Interval) else ""
        lines.append((name, _value(test, form), between, _value(train, form)))
    return lines


def _value(found: float | Interval | None, form: str) -> str:
    if found is None:
        return ""
    return form.format(found.value if isinstance(found, Interval) else found)


def _interval(found: Interval) -> str:
    return f"{found.low:.4f} – {found.high:.4f}"
