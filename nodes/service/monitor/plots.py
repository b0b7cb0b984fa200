"""The plots of the monitoring page. Only `page` loads this module."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

import plotly.graph_objects as go

from modeling.monitoring import Drift, Realised, Thresholds
from modeling.report.charts import (
    ACCENT,
    QUIET,
    SECOND,
    Figure,
    chart,
    dotted_line,
    line_trace,
    name_axis,
    plain,
    sideways_bars,
)
from modeling.report.words import Words
from nodes.service.monitor.document import Day, ModelWatch
from nodes.service.records import DAY_MS

MOST_BARS: Final = 12
LONGEST_BAR: Final = 0.75
"""A bar for a larger index is no longer: beside it the others would not be seen. Its text has the index."""
_LEVEL_COLOURS: Final = {"alarm": SECOND, "watch": "#d9a02b"}


def figures(model: ModelWatch, words: Words) -> Iterator[tuple[str, Figure]]:
    """(name, figure) in the order of the page; the name is that of its title in the catalogue."""
    if model.days:
        yield "volume", _volume(model.days, words)
    if any(day.mean is not None for day in model.days):
        yield "mean", _mean(model.days, words)
    if model.score is not None and model.score.bins:
        yield "score", _score(model.score, words)
    if model.realised is not None:
        yield "realised", _realised(model.realised, words)
    if model.columns:
        yield "columns", _columns(model.columns[:MOST_BARS], words)
    if model.refused:
        yield "reasons", _reasons(dict(list(model.refused.items())[:MOST_BARS]), words)


def _volume(days: tuple[Day, ...], words: Words) -> Figure:
    at = [each.start_ms for each in days]
    bars = [
        go.Bar(name=words("scored"), x=at, y=[each.scored for each in days], marker={"color": ACCENT}),
        go.Bar(name=words("refused"), x=at, y=[each.refused for each in days], marker={"color": SECOND}),
    ]
    return chart("", words("enterprises"), *bars, barmode="stack", **_dates(days), yaxis_rangemode="tozero")


def _mean(days: tuple[Day, ...], words: Words) -> Figure:
    known = [each for each in days if each.mean is not None]
    mode = "lines+markers" if len(known) <= 40 else "lines"
    line = line_trace("", [], [], mode=mode).update(
        x=[each.start_ms for each in known], y=[each.mean for each in known]
    )
    return chart(
        "",
        words("probability"),
        line.update(showlegend=False),
        **_dates(days),
        yaxis_tickformat=".1%",
        yaxis_rangemode="tozero",
    )


def _score(drift: Drift, words: Words) -> Figure:
    bins = [each for each in drift.bins if each.expected or each.actual]
    names = [plain(words.named(_short(each.label))) for each in bins]
    bars = [
        go.Bar(
            name=words(name),
            x=list(range(len(bins))),
            y=shares,
            customdata=[plain(each.label) for each in bins],
            hovertemplate="%{customdata}: %{y:.1%}<extra></extra>",
            marker={"color": colour},
        )
        for name, shares, colour in (
            ("expected", [each.expected for each in bins], QUIET),
            ("actual", [each.actual for each in bins], ACCENT),
        )
    ]
    return chart(
        words("up_to"),
        words("share"),
        *bars,
        barmode="group",
        xaxis_tickvals=list(range(len(bins))),
        xaxis_ticktext=names,
        xaxis_tickangle=0,
        xaxis_tickfont_size=9,
        yaxis_tickformat=".0%",
    )


def _realised(realised: Realised, words: Words) -> Figure:
    bands = realised.bands
    at, names = list(range(len(bands))), [plain(each.band) for each in bands]
    observed = go.Scatter(
        name=words("observed"),
        x=at,
        y=[each.observed for each in bands],
        mode="markers",
        marker={"color": SECOND, "size": 9},
        error_y={
            "type": "data",
            "symmetric": False,
            "array": [each.high - each.observed for each in bands],
            "arrayminus": [each.observed - each.low for each in bands],
            "color": SECOND,
            "thickness": 1.5,
        },
    )
    predicted = line_trace(words("predicted"), at, [each.predicted for each in bands], mode="lines+markers")
    return chart(
        words("band"),
        words("probability"),
        predicted,
        observed,
        xaxis_tickvals=at,
        xaxis_ticktext=names,
        yaxis_tickformat=".0%",
        yaxis_rangemode="tozero",
    )


def _columns(columns: tuple[Drift, ...], words: Words) -> Figure:
    names = [plain(each.name) for each in columns]
    values = [each.value for each in columns]
    limits = Thresholds()
    shown = [min(each, LONGEST_BAR) for each in values]
    bars = sideways_bars(names, shown, [f"{each:.3f}" for each in values]).update(
        marker={"color": [_LEVEL_COLOURS.get(each.level, ACCENT) for each in columns]},
        showlegend=False,
        hovertemplate="%{customdata}: %{text}<extra></extra>",
    )
    ends = (-0.6, len(names) - 0.4)
    lines = [
        dotted_line("", (limit, limit), ends).update(showlegend=False) for limit in (limits.psi_watch, limits.psi_alarm)
    ]
    return chart(
        words("psi_axis"),
        "",
        bars,
        *lines,
        height=92 + 26 * len(names),
        xaxis_range=[0, 1.25 * max((*shown, limits.psi_alarm))],
        yaxis=name_axis(names) | {"range": list(reversed(ends)), "autorange": False},
    )


def _reasons(refused: dict[str, int], words: Words) -> Figure:
    names = [plain(each) for each in refused]
    values = list(refused.values())
    bars = sideways_bars(names, values, [f"{each:,}" for each in values]).update(
        marker={"color": SECOND}, showlegend=False, hovertemplate="%{customdata}: %{x:,}<extra></extra>"
    )
    return chart(
        words("enterprises"),
        "",
        bars,
        height=92 + 26 * len(names),
        xaxis={"range": [0, 1.25 * max(values)], "nticks": 5},
        yaxis=name_axis(names),
    )


def _dates(days: tuple[Day, ...]) -> dict[str, Any]:
    """An axis of whole days; as numbers, which need no words of a language."""
    half, step = DAY_MS // 2, -(-len(days) // 6)
    return {
        "xaxis_type": "date",
        "xaxis_tickformat": "%m-%d",
        "xaxis_range": [days[0].start_ms - half, days[-1].start_ms + half],
        "xaxis_tick0": days[0].start_ms,
        "xaxis_dtick": step * DAY_MS,
        "xaxis_ticklabelstandoff": 5,
    }


def _short(label: str) -> str:
    """The end of a bin, where the bins stand in a row."""
    try:
        return f"{float(label.rpartition('≤ ')[2]):.1%}"
    except ValueError:  # the first, of missing values, and the last
        return f">{float(label.removeprefix('> ')):.0%}" if label.startswith("> ") else label
