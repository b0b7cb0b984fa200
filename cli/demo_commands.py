"""`xinqiao demo`: the whole of it on this machine, as real processes over real loans."""

from __future__ import annotations

import signal
import threading
from pathlib import Path
from typing import Annotated

import msgspec
import typer

from cli.commands import command
from cli.errors import CliError
from cli.output import Output, Result, Rows


def add_to(app: typer.Typer) -> None:
    """Register the command."""
    command(app, "demo")(demo)


def demo(
    output: Output,
    home: Annotated[
        Path, typer.Option("--home", help="Folder of the demonstration; what an earlier run left there is replaced.")
    ] = Path("var/demo"),
    keep: Annotated[bool, typer.Option("--keep", help="Leave hub and nodes running until Ctrl-C.")] = False,
) -> Result:
    """Run a hub and three nodes over real loans: consent, query, transfer, refusal, revocation, audit, a tampered log."""
    from cli.demo.network import DemoFailed
    from cli.demo.scenario import Scenario

    scenario = Scenario(home.resolve(), output.note)
    try:
        summary = scenario.run()
        if keep:
            output.note(f"Hub and nodes run on; their homes are in {home}. Ctrl-C stops them.")
            _wait_for_interrupt()
    except DemoFailed as error:
        raise CliError("INTERNAL", str(error)) from error
    finally:
        scenario.close()
    data: dict[str, object] = msgspec.to_builtins(summary)
    rows = [(name, _shown(value)) for name, value in data.items()]
    return Result(
        data=data, text=[Rows(columns=("what happened", ""), rows=rows), f"Written to {home / 'summary.json'}."]
    )


def _shown(value: object) -> object:
    if isinstance(value, dict):
        return ", ".join(f"{name} {each}" for name, each in value.items())
    return "; ".join(str(_shown(each)) for each in value) if isinstance(value, list) else value


def _wait_for_interrupt() -> None:
    stop = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: stop.set())
    stop.wait()
