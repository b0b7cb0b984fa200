"""Lists of enterprises: what is read is what was written, and what cannot be compared is told by its line."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from cli.demo.loans import synthetic_uscc
from nodes.psi.codes import CodeFile, ListUnusable, read_list, write_codes

CODES = [synthetic_uscc(number) for number in range(1000, 1060)]


def told(file: Path, column: str = "") -> str:
    with pytest.raises(ListUnusable) as error:
        read_list(file, column)
    assert error.value.code == "DATA_UNUSABLE"
    return str(error.value)


@given(
    numbers=st.lists(st.integers(0, 59), unique=True, min_size=1),
    blank=st.sampled_from(["", "\n", "  \n"]),
    end=st.sampled_from(["\n", "\r\n"]),
)
@settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_a_text_file_is_its_codes_in_their_order(numbers: list[int], blank: str, end: str, tmp_path: Path) -> None:
    codes = [CODES[number] for number in numbers]
    file = tmp_path / "list.txt"
    file.write_bytes(b"\xef\xbb\xbf" + (blank + end.join(f" {code} " for code in codes) + end).encode())
    found = read_list(file, "")
    assert found.astype(str).tolist() == codes
    write_codes(tmp_path / "own.codes", found)
    kept = CodeFile(tmp_path / "own.codes")
    assert list(kept) == codes and len(kept) == len(codes) and kept[0] == codes[0]
    assert kept[1:3] == codes[1:3]


def test_a_column_of_a_csv_file_is_found_by_its_name(tmp_path: Path) -> None:
    file = tmp_path / "list.csv"
    file.write_text('name,code\n"A, B",' + CODES[0] + "\n\nC," + CODES[1] + "\n", encoding="utf-8")
    assert read_list(file, "code").astype(str).tolist() == CODES[:2]
    assert "0 columns 'uscc'" in told(file, "uscc")
    file.write_text(f"code,code\n{CODES[0]},{CODES[1]}\n", encoding="utf-8")
    assert "2 columns 'code'" in told(file, "code")
    file.write_text(f"name,code\nA,{CODES[0]}\nB\n", encoding="utf-8")
    assert "Line 3" in told(file, "code")


@pytest.mark.parametrize("bad", [CODES[0][:-1], CODES[0] + "0", CODES[0].lower(), "I" + CODES[0][1:], "汉" * 18])
def test_a_code_that_is_none_is_told_by_its_line_and_never_shown(bad: str, tmp_path: Path) -> None:
    file = tmp_path / "list.txt"
    file.write_text(f"{CODES[0]}\n\n{bad}\n", encoding="utf-8")
    said = told(file)
    assert "Line 3" in said and bad not in said


def test_a_code_that_comes_twice_is_told_by_both_lines_and_never_shown(tmp_path: Path) -> None:
    file = tmp_path / "list.txt"
    file.write_text("\n".join(["", *CODES[:5], CODES[2]]), encoding="utf-8")
    said = told(file)
    assert "Lines 4 and 7" in said and CODES[2] not in said


@pytest.mark.parametrize("content", [b"", b"\n\n", b"\xff\xfe\x00", "企业".encode("gbk")])
def test_a_file_that_names_nobody_or_is_no_text_is_told(content: bytes, tmp_path: Path) -> None:
    file = tmp_path / "list.txt"
    file.write_bytes(content)
    assert str(file) in told(file)
    assert "cannot be read" in told(tmp_path / "nowhere.txt")


def test_rows_that_a_party_lacks_are_empty(tmp_path: Path) -> None:
    write_codes(tmp_path / "own.codes", np.array([code.encode() for code in CODES[:3]]))
    found = CodeFile(tmp_path / "own.codes").taken(np.array([2, -1, 0]))
    assert [code.decode() for code in found.tolist()] == [CODES[2], "", CODES[0]]
    write_codes(tmp_path / "order.codes", found)
    assert CodeFile(tmp_path / "order.codes").all().tolist() == found.tolist()
