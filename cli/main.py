"""The `xinqiao` command: the composition root. Exit codes are those of `cli.errors`."""

from __future__ import annotations

import sys
from importlib import import_module
from typing import Annotated, Final

import typer

from cli.commands import Group

HELP = """Xinqiao (信桥): banks use credit information about enterprises, and the data never leaks.

A hub brings members together; each runs a node; an enterprise consents by its own key; the provider's node decides on every use, and
every use is in a log that the enterprise can verify.

Exit codes: 0 done, 1 unforeseen, 2 wrong command or value, 3 refused, 4 not reachable, 5 not found or wrong state, 6 verification
failed, 7 configuration. Every command has --json.
"""

PARTS: Final[dict[str, tuple[str, ...]]] = {
    "hub": ("hub_commands", "operator_commands", "review_commands", "hub_models_command"),
    "node": ("node_commands", "doctor_command", "node_work_commands"),
    "enterprise": ("enterprise_commands", "rotation_command", "sign_command"),
    "consent": ("consent_commands",),
    "query": ("use_commands",),
    "fetch": ("use_commands",),
    "model": ("model_commands", "registry_commands"),
    "score": ("score_commands", "service_commands"),
    "psi": ("psi_commands",),
    "portal": ("portal_commands", "portal_programs"),
    "audit": ("audit_commands", "audit_model_command", "audit_my_data_command"),
    "demo": ("demo_commands",),
    "bench": ("bench_commands",),
}
"""The first word of a command, and the modules of `cli` that make it, in the order of the help. The first module of a group has its
`app`, others add to it; a module of single commands has `add_to`."""


def build(first_word: str = "") -> typer.Typer:
    """The whole command line, or only what one first word needs: a node's command does not wait for the hub's libraries."""
    app = typer.Typer(
        name="xinqiao",
        cls=Group,
        help=HELP,
        no_args_is_help=True,
        rich_markup_mode=None,
        pretty_exceptions_enable=False,
    )
    app.callback()(_options)
    added = set()
    for word in (first_word,) if first_word in PARTS else PARTS:
        modules = [import_module(f"cli.{name}") for name in PARTS[word]]
        if hasattr(modules[0], "app"):
            app.add_typer(modules[0].app, name=word)
        elif modules[0] not in added:
            modules[0].add_to(app)
            added.add(modules[0])
    return app


def _version(wanted: bool) -> None:
    if wanted:
        from importlib.metadata import version

        typer.echo(version("xinqiao"))
        raise typer.Exit


def _options(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version and end.")
    ] = False,
) -> None:
    """Hold the options of the command itself."""


def main() -> None:
    """Run the command line and end the process with its exit code."""
    build(next((word for word in sys.argv[1:] if not word.startswith("-")), ""))()


if __name__ == "__main__":
    main()
