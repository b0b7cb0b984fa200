"""`xinqiao demo`: the whole of it on this machine, as real processes over real loans; and how to get into its portal."""

from __future__ import annotations

import signal
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import msgspec
import typer

from cli.commands import command
from cli.errors import CliError
from cli.output import Output, Result, Rows

if TYPE_CHECKING:
    from cli.demo.portal.site import Accounts

DemoHome = Annotated[
    Path, typer.Option("--home", help="Folder of the demonstration; what an earlier run left there is replaced.")
]


def add_to(app: typer.Typer) -> None:
    """Register the commands."""
    command(app, "demo")(demo)
    command(app, "demo-code")(code)


def demo(
    output: Output,
    home: DemoHome = Path("var/demo"),
    keep: Annotated[
        bool,
        typer.Option("--keep", help="Start a portal with made-up data as well, and leave all running until Ctrl-C."),
    ] = False,
    listen: Annotated[str, typer.Option("--listen", help="Where the portal listens, with --keep.")] = "127.0.0.1:8080",
) -> Result | None:
    """Run a hub and three nodes over real loans: consent, query, transfer, refusal, revocation, audit, a tampered log."""
    from cli.demo.network import DemoFailed, is_taken
    from cli.demo.portal.site import Site
    from cli.demo.scenario import Scenario

    if keep and is_taken(listen):
        raise CliError(
            "UNAVAILABLE",
            f"{listen} is in use, by an earlier demonstration perhaps: end that one by Ctrl-C, or choose another --listen. "
            "Nothing was changed.",
        )
    # SIGTERM ends it as Ctrl-C does: no process is left behind.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    scenario = Scenario(home.resolve(), output.note)
    try:
        data: dict[str, object] = msgspec.to_builtins(scenario.run())
        rows = [(name, _shown(value)) for name, value in data.items()]
        text: list[str | Rows] = [
            Rows(columns=("what happened", ""), rows=rows),
            f"Written to {home / 'summary.json'}.",
        ]
        if not keep:
            return Result(data=data, text=text)
        accounts = Site(scenario.network, scenario.enterprises(), output.note, listen).start()
        output.show(
            Result(data=data | {"portal": msgspec.to_builtins(accounts)}, text=[*text, *_ways_in(accounts, home)])
        )
        _wait_for_interrupt()
    except DemoFailed as error:
        raise CliError("INTERNAL", str(error)) from error
    finally:
        scenario.close()
    return None


def code(
    login: Annotated[str, typer.Argument(help="User name, as the demonstration printed it.")],
    home: Annotated[Path, typer.Option("--home", help="Folder of the demonstration.")] = Path("var/demo"),
) -> Result:
    """Tell the code of the second factor that somebody of the demonstration types now."""
    from cli.demo.portal.site import ACCOUNTS, read_accounts
    from portal.accounts.totp import STEP_S, code_at

    try:
        known = read_accounts(home).accounts
    except OSError as error:
        raise CliError(
            "NOT_FOUND", f"{home / ACCOUNTS} cannot be read: start the demonstration by `xinqiao demo --keep`."
        ) from error
    found = next((each for each in known if each.login == login and each.secret), None)
    if found is None:
        names = ", ".join(each.login for each in known if each.secret)
        raise CliError("NOT_FOUND", f"{login} has no second factor here. Those who have: {names}.")
    now_s = int(time.time())
    shown, left_s = code_at(found.secret, now_s), STEP_S - now_s % STEP_S
    return Result(
        data={"login": login, "code": shown, "seconds_left": left_s},
        text=[f"{shown} (for {left_s} s; a code works once)"],
    )


def _ways_in(accounts: Accounts, home: Path) -> list[str | Rows]:
    """How everybody gets in."""
    rows = [(each.login, each.role, each.institution, each.secret or "none") for each in accounts.accounts]
    return [
        Rows(columns=("login", "role", "of", "second factor: secret for an app"), rows=rows),
        f"Portal: {accounts.url}   Password of all: {accounts.password}",
        f"A code without an app: `xinqiao demo-code LOGIN --home {home}`. Everybody and everything there is invented.",
        "Hub, nodes and portal run on until Ctrl-C.",
    ]


def _shown(value: object) -> object:
    if isinstance(value, dict):
        return ", ".join(f"{name} {each}" for name, each in value.items())
    return "; ".join(str(_shown(each)) for each in value) if isinstance(value, list) else value


def _wait_for_interrupt() -> None:
    stop = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: stop.set())
    stop.wait()
