"""The `xinqiao` command: the composition root. Exit codes are those of `cli.errors`."""

from __future__ import annotations

from typing import Annotated

import typer

from cli import (
    audit_commands,
    bench_commands,
    consent_commands,
    demo_commands,
    doctor_command,
    enterprise_commands,
    hub_commands,
    node_commands,
    node_work_commands,
    review_commands,
    use_commands,
)
from cli.commands import Group

HELP = """Xinqiao (信桥): banks use credit information about enterprises, and the data never leaks.

A hub brings members together; each runs a node; an enterprise consents by its own key; the provider's node decides on every use, and
every use is in a log that the enterprise can verify.

Exit codes: 0 done, 1 unforeseen, 2 wrong command or value, 3 refused, 4 not reachable, 5 not found or wrong state, 6 verification
failed, 7 configuration. Every command has --json.
"""

app = typer.Typer(
    name="xinqiao", cls=Group, help=HELP, no_args_is_help=True, rich_markup_mode=None, pretty_exceptions_enable=False
)
app.add_typer(hub_commands.app, name="hub")
app.add_typer(node_commands.app, name="node")
app.add_typer(enterprise_commands.app, name="enterprise")
app.add_typer(consent_commands.app, name="consent")
use_commands.add_to(app)
app.add_typer(audit_commands.app, name="audit")
demo_commands.add_to(app)
bench_commands.add_to(app)
# Modules that add their commands to a group when they are imported.
CONTINUED = (review_commands, node_work_commands, doctor_command)


def _version(wanted: bool) -> None:
    if wanted:
        from importlib.metadata import version

        typer.echo(version("xinqiao"))
        raise typer.Exit


@app.callback()
def _options(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version and end.")
    ] = False,
) -> None:
    """Hold the options of the command itself."""


def main() -> None:
    """Run the command line and end the process with its exit code."""
    app()


if __name__ == "__main__":
    main()
