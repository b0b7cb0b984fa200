"""`xinqiao hub`, continued: what waits for an operator (enterprises, products), and receipts that lack their twin."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated

import typer
from xinqiao.v1 import admin_pb2, admin_pb2_grpc

from cli import rpc
from cli.clock import now_ms
from cli.commands import command
from cli.errors import CliError
from cli.hub_commands import Reason, app
from cli.operator import WHOM, Operator, OperatorKeyFile, OperatorName, hub, message, open_operator
from cli.options import HubHome
from cli.output import Output, Result, Rows, Step, moment
from cli.registrations import Continuity, Waiting, approve_key, read_keys, read_registrations
from cli.secret import SecretFile
from consent.directory import (
    SUBJECT_KEY_REVOKED_TYPE,
    ProductPublished,
    SubjectKeyRevoked,
)
from consent.documents import encode, parse
from consent.usage import parse_signed_receipt
from trust.document import SignedDocument

EnterpriseCode = Annotated[str, typer.Argument(help="Unified social credit code of the enterprise.")]


@command(app, "registrations")
def registrations(home: HubHome) -> Result:
    """List the enterprises that wait for approval. Check each against the registry before you approve it.

    Those that have lost their key come without its signature: somebody else could have made them. Ask the enterprise itself.
    """
    with hub(home) as stub:
        waiting = read_registrations(stub)
    found = [
        {
            "uscc": each.statement.uscc,
            "ent_name": each.statement.ent_name,
            "contact": each.statement.contact,
            "key_id": each.key_id,
            "time_ms": each.statement.time_ms,
            "version": each.version,
            "prev_key_id": each.prev_key_id,
            "continuity": each.continuity.value,
        }
        for each in waiting
    ]
    rows = [
        (
            each.statement.uscc,
            each.statement.ent_name,
            each.statement.contact,
            moment(each.statement.time_ms),
            each.continuity.sentence,
        )
        for each in waiting
    ]
    columns = ("code", "name", "contact", "registered", "key")
    return Result(
        data={"registrations": found},
        text=[Rows(columns=columns, rows=rows) if rows else "Nobody waits."],
    )


@command(app, "approve-enterprise")
def approve_enterprise(
    home: HubHome,
    output: Output,
    uscc: Annotated[list[str] | None, typer.Argument(help="Codes of the enterprises; or --all.")] = None,
    every: Annotated[
        bool,
        typer.Option(
            "--all", help="Approve all that wait (for demonstrations and drills), but none without its old key."
        ),
    ] = False,
    operator: OperatorName = "",
    operator_key: OperatorKeyFile = None,
    secret_file: SecretFile = None,
) -> Result:
    """Bind an enterprise's key to its code, by the operator's signature. From then on it can consent, and its key before ends."""
    if bool(uscc) == every:
        raise CliError("INVALID_ARGUMENT", "Name the enterprises to approve, or say --all.")
    who = open_operator(home, operator, operator_key, secret_file)
    with hub(home) as stub, output.progress("Approving") as step:
        waiting = {each.statement.uscc: each for each in read_registrations(stub)}
        missing = [code for code in uscc or () if code not in waiting]
        if missing:
            raise CliError(
                "NOT_FOUND",
                f"No registration waits under {missing[0]}. `xinqiao hub registrations` lists those that do.",
            )
        chosen = [waiting[code] for code in uscc or waiting]
        left_out = [each for each in chosen if every and each.continuity is Continuity.WITHOUT_OLD_KEY]
        approved = _approve(stub, who, [each for each in chosen if each not in left_out], step)
    names = ", ".join(f"{each['uscc']} ({each['ent_name']})" for each in approved[:5])
    more = f" and {len(approved) - 5} more" if len(approved) > 5 else ""
    return Result(
        data={
            "approved": approved,
            "left_out": [each.statement.uscc for each in left_out],
            "operator": who.name,
        },
        text=[
            f"Approved {names}{more}, signed by {who.name}." if approved else "Nobody waited; nothing was changed.",
            *(
                f"Left out {each.statement.uscc}, {each.continuity.sentence}: name it to approve it."
                for each in left_out
            ),
        ],
    )


def _approve(
    stub: admin_pb2_grpc.AdminStub, who: Operator, chosen: Sequence[Waiting], step: Step
) -> list[dict[str, object]]:
    approved: list[dict[str, object]] = []
    for done, each in enumerate(chosen, start=1):
        index = approve_key(stub, who, each)
        approved.append(
            {
                "uscc": each.statement.uscc,
                "ent_name": each.statement.ent_name,
                "key_id": each.key_id,
                "version": each.version,
                "continuity": each.continuity.value,
                "directory_index": index,
            }
        )
        step(done, len(chosen))
    return approved


@command(app, "reject-enterprise")
def reject_enterprise(
    home: HubHome,
    uscc: EnterpriseCode,
    reason: Annotated[str, typer.Option("--reason", help="Why; the enterprise reads it.")],
) -> Result:
    """Refuse a registration. The enterprise may register again."""
    with hub(home) as stub:
        rpc.call(stub.RejectSubject, admin_pb2.RejectSubjectRequest(uscc=uscc, reason=reason), whom=WHOM)
    return Result(data={"uscc": uscc, "rejected": True}, text=[f"Rejected the registration of {uscc}."])


@command(app, "revoke-subject-key")
def revoke_subject_key(
    home: HubHome,
    uscc: EnterpriseCode,
    reason: Reason,
    operator: OperatorName = "",
    operator_key: OperatorKeyFile = None,
    secret_file: SecretFile = None,
) -> Result:
    """End an enterprise's key that is lost or stolen. It signs nothing any more; consents that it gave before stay valid."""
    who = open_operator(home, operator, operator_key, secret_file)
    with hub(home) as stub:
        last = read_keys(stub).get(uscc)
        if last is None or last.revoked:
            raise CliError("NOT_FOUND", f"No key of {uscc} stands, so there is nothing to revoke. Check the code.")
        entry = SubjectKeyRevoked(uscc=uscc, key_id=last.key.key_id, reason=reason, time_ms=now_ms(), operator=who.name)
        parse(encode(entry), SubjectKeyRevoked)
        reply = rpc.call(stub.Revoke, message(who.sign(SUBJECT_KEY_REVOKED_TYPE, entry)), whom=WHOM)
    return Result(
        data={
            "uscc": uscc,
            "key_id": last.key.key_id,
            "operator": who.name,
            "directory_index": reply.directory_index,
        },
        text=[
            f"Revoked key {last.key.key_id} of {uscc}: entry {reply.directory_index} of the directory.",
            "The enterprise registers a new key; `xinqiao hub registrations` marks it as without the old one.",
        ],
    )


@command(app, "products")
def products(home: HubHome) -> Result:
    """List the data products that wait for review."""
    with hub(home) as stub:
        reply = rpc.call(stub.ListPendingProducts, admin_pb2.ListPendingProductsRequest(), whom=WHOM)
    waiting = [parse(SignedDocument.decode(encoded).payload, ProductPublished) for encoded in reply.products]
    rows = [(p.product_id, p.provider, p.version, p.title, ", ".join(i.item_id for i in p.items)) for p in waiting]
    return Result(
        data={"products": [_product(each) for each in waiting]},
        text=[
            Rows(columns=("product", "provider", "version", "title", "items"), rows=rows)
            if rows
            else "No product waits for review."
        ],
    )


def _product(product: ProductPublished) -> dict[str, object]:
    return {
        "product": product.product_id,
        "provider": product.provider,
        "version": product.version,
        "title": product.title,
        "items": [
            {"item_id": item.item_id, "modes": [mode.value for mode in item.modes], "fields": list(item.fields)}
            for item in product.items
        ],
    }


@command(app, "review-product")
def review_product(
    home: HubHome,
    product: Annotated[str, typer.Argument(help="Product to decide on.")],
    approve: Annotated[bool, typer.Option("--approve/--reject", help="Publish it, or send it back.")],
    reason: Annotated[str, typer.Option("--reason", help="Why; the provider reads it.")] = "",
    operator: OperatorName = "",
    operator_key: OperatorKeyFile = None,
    secret_file: SecretFile = None,
) -> Result:
    """Publish a product that waits for review, or reject it."""
    if not approve and not reason:
        raise CliError("INVALID_ARGUMENT", "A rejection says why: add --reason.")
    who = open_operator(home, operator, operator_key, secret_file)
    request = admin_pb2.ReviewProductRequest(product_id=product, approve=approve, reason=reason, operator=who.name)
    with hub(home) as stub:
        reply = rpc.call(stub.ReviewProduct, request, whom=WHOM)
    done = (
        f"Published {product}: entry {reply.directory_index} of the directory." if approve else f"Rejected {product}."
    )
    return Result(
        data={"product": product, "approved": approve, "directory_index": reply.directory_index if approve else None},
        text=[done],
    )


@command(app, "unmatched")
def unmatched(
    home: HubHome,
    older_than: Annotated[int, typer.Option("--older-than", min=0, help="Seconds that the other side had.")] = 3600,
) -> Result:
    """List records of use whose other side never sent its own: somebody's node is away, or hides a use."""
    request = admin_pb2.ListUnmatchedReceiptsRequest(older_than_s=older_than)
    with hub(home) as stub:
        reply = rpc.call(stub.ListUnmatchedReceipts, request, whom=WHOM)
    found = [parse_signed_receipt(leaf)[1] for leaf in reply.signed_receipts]
    rows = [
        (r.exchange_id, r.request_no, r.side, r.node_id, r.institution, moment(r.time_ms), r.decision) for r in found
    ]
    return Result(
        data={
            "unmatched": [
                {
                    "receipt_id": r.receipt_id,
                    "exchange_id": r.exchange_id,
                    "request_no": r.request_no,
                    "side": r.side,
                    "node": r.node_id,
                    "institution": r.institution,
                    "time_ms": r.time_ms,
                    "decision": r.decision,
                }
                for r in found
            ]
        },
        text=[
            Rows(columns=("exchange", "no", "side", "node", "institution", "time", "decision"), rows=rows)
            if rows
            else f"Every record of use older than {older_than} s has its twin."
        ],
    )
