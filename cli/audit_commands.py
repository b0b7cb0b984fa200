"""`xinqiao audit`: an enterprise checks who used its data; anybody checks an exported log; the operator exports one."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Annotated

import msgspec
import typer
from xinqiao.v1 import admin_pb2, admin_pb2_grpc

from cli import rpc
from cli.clock import now_ms
from cli.commands import command, group
from cli.enterprise_client import Standing, connect
from cli.enterprise_home import open_enterprise
from cli.errors import CliError
from cli.export_files import CHECKPOINT_FILE, DIRECTORY_FOLDER, HUB_FILE, ExportWriter, read_export
from cli.hub_file import read_hub_file
from cli.operator import WHOM, hub, hub_facts
from cli.options import HubHome, SubjectHome
from cli.output import Output, Result, Rows, Step, moment
from cli.secret import SecretFile
from consent.audit import DIRECTORY, AuditReport, fold_directory, verify_export
from consent.audit_uses import VerifiedUse, model_of
from consent.directory import Directory
from consent.my_data import ConsentEvidence, Evidence, make_my_data, page_evidence
from trust.checkpoint import Checkpoint, open_checkpoint
from trust.document import SignedDocument
from trust.sm2 import PublicKey

app = group("Check the hub: who used my data, and is a whole log what it claims to be.")


@command(app, "mine")
def mine(
    home: SubjectHome,
    output: Output,
    out: Annotated[
        Path | None,
        typer.Option("--out", help="Write consents and uses with their proofs to this file, signed by the enterprise."),
    ] = None,
    secret_file: SecretFile = None,
) -> Result:
    """List every recorded use of the enterprise's data and verify each: signature, place in the log, consistency, witnesses."""
    own = open_enterprise(home, secret_file)
    if out is not None and out.exists():
        raise CliError("ALREADY_EXISTS", f"{out} is there and is not overwritten. Choose another name.")
    with connect(own) as client, output.progress("Verifying uses") as step:
        pages = []
        for audited in client.audit():
            pages.append(page_evidence(audited.page))
            step(len(audited.uses))
        if not pages:
            raise CliError("INTERNAL", "The audit gave no result; report it.")
        own.remember(audited.seen)
        if out is not None:
            evidence = Evidence(consents=tuple(_consent(each) for each in client.consents()), pages=tuple(pages))
            out.write_bytes(make_my_data(own.uscc, evidence, own.key, own.hub.hub_key, now_ms()))
    return Result(
        data={
            "uscc": own.uscc,
            "verified": True,
            "log_size": audited.head.size,
            "root": audited.head.root.hex(),
            "checkpoint_ms": audited.head.time_ms,
            "witnesses": list(audited.witnesses),
            "uses": [_use(own.uscc, use) for use in audited.uses],
        },
        text=[
            Rows(
                columns=(
                    "time",
                    "user",
                    "institution",
                    "purpose",
                    "reason",
                    "content",
                    "object",
                    "decision",
                    "model",
                    "entry",
                ),
                rows=[_row(own.uscc, use) for use in audited.uses],
            )
            if audited.uses
            else "No use of this enterprise's data is recorded.",
            f"Verified {len(audited.uses)} records of use: each signed by its node, in the log at its place, in a log of "
            f"{audited.head.size} entries that extends what was seen before. Witnesses: {', '.join(audited.witnesses) or 'none'}.",
            *([f"Wrote {out}; anybody checks it by `xinqiao audit my-data {out} --hub hub.json`."] if out else []),
        ],
    )


def _consent(standing: Standing) -> ConsentEvidence:
    return ConsentEvidence(
        entry=standing.leaf, log_index=standing.log_index, state=standing.state, ended_ms=standing.ended_ms
    )


def _row(uscc: str, use: VerifiedUse) -> tuple[object, ...]:
    told = use.receipt
    return (
        moment(told.time_ms),
        told.user,
        told.institution,
        told.purpose.value,
        told.reason,
        told.legal_basis or ", ".join(told.fields or told.items),
        uscc,
        told.decision,
        model_of(use)[:16],
        use.log_index,
    )


def _use(uscc: str, use: VerifiedUse) -> dict[str, object]:
    """The seven fields of the guideline's 6.6.2, then the rest."""
    told, part = use.receipt, use.part
    return {
        "user": told.user,
        "institution": told.institution,
        "time_ms": told.time_ms,
        "reason": told.reason,
        "content": {"items": list(told.items), "fields": list(told.fields)},
        "object": uscc,
        "purpose": told.purpose.value,
        "consent_id": told.consent_id if part is None else part.consent_id,
        "legal_basis": told.legal_basis,
        "mode": told.mode.value,
        "record_count": told.record_count if part is None else part.record_count,
        "decision": told.decision,
        "side": told.side,
        "node": use.signed_by,
        "exchange_id": told.exchange_id,
        "receipt_id": told.receipt_id,
        "log_index": use.log_index,
        "in_batch": part is not None,
        "twin_present": use.twin_present,
        "model": model_of(use),
    }


@command(app, "export")
def export(
    home: HubHome,
    out: Annotated[Path, typer.Option("--out", help="New folder for the files.")],
    output: Output,
    origin: Annotated[
        str, typer.Option("--origin", help="Log to export: usage, directory, or consent/ and a provider.")
    ] = "usage",
    secret_file: SecretFile = None,
) -> Result:
    """Export a whole log with its checkpoint, and the directory that verifies it (run by the hub's operator)."""
    facts = hub_facts(home, secret_file)
    with hub(home) as stub, output.progress(f"Exporting {origin}") as step:
        writer = ExportWriter(out, origin)
        checkpoint = writer.write(_parts(stub, origin, step))
        if origin != DIRECTORY:
            ExportWriter(out / DIRECTORY_FOLDER, DIRECTORY).write(_parts(stub, DIRECTORY, step))
    (out / HUB_FILE).write_bytes(facts.encode())
    return Result(
        data={
            "folder": str(out),
            "origin": origin,
            "size": writer.size,
            "signatures": len(checkpoint.signatures),
            "key_id": facts.hub_key.key_id,
        },
        text=[
            f"Exported {writer.size:,} entries of log {origin} to {out}.",
            f"Anybody can check them: `xinqiao audit verify {out}`, better with their own --hub hub.json.",
        ],
    )


def _parts(stub: admin_pb2_grpc.AdminStub, origin: str, step: Step) -> Iterator[bytes | SignedDocument]:
    request = admin_pb2.ExportLogRequest(origin=origin)
    for done, chunk in enumerate(rpc.stream(lambda: stub.ExportLog(request), whom=WHOM), start=1):
        step(done)
        if chunk.WhichOneof("part") == "checkpoint":
            yield SignedDocument.decode(chunk.checkpoint)
        else:
            yield chunk.leaf


@command(app, "verify")
def verify(
    folder: Annotated[Path, typer.Argument(help="Folder of an exported log.")],
    output: Output,
    hub_file: Annotated[
        Path | None,
        typer.Option(
            "--hub", help="The file hub.json that pins the hub, got another way. Without it the export's own is taken."
        ),
    ] = None,
    seen: Annotated[
        list[Path] | None,
        typer.Option(
            "--seen", help="Another export, a checkpoint file, or an enterprise's seen.json, to compare with."
        ),
    ] = None,
) -> Result:
    """Check an exported log offline, entry by entry, and name the first that is altered, moved, missing or put in."""
    key = read_hub_file(hub_file if hub_file is not None else folder / HUB_FILE).hub_key
    opened = read_export(folder)
    heads = tuple(head for path in seen or () if (head := _head(path, key)).origin == opened.origin)
    if seen and not heads:
        raise CliError("INVALID_ARGUMENT", f"None of what was seen is of log {opened.origin}. Name heads of this log.")
    with output.progress("Verifying") as step:
        if opened.origin == DIRECTORY:
            _, report = fold_directory(opened, key, heads)
        else:
            directory = directory_of(folder, key)
            step(0, None, f"Verifying {opened.origin}")
            report = verify_export(opened, key, directory, heads)
    return _report(folder, report, key, pinned=hub_file is not None)


def directory_of(folder: Path, key: PublicKey) -> Directory:
    """The directory of an exported log, which may be the directory itself. Raises AuditFailed."""
    inner = folder / DIRECTORY_FOLDER
    return fold_directory(read_export(inner if inner.is_dir() else folder), key)[0]


def _head(path: Path, key: PublicKey) -> Checkpoint:
    """A head that was kept, whatever it was kept in. Raises SignatureInvalid if the hub did not sign it."""
    file = path / CHECKPOINT_FILE if path.is_dir() else path
    try:
        content = file.read_bytes()
        if b'"checkpoint"' in content[:16]:
            content = msgspec.json.decode(content, type=_SeenHead).checkpoint
    except (FileNotFoundError, msgspec.DecodeError) as error:
        raise CliError("INVALID_ARGUMENT", f"{path} holds no checkpoint ({error}).") from error
    return open_checkpoint(SignedDocument.decode(content), key)


class _SeenHead(msgspec.Struct, frozen=True):
    checkpoint: bytes


def _report(folder: Path, report: AuditReport, key: PublicKey, *, pinned: bool) -> Result:
    counted = (
        f" {report.receipts:,} records of use ({report.refusals:,} refusals) in {report.batches:,} signed batches, "
        f"{report.deletions:,} deletions attested."
        if report.origin == "usage"
        else ""
    )
    return Result(
        data={
            "folder": str(folder),
            "verified": True,
            "origin": report.origin,
            "size": report.size,
            "root": report.root.hex(),
            "checkpoint_ms": report.time_ms,
            "witnesses": list(report.witnesses),
            "receipts": report.receipts,
            "refusals": report.refusals,
            "deletions": report.deletions,
            "batches": report.batches,
            "heads_seen": report.heads_seen,
            "key_id": key.key_id,
            "key_pinned": pinned,
        },
        text=[
            f"Log {report.origin} is what it claims to be: {report.size:,} entries under the hub's checkpoint of "
            f"{moment(report.time_ms)}.{counted}",
            f"Witnesses: {', '.join(report.witnesses) or 'none'}. Heads seen before that it agrees with: {report.heads_seen}.",
            *(
                []
                if pinned
                else [
                    f"Held against the export's own word for the hub's key, {key.key_id}: compare it with your hub.json."
                ]
            ),
        ],
    )
