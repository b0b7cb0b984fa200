"""What comes of a comparison: `psi.json` for its user, and where it says which enterprises, `common.csv` in the common order."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Final

import msgspec
import numpy as np

from nodes.durable import write_bytes, write_parts
from nodes.psi.codes import Codes

OUTCOME_FILE: Final = "psi.json"
COMMON_FILE: Final = "common.csv"


class Compared(msgspec.Struct, frozen=True, kw_only=True):
    """One provider: on which legal basis, and how many enterprises it has in common with the list."""

    member: str
    product_id: str
    item_id: str
    exchange_id: str
    legal_basis: str
    common: int


class Outcome(msgspec.Struct, frozen=True, kw_only=True):
    """`own`: enterprises in the list. `size`: how many are common to it and the providers, all or any (`keep`)."""

    run_id: str
    mode: str
    keep: str
    own: int
    size: int
    minimum: int
    providers: tuple[Compared, ...]
    directory: str = ""


def write_outcome(directory: Path, outcome: Outcome) -> None:
    """Write `psi.json`."""
    write_bytes(directory / OUTCOME_FILE, msgspec.json.format(msgspec.json.encode(outcome), indent=1) + b"\n")


def write_common(directory: Path, order: Codes, held: Mapping[str, Codes]) -> None:
    """Write `common.csv`: a row for each common enterprise, and for each party of `held` whether it has it (1 or 0).

    An enterprise that the writing party itself does not have is an empty code: rows have the same numbers at all parties.
    """
    flags = [np.isin(order, codes) for codes in held.values()]

    def lines() -> Iterator[bytes]:
        yield ",".join(("row", "uscc", *held)).encode() + b"\n"
        for row, code in enumerate(order):
            yield b",".join((b"%d" % row, code, *(b"%d" % flag[row] for flag in flags))) + b"\n"

    write_parts(directory / COMMON_FILE, lines())
