"""`xinqiao audit model`: an auditor holds a model's parts against what was registered, offline."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from cli.audit_commands import app, directory_of
from cli.commands import command
from cli.errors import CliError
from cli.export_files import HUB_FILE
from cli.hub_file import read_hub_file
from cli.output import Result, Rows
from consent.model_state import open_version
from consent.sent_weights import open_sent


@command(app, "model")
def model(
    openings: Annotated[
        list[Path],
        typer.Argument(
            help="Openings of one owner's models (`xinqiao model open`), as many as there are, the owner's and its providers'."
        ),
    ],
    export: Annotated[
        Path | None,
        typer.Option(
            "--export", help="Exported log (`xinqiao audit export`), whose directory verifies the signatures."
        ),
    ] = None,
    hub_file: Annotated[
        Path | None, typer.Option("--hub", help="The file hub.json that pins the hub. Default: the export's own.")
    ] = None,
) -> Result:
    """Check that opened models are what was registered: commitments, features that count, leverage, and the weights that were sent.

    Leverage is over each model and those before it, so that it is true for the openings at hand: have an owner open all its models.
    Providers' openings show what the owner signed in each session of scoring: the weights that it sent are made again and compared.
    """
    from nodes.models.opening import check_openings, read_opening

    found = check_openings([read_opening(path) for path in openings])
    if export is not None:
        directory = directory_of(export, read_hub_file(hub_file or export / HUB_FILE).hub_key)
        for each in found:
            open_version(each.model.document, directory)
            for sent in each.sent:
                open_sent(sent, directory)
    wrong = [
        f"{each.model.version.name} version {each.model.version.version}: {said}"
        for each in found
        for said in each.findings
    ]
    if wrong:
        raise CliError("AUDIT_FAILED", " ".join(wrong))
    rows = [
        (
            each.model.version.name,
            each.model.version.version,
            each.model.version.kind,
            ", ".join(each.opened),
            ", ".join(f"{member} {value:.4f}" for member, value in each.leverages.items()),
            len(each.sent),
        )
        for each in found
    ]
    return Result(
        data={
            "verified": True,
            "signatures_checked": export is not None,
            "models": [
                {
                    "model_id": each.model.version.model_id,
                    "name": each.model.version.name,
                    "version": each.model.version.version,
                    "opened": list(each.opened),
                    "leverages": each.leverages,
                    "sessions": len(each.sent),
                }
                for each in found
            ],
        },
        text=[
            Rows(columns=("model", "version", "kind", "opened parts", "leverage", "sessions"), rows=rows),
            "Every opened part is the one that was committed to, and what was attested about it is true.",
            "In each of the sessions the registered weights were sent."
            if any(each.sent for each in found)
            else "What was sent in sessions of scoring was not checked: name the providers' openings too.",
            *([] if export is not None else ["Signatures were not checked: name an exported log by --export."]),
        ],
    )
