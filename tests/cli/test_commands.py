from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import typer
from typer.main import get_command
from typer.testing import CliRunner
from xinqiao.v1 import errors_pb2

import consent.audit
import consent.decision
import consent.errors
import hub.errors
import nodes.errors
import nodes.sources.errors
import trust.errors
import trust.merkle
from cli.commands import command, group
from cli.errors import EXIT_CODES, MEANINGS, CliError, to_cli_error
from cli.main import PARTS, build
from cli.output import Output, Result, Rows
from cli.reference import errors, reference, walk
from tests.cli.running import run, run_json

COMMANDS = dict(walk(get_command(build())))
CARD = {
    "hub init", "hub serve", "hub info", "hub status", "hub admit", "hub invite", "hub members", "hub revoke-node",
    "hub suspend", "hub registrations", "hub approve-enterprise", "hub reject-enterprise", "hub products",
    "hub review-product", "hub unmatched", "hub backup", "node enrol", "node serve", "node status",
    "node load", "node products", "node publish", "node approvals", "node approve", "node decline", "node purge",
    "node transfers", "node clear-alarm", "node catalogue", "enterprise init", "enterprise register",
    "enterprise status", "enterprise requests", "enterprise consents", "consent request", "consent grant",
    "consent refuse", "consent revoke", "query", "fetch", "audit mine", "audit verify", "audit export", "demo", "bench",
}  # fmt: skip


def test_every_command_that_was_promised_is_there() -> None:
    assert {name.removeprefix("xinqiao ") for name in COMMANDS} >= CARD


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_has_json_and_help_for_itself_and_every_parameter(name: str) -> None:
    made = COMMANDS[name]
    assert any("--json" in parameter.opts for parameter in made.params)
    assert made.help and made.help.strip().endswith("."), name
    for parameter in made.params:
        assert parameter.help, f"{name}: {parameter.name} has no help"


@pytest.mark.parametrize("name", COMMANDS)
def test_help_is_printed_for_every_command(name: str) -> None:
    ran = run(*name.split()[1:], "--help")
    assert "--json" in ran.out


def test_every_error_code_of_the_wire_has_an_exit_code() -> None:
    assert set(errors_pb2.ErrorCode.keys()) <= set(EXIT_CODES)
    assert set(EXIT_CODES.values()) <= set(MEANINGS)


def _codes(base: type[Exception]) -> set[str]:
    below = {code for kind in base.__subclasses__() for code in _codes(kind)}
    return below | {base.code}  # type: ignore[attr-defined]


BASES = {"TRUST", "CONSENT_ERROR", "NODE_ERROR"}
INSIDE_A_CHANNEL = {"DECRYPTION_FAILED", "HANDSHAKE_FAILED", "FRAME_REJECTED", "WINDOW_FULL", "DER_MALFORMED"}


def test_every_error_of_our_packages_that_can_reach_a_command_has_an_exit_code() -> None:
    codes = _codes(trust.errors.TrustError) | _codes(consent.errors.ConsentError) | _codes(nodes.errors.NodeError)
    assert codes - BASES - INSIDE_A_CHANNEL <= set(EXIT_CODES)


@pytest.mark.parametrize(
    ("error", "code", "exit_code"),
    [
        (CliError("NOT_FOUND", "x"), "NOT_FOUND", 5),
        (CliError("A_CODE_OF_TOMORROW", "x"), "A_CODE_OF_TOMORROW", 1),
        (nodes.errors.UseRefused("x", reason="NO_CONSENT"), "USE_REFUSED", 3),
        (nodes.errors.HubUnavailable("x"), "UNAVAILABLE", 4),
        (hub.errors.HubError("DISK_FULL"), "DISK_FULL", 4),
        (trust.errors.WrongPassphrase("x"), "WRONG_PASSPHRASE", 7),
        (consent.audit.AuditFailed("x", index=3), "AUDIT_FAILED", 6),
        (consent.errors.UsccInvalid("x"), "USCC_INVALID", 2),
    ],
)
def test_errors_keep_their_code(error: Any, code: str, exit_code: int) -> None:
    told = to_cli_error(error)
    assert (told.code, told.exit_code) == (code, exit_code)
    assert told.message.endswith("x") or told.message


def test_a_usage_error_is_json_too() -> None:
    ran = run_json("hub", "admit", code=2)
    assert ran.error["code"] == "INVALID_ARGUMENT"
    assert "Missing" in ran.error["message"]
    assert run("hub", "admit", code=2).out == ""
    assert run_json("no-such-group", code=2).error["code"] == "INVALID_ARGUMENT"


def _made(function: Any) -> typer.Typer:
    one = group("A group.")
    command(one, "do")(function)

    @one.callback()
    def _group() -> None:
        """Make it a group although it has one command."""

    return one


def test_an_unforeseen_error_ends_with_1_is_told_and_recorded() -> None:
    def fails(output: Output) -> Result:
        """Fail."""
        raise KeyError("lost")

    result = CliRunner().invoke(_made(fails), ["do", "--json"])
    assert result.exit_code == 1
    assert '"INTERNAL"' in result.stdout
    assert "Traceback" in result.stderr


def test_a_file_error_is_a_matter_of_configuration() -> None:
    def fails() -> Result:
        """Fail."""
        Path("/nonexistent/file").read_bytes()
        return Result(data={})

    assert CliRunner().invoke(_made(fails), ["do", "--json"]).exit_code == 7


def test_a_result_may_carry_an_exit_code_and_text_is_not_markup() -> None:
    def says() -> Result:
        """Say."""
        rows = Rows(title="[red]t", columns=("a",), rows=[("[b]x",)])
        return Result(data={"ok": False}, text=["[bold]not markup", rows], exit_code=7)

    result = CliRunner().invoke(_made(says), ["do"])
    assert result.exit_code == 7
    assert "[bold]not markup" in result.stdout
    assert "[b]x" in result.stdout


def test_an_error_after_the_result_does_not_make_a_second_object(capsys: pytest.CaptureFixture[str]) -> None:
    output = Output(as_json=True)
    output.show(Result(data={"serving": True}))
    output.fail(CliError("DISK_FULL", "the disk is full"))
    printed = capsys.readouterr()
    assert printed.out == '{"serving":true}\n'
    assert "DISK_FULL" in printed.err


def test_the_reference_is_the_one_that_the_code_makes() -> None:
    docs = Path(__file__).parents[2] / "docs"
    assert (docs / "cli.md").read_text(encoding="utf-8") == reference(), "run `make docs`"
    assert (docs / "errors.md").read_text(encoding="utf-8") == errors(), "run `make docs`"


def test_the_exit_codes_in_the_help_are_those_of_the_table() -> None:
    told = run("--help").out
    assert {
        int(number) for number in re.findall(r"\b([0-7]) [a-z]", told.split("Exit codes:")[1].split("Every")[0])
    } == set(MEANINGS)


def test_the_version_is_told() -> None:
    assert re.fullmatch(r"\d+\.\d+\.\d+\S*\n", run("--version").out)


@pytest.mark.parametrize("word", PARTS)
def test_the_part_for_one_first_word_is_the_same_as_in_the_whole(word: str) -> None:
    part = {name: command for name, command in walk(get_command(build(word))) if name.split()[1] == word}
    assert part
    assert part.keys() == {name for name in COMMANDS if name.split()[1] == word}


@pytest.mark.parametrize("word", ["node", "hub"])
def test_a_command_does_not_load_what_only_a_running_hub_needs(word: str) -> None:
    code = f"import sys; from cli.main import build; build('{word}'); sys.exit('sqlalchemy' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
