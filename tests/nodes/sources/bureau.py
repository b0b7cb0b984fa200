"""A small node with sources of its own, for the tests of this folder."""

from __future__ import annotations

from pathlib import Path

from consent.catalogue import load_catalogue
from nodes.sources.report import LoadOutcome, LoadReport
from nodes.sources.snapshot_set import SnapshotSet

CATALOGUE = load_catalogue()
CODES = ("91110000Y00000016N", "92110108Y000000247", "93110116Y00000032H", "91110302Y00000040K", "91110105Y000001A63")
HEADER = "uscc,months,amount,since\n"
ITEM = "hf_arrears"


def line(place: int, months: int | str = 1, amount: str = "12.50", since: str = "2024-01") -> str:
    """One good row of `hf_arrears`, unless a cell is stated otherwise."""
    return f"{CODES[place]},{months},{amount},{since}\n"


def source(name: str = "fund", *, item: str = ITEM, kind: str = "csv", path: str = "fund.csv", more: str = "") -> str:
    """One [[source]] of a sources.toml. `more`: further lines of it."""
    return f'[[source]]\nname = "{name}"\ntype = "{kind}"\nitem_id = "{item}"\npath = "{path}"\n{more}\n'


class Bureau:
    """A folder with files and their declaration, and what a node has loaded of it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.snapshots = folder / "snapshots"
        self.set = self.reopened()

    def reopened(self) -> SnapshotSet:
        """The set as a process that starts now finds it."""
        self.set = SnapshotSet.open(self.snapshots, CATALOGUE)
        return self.set

    def load(self, declared: str, files: dict[str, str | bytes], now_ms: int = 1_000) -> LoadOutcome:
        """Put the files there and load."""
        for name, content in files.items():
            (self.folder / name).write_bytes(content if isinstance(content, bytes) else content.encode())
        (self.folder / "sources.toml").write_text(declared, encoding="utf-8")
        return self.set.load(self.folder / "sources.toml", now_ms)

    def load_rows(self, content: str | bytes, more: str = "") -> LoadReport:
        """Load one file of `hf_arrears`; the report of its source."""
        (report,) = self.load(source(more=more), {"fund.csv": content}).sources
        return report

    def subjects(self, item: str = ITEM) -> list[str]:
        """Which of the well-known subjects have a record."""
        return [code for code in CODES if self.set.lookup(item, code)]
