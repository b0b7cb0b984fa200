"""Where comparisons lie in a node's home: `psi/own/<run>` while an own one is under way, `psi/<exchange>` for a part in another's.

Lists and digests can be guessed from a list of all enterprises: what was computed with is deleted when a comparison ends, and after a
crash at the next start. What stays of a part is `common.csv`, where the node learned which enterprises are common.
"""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Final

from nodes.psi.outcome import COMMON_FILE

_OWN: Final = "own"


def own_folder(home: Path, run_id: str) -> Path:
    """Of an own comparison."""
    return home / "psi" / _OWN / run_id


def part_folder(home: Path, exchange_id: str) -> Path:
    """Of a part in another member's."""
    return home / "psi" / exchange_id


def forget(folder: Path) -> None:
    """Delete what a part was computed with."""
    for path in folder.glob("*"):
        if path.is_dir():
            shutil.rmtree(path, ignore_errors=True)
        elif path.name != COMMON_FILE:
            path.unlink(missing_ok=True)
    if folder.is_dir() and not any(folder.iterdir()):
        folder.rmdir()


def forget_all(home: Path) -> None:
    """The same after a crash, for all that was under way."""
    shutil.rmtree(home / "psi" / _OWN, ignore_errors=True)
    for folder in (home / "psi").glob("*"):
        forget(folder)
