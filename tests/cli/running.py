"""Running commands in this process, as a person (text) or a program (--json) does."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from typer.testing import CliRunner

from cli.main import build

APP = build()


@dataclass(frozen=True)
class Ran:
    """What a command did."""

    code: int
    out: str
    err: str

    @property
    def data(self) -> Any:
        """Its one JSON object."""
        return json.loads(self.out)

    @property
    def error(self) -> Any:
        """Its error's code and reason."""
        return self.data["error"]


def run(*arguments: str | Path, code: int = 0) -> Ran:
    """Run a command that must end with this exit code."""
    result = CliRunner().invoke(APP, [str(argument) for argument in arguments])
    assert result.exit_code == code, f"exit {result.exit_code}: {result.output}\n{result.exception!r}"
    return Ran(result.exit_code, result.stdout, result.stderr)


def run_json(*arguments: str | Path, code: int = 0) -> Ran:
    """Run it with --json; stdout must be exactly one JSON object."""
    ran = run(*arguments, "--json", code=code)
    assert isinstance(ran.data, dict)
    return ran


def failing(*arguments: str | Path, code: int) -> Any:
    """Run a command that must fail; returns its error. The text form must end alike and name the code on stderr."""
    error = run_json(*arguments, code=code).error
    spoken = run(*arguments, code=code)
    assert error["code"] in spoken.err
    assert spoken.out == ""
    return error
