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
from cli.hub_commands import app
from cli.operator import WHOM, Operator, OperatorKeyFile, OperatorName, hub, message, open_operator
from cli.options import HubHome
from cli.output import Output, Result, Rows, Step, moment
from cli.secret import SecretFile
from consent.directory import SUBJECT_KEY_TYPE, ProductPublished, SubjectKey
from consent.documents import parse
from consent.registration import SUBJECT_REGISTRATION_TYPE, SubjectRegistration, parse_registration
from consent.usage import parse_signed_receipt
from trust.document import SignedDocument, verify_document
from trust.sm2 import PublicKey

EnterpriseCode = Annotated[str, typer.Argument(help="Unified social credit code of the enterprise.")]


@command(app, "registrations")
def registrations(home: HubHome) -> Result:
    """List the enterprises that wait for approval. Check each against the registry before you approve it."""
    with hub(home) as stub:
        waiting = _registrations(stub)
    found = [
        {
            "uscc": each.uscc,
            "ent_name": each.ent_name,
            "contact": each.contact,
            "key_id": PublicKey.decode(each.public_key).key_id,
            "time_ms": each.time_ms,
        }
        for each in waiting
    ]
    rows = [(each.uscc, each.ent_name, each.contact, moment(each.time_ms)) for each in waiting]
    return Result(
        data={"registrations": found},
        text=[Rows(columns=("code", "name", "contact", "registered"), rows=rows) if rows else "Nobody waits."],
    )


@command(app, "approve-enterprise")
def approve_enterprise(
    home: HubHome,
    output: Output,
    uscc: Annotated[list[str] | None, typer.Argument(help="Codes of the enterprises; or --all.")] = None,
    every: Annotated[
        bool, typer.Option("--all", help="Approve all that wait (for demonstrations and drills).")
    ] = False,
    operator: OperatorName = "",
    operator_key: OperatorKeyFile = None,
    secret_file: SecretFile = None,
) -> Result:
    """Bind an enterprise's key to its code, by the operator's signature. From then on it can consent."""
    if bool(uscc) == every:
        raise CliError("INVALID_ARGUMENT", "Name the enterprises to approve, or say --all.")
    who = open_operator(home, operator, operator_key, secret_file)
    with hub(home) as stub, output.progress("Approving") as step:
        waiting = {each.uscc: each for each in _registrations(stub)}
        missing = [code for code in uscc or () if code not in waiting]
        if missing:
            raise CliError(
                "NOT_FOUND",
                f"No registration waits under {missing[0]}. `xinqiao hub registrations` lists those that do.",
            )
        approved = _approve(stub, who, [waiting[code] for code in uscc or waiting], step)
    names = ", ".join(f"{each['uscc']} ({each['ent_name']})" for each in approved[:5])
    more = f" and {len(approved) - 5} more" if len(approved) > 5 else ""
    return Result(
        data={"approved": approved, "operator": who.name},
        text=[f"Approved {names}{more}, signed by {who.name}." if approved else "Nobody waited; nothing was changed."],
    )


def _approve(
    stub: admin_pb2_grpc.AdminStub, who: Operator, chosen: Sequence[SubjectRegistration], step: Step
) -> list[dict[str, object]]:
    present = _present_keys(stub) if chosen else {}
    approved: list[dict[str, object]] = []
    for done, each in enumerate(chosen, start=1):
        last = present.get(each.uscc)
        entry = SubjectKey(
            uscc=each.uscc,
            ent_name=each.ent_name,
            public_key=each.public_key,
            version=1 if last is None else last.version + 1,
            prev_key_id=None if last is None else PublicKey.decode(last.public_key).key_id,
            time_ms=now_ms(),
            operator=who.name,
        )
        reply = rpc.call(stub.ApproveSubject, message(who.sign(SUBJECT_KEY_TYPE, entry)), whom=WHOM)
        approved.append(
            {
                "uscc": each.uscc,
                "ent_name": each.ent_name,
                "key_id": PublicKey.decode(each.public_key).key_id,
                "version": entry.version,
                "directory_index": reply.directory_index,
            }
        )
        step(done, len(chosen))
    return approved


def _registrations(stub: admin_pb2_grpc.AdminStub) -> list[SubjectRegistration]:
    """What waits, each proved to be by the holder of the key that it names."""
    reply = rpc.call(stub.ListRegistrations, admin_pb2.ListRegistrationsRequest(), whom=WHOM)
    found = []
    for encoded in reply.registrations:
        document = SignedDocument.decode(encoded)
        registration = parse_registration(document.payload)
        verify_document(document, SUBJECT_REGISTRATION_TYPE, PublicKey.decode(registration.public_key))
        found.append(registration)
    return found


def _present_keys(stub: admin_pb2_grpc.AdminStub) -> dict[str, SubjectKey]:
    """The newest key of every enterprise, by the directory log. Nodes check the order again; a false one helps nobody."""
    request = admin_pb2.ExportLogRequest(origin="directory")
    newest: dict[str, SubjectKey] = {}
    for chunk in rpc.stream(lambda: stub.ExportLog(request), whom=WHOM):
        if chunk.WhichOneof("part") == "leaf":
            document = SignedDocument.decode(chunk.leaf)
            if document.payload_type == SUBJECT_KEY_TYPE:
                entry = parse(document.payload, SubjectKey)
                newest[entry.uscc] = entry
    return newest


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
