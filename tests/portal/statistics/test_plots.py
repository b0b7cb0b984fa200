"""Plots are plain SVG: no script, no style, nothing outside the frame."""

from __future__ import annotations

import re

from defusedxml import ElementTree as ET
from hypothesis import given
from hypothesis import strategies as st

from portal.statistics.plots import HEIGHT, columns, lines, scale

VALUES = st.lists(st.floats(0, 1e12), min_size=1, max_size=40)


@given(VALUES, st.sampled_from([columns, lines]))
def test_every_mark_is_within_the_frame(values: list[float], plot: type) -> None:
    drawn = str(plot("t", [str(each) for each in range(len(values))], {"<a>": values, "b": values[::-1]}))
    tree = ET.fromstring(drawn)
    assert tree.attrib["role"] == "img" and "style=" not in drawn and "<script" not in drawn and "<a>" not in drawn
    for name in ("y", "y1", "y2", "cy"):
        assert all(-0.1 <= float(each) <= HEIGHT + 24 for each in re.findall(rf' {name}="([^"]+)"', drawn))
    assert all(float(each) >= 0 for each in re.findall(r' height="([^"]+)"', drawn))


@given(st.floats(0, 1e15))
def test_an_axis_reaches_over_the_largest_value_in_at_most_six_marks(largest: float) -> None:
    top, step = scale(largest)
    assert top >= largest and top / step <= 5.001
    assert f"{step:e}"[0] in "125"
