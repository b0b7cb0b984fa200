"""What a command prints, for people or, with --json, as exactly one JSON object on stdout.

Rules:
1. A command returns a `Result`; it never prints. Only this module writes to stdout.
2. With --json everything, errors too, is one object on stdout; progress and remarks go to stderr in both forms.
3. Progress is shown only where somebody looks: on a terminal.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Final, Protocol

import msgspec
from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, DownloadColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn
from rich.table import Table

from cli.errors import OK, CliError

_UNFOLDED: Final = 4096


@dataclass(frozen=True, kw_only=True)
class Rows:
    """A table for people: its title, the heads of its columns, and the rows."""

    title: str = ""
    columns: Sequence[str]
    rows: Sequence[Sequence[object]]


@dataclass(frozen=True, kw_only=True)
class Result:
    """What a command did or found: `data` for programs, `text` for people. The texts are not markup."""

    data: dict[str, object]
    text: Sequence[str | Rows] = ()
    exit_code: int = field(default=OK)


class Step(Protocol):
    """How far something is; called as often as one likes."""

    def __call__(self, done: int, total: int | None = None, label: str | None = None) -> None:
        """`done` of `total` (None: unknown)."""


class Output:
    """Where one command's result goes."""

    def __init__(self, *, as_json: bool) -> None:
        """Make an output for a command that was called with or without --json."""
        self.as_json = as_json
        self._shown = False

    def show(self, result: Result) -> None:
        """Print a result."""
        self._shown = True
        if self.as_json:
            _write_json(result.data)
            return
        # Into a pipe or file nothing is folded: whoever reads it there looks for whole identifiers.
        console = Console(soft_wrap=True, highlight=False, width=None if sys.stdout.isatty() else _UNFOLDED)
        for part in result.text:
            if isinstance(part, str):
                console.print(escape(part))
            else:
                console.print(_table(part))

    def fail(self, error: CliError) -> None:
        """Print an error. After a result (of a server that ran) it goes to stderr: stdout holds one object only."""
        if self.as_json and not self._shown:
            _write_json(error.as_json())
            return
        console = Console(stderr=True, soft_wrap=True, highlight=False)
        reason = f" ({error.reason})" if error.reason else ""
        console.print(f"[bold red]{error.code}[/]{reason}: {escape(error.message)}")
        if error.incident:
            console.print(f"Incident {escape(error.incident)}")

    def note(self, text: str) -> None:
        """Print a remark beside the result."""
        Console(stderr=True, soft_wrap=True, highlight=False).print(escape(text))

    @contextmanager
    def progress(self, label: str, *, in_bytes: bool = False) -> Iterator[Step]:
        """Show how something goes on that may take longer than a second."""
        console = Console(stderr=True)
        columns = (
            SpinnerColumn(),
            TextColumn("{task.description}"),
            BarColumn(),
            DownloadColumn() if in_bytes else TextColumn("{task.completed:,.0f}"),
            TimeElapsedColumn(),
        )
        with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as bar:
            task = bar.add_task(label, total=None)

            def step(done: int, total: int | None = None, label: str | None = None) -> None:
                if label is not None:
                    bar.update(task, description=label)
                bar.update(task, completed=done, total=total)

            yield step


def moment(time_ms: int) -> str:
    """A time in milliseconds since the epoch, for people; a dash for 0."""
    return datetime.fromtimestamp(time_ms / 1000, UTC).strftime("%Y-%m-%d %H:%M:%S UTC") if time_ms else "-"


def _table(rows: Rows) -> Table:
    table = Table(*rows.columns, title=rows.title or None, title_justify="left", show_edge=False)
    for row in rows.rows:
        table.add_row(*(escape(str(cell)) for cell in row))
    return table


def _write_json(data: object) -> None:
    sys.stdout.write(msgspec.json.encode(data).decode() + "\n")
    sys.stdout.flush()
