"""`xinqiao node`: enrol a node, run its agent, and ask the agent about itself. The rest of its work is in `cli.node_work_commands`."""

from __future__ import annotations

import asyncio
import os
from typing import Annotated

import typer
from xinqiao.v1 import agent_pb2

from cli.clock import now_ms
from cli.commands import command, group
from cli.logs import configure_logging
from cli.options import NodeHome
from cli.output import Output, Result, Rows, moment
from cli.secret import SecretFile, read_secret, secret_for_enrolment
from consent.catalogue import Catalogue, Item, load_catalogue
from nodes.client import AgentClient
from nodes.enrol import enrol as enrol_node
from nodes.settings import load_settings

app = group("Enrol and run a node, and look after it.")


@command(app, "enrol")
def enrol(
    home: NodeHome,
    token: Annotated[
        str,
        typer.Option(
            "--token", envvar="XINQIAO_TOKEN", help="The invitation from the hub's operator; valid an hour, once."
        ),
    ],
    secret_file: SecretFile = None,
) -> Result:
    """Make a node: its keys (they never leave this home), its certificate, and what it pins of the hub."""
    with secret_for_enrolment(home, secret_file) as (secret, about_secret):
        enrolled = enrol_node(home, token, secret, now_ms)
    return Result(
        data={
            "home": str(home),
            "node": enrolled.node_id,
            "member": enrolled.member_id,
            "key_id": enrolled.key_id,
            "directory_index": enrolled.directory_index,
            "certificate_expires_ms": int(enrolled.certificate_ends.timestamp() * 1000),
        },
        text=[
            f"Enrolled node {enrolled.node_id} of {enrolled.member_id} in {home} with key {enrolled.key_id}: entry "
            f"{enrolled.directory_index} of the directory.",
            about_secret,
            f"Next: declare its data in {home / 'sources.toml'} if it provides any, then `xinqiao node serve --home {home}`.",
        ],
    )


@command(app, "serve")
def serve(home: NodeHome, output: Output, secret_file: SecretFile = None) -> None:
    """Run the node until it is told to stop (SIGTERM, Ctrl-C). It dials the hub and opens no port."""
    from nodes.agent import serve as serve_node

    settings = load_settings(home, os.environ)
    secret = read_secret(home, secret_file)
    configure_logging(settings.log_level)

    def ready() -> None:
        output.show(
            Result(
                data={"serving": str(home), "node": settings.node_id, "socket": str(settings.agent_socket)},
                text=[f"Node {settings.node_id} in {home} serves its own operator at {settings.agent_socket}."],
            )
        )

    asyncio.run(serve_node(settings, secret, ready=ready))


@command(app, "status")
def status(home: NodeHome) -> Result:
    """Tell how the running node is: connection, freshness, alarm, outbox, data."""
    with AgentClient(home) as agent:
        reply: agent_pb2.AgentStatusReply = agent.call("GetAgentStatus", agent_pb2.AgentStatusRequest())
    items = [
        {
            "item_id": item.item_id,
            "records": item.records,
            "subjects": item.subjects,
            "rejected": item.rejected,
            "loaded_ms": item.loaded_ms,
            "stale": item.stale,
        }
        for item in reply.items
    ]
    rows = [
        (i.item_id, i.records, i.subjects, i.rejected, moment(i.loaded_ms), "stale" if i.stale else "")
        for i in reply.items
    ]
    alarm = [f"ALARM: {reply.alarm} It refuses until `xinqiao node clear-alarm`."] if reply.alarm else []
    error = [f"Last error: {reply.last_error}"] if reply.last_error else []
    return Result(
        data={
            "node": reply.node_id,
            "member": reply.member_id,
            "connected": reply.connected,
            "checkpoint_ms": reply.checkpoint_ms,
            "consents": reply.consents,
            "directory_size": reply.directory_size,
            "outbox_waiting": reply.outbox_waiting,
            "receipts_included": reply.receipts_included,
            "alarm": reply.alarm,
            "certificate_expires_ms": reply.certificate_expires_ms,
            "items": items,
            "open_exchanges": reply.open_exchanges,
            "last_error": reply.last_error,
        },
        text=[
            *alarm,
            f"Node {reply.node_id} of {reply.member_id}: {'connected' if reply.connected else 'NOT connected'}, consents known up to "
            f"{moment(reply.checkpoint_ms)}.",
            f"{reply.consents:,} consents, {reply.directory_size:,} directory entries, {reply.open_exchanges} open exchanges.",
            f"Receipts: {reply.outbox_waiting:,} wait to be sent, {reply.receipts_included:,} proved to be in the log.",
            f"Certificate until {moment(reply.certificate_expires_ms)}.",
            *error,
            *([Rows(columns=("item", "records", "subjects", "rejected", "loaded", ""), rows=rows)] if rows else []),
        ],
    )


@command(app, "clear-alarm")
def clear_alarm(
    home: NodeHome, reason: Annotated[str, typer.Option("--reason", help="What you found; it is recorded.")]
) -> Result:
    """Go on after an alarm, once an operator has looked. The hub must continue what it showed before."""
    with AgentClient(home) as agent:
        agent.call("ClearAlarm", agent_pb2.ClearAlarmRequest(reason=reason))
    return Result(data={"cleared": True, "reason": reason}, text=["Cleared the alarm; the node goes on."])


@command(app, "catalogue")
def catalogue(
    item: Annotated[str, typer.Argument(help="Item to show with its fields. Without one: all items.")] = "",
) -> Result:
    """List the items of the credit information catalogue, or show one with its fields."""
    known = load_catalogue()
    return _one_item(known, known.item(item)) if item else _all_items(known)


def _all_items(known: Catalogue) -> Result:
    found = list(known.items.values())
    rows = [(i.id, i.name, i.name_en, i.level, " ".join(i.modes), i.frequency, len(i.fields)) for i in found]
    return Result(
        data={
            "version": known.version,
            "provenance": known.provenance,
            "items": [
                {
                    "item_id": i.id,
                    "class": i.class_id,
                    "name": i.name,
                    "name_en": i.name_en,
                    "level": i.level,
                    "modes": [mode.value for mode in i.modes],
                    "frequency": i.frequency,
                    "fields": [field.name for field in i.fields],
                }
                for i in found
            ],
        },
        text=[
            Rows(columns=("item", "name", "", "level", "modes", "updated", "fields"), rows=rows),
            f"Catalogue {known.version} ({known.provenance}). Modes: P public, Q query, V verification, R raw, J joint modelling, "
            "X not provided.",
        ],
    )


def _one_item(known: Catalogue, item: Item) -> Result:
    rows = [(f.name, f.type, f.unit or "", "may be empty" if f.nullable else "", f.mask or "") for f in item.fields]
    return Result(
        data={
            "version": known.version,
            "item_id": item.id,
            "name": item.name,
            "name_en": item.name_en,
            "level": item.level,
            "modes": [mode.value for mode in item.modes],
            "frequency": item.frequency,
            "note": item.note,
            "fields": [
                {"name": f.name, "type": f.type, "unit": f.unit, "nullable": f.nullable, "list": f.list, "mask": f.mask}
                for f in item.fields
            ],
        },
        text=[
            f"{item.id}: {item.name} ({item.name_en}), level {item.level}, modes {' '.join(item.modes)}, updated {item.frequency}.",
            *([item.note] if item.note else []),
            Rows(columns=("field", "type", "unit", "", "mask"), rows=rows),
        ],
    )
