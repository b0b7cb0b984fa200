"""`xinqiao audit my-data`: anybody checks what an enterprise exported of itself, offline."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from cli.audit_commands import app
from cli.commands import command
from cli.errors import CliError
from cli.hub_file import read_hub_file
from cli.output import Result, Rows, moment
from consent.my_data import LARGEST, verify_my_data


@command(app, "my-data")
def my_data(
    file: Annotated[Path, typer.Argument(help="File from the portal, or from `xinqiao audit mine --out`.")],
    hub_file: Annotated[Path, typer.Option("--hub", help="The file hub.json that pins the hub, got another way.")],
) -> Result:
    """Check an enterprise's own export: its signature, the hub's on every consent, and the proof of every use."""
    try:
        if file.stat().st_size > LARGEST:
            raise CliError("INVALID_ARGUMENT", f"{file} is over {LARGEST >> 20} MiB; this is no export.")
        encoded = file.read_bytes()
    except OSError as error:
        raise CliError("INVALID_ARGUMENT", f"{file} cannot be read ({error.strerror}). Name an export.") from error
    found = verify_my_data(encoded, read_hub_file(hub_file).hub_key)
    told = found.statement
    vouched = (
        f"{found.vouched} of its consents carry the same signature and the hub's, so the key is the enterprise's."
        if found.vouched
        else f"None of its consents is signed by this key: ask the hub's operator whether {found.key.key_id} is the enterprise's."
    )
    newest = max(found.heads, key=lambda head: head.size, default=None)
    return Result(
        data={
            "verified": True,
            "uscc": told.uscc,
            "made_ms": told.time_ms,
            "key_id": found.key.key_id,
            "vouched": found.vouched,
            "consents": len(found.consents),
            "uses": len(found.uses),
            "log_size": newest.size if newest else 0,
            "witnesses": list(found.witnesses),
        },
        text=[
            f"True: {told.uscc} signed this by {found.key.key_id} on {moment(told.time_ms)}. {vouched}",
            Rows(
                columns=("consent", "state then", "may use", "data of", "until"),
                rows=[
                    (
                        consent.record_id,
                        standing.state,
                        ", ".join(consent.recipients.data_users),
                        consent.recipients.data_source,
                        moment(consent.limits.valid_to_ms),
                    )
                    for consent, standing in found.consents
                ],
            )
            if found.consents
            else "No consent was given.",
            f"{len(found.uses)} records of use, each proved in the hub's log"
            + (f" of {newest.size} entries." if newest else "."),
        ],
    )
