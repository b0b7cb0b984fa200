"""Plots as SVG without scripts or styles: colours come from the stylesheet's classes, and so follow light and dark. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape
from itertools import pairwise
from typing import Final

from markupsafe import Markup

WIDTH: Final = 640
HEIGHT: Final = 220
_LEFT, _RIGHT, _TOP, _BOTTOM = 56, 8, 12, 28
_LABELS: Final = 6


def columns(title: str, labels: Sequence[str], series: Mapping[str, Sequence[float]]) -> Markup:
    """Columns side by side at each label; up to three series, named in a legend. Values are 0 or more."""
    top, step = scale(max((value for each in series.values() for value in each), default=0))
    wide, high = WIDTH - _LEFT - _RIGHT, HEIGHT - _TOP - _BOTTOM
    each_wide = wide / max(1, len(labels))
    bar = min(28.0, each_wide * 0.8 / max(1, len(series)))
    parts = _frame(top, step, high)
    for number, values in enumerate(series.values()):
        for place, value in enumerate(values):
            x = _LEFT + place * each_wide + (each_wide - bar * len(series)) / 2 + number * bar
            tall = high * value / top
            parts.append(
                f'<rect class="series{number + 1}" x="{x:.1f}" y="{_TOP + high - tall:.1f}" width="{bar:.1f}" height="{tall:.1f}"/>'
            )
    return _svg(title, parts + _labels(labels, each_wide), list(series))


def lines(title: str, labels: Sequence[str], series: Mapping[str, Sequence[float]]) -> Markup:
    """A line for each series over the labels."""
    top, step = scale(max((value for each in series.values() for value in each), default=0))
    wide, high = WIDTH - _LEFT - _RIGHT, HEIGHT - _TOP - _BOTTOM
    each_wide = wide / max(1, len(labels))
    parts = _frame(top, step, high)
    for number, values in enumerate(series.values()):
        points = [
            (_LEFT + (place + 0.5) * each_wide, _TOP + high - high * value / top) for place, value in enumerate(values)
        ]
        parts += [
            f'<line class="stroke{number + 1}" x1="{x:.1f}" y1="{y:.1f}" x2="{to_x:.1f}" y2="{to_y:.1f}"/>'
            for (x, y), (to_x, to_y) in pairwise(points)
        ]
        parts += [f'<circle class="series{number + 1}" cx="{x:.1f}" cy="{y:.1f}" r="2.5"/>' for x, y in points]
    return _svg(title, parts + _labels(labels, each_wide), list(series))


def scale(largest: float) -> tuple[float, float]:
    """The top of an axis and the step of its marks: 1, 2 or 5 of a power of ten, at most five marks."""
    step = 1.0
    while largest > 5 * step:
        step *= 2.5 if f"{step:e}"[0] == "2" else 2
    while largest and largest <= step / 2 and step > 1e-6:
        step /= 2.5 if f"{step:e}"[0] == "5" else 2
    return max(step, -(-largest // step) * step), step


def _frame(top: float, step: float, high: float) -> list[str]:
    parts, mark = [], 0.0
    while mark <= top * 1.0001:
        y = _TOP + high - high * mark / top
        parts.append(f'<line class="grid" x1="{_LEFT}" y1="{y:.1f}" x2="{WIDTH - _RIGHT}" y2="{y:.1f}"/>')
        parts.append(f'<text x="{_LEFT - 6}" y="{y + 4:.1f}" text-anchor="end">{mark:,.10g}</text>')
        mark += step
    return parts


def _labels(labels: Sequence[str], each_wide: float) -> list[str]:
    every = -(-len(labels) // _LABELS) or 1
    return [
        f'<text x="{_LEFT + (place + 0.5) * each_wide:.1f}" y="{HEIGHT - 8}" text-anchor="middle">{escape(label)}</text>'
        for place, label in enumerate(labels)
        if place % every == 0
    ]


def _svg(title: str, parts: Sequence[str], names: Sequence[str]) -> Markup:
    legend, x = [], _LEFT
    for number, name in enumerate(names):
        legend.append(f'<rect class="series{number + 1}" x="{x}" y="{HEIGHT + 6}" width="11" height="11"/>')
        legend.append(f'<text x="{x + 16}" y="{HEIGHT + 16}">{escape(name)}</text>')
        x += 40 + 13 * len(name)
    body = "".join((*parts, *legend))
    drawn = (
        f'<svg class="plot" role="img" viewBox="0 0 {WIDTH} {HEIGHT + 24}" aria-label="{escape(title)}">{body}</svg>'
    )
    return Markup(drawn)  # noqa: S704 (numbers of ours; texts are escaped)
