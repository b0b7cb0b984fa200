"""The plots of a report, as plotly's JSON. Colours are CSS's: the page sets them for light and dark."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Final

import plotly.graph_objects as go

from modeling.report.document import BinTable, Report

ACCENT: Final = "#2b6cb0"
SECOND: Final = "#c05621"
QUIET: Final = "#8896a5"
MAX_BIN_PLOTS: Final = 6

Words = Callable[[str], str]
"""A text in the reader's language."""


def figures(report: Report, words: Words) -> list[tuple[str, str, Any]]:
    """(identifier, title, figure) in the order of the page."""
    found = [
        ("roc", words("roc"), _roc(report, words)),
        ("ks", words("ks_curve"), _ks(report, words)),
        ("lift", words("lift"), _lift(report, words)),
        ("scores", words("scores"), _scores(report, words)),
        ("calibration", words("calibration"), _calibration(report, words)),
    ]
    if report.curve:
        found.append(("curve", words("training_curve"), _training(report, words)))
    found.append(("cost", words("cost"), _cost(report, words)))
    found += [
        (f"woe{place}", f"{words('woe')}: {table.name}", _woe(table, words))
        for place, table in enumerate(report.tables[:MAX_BIN_PLOTS])
    ]
    return found


def _figure(x: str, y: str, **layout: Any) -> Any:  # noqa: ANN401 - plotly
    figure = go.Figure()
    figure.update_layout(
        template="none",
        margin={"l": 52, "r": 12, "t": 8, "b": 44},
        height=300,
        paper_bgcolor="rgba(0,0,0,0)",
        plot_bgcolor="rgba(0,0,0,0)",
        font={"family": "inherit", "size": 12, "color": QUIET},
        legend={"orientation": "h", "y": 1.12, "x": 0},
        hovermode="x unified",
        xaxis={"title": {"text": x}, "gridcolor": "rgba(136,150,165,.25)", "zeroline": False},
        yaxis={"title": {"text": y}, "gridcolor": "rgba(136,150,165,.25)", "zeroline": False},
        **layout,
    )
    return figure


def _line(name: str, x: Sequence[float], y: Sequence[float], colour: str = ACCENT, dash: str = "solid") -> Any:  # noqa: ANN401
    return go.Scatter(name=name, x=list(x), y=list(y), mode="lines", line={"color": colour, "width": 2, "dash": dash})


def _roc(report: Report, words: Words) -> Any:  # noqa: ANN401
    figure = _figure(words("goods_refused"), words("bads_refused"))
    for name, evaluation, colour in (("test", report.test, ACCENT), ("train", report.train, SECOND)):
        if evaluation is not None:
            curve = evaluation.curve
            figure.add_trace(_line(words(name), (0.0, *curve.goods), (0.0, *curve.bads), colour))
    figure.add_trace(_line(words("chance"), (0, 1), (0, 1), QUIET, "dot"))
    return figure


def _ks(report: Report, words: Words) -> Any:  # noqa: ANN401
    curve = report.test.curve
    figure = _figure(words("threshold"), words("share_refused"))
    figure.add_trace(_line(words("bads"), curve.thresholds, curve.bads, SECOND))
    figure.add_trace(_line(words("goods"), curve.thresholds, curve.goods, ACCENT))
    return figure


def _lift(report: Report, words: Words) -> Any:  # noqa: ANN401
    bands = report.test.bands
    places = list(range(1, len(bands) + 1))
    figure = _figure(words("decile"), words("lift_axis"))
    figure.add_trace(go.Bar(name=words("lift"), x=places, y=[band.lift for band in bands], marker={"color": ACCENT}))
    figure.add_trace(_line(words("chance"), (0.5, len(bands) + 0.5), (1, 1), QUIET, "dot"))
    return figure


def _scores(report: Report, words: Words) -> Any:  # noqa: ANN401
    figure = _figure(words("probability"), words("share_of_rows"), barmode="overlay")
    middles = [(place + 0.5) / 20 for place in range(20)]
    for name, evaluation, colour in (("test", report.test, ACCENT), ("train", report.train, SECOND)):
        if evaluation is not None:
            shares = [count / evaluation.rows for count in evaluation.histogram]
            figure.add_trace(go.Bar(name=words(name), x=middles, y=shares, opacity=0.6, marker={"color": colour}))
    return figure


def _calibration(report: Report, words: Words) -> Any:  # noqa: ANN401
    bands = report.test.reliability
    most = max(max(band.predicted, band.observed) for band in bands)
    figure = _figure(words("predicted"), words("observed"))
    figure.add_trace(
        go.Scatter(
            name=words("test"),
            x=[band.predicted for band in bands],
            y=[band.observed for band in bands],
            mode="lines+markers",
            line={"color": ACCENT, "width": 2},
        )
    )
    figure.add_trace(_line(words("perfect"), (0, most), (0, most), QUIET, "dot"))
    return figure


def _training(report: Report, words: Words) -> Any:  # noqa: ANN401
    figure = _figure(words("trees"), words("log_loss"))
    figure.add_trace(_line(words("train"), list(range(1, len(report.curve) + 1)), report.curve))
    return figure


def _cost(report: Report, words: Words) -> Any:  # noqa: ANN401
    names = [words(phase.name) for phase in report.phases]
    figure = _figure("", words("megabytes"), barmode="group")
    figure.update_layout(
        yaxis2={"title": {"text": words("seconds")}, "overlaying": "y", "side": "right", "showgrid": False},
        margin={"l": 52, "r": 52, "t": 8, "b": 44},
    )
    megabytes = [(phase.sent_bytes + phase.received_bytes) / 1e6 for phase in report.phases]
    figure.add_trace(go.Bar(name=words("megabytes"), x=names, y=megabytes, marker={"color": ACCENT}, offsetgroup="1"))
    seconds = [phase.seconds for phase in report.phases]
    figure.add_trace(
        go.Bar(name=words("seconds"), x=names, y=seconds, marker={"color": SECOND}, yaxis="y2", offsetgroup="2")
    )
    return figure


def _woe(table: BinTable, words: Words) -> Any:  # noqa: ANN401
    labels = [each.label for each in table.bins]
    figure = _figure("", words("woe"))
    figure.update_layout(
        yaxis2={
            "title": {"text": words("default_rate")},
            "overlaying": "y",
            "side": "right",
            "showgrid": False,
            "tickformat": ".0%",
        },
        margin={"l": 52, "r": 52, "t": 8, "b": 60},
        xaxis={"type": "category", "automargin": True},
    )
    figure.add_trace(go.Bar(name=words("woe"), x=labels, y=[each.woe for each in table.bins], marker={"color": ACCENT}))
    figure.add_trace(
        go.Scatter(
            name=words("default_rate"),
            x=labels,
            y=[each.rate for each in table.bins],
            yaxis="y2",
            mode="lines+markers",
            line={"color": SECOND},
        )
    )
    return figure
