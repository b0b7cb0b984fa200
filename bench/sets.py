"""The data sets of the quality benchmarks, read where they lie beside the project. Columns: float64 with NaN, or object of texts."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from bench.credit import SHARED

_DATA: Final = SHARED / "data"
_SBA_LEFT_OUT: Final = ("ChgOffDate", "ChgOffPrinGr", "BalanceGross", "Name", "MIS_Status", "LoanNr_ChkDgt", "Selected")


@dataclass(frozen=True, kw_only=True)
class DataSet:
    """Columns by name, label float64[n] of 0 and 1. `own`: how many of the columns, the first, are the bank's."""

    name: str
    columns: dict[str, npt.NDArray[Any]]
    label: npt.NDArray[np.float64]
    own: int


def present() -> list[str]:
    """Which of the sets are there."""
    return [name for name, (folder, _) in SETS.items() if (_DATA / folder).exists()]


def load(name: str) -> DataSet:
    """Read one."""
    return SETS[name][1]()


def _hetero(name: str, folder: str, prefix: str) -> DataSet:
    import pandas as pd

    guest = pd.read_csv(_DATA / folder / f"{prefix}_hetero_guest.csv").set_index("id")
    host = pd.read_csv(_DATA / folder / f"{prefix}_hetero_host.csv").set_index("id").loc[guest.index]
    label = guest.pop("y").to_numpy(np.float64)
    own = {f"guest.{column}": guest[column].to_numpy(np.float64) for column in guest}
    theirs = {f"host.{column}": host[column].to_numpy(np.float64) for column in host}
    return DataSet(name=name, columns=own | theirs, label=label, own=len(own))


def _german() -> DataSet:
    import pandas as pd

    frame = pd.read_csv(_DATA / "german_credit" / "germancredit.csv")
    label = (frame.pop("creditability") == "bad").to_numpy(np.float64)
    return _halved("german_credit", frame, label)


def _polish() -> DataSet:
    import pandas as pd

    lines = (_DATA / "polish_bankruptcy" / "1year.arff").read_text(encoding="utf-8").splitlines()
    rows = [line.split(",") for line in lines if line and not line.startswith(("@", "%"))]
    frame = pd.DataFrame(rows).replace("?", None)
    label = frame.pop(frame.columns[-1]).astype(int).to_numpy(np.float64)
    frame = frame.astype(float)
    frame.columns = [f"attr{place}" for place in range(1, 65)]
    return _halved("polish_bankruptcy", frame, label)


def _sba() -> DataSet:
    import pandas as pd

    frame = pd.read_csv(_DATA / "sba_case" / "SBAcase.11.13.17.csv", encoding="utf-8-sig")
    label = frame.pop("Default").to_numpy(np.float64)
    return _halved("sba_case", frame.drop(columns=list(_SBA_LEFT_OUT)), label)


def _halved(name: str, frame: Any, label: npt.NDArray[np.float64]) -> DataSet:  # noqa: ANN401 - pandas without its types
    """The bank has the first half of the columns."""
    columns: dict[str, npt.NDArray[Any]] = {}
    for column in frame:
        values = frame[column]
        if values.dtype.kind in "iufb":
            columns[str(column)] = values.to_numpy(np.float64)
        else:
            columns[str(column)] = values.astype(object).where(values.notna(), None).to_numpy(object)
    return DataSet(name=name, columns=columns, label=label, own=len(columns) // 2)


SETS: Final[dict[str, tuple[str, Callable[[], DataSet]]]] = {
    "default_credit": (
        "fate_default_credit",
        lambda: _hetero("default_credit", "fate_default_credit", "default_credit"),
    ),
    "breast": ("fate_breast", lambda: _hetero("breast", "fate_breast", "breast")),
    "german_credit": ("german_credit", _german),
    "polish_bankruptcy": ("polish_bankruptcy", _polish),
    "sba_case": ("sba_case", _sba),
}
"""Each set's folder, and how it is read."""
