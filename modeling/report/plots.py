"""The plots of a report. Lines and bars have colours that stand out on light and dark paper; texts and grids get theirs from the page.

Only this module loads plotly's figures, and only `page` loads this module.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import plotly.graph_objects as go

from modeling.evaluation import HISTOGRAM_BANDS
from modeling.report.document import BinTable, Report
from modeling.report.words import Words

ACCENT: Final = "#3d86d6"
SECOND: Final = "#d9662b"
QUIET: Final = "#8896a5"
MAX_BIN_PLOTS: Final = 6
LABEL_LENGTH: Final = 26
_CURVES: Final = {"boosting": "curve", "logistic": "steps_curve"}

Figure = Any
"""A plotly figure; plotly has no types that mypy could use."""


def figures(report: Report, words: Words) -> list[tuple[str, Figure]]:
    """(name, figure) in the order of the page; the name is that of its title in the catalogue."""
    found = [
        ("roc", _roc(report, words)),
        ("ks_curve", _ks(report, words)),
        ("gains", _gains(report, words)),
        ("lift", _lift(report, words)),
        ("calibration", _calibration(report, words)),
        ("scores", _scores(report, words)),
    ]
    if report.curve:
        found.append((_CURVES[report.algorithm], _training(report, words)))
    return [*found, ("cost", _cost(report, words))]


def evidence_figures(report: Report, words: Words) -> list[tuple[str, Figure]]:
    """(column, figure) of the own columns that say most."""
    return [(table.name, _woe(table, words)) for table in report.tables[:MAX_BIN_PLOTS]]


def plain(text: str) -> str:
    """A text from outside as plotly shows it: plotly reads tags (links, too) and entities in labels, so there must be none."""
    short = text if len(text) <= LABEL_LENGTH else text[: LABEL_LENGTH - 1] + "…"
    return short.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def rounded(value: float) -> str:
    """Three figures, as a person reads an amount."""
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"


def _figure(x: str, y: str, *traces: Figure, height: int = 280, **layout: Any) -> Figure:  # noqa: ANN401
    figure = go.Figure(list(traces))
    figure.update_layout(
        template="none",
        margin={"l": 56, "r": 14, "t": 8, "b": 44},
        height=height,
        paper_bgcolor="rgba(0,0,0,0)",
        plot_bgcolor="rgba(0,0,0,0)",
        font={"family": "inherit", "size": 12},
        legend={"orientation": "h", "y": 1.02, "x": 0, "yanchor": "bottom"},
        showlegend=sum(trace.showlegend is not False for trace in traces) > 1,
        xaxis={"title": {"text": x, "standoff": 8}, "zeroline": False},
        yaxis={"title": {"text": y, "standoff": 8}, "zeroline": False},
    )
    return figure.update_layout(layout)


def _line(name: str, x: Sequence[float], y: Sequence[float], colour: str = ACCENT, **more: Any) -> Figure:  # noqa: ANN401
    return go.Scatter(
        name=name, x=list(x), y=list(y), **({"mode": "lines", "line": {"color": colour, "width": 2}} | more)
    )


def _dotted(name: str, x: Sequence[float], y: Sequence[float]) -> Figure:
    line = {"color": QUIET, "width": 1.5, "dash": "dot"}
    return _line(name, x, y, line=line, hoverinfo="skip")


def _roc(report: Report, words: Words) -> Figure:
    lines = [
        _line(words(name), (0.0, *evaluation.curve.goods), (0.0, *evaluation.curve.bads), colour)
        for name, evaluation, colour in (("test", report.test, ACCENT), ("train", report.train, SECOND))
        if evaluation is not None
    ]
    chance = _dotted(words("chance"), (0, 1), (0, 1))
    return _figure(words("goods_refused"), words("bads_refused"), *lines, chance, **_shares("xaxis", "yaxis"))


def _ks(report: Report, words: Words) -> Figure:
    curve, at = report.test.curve, report.test.ks_threshold
    place = curve.thresholds.index(at)
    gap = _dotted("KS", (at, at), (curve.goods[place], curve.bads[place]))
    return _figure(
        words("threshold"),
        words("share_refused"),
        _line(words("bads"), curve.thresholds, curve.bads, SECOND),
        _line(words("goods"), curve.thresholds, curve.goods),
        gap.update(name=f"KS {report.test.ks.value:.3f}"),
        xaxis_tickformat=".0%",
        **_shares("yaxis"),
    )


def _gains(report: Report, words: Words) -> Figure:
    bands = report.test.bands
    refused = [sum(band.rows for band in bands[:place]) / report.test.rows for place in range(len(bands) + 1)]
    return _figure(
        words("refused_share"),
        words("bads_refused"),
        _line(words("test"), refused, (0.0, *(band.captured for band in bands)), mode="lines+markers"),
        _dotted(words("chance"), (0, 1), (0, 1)),
        **_shares("xaxis", "yaxis"),
    )


def _lift(report: Report, words: Words) -> Figure:
    bands = report.test.bands
    lifts = [band.lift for band in bands]
    return _figure(
        words("decile"),
        words("lift_axis"),
        go.Bar(
            name=words("lift"),
            x=list(range(1, len(bands) + 1)),
            y=lifts,
            text=[f"{lift:.1f}" for lift in lifts],
            textposition="outside",
            cliponaxis=False,
            marker={"color": ACCENT},
        ),
        _dotted(words("chance"), (0.5, len(bands) + 0.5), (1, 1)).update(showlegend=False),
        xaxis_dtick=1,
        yaxis_range=[0, 1.12 * max((*lifts, 1))],
    )


def _calibration(report: Report, words: Words) -> Figure:
    bands = report.test.reliability
    predicted, observed = [band.predicted for band in bands], [band.observed for band in bands]
    most = max(*predicted, *observed)
    return _figure(
        words("predicted"),
        words("observed"),
        _line(words("test"), predicted, observed, mode="lines+markers"),
        _dotted(words("perfect"), (0, most), (0, most)),
        xaxis_tickformat=".0%",
        yaxis_tickformat=".0%",
    )


def _scores(report: Report, words: Words) -> Figure:
    width = 1 / HISTOGRAM_BANDS
    shown = [
        (words(name), evaluation, colour)
        for name, evaluation, colour in (("train", report.train, SECOND), ("test", report.test, ACCENT))
        if evaluation is not None
    ]
    occupied = [at for _, evaluation, _ in shown for at, count in enumerate(evaluation.histogram) if count]
    bars = [
        go.Bar(
            name=name,
            x=[(at + 0.5) * width for at in range(HISTOGRAM_BANDS)],
            y=[count / evaluation.rows for count in evaluation.histogram],
            width=width,
            opacity=0.6,
            marker={"color": colour},
        )
        for name, evaluation, colour in shown
    ]
    return _figure(
        words("probability"),
        words("share_of_rows"),
        *bars,
        barmode="overlay",
        xaxis={"range": [min(occupied) * width, (max(occupied) + 1) * width], "tickformat": ".0%"},
        yaxis_tickformat=".0%",
    )


def _training(report: Report, words: Words) -> Figure:
    steps = range(1, len(report.curve) + 1)
    mode = "lines+markers" if len(steps) <= 40 else "lines"
    along, up = ("trees", "log_loss") if report.algorithm == "boosting" else ("steps", "change")
    scale = "linear" if report.algorithm == "boosting" else "log"  # changes shrink by orders of magnitude
    line = _line(words("train"), steps, report.curve, mode=mode)
    return _figure(words(along), words(up), line, xaxis_tickformat="d", yaxis_type=scale)


def _cost(report: Report, words: Words) -> Figure:
    """Two small charts beside each other: megabytes and seconds have no common axis."""
    names = [plain(words.phase(phase.name)) for phase in report.phases]
    sides = (
        ("x", ACCENT, [(phase.sent_bytes + phase.received_bytes) / 1e6 for phase in report.phases]),
        ("x2", SECOND, [phase.seconds for phase in report.phases]),
    )
    bars = [
        _sideways(names, values, [rounded(value) for value in values]).update(
            xaxis=axis, marker={"color": colour}, showlegend=False
        )
        for axis, colour, values in sides
    ]
    ranges = [[0, 1.3 * max((*values, 1e-9))] for _, _, values in sides]
    return _figure(
        words("megabytes"),
        "",
        *bars,
        xaxis={"domain": [0, 0.46], "range": ranges[0], "nticks": 4},
        xaxis2={
            "domain": [0.54, 1],
            "range": ranges[1],
            "nticks": 4,
            "zeroline": False,
            "title": {"text": words("seconds"), "standoff": 8},
        },
        yaxis=_labels(names),
    )


def _woe(table: BinTable, words: Words) -> Figure:
    names = [plain(words.named(each.label)) for each in table.bins]
    values = [each.woe for each in table.bins]
    bars = _sideways(names, values, [f"{each.rate:.1%}" for each in table.bins])
    low, high = min((*values, 0)), max((*values, 0))
    room = high - low
    return _figure(
        words("woe"),
        "",
        bars.update(marker={"color": [SECOND if value > 0 else ACCENT for value in values]}, showlegend=False),
        height=76 + 26 * len(names),
        xaxis={"zeroline": True, "range": [low - 0.42 * room, high + 0.36 * room] if room else [-1, 1]},
        yaxis=_labels(names),
    )


def _sideways(names: Sequence[str], values: Sequence[float], texts: Sequence[str]) -> Figure:
    return go.Bar(
        orientation="h",
        y=list(range(len(names))),
        x=list(values),
        text=list(texts),
        textposition="outside",
        cliponaxis=False,
        customdata=list(names),
        hovertemplate="%{customdata}: %{x:.4g} (%{text})<extra></extra>",
    )


def _labels(names: Sequence[str]) -> dict[str, Any]:
    """An axis of names, the first on top; by place, since two long names may be shown alike."""
    return {
        "tickvals": list(range(len(names))),
        "ticktext": list(names),
        "autorange": "reversed",
        "automargin": True,
        "ticklabelstandoff": 6,
        "showgrid": False,
    }


def _shares(*axes: str) -> dict[str, Any]:
    return {
        f"{axis}_{name}": value for axis in axes for name, value in (("tickformat", ".0%"), ("range", [-0.02, 1.02]))
    }
