"""`xinqiao hub`: make a hub, run it, and run its membership. The commands on applications are in `cli.review_commands`."""

from __future__ import annotations

import asyncio
import os
import signal
import sqlite3
from pathlib import Path
from typing import Annotated

import typer
from xinqiao.v1 import admin_pb2

from cli import rpc
from cli.clock import now_ms
from cli.commands import command, group
from cli.errors import CliError
from cli.operator import (
    WHOM,
    OperatorKeyFile,
    OperatorName,
    hub,
    hub_facts,
    hub_settings,
    message,
    open_operator,
    operator_file,
)
from cli.options import HubHome
from cli.output import Output, Result, Rows, moment
from cli.secret import SecretFile, prepare_secret, read_secret
from consent.directory import (
    MEMBER_ADMITTED_TYPE,
    MEMBER_SUSPENDED_TYPE,
    NODE_REVOKED_TYPE,
    MemberAdmitted,
    MemberKind,
    MemberSuspended,
    NodeRevoked,
)
from consent.documents import encode, parse
from hub.keys import HubKeys, create_operator_key, load_keys
from hub.settings import FILE_NAME, Settings, load_settings
from trust.keyfile import write_protected

app = group("Make and run a hub, and decide who takes part.")

Member = Annotated[str, typer.Argument(help="Identifier of the member, as in tax-bureau.")]
Reason = Annotated[str, typer.Option("--reason", help="Why, in words; it stands in the directory for all to read.")]


@command(app, "init")
def init(
    home: HubHome,
    public: Annotated[
        str, typer.Option("--public", help="host:port for enterprises and enrolment, as others reach it.")
    ],
    node: Annotated[str, typer.Option("--node", help="host:port for enrolled nodes, as they reach it.")],
    operator: Annotated[str, typer.Option("--operator", help="Name of the first operator; gets a key of its own.")],
    database: Annotated[
        str, typer.Option("--database", help="Database URL (postgresql://…). Default: SQLite in the home.")
    ] = "",
    secret_file: SecretFile = None,
) -> Result:
    """Make a new hub: its keys, its database, and the first operator with a key."""
    from hub.members.setup import add_first_operator, init_hub

    file = home / FILE_NAME
    if file.exists() or (home / "keys" / "log.pem").exists():
        raise CliError("ALREADY_EXISTS", f"{home} holds a hub. Choose another home; nothing was changed.")
    settings_text = f'public_address = "{public}"\nnode_address = "{node}"\n' + (
        f'database_url = "{database}"\n' if database else ""
    )
    home.mkdir(mode=0o700, parents=True, exist_ok=True)
    write_protected(file, b"# Settings of this hub; docs/operations.md lists them all.\n" + settings_text.encode())
    try:
        settings = load_settings(home, os.environ)
    except Exception:
        file.unlink()  # a value was wrong: the next attempt begins anew
        raise
    secret, about_secret = prepare_secret(home, secret_file)
    keys = init_hub(settings, secret)
    operator_key = create_operator_key(operator_file(home, operator), secret)
    index = add_first_operator(settings, secret, operator, operator_key.public)
    return Result(
        data={
            "home": str(home),
            "hub_key": keys.public.encode(),
            "key_id": keys.public.key_id,
            "operator": operator,
            "operator_key_file": str(operator_file(home, operator)),
            "directory_index": index,
        },
        text=[
            f"Made a hub in {home} with log key {keys.public.key_id}.",
            about_secret,
            f"Operator {operator} has a key in {operator_file(home, operator)}. It may be moved to the operator's machine.",
            f"Next: `xinqiao hub serve --home {home}`, then `xinqiao hub add-operator` for a second person (a single operator "
            "can never be revoked), and `xinqiao hub admit`.",
        ],
    )


@command(app, "serve")
def serve(home: HubHome, output: Output, secret_file: SecretFile = None) -> None:
    """Run the hub until it is told to stop (SIGTERM, Ctrl-C)."""
    from hub.json_logs import configure

    settings = hub_settings(home)
    keys = load_keys(settings.keys, read_secret(home, secret_file))
    configure(settings.log_level)
    asyncio.run(_serve(settings, keys, output))


async def _serve(settings: Settings, keys: HubKeys, output: Output) -> None:
    from hub.server import start

    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    async with await start(settings, keys) as running:
        taken = running.hub.settings
        output.show(
            Result(
                data={"serving": str(taken.home), "public": taken.public_address, "node": taken.node_address},
                text=[f"The hub in {taken.home} serves {taken.public_address} and, for nodes, {taken.node_address}."],
            )
        )
        await stop.wait()


@command(app, "info")
def info(
    home: HubHome,
    out: Annotated[Path, typer.Option("--out", help="File to write; enterprises pin what it says.")],
    secret_file: SecretFile = None,
) -> Result:
    """Write the file that enterprises pin: where the hub is, its TLS authority and its log key. Hand it over a trusted way."""
    facts = hub_facts(home, secret_file)
    out.write_bytes(facts.encode())
    return Result(
        data={"file": str(out), "public_address": facts.public_address, "key_id": facts.hub_key.key_id},
        text=[f"Wrote {out}: the hub at {facts.public_address} with log key {facts.hub_key.key_id}."],
    )


@command(app, "status")
def status(home: HubHome) -> Result:
    """Tell how the running hub is: members, connected nodes, logs and who witnesses them."""
    with hub(home) as stub:
        reply = rpc.call(stub.GetStatus, admin_pb2.GetStatusRequest(), whom=WHOM)
    logs = [
        {"origin": log.origin, "size": log.size, "root": log.root, "witnesses": list(log.witnesses)}
        for log in reply.logs
    ]
    return Result(
        data={
            "version": reply.version,
            "database": reply.database,
            "time_ms": reply.time_ms,
            "members": reply.members,
            "nodes": reply.nodes,
            "connected_nodes": list(reply.connected_nodes),
            "open_exchanges": reply.open_exchanges,
            "logs": logs,
        },
        text=[
            f"Version {reply.version}, database {reply.database}, {moment(reply.time_ms)}.",
            f"{reply.members} members, {reply.nodes} nodes, {reply.open_exchanges} open exchanges.",
            f"Connected: {', '.join(reply.connected_nodes) or 'none'}.",
            Rows(
                columns=("log", "entries", "root", "witnesses"),
                rows=[(log.origin, log.size, log.root[:16], ", ".join(log.witnesses) or "none") for log in reply.logs],
            ),
        ],
    )


@command(app, "admit")
def admit(
    home: HubHome,
    member: Member,
    name: Annotated[str, typer.Option("--name", help="The organisation's name.")],
    kind: Annotated[str, typer.Option("--kind", help="government, bank, platform or management.")],
    uscc: Annotated[str, typer.Option("--uscc", help="The organisation's own unified social credit code.")] = "",
    operator: OperatorName = "",
    operator_key: OperatorKeyFile = None,
    secret_file: SecretFile = None,
) -> Result:
    """Admit an organisation as a member. It may provide data, use data, or both, by what consents and products say."""
    who = open_operator(home, operator, operator_key, secret_file)
    entry = MemberAdmitted(
        member_id=member, name=name, kind=_kind(kind), uscc=uscc or None, time_ms=now_ms(), operator=who.name
    )
    parse(encode(entry), MemberAdmitted)  # what the hub would refuse is refused here
    with hub(home) as stub:
        reply = rpc.call(stub.AdmitMember, message(who.sign(MEMBER_ADMITTED_TYPE, entry)), whom=WHOM)
    return Result(
        data={"member": member, "kind": kind, "operator": who.name, "directory_index": reply.directory_index},
        text=[
            f"Admitted {member} ({name}) as {kind}, signed by {who.name}: entry {reply.directory_index} of the directory.",
            f"Next: `xinqiao hub invite {member} --node {member}-1`.",
        ],
    )


def _kind(kind: str) -> MemberKind:
    match kind:
        case "government" | "bank" | "platform" | "management":
            return kind
        case _:
            raise CliError(
                "INVALID_ARGUMENT", f"{kind!r} is no kind of member: government, bank, platform or management."
            )


@command(app, "invite")
def invite(
    home: HubHome, member: Member, node: Annotated[str, typer.Option("--node", help="Name of the new node, used once.")]
) -> Result:
    """Make a one-time token, valid an hour, with which a member enrols a node."""
    with hub(home) as stub:
        reply = rpc.call(stub.Invite, admin_pb2.InviteRequest(member_id=member, node_id=node), whom=WHOM)
    return Result(
        data={"member": member, "node": node, "token": reply.token, "expires_ms": reply.expires_ms},
        text=[
            reply.token,
            f"For node {node} of {member}, once, until {moment(reply.expires_ms)}.",
            "It names this hub's keys: hand it over a trusted way.",
        ],
    )


@command(app, "members")
def members(home: HubHome) -> Result:
    """List the members and their nodes."""
    with hub(home) as stub:
        reply = rpc.call(stub.ListMembers, admin_pb2.ListMembersRequest(), whom=WHOM)
    found = [
        {
            "member": each.member_id,
            "name": each.name,
            "kind": each.kind,
            "state": each.state,
            "nodes": [
                {
                    "node": node.node_id,
                    "state": node.state,
                    "connected": node.connected,
                    "certificate_expires_ms": node.certificate_expires_ms,
                }
                for node in each.nodes
            ],
        }
        for each in reply.members
    ]
    rows = [
        (each.member_id, each.kind, each.state, ", ".join(f"{n.node_id} ({_state(n)})" for n in each.nodes) or "-")
        for each in reply.members
    ]
    return Result(data={"members": found}, text=[Rows(columns=("member", "kind", "state", "nodes"), rows=rows)])


def _state(node: admin_pb2.NodeReply) -> str:
    return "connected" if node.connected and node.state != "revoked" else node.state


@command(app, "revoke-node")
def revoke_node(
    home: HubHome,
    node: Annotated[str, typer.Argument(help="Node to cut off, for ever.")],
    reason: Reason,
    operator: OperatorName = "",
    operator_key: OperatorKeyFile = None,
    secret_file: SecretFile = None,
) -> Result:
    """Cut a node off within a second. It never comes back; its member enrols a new one under another name."""
    who = open_operator(home, operator, operator_key, secret_file)
    entry = NodeRevoked(node_id=node, reason=reason, time_ms=now_ms(), operator=who.name)
    with hub(home) as stub:
        reply = rpc.call(stub.Revoke, message(who.sign(NODE_REVOKED_TYPE, entry)), whom=WHOM)
    return Result(
        data={"node": node, "operator": who.name, "directory_index": reply.directory_index},
        text=[f"Revoked node {node}: entry {reply.directory_index} of the directory. It is cut off."],
    )


@command(app, "suspend")
def suspend(
    home: HubHome,
    member: Member,
    reason: Reason,
    operator: OperatorName = "",
    operator_key: OperatorKeyFile = None,
    secret_file: SecretFile = None,
) -> Result:
    """Suspend a member with all of its nodes, until it is admitted anew."""
    who = open_operator(home, operator, operator_key, secret_file)
    entry = MemberSuspended(member_id=member, reason=reason, time_ms=now_ms(), operator=who.name)
    with hub(home) as stub:
        reply = rpc.call(stub.Revoke, message(who.sign(MEMBER_SUSPENDED_TYPE, entry)), whom=WHOM)
    return Result(
        data={"member": member, "operator": who.name, "directory_index": reply.directory_index},
        text=[f"Suspended {member}: entry {reply.directory_index} of the directory. Its nodes are cut off."],
    )


@command(app, "backup")
def backup(
    home: HubHome, out: Annotated[Path, typer.Option("--out", help="New file for the copy.")], output: Output
) -> Result:
    """Copy the database of a hub, running or not, in one consistent state, and check the copy."""
    from sqlalchemy.engine import make_url

    url = make_url(hub_settings(home).url)
    if url.get_backend_name() != "sqlite" or not url.database:
        raise CliError(
            "CONFIGURATION",
            "This hub's database is PostgreSQL. Use pg_dump, or continuous archiving; and keep the folder keys too.",
        )
    if out.exists():
        raise CliError("ALREADY_EXISTS", f"{out} exists and is not overwritten. Choose another name.")
    pages = _copy_database(Path(url.database), out, output)
    return Result(
        data={"file": str(out), "bytes": out.stat().st_size, "pages": pages},
        text=[
            f"Copied the database to {out} ({out.stat().st_size:,} bytes) and checked the copy.",
            f"The keys are not in it: keep {home / 'keys'} and {home / 'operators'} too, elsewhere and encrypted.",
        ],
    )


def _copy_database(database: Path, out: Path, output: Output) -> int:
    total = 0
    with output.progress("Copying") as step:

        def progress(_status: int, remaining: int, pages: int) -> None:
            nonlocal total
            total = pages
            step(pages - remaining, pages)

        source = sqlite3.connect(f"file:{database}?mode=ro", uri=True)
        copy = sqlite3.connect(out)
        try:
            source.backup(copy, pages=4096, progress=progress)
            if copy.execute("PRAGMA integrity_check").fetchone()[0] != "ok":
                raise CliError("INTERNAL", f"The copy in {out} is damaged. Check the disk, and do not rely on it.")
        except sqlite3.Error as error:
            raise CliError(
                "CONFIGURATION", f"{database} cannot be copied ({error}). Check the disk and its space."
            ) from error
        finally:
            source.close()
            copy.close()
    out.chmod(0o600)
    return total
