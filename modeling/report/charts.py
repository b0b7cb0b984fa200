"""How our pages draw: figures of one look.

Lines and bars have colours that stand out on light and dark paper; texts and grids get theirs from the page. Only what draws loads this
module, for plotly takes a while to load.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import plotly.graph_objects as go

ACCENT: Final = "#3d86d6"
SECOND: Final = "#d9662b"
QUIET: Final = "#8896a5"
LABEL_LENGTH: Final = 26

Figure = Any
"""A plotly figure; plotly has no types that mypy could use."""


def plain(text: str) -> str:
    """A text from outside as plotly shows it: plotly reads tags (links, too) and entities in labels, so there must be none."""
    short = text if len(text) <= LABEL_LENGTH else text[: LABEL_LENGTH - 1] + "…"
    return short.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def rounded(value: float) -> str:
    """Three figures, as a person reads an amount."""
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"


def chart(x: str, y: str, *traces: Figure, height: int = 280, **layout: Any) -> Figure:  # noqa: ANN401
    """A figure of one or more traces; `x`, `y`: titles of the axes; `layout` as plotly has it."""
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


def line_trace(name: str, x: Sequence[float], y: Sequence[float], colour: str = ACCENT, **more: Any) -> Figure:  # noqa: ANN401
    """A line."""
    return go.Scatter(
        name=name, x=list(x), y=list(y), **({"mode": "lines", "line": {"color": colour, "width": 2}} | more)
    )


def dotted_line(name: str, x: Sequence[float], y: Sequence[float]) -> Figure:
    """A quiet line to compare with."""
    line = {"color": QUIET, "width": 1.5, "dash": "dot"}
    return line_trace(name, x, y, line=line, hoverinfo="skip")


def sideways_bars(names: Sequence[str], values: Sequence[float], texts: Sequence[str]) -> Figure:
    """Bars from the left, a name each, with a text behind each bar."""
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


def name_axis(names: Sequence[str]) -> dict[str, Any]:
    """An axis of names, the first on top; by place, since two long names may be shown alike."""
    return {
        "tickvals": list(range(len(names))),
        "ticktext": list(names),
        "autorange": "reversed",
        "automargin": True,
        "ticklabelstandoff": 6,
        "showgrid": False,
    }


def share_axes(*axes: str) -> dict[str, Any]:
    """Axes from 0 to 100%."""
    return {
        f"{axis}_{name}": value for axis in axes for name, value in (("tickformat", ".0%"), ("range", [-0.02, 1.02]))
    }
