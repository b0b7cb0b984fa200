"""`xinqiao bench`: the benchmarks, each held against a limit or a peer measured in the same run."""

from __future__ import annotations

from importlib import import_module
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
        str, typer.Argument(help="A benchmark, or its first word for several: query, query.p50. Default: all.")
    ] = "all",
) -> Result:
    """Measure this machine, and tell how the figures stand to their limits."""
    from bench.__main__ import MODULES

    chosen = [module for module, names in MODULES.items() if any(_meant(name, each) for each in names)]
    if not chosen:
        known = ", ".join(each for names in MODULES.values() for each in names)
        raise CliError("INVALID_ARGUMENT", f"No benchmark is called {name!r}. There are: all, {known}.")
    results: list[dict[str, object]] = []
    with output.progress("Measuring") as step:
        for done, module in enumerate(chosen):
            step(done, len(chosen), module)
            results += [line for line in import_module(module).run() if _meant(name, str(line["bench"]))]
    rows = [(r["bench"], r["value"], r["unit"], r["reference"], r["ratio"], r["reference_of"]) for r in results]
    return Result(
        data={"results": results},
        text=[Rows(columns=("bench", "value", "unit", "reference", "ratio", "reference of"), rows=rows)],
    )


def _meant(wanted: str, name: str) -> bool:
    return wanted in ("all", name) or name.startswith(f"{wanted}.")
