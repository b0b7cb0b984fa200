"""`xinqiao portal`: pages for enterprises, members' staff and the hub's people, as a process beside the hub."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import typer

from cli.clock import now_ms
from cli.commands import command, group
from cli.errors import CliError
from cli.hub_file import read_hub_file
from cli.logs import configure_logging
from cli.operator import hub_settings
from cli.output import Output, Result
from cli.portal_link import HubLinkByCall
from cli.secret import SecretFile, prepare_secret, secret_path
from portal.accounts import invitations
from portal.content import seed
from portal.errors import PortalError
from portal.permissions import SECOND_FACTOR, Role
from portal.server import open_portal
from portal.server import serve as serve_portal
from portal.settings import FILE_NAME, Settings, load_settings
from portal.settings import check as check_settings
from portal.state import Portal

app = group("The portal: pages for enterprises, members' staff and the hub's people.")

PortalHome = Annotated[
    Path,
    typer.Option("--home", envvar="XINQIAO_PORTAL_HOME", help="Home folder of the portal: database, secret, settings."),
]
_ROLES = ", ".join(sorted(SECOND_FACTOR))


@command(app, "init")
def init(
    home: PortalHome,
    hub: Annotated[Path, typer.Option("--hub", help="Home folder of the hub, on this machine.")],
    hub_file: Annotated[Path, typer.Option("--hub-file", help="The file hub.json, from `xinqiao hub info`.")],
    listen: Annotated[str, typer.Option("--listen", help="Where the portal listens.")] = "127.0.0.1:8080",
    public_url: Annotated[
        str, typer.Option("--public-url", help="What browsers see, where a proxy with TLS stands before the portal.")
    ] = "",
    login: Annotated[str, typer.Option("--login", help="User name of the first security administrator.")] = "security",
    examples: Annotated[
        bool, typer.Option("--examples", help="Also show made-up policies, marked as examples: for demonstrations.")
    ] = False,
    secret_file: SecretFile = None,
) -> Result:
    """Make a portal beside a hub, and an invitation for its first security administrator, who invites the others."""
    if (home / FILE_NAME).exists():
        raise CliError("ALREADY_EXISTS", f"{home} holds a portal. Choose another home; nothing was changed.")
    hub_settings(hub)
    read_hub_file(hub_file)
    check_settings(Settings(home=home, listen=listen, public_url=public_url))
    home.mkdir(mode=0o700, parents=True, exist_ok=True)
    _, about_secret = prepare_secret(home, secret_file)
    values = {"listen": listen, "public_url": public_url, "hub_home": hub.resolve(), "hub_file": hub_file.resolve()}
    # A JSON string is a TOML string.
    lines = [f"{name} = {json.dumps(str(value))}\n" for name, value in values.items()]
    (home / FILE_NAME).write_text("".join(lines), encoding="utf-8")
    with _opened(home, secret_file) as portal:
        link = _invite(portal, login, Role.SECURITY_ADMIN, invitations.HUB)
        portal.db.write_now(lambda connection: seed.load(portal, connection, examples=examples))
    return Result(
        data={"home": str(home), "url": load_settings(home).origin, "invitation": link},
        text=[
            f"Made a portal in {home}.",
            about_secret,
            f"Start it: `xinqiao portal serve --home {home}`. Then {login} opens {link}, once, within three days.",
        ],
    )


@command(app, "serve")
def serve(home: PortalHome, output: Output, secret_file: SecretFile = None) -> None:
    """Serve the portal until told to stop (SIGTERM, Ctrl-C), beside a running `xinqiao hub serve`."""
    configure_logging(load_settings(home).log_level)
    with _opened(home, secret_file) as portal:
        url = portal.settings.origin
        serve_portal(
            portal, lambda: output.show(Result(data={"serving": str(home), "url": url}, text=[f"Portal at {url}"]))
        )


@command(app, "invite")
def invite(
    home: PortalHome,
    login: Annotated[str, typer.Argument(help="User name of whom you invite.")],
    role: Annotated[str, typer.Option("--role", help=f"One of {_ROLES}.")],
    institution: Annotated[str, typer.Option("--institution", help="A member's id, or hub.")] = invitations.HUB,
    secret_file: SecretFile = None,
) -> Result:
    """Invite somebody: for the first ones, or when nobody can log in any more. The link works once."""
    if role not in SECOND_FACTOR:
        raise CliError("INVALID_ARGUMENT", f"There is no role {role!r} for staff. Choose one of {_ROLES}.")
    with _opened(home, secret_file) as portal:
        link = _invite(portal, login, Role(role), institution)
    return Result(
        data={"login": login, "role": role, "institution": institution, "invitation": link},
        text=[f"{login} opens {link}, once, within three days."],
    )


@contextmanager
def _opened(home: Path, secret_file: Path | None) -> Iterator[Portal]:
    """An opened portal that is closed at the end. Raises CliError, SettingsInvalid, KeyFileError, HubError."""
    settings = load_settings(home)
    if settings.hub_home is None or settings.hub_file is None:
        raise CliError("CONFIGURATION", f"{home / FILE_NAME} does not name `hub_home` and `hub_file`. Add them.")
    socket = hub_settings(settings.hub_home).socket
    link = HubLinkByCall(read_hub_file(settings.hub_file), socket, settings.registration_node)
    secret = secret_file if secret_file is not None else secret_path(home)
    portal = open_portal(settings, secret, link, now_ms)
    try:
        yield portal
    finally:
        portal.db.close()


def _invite(portal: Portal, login: str, role: Role, institution: str) -> str:
    invitation = invitations.Invitation(login=login, role=role, institution=institution, invited_by="command")
    try:
        token = portal.db.write_now(lambda connection: invitations.invite(portal, connection, invitation))
    except PortalError as error:
        told = "; ".join(str(text) for text in error.faults.values()) or error.message
        raise CliError(error.code, told) from error
    return f"{portal.settings.origin}/invitations/{token}"
