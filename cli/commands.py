"""How a function becomes a command: it gets --json, its errors become exit codes, and its result is printed.

`@command(app, "name")` takes a function of typed parameters that returns a `Result`. A parameter of type Output is not an option: it
is filled in, for progress and remarks.
"""

from __future__ import annotations

import functools
import inspect
import sys
import traceback
from collections.abc import Callable, Sequence
from typing import Annotated, Any, Final, NoReturn, get_type_hints

import typer
from typer.core import TyperGroup
from typer.exceptions import TyperException

from cli.errors import KNOWN, UNEXPECTED, USAGE, CliError, to_cli_error
from cli.output import Output, Result

_JSON: Final = "as_json"
_JsonOption = Annotated[
    bool, typer.Option("--json", help="Print exactly one JSON object, also for an error, and nothing else on stdout.")
]


class Group(TyperGroup):
    """A group of commands whose usage errors are told as JSON too, if --json is among the arguments."""

    def main(self, args: Sequence[str] | None = None, *positional: Any, **extra: Any) -> Any:  # noqa: ANN401 (Typer's)
        """Run the command line; ends the process."""
        given = list(sys.argv[1:] if args is None else args)
        if "--json" not in given or not extra.get("standalone_mode", True):
            return super().main(given, *positional, **extra)
        try:
            ended = super().main(given, *positional, **(extra | {"standalone_mode": False}))
        except TyperException as error:
            message = getattr(error, "format_message", error.__str__)()
            Output(as_json=True).fail(CliError("INVALID_ARGUMENT", message))
            sys.exit(USAGE)
        except typer.Abort:
            sys.exit(UNEXPECTED)
        sys.exit(ended if isinstance(ended, int) else 0)


def group(help_text: str) -> typer.Typer:
    """Make a group of commands."""
    return typer.Typer(
        help=help_text, cls=Group, no_args_is_help=True, rich_markup_mode=None, pretty_exceptions_enable=False
    )


def command(app: typer.Typer, name: str) -> Callable[[Callable[..., Result | None]], Callable[..., Result | None]]:
    """Register a function as a command. The function itself stays as it is, to be called by others."""

    def register(function: Callable[..., Result | None]) -> Callable[..., Result | None]:
        app.command(name)(_wrapped(function))
        return function

    return register


def _wrapped(function: Callable[..., Result | None]) -> Callable[..., None]:
    hints = get_type_hints(function, include_extras=True)
    signature = inspect.signature(function)
    outputs = [parameter for parameter, hint in hints.items() if hint is Output]
    options = [
        parameter.replace(annotation=hints[parameter.name], kind=inspect.Parameter.KEYWORD_ONLY)
        for parameter in signature.parameters.values()
        if parameter.name not in outputs
    ]
    json_option = inspect.Parameter(_JSON, inspect.Parameter.KEYWORD_ONLY, annotation=_JsonOption, default=False)

    @functools.wraps(function)
    def run(**arguments: Any) -> None:  # noqa: ANN401 (what Typer parsed)
        output = Output(as_json=arguments.pop(_JSON))
        try:
            result = function(**arguments, **dict.fromkeys(outputs, output))
        except KNOWN as error:
            _end(output, to_cli_error(error))
        except OSError as error:
            _end(output, CliError("CONFIGURATION", f"{error}. Check the path, its rights and the space left."))
        except Exception as error:  # recorded on stderr and told by its exit code
            traceback.print_exc()
            message = f"{type(error).__name__}: {error}. Nothing more is known; report it with the lines above."
            _end(output, CliError("INTERNAL", message))
        if result is not None:
            output.show(result)
            raise typer.Exit(result.exit_code)

    parameters = [*options, json_option]
    run.__signature__ = signature.replace(parameters=parameters, return_annotation=None)  # type: ignore[attr-defined]
    run.__annotations__ = {parameter.name: parameter.annotation for parameter in parameters}
    del run.__wrapped__  # else its annotations would be read
    return run


def _end(output: Output, error: CliError) -> NoReturn:
    output.fail(error)
    raise typer.Exit(error.exit_code)
