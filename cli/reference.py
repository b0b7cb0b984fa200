"""Writes docs/cli.md from the commands themselves: `python -m cli.reference > docs/cli.md`. A test compares the two."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from typing import Any

from typer.main import get_command

from cli.errors import MEANINGS
from cli.main import app

_LEFT_OUT = {"--help", "--install-completion", "--show-completion"}


def walk(command: Any, name: str = "xinqiao") -> Iterator[tuple[str, Any]]:  # noqa: ANN401 (Typer's own classes are not public)
    """Every command that does something, with its full name, in the order of the help."""
    children = getattr(command, "commands", None)
    if children is None:
        yield name, command
        return
    for child_name, child in children.items():
        yield from walk(child, f"{name} {child_name}")


def reference() -> str:
    """The whole document."""
    root = get_command(app)
    lines = [
        "# The command",
        "",
        "Written from the code by `make docs`; do not edit. `xinqiao --install-completion` installs completion for your shell.",
        "",
        'Every command takes `--json`: exactly one JSON object on stdout, `{"error": {"code", "message", "reason"}}` for an error.',
        "",
        "| exit code | meaning |",
        "|---|---|",
        *(f"| {number} | {meaning} |" for number, meaning in MEANINGS.items()),
        "",
    ]
    for name, command in walk(root):
        lines += _section(name, command)
    return "\n".join(lines).rstrip() + "\n"


def _section(name: str, command: Any) -> list[str]:  # noqa: ANN401
    arguments = [p for p in command.params if p.param_type_name == "argument"]
    options = [p for p in command.params if p.param_type_name == "option" and p.opts[0] not in _LEFT_OUT]
    shown = "".join(f" {_metavar(p)}" if p.required else f" [{_metavar(p)}]" for p in arguments)
    lines = [f"## `{name}{shown}`", "", " ".join((command.help or "").split()), "", "| | |", "|---|---|"]
    lines += [f"| `{_metavar(p)}` | {_cell(p)} |" for p in arguments]
    lines += [f"| `{_spelling(p)}` | {_cell(p)} |" for p in options]
    return [*lines, ""]


def _metavar(parameter: Any) -> str:  # noqa: ANN401
    return f"{parameter.name.upper()}{'…' if parameter.nargs == -1 else ''}"


def _spelling(parameter: Any) -> str:  # noqa: ANN401
    names = "/".join([*parameter.opts, *parameter.secondary_opts])
    return names if getattr(parameter, "is_flag", False) else f"{names} {parameter.name.upper()}"


def _cell(parameter: Any) -> str:  # noqa: ANN401
    notes = [" ".join((parameter.help or "").split())]
    if parameter.required:
        notes.append("Required.")
    elif isinstance(parameter.default, str | int) and parameter.default not in {"", 0}:
        notes.append(f"Default: {parameter.default}.")
    if parameter.envvar:
        notes.append(f"Also `{parameter.envvar}`.")
    return " ".join(notes).replace("|", "\\|")


if __name__ == "__main__":
    sys.stdout.write(reference())
