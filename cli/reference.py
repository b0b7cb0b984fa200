"""Writes docs/cli.md and docs/errors.md from the code: `python -m cli.reference commands|errors`. A test compares them."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from importlib import import_module
from typing import Any

from typer.main import get_command

from cli.errors import EXIT_CODES, MEANINGS, UNEXPECTED
from cli.main import build
from consent.errors import ConsentError
from consent.reasons import REASONS
from hub.error_catalogue import SENTENCES
from nodes.errors import NodeError
from trust.errors import TrustError

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
    root = get_command(build())
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


def errors() -> str:
    """Every code that a command, the hub or a node may answer with, and every reason of a refused use."""
    lines = [
        "# Errors",
        "",
        "Written from the code by `make docs`; do not edit. A message tells the case at hand; here stands what its code means.",
        "",
        "## Codes",
        "",
        "| code | exit code | what happened, what to do |",
        "|---|---|---|",
        *(
            f"| `{code}` | {EXIT_CODES.get(code, UNEXPECTED)} | {sentence} |"
            for code, sentence in sorted(_sentences().items())
        ),
        "",
        "## Reasons of `USE_REFUSED`",
        "",
        "In the order in which they are checked; the first that holds is told, and stands in the receipt.",
        "",
        "| reason | what happened, what to do |",
        "|---|---|",
        *(f"| `{reason.value}` | {sentence} |" for reason, sentence in REASONS.items()),
    ]
    return "\n".join(lines) + "\n"


def _sentences() -> dict[str, str]:
    """The hub's sentences, and for codes that only our own machine knows the first line of the error's description."""
    build()  # so that every module with errors of its own is there
    import_module("nodes.sources.errors")
    own: dict[str, str] = {}
    for kind in (*_kinds(TrustError), *_kinds(ConsentError), *_kinds(NodeError)):
        code = getattr(kind, "code", "")
        if code in EXIT_CODES:
            own.setdefault(code, " ".join((kind.__doc__ or "").split("\n\n")[0].split()))
    return own | SENTENCES


def _kinds(base: type[Any]) -> Iterator[type[Any]]:
    subclasses: list[type[Any]] = base.__subclasses__()
    for kind in subclasses:
        yield kind
        yield from _kinds(kind)


if __name__ == "__main__":
    sys.stdout.write({"commands": reference, "errors": errors}[sys.argv[1]]())
