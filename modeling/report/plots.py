"""The plots of a report. Only `page` loads this module."""

from __future__ import annotations

from typing import Final

import plotly.graph_objects as go

from modeling.evaluation import HISTOGRAM_BANDS
from modeling.report.charts import (
    ACCENT,
    SECOND,
    Figure,
    chart,
    dotted_line,
    line_trace,
    name_axis,
    plain,
    rounded,
    share_axes,
    sideways_bars,
)
from modeling.report.document import BinTable, Report
from modeling.report.words import Words

MAX_BIN_PLOTS: Final = 6
_CURVES: Final = {"boosting": "curve", "logistic": "steps_curve"}


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


def _roc(report: Report, words: Words) -> Figure:
    lines = [
        line_trace(words(name), (0.0, *evaluation.curve.goods), (0.0, *evaluation.curve.bads), colour)
        for name, evaluation, colour in (("test", report.test, ACCENT), ("train", report.train, SECOND))
        if evaluation is not None
    ]
    chance = dotted_line(words("chance"), (0, 1), (0, 1))
    return chart(words("goods_refused"), words("bads_refused"), *lines, chance, **share_axes("xaxis", "yaxis"))


def _ks(report: Report, words: Words) -> Figure:
    curve, at = report.test.curve, report.test.ks_threshold
    place = curve.thresholds.index(at)
    gap = dotted_line("KS", (at, at), (curve.goods[place], curve.bads[place]))
    return chart(
        words("threshold"),
        words("share_refused"),
        line_trace(words("bads"), curve.thresholds, curve.bads, SECOND),
        line_trace(words("goods"), curve.thresholds, curve.goods),
        gap.update(name=f"KS {report.test.ks.value:.3f}"),
        xaxis_tickformat=".0%",
        **share_axes("yaxis"),
    )


def _gains(report: Report, words: Words) -> Figure:
    bands = report.test.bands
    refused = [sum(band.rows for band in bands[:place]) / report.test.rows for place in range(len(bands) + 1)]
    return chart(
        words("refused_share"),
        words("bads_refused"),
        line_trace(words("test"), refused, (0.0, *(band.captured for band in bands)), mode="lines+markers"),
        dotted_line(words("chance"), (0, 1), (0, 1)),
        **share_axes("xaxis", "yaxis"),
    )


def _lift(report: Report, words: Words) -> Figure:
    bands = report.test.bands
    lifts = [band.lift for band in bands]
    return chart(
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
        dotted_line(words("chance"), (0.5, len(bands) + 0.5), (1, 1)).update(showlegend=False),
        xaxis_dtick=1,
        yaxis_range=[0, 1.12 * max((*lifts, 1))],
    )


def _calibration(report: Report, words: Words) -> Figure:
    bands = report.test.reliability
    predicted, observed = [band.predicted for band in bands], [band.observed for band in bands]
    most = max(*predicted, *observed)
    return chart(
        words("predicted"),
        words("observed"),
        line_trace(words("test"), predicted, observed, mode="lines+markers"),
        dotted_line(words("perfect"), (0, most), (0, most)),
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
    return chart(
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
    line = line_trace(words("train"), steps, report.curve, mode=mode)
    return chart(words(along), words(up), line, xaxis_tickformat="d", yaxis_type=scale)


def _cost(report: Report, words: Words) -> Figure:
    """Two small charts beside each other: megabytes and seconds have no common axis."""
    names = [plain(words.phase(phase.name)) for phase in report.phases]
    sides = (
        ("x", ACCENT, [(phase.sent_bytes + phase.received_bytes) / 1e6 for phase in report.phases]),
        ("x2", SECOND, [phase.seconds for phase in report.phases]),
    )
    bars = [
        sideways_bars(names, values, [rounded(value) for value in values]).update(
            xaxis=axis, marker={"color": colour}, showlegend=False
        )
        for axis, colour, values in sides
    ]
    ranges = [[0, 1.3 * max((*values, 1e-9))] for _, _, values in sides]
    return chart(
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
        yaxis=name_axis(names),
    )


def _woe(table: BinTable, words: Words) -> Figure:
    names = [plain(words.named(each.label)) for each in table.bins]
    values = [each.woe for each in table.bins]
    bars = sideways_bars(names, values, [f"{each.rate:.1%}" for each in table.bins])
    low, high = min((*values, 0)), max((*values, 0))
    room = high - low
    return chart(
        words("woe"),
        "",
        bars.update(marker={"color": [SECOND if value > 0 else ACCENT for value in values]}, showlegend=False),
        height=76 + 26 * len(names),
        xaxis={"zeroline": True, "range": [low - 0.42 * room, high + 0.36 * room] if room else [-1, 1]},
        yaxis=name_axis(names),
    )
