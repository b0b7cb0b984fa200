"""`xinqiao query` and `xinqiao fetch`: use consented data of another member, one subject or all of a product."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import msgspec
import typer
from xinqiao.v1 import agent_pb2

from cli.commands import command
from cli.errors import CliError
from cli.options import (
    ApplicationNo,
    Items,
    NodeHome,
    Provider,
    PurposeOption,
    UsccOption,
    UseReason,
    UserOption,
    items_json,
    parse_items,
    user_name,
)
from cli.output import Output, Result, Rows, Step, moment
from nodes.client import AgentClient

OPEN_TIMEOUT_S = 300.0

Product = Annotated[str, typer.Option("--product", help="Data product, from `xinqiao node products`.")]


def add_to(app: typer.Typer) -> None:
    """Register the two commands."""
    command(app, "query")(query)
    command(app, "fetch")(fetch)


def query(
    home: NodeHome,
    provider: Provider,
    product: Product,
    item: Items,
    uscc: UsccOption,
    purpose: PurposeOption,
    reason: UseReason,
    user: UserOption = "",
    application_no: ApplicationNo = "",
    request_key: Annotated[
        str,
        typer.Option("--request-key", help="The same key never counts twice: repeat a query whose answer was lost."),
    ] = "",
    close: Annotated[
        bool, typer.Option("--close", help="Close the exchange afterwards; otherwise it stays open for more queries.")
    ] = False,
) -> Result:
    """Query items of one enterprise. The provider's node decides, on the enterprise's own signed consent."""
    items = items_json(parse_items(item))
    opening = agent_pb2.OpenQueryRequest(
        provider=provider,
        product_id=product,
        items_json=items,
        purpose=purpose.value,
        reason=reason,
        user=user_name(user),
        application_no=application_no,
    )
    with AgentClient(home, timeout_s=OPEN_TIMEOUT_S) as agent:
        opened: agent_pb2.OpenQueryReply = agent.call("OpenQuery", opening)
        asking = agent_pb2.QueryRequest(
            exchange_id=opened.exchange_id, request_key=request_key, uscc=uscc, items_json=items
        )
        reply: agent_pb2.QueryReply = agent.call("Query", asking)
        if close:
            agent.call("CloseExchange", agent_pb2.CloseExchangeRequest(exchange_id=opened.exchange_id))
    records: dict[str, list[dict[str, Any]]] = msgspec.json.decode(reply.records_json)
    remaining = "any number of" if reply.remaining_uses < 0 else str(reply.remaining_uses)
    return Result(
        data={
            "exchange_id": opened.exchange_id,
            "records": records,
            "consent_ids": list(reply.consent_ids),
            "delete_by_ms": reply.delete_by_ms,
            "remaining_uses": None if reply.remaining_uses < 0 else reply.remaining_uses,
            "receipt_id": reply.receipt_id,
        },
        text=[
            *(_records(item_id, found) for item_id, found in records.items()),
            f"By consent {', '.join(reply.consent_ids) or 'none (public)'}; {remaining} uses are left. "
            f"Delete by {moment(reply.delete_by_ms)}. Receipt {reply.receipt_id}.",
        ],
    )


def _records(item_id: str, records: list[dict[str, Any]]) -> str | Rows:
    if not records:
        return f"{item_id}: no record."
    columns = list(dict.fromkeys(name for record in records for name in record))
    return Rows(title=item_id, columns=columns, rows=[[record.get(name, "") for name in columns] for record in records])


def fetch(
    home: NodeHome,
    provider: Provider,
    product: Product,
    item: Items,
    purpose: PurposeOption,
    reason: UseReason,
    out: Annotated[
        Path, typer.Option("--out", help="New directory, or one whose transfer was broken off: it goes on.")
    ],
    output: Output,
    user: UserOption = "",
    application_no: ApplicationNo = "",
) -> Result:
    """Fetch items of all consenting enterprises as Parquet files with a manifest; a transfer that breaks off resumes."""
    request = agent_pb2.FetchRequest(
        provider=provider,
        product_id=product,
        items_json=items_json(parse_items(item)),
        purpose=purpose.value,
        reason=reason,
        user=user_name(user),
        application_no=application_no,
        directory=str(out.resolve()),
    )
    last: agent_pb2.FetchProgress | None = None
    with AgentClient(home) as agent, output.progress("waiting") as step:
        for last in agent.fetch(request):
            _tell(step, last)
    if last is None or not last.manifest:
        raise CliError(
            "UNAVAILABLE", "The agent ended the transfer without a manifest. Fetch into the same directory again."
        )
    refused: dict[str, int] = msgspec.json.decode(last.refused_json) if last.refused_json else {}
    return Result(
        data={
            "exchange_id": last.exchange_id,
            "directory": str(out.resolve()),
            "manifest": last.manifest,
            "rows": last.rows,
            "subjects": last.subjects,
            "bytes": last.bytes,
            "refused": refused,
        },
        text=[
            f"Fetched {last.rows:,} rows of {last.subjects:,} enterprises into {out} ({last.bytes:,} bytes).",
            f"The manifest {last.manifest} names the consents, the digests and the day by which to delete.",
            *(f"Left out: {count:,} by {reason}." for reason, count in sorted(refused.items())),
        ],
    )


def _tell(step: Step, progress: agent_pb2.FetchProgress) -> None:
    label = progress.phase.replace("_", " ")
    step(progress.rows, progress.total_rows or None, label)
