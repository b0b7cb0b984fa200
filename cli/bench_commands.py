"""`xinqiao bench`: the benchmarks, each held against a limit or a peer measured in the same run."""

from __future__ import annotations

from typing import Annotated

import typer

from cli.commands import command
from cli.errors import CliError
from cli.output import Output, Result, Rows


def add_to(app: typer.Typer) -> None:
    """Register the command."""
    command(app, "bench")(bench)


def bench(
    output: Output,
    name: Annotated[
        str, typer.Argument(help="A benchmark, or how several begin: query, query.p50. Default: all.")
    ] = "all",
) -> Result:
    """Measure this machine, and tell how the figures stand to their limits."""
    from bench.__main__ import RUNS, chosen, measured

    runs = chosen(name)
    if not runs:
        known = ", ".join(each for names in RUNS.values() for each in names)
        raise CliError("INVALID_ARGUMENT", f"No benchmark is called {name!r}. There are: all, {known}.")
    results: list[dict[str, object]] = []
    with output.progress("Measuring") as step:
        for done, run in enumerate(runs):
            step(done, len(runs), run)
            results += measured(run, name)
    rows = [(r["bench"], r["value"], r["unit"], r["reference"], r["ratio"], r["reference_of"]) for r in results]
    return Result(
        data={"results": results},
        text=[Rows(columns=("bench", "value", "unit", "reference", "ratio", "reference of"), rows=rows)],
    )
