"""The data of the modelling benchmarks: FATE's default of credit, 30,000 rows, 13 columns of the bank and 10 of another party.

It lies beside the project (`../shared`), as do the trials that are the references; where they are absent that is said and nothing is
measured, for a figure without its reference would say nothing.
"""

from __future__ import annotations

import csv
import os
import re
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import numpy.typing as npt

from bench.network import say

OWN_COLUMNS = 13

SHARED = Path(__file__).parents[2] / "shared"
"""What lies beside the project."""
_DATA = SHARED / "data" / "fate_default_credit"
_TRIALS = SHARED / "trials"
_PACKAGES = {"sklearn": "scikit-learn", "pandas": "pandas"}

Matrix = npt.NDArray[np.float64]
Rows = npt.NDArray[np.int64]


def there(bench: str, trial: str) -> bool:
    """Whether data, trial and the packages that a trial imports are there; says what is missing."""
    missing = [str(path) for path in (_DATA, _TRIALS / trial) if not path.exists()]
    missing += [name for module, name in _PACKAGES.items() if find_spec(module) is None]
    if missing:
        say(f"{bench} needs {' and '.join(missing)}; nothing was measured")
    return not missing


def read() -> tuple[Matrix, Matrix]:
    """Features float64[30000, 23] as they are, the first 13 the bank's; label float64[30000]."""
    guest, host = _table("default_credit_hetero_guest.csv"), _table("default_credit_hetero_host.csv")
    label = np.array([row.pop("y") for row in guest.values()])
    return np.array([[*row.values(), *host[key].values()] for key, row in guest.items()]), label


def trial_seconds(trial: str, *arguments: str, cores: int | None = None) -> float:
    """Run a trial, on so many cores at most; the seconds that it says it took."""
    command = [sys.executable, str(_TRIALS / trial), *arguments]
    if cores is not None:  # its libraries have threads of their own
        kept = ",".join(map(str, sorted(os.sched_getaffinity(0))[:cores]))
        command = ["taskset", "--cpu-list", kept, *command]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    found = re.search(r"total s ([0-9.]+)", done.stdout)
    if found is None:
        raise RuntimeError("the trial did not tell its time")
    return float(found[1])


def _table(name: str) -> dict[str, dict[str, float]]:
    with (_DATA / name).open(encoding="utf-8") as file:
        return {
            row["id"]: {key: float(value) for key, value in row.items() if key != "id"} for row in csv.DictReader(file)
        }
