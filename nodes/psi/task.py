"""What a party's process of a comparison is to do, and what it leaves."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Final

import msgspec

from nodes.party.process import PartyTask
from nodes.psi.messages import Keep

WORKER: Final = (sys.executable, "-m", "nodes.psi.worker")
SETTLED: Final = "settled"
"""The question that a provider's process asks when it knows which are common: is it on record?"""


class Task(PartyTask, frozen=True, kw_only=True):
    """`codes`: the party's list; `folder`: where it may write. `rows`: both learn which are common, not only how many."""

    run: str
    codes: str
    folder: str
    rows: bool
    minimum: int
    keep: Keep


class Result(msgspec.Struct, frozen=True, kw_only=True):
    """How many are common: with the other party where only the number is learned, else in the order of all parties."""

    size: int


def common_file(folder: Path, peer: str) -> Path:
    """The codes that are common with one other party, in the order that both know."""
    return folder / f"common-{peer}.codes"


def order_file(folder: Path) -> Path:
    """The codes in the order of all parties; 18 zero bytes where this party has none."""
    return folder / "order.codes"
