"""The files that a comparison leaves."""

from __future__ import annotations

from pathlib import Path

from nodes.psi.outcome import write_common
from tests.nodes.psi.two_nodes import codes_of


def test_each_common_enterprise_is_a_row_with_who_has_it(tmp_path: Path) -> None:
    a, b, c = ("91110000Y0000001A1", "91110000Y0000002A2", "91110000Y0000003A3")
    order = codes_of([b, "", a, c])
    write_common(tmp_path, order, {"tax": codes_of([a, b]), "pay": codes_of([c, b])})
    assert (tmp_path / "common.csv").read_text(encoding="utf-8").splitlines() == [
        "row,uscc,tax,pay",
        f"0,{b},1,1",
        "1,,0,0",
        f"2,{a},1,0",
        f"3,{c},0,1",
    ]
