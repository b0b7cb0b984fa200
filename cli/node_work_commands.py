"""`xinqiao node`, continued: its data and products, exchanges that wait for approval, and received transfers."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Annotated, Any

import msgspec
import typer
from xinqiao.v1 import agent_pb2

from cli.commands import command
from cli.node_commands import app
from cli.options import NodeHome
from cli.output import Output, Result, Rows, moment
from nodes.client import AgentClient

LOAD_TIMEOUT_S = 3600.0

ExchangeId = Annotated[str, typer.Argument(help="Exchange, from `xinqiao node approvals`.")]


@command(app, "load")
def load(home: NodeHome, output: Output) -> Result:
    """Read the data sources again, check every row against the catalogue, and tell what was rejected and why."""
    with AgentClient(home, timeout_s=LOAD_TIMEOUT_S) as agent, output.progress("Loading sources"):
        reply: agent_pb2.LoadSourcesReply = agent.call("LoadSources", agent_pb2.LoadSourcesRequest())
    report: Any = msgspec.json.decode(reply.report_json)
    return Result(data={"report": report}, text=list(_report_text(report)))


def _report_text(report: Any) -> Iterable[str | Rows]:  # noqa: ANN401 (JSON)
    """What was loaded and rejected, by source and rule; the examples are left to --json."""
    sources, items = report.get("sources", []), report.get("items", [])
    if not sources:
        return ["Nothing was loaded: no source is declared in sources.toml."]
    rows = [
        (
            s["source"],
            s["item_id"],
            s["rows"],
            s["accepted"],
            s["rejected"],
            _rules(s.get("by_rule", {})),
            s.get("error", ""),
        )
        for s in sources
    ]
    return [
        Rows(columns=("source", "item", "rows", "accepted", "rejected", "by rule", "error"), rows=rows),
        *(remark for item in items for remark in _remarks(item)),
        "--json tells examples of what was rejected.",
    ]


def _remarks(item: Any) -> Iterable[str]:  # noqa: ANN401 (JSON)
    name = item["item_id"]
    if not item["switched"]:
        yield f"{name}: still the load before ({item.get('note', '')})."
    if item.get("conflicts"):
        yield f"{name}: the sources contradict each other in {item['conflicts']} places; {item['conflicts_file']} lists them."
    if not item["switched"]:
        return
    absent = item.get("absent_fields", [])
    filled = f"{item['fields'] - len(absent)} of the catalogue's {item['fields']} fields are filled"
    filled = f"{name}: data of {moment(item['data_ms'])}; {filled}"
    yield f"{filled}, all but {', '.join(absent)}." if absent else f"{filled}."
    gaps = [f"{gap['field']} {gap['subjects']:,}" for gap in item.get("gaps", []) if gap["field"] not in absent]
    if gaps:
        yield f"{name}: of {item['subjects']:,} subjects lack a field: {', '.join(gaps)}."


def _rules(by_rule: Mapping[str, int]) -> str:
    return ", ".join(f"{rule} {count}" for rule, count in by_rule.items())


@command(app, "publish")
def publish(home: NodeHome) -> Result:
    """Offer the products that the node's configuration declares; the hub's operator reviews each."""
    with AgentClient(home) as agent:
        reply: agent_pb2.PublishOwnProductsReply = agent.call(
            "PublishOwnProducts", agent_pb2.PublishOwnProductsRequest()
        )
    return _products(reply.products, "This node's configuration declares no product.")


@command(app, "products")
def products(home: NodeHome) -> Result:
    """List the data products that are on offer."""
    with AgentClient(home) as agent:
        reply: agent_pb2.ListAvailableProductsReply = agent.call(
            "ListAvailableProducts", agent_pb2.ListAvailableProductsRequest()
        )
    return _products(reply.products, "No product is on offer.")


def _products(found: Iterable[agent_pb2.ProductState], empty: str) -> Result:
    listed = [(each, msgspec.json.decode(each.items_json or b"[]")) for each in found]
    rows = [(p.product_id, p.provider, p.title, p.state, ", ".join(i["item_id"] for i in items)) for p, items in listed]
    return Result(
        data={
            "products": [
                {"product": p.product_id, "provider": p.provider, "title": p.title, "state": p.state, "items": items}
                for p, items in listed
            ]
        },
        text=[Rows(columns=("product", "provider", "title", "state", "items"), rows=rows) if rows else empty],
    )


@command(app, "approvals")
def approvals(home: NodeHome) -> Result:
    """List the exchanges that wait for this node's operator."""
    with AgentClient(home) as agent:
        reply: agent_pb2.ListApprovalsReply = agent.call("ListApprovals", agent_pb2.ListApprovalsRequest())
    rows = [
        (a.exchange_id, a.state, a.requester, a.product_id, a.mode, a.purpose, a.user, a.reason, moment(a.asked_ms))
        for a in reply.approvals
    ]
    return Result(
        data={
            "approvals": [
                {
                    "exchange_id": a.exchange_id,
                    "state": a.state,
                    "requester": a.requester,
                    "product": a.product_id,
                    "mode": a.mode,
                    "purpose": a.purpose,
                    "reason": a.reason,
                    "user": a.user,
                    "asked_ms": a.asked_ms,
                }
                for a in reply.approvals
            ]
        },
        text=[
            Rows(
                columns=("exchange", "state", "asks", "product", "mode", "purpose", "user", "reason", "asked"),
                rows=rows,
            )
            if rows
            else "No exchange waits for approval."
        ],
    )


@command(app, "approve")
def approve(
    home: NodeHome,
    exchange: ExchangeId,
    reason: Annotated[str, typer.Option("--reason", help="Why, for this node's record.")] = "",
) -> Result:
    """Let an exchange begin that waits for this node's operator. Every use in it still needs consent."""
    return _decide(home, exchange, approve=True, reason=reason)


@command(app, "decline")
def decline(
    home: NodeHome,
    exchange: ExchangeId,
    reason: Annotated[str, typer.Option("--reason", help="Why; the requester reads it.")] = "",
) -> Result:
    """Refuse an exchange that waits for this node's operator."""
    return _decide(home, exchange, approve=False, reason=reason)


def _decide(home: NodeHome, exchange: str, *, approve: bool, reason: str) -> Result:
    request = agent_pb2.DecideApprovalRequest(exchange_id=exchange, approve=approve, reason=reason)
    with AgentClient(home) as agent:
        agent.call("DecideApproval", request)
    done = "Approved" if approve else "Declined"
    return Result(data={"exchange_id": exchange, "approved": approve}, text=[f"{done} exchange {exchange}."])


@command(app, "transfers")
def transfers(home: NodeHome) -> Result:
    """List the raw transfers that this node received, and when each is to be deleted."""
    with AgentClient(home) as agent:
        reply: agent_pb2.ListTransfersReply = agent.call("ListTransfers", agent_pb2.ListTransfersRequest())
    rows = [
        (t.exchange_id, t.state, f"{t.rows:,}", t.directory, moment(t.delete_by_ms), moment(t.deleted_ms))
        for t in reply.transfers
    ]
    return Result(
        data={
            "transfers": [
                {
                    "exchange_id": t.exchange_id,
                    "state": t.state,
                    "rows": t.rows,
                    "directory": t.directory,
                    "delete_by_ms": t.delete_by_ms,
                    "deleted_ms": t.deleted_ms,
                }
                for t in reply.transfers
            ]
        },
        text=[
            Rows(columns=("exchange", "state", "rows", "directory", "delete by", "deleted"), rows=rows)
            if rows
            else "This node received no transfer."
        ],
    )


@command(app, "purge")
def purge(
    home: NodeHome,
    at_ms: Annotated[
        int,
        typer.Option("--at-ms", min=0, help="As if it were this time (milliseconds since 1970); for drills. 0 is now."),
    ] = 0,
) -> Result:
    """Delete the transfers that are due now, and attest each deletion. The node does it by itself every hour."""
    with AgentClient(home) as agent:
        reply: agent_pb2.PurgeReply = agent.call("Purge", agent_pb2.PurgeRequest(at_ms=at_ms))
    deleted = list(reply.deleted_exchanges)
    return Result(
        data={"deleted_exchanges": deleted},
        text=[f"Deleted and attested: {', '.join(deleted)}." if deleted else "Nothing was due; nothing was deleted."],
    )
