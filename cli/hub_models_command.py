"""`xinqiao hub models`: the operator sees every registered model and where it stands."""

from __future__ import annotations

import msgspec
from xinqiao.v1 import admin_pb2

from cli import rpc
from cli.commands import command
from cli.hub_commands import app
from cli.operator import WHOM, hub
from cli.options import HubHome
from cli.output import Result, Rows, moment
from consent.models import parse_version
from trust.document import SignedDocument


@command(app, "models")
def models(home: HubHome) -> Result:
    """List the registered scoring models, what each reads of whom, and where it stands."""
    with hub(home) as stub:
        reply = rpc.call(stub.ListAllModels, admin_pb2.ListAllModelsRequest(), whom=WHOM)
    found = [(parse_version(SignedDocument.decode(each.document).payload), each) for each in reply.models]
    return Result(
        data={
            "models": [
                {**msgspec.to_builtins(version), "state": each.state, "reason": each.reason} for version, each in found
            ]
        },
        text=[
            Rows(
                columns=("model", "name", "version", "kind", "owner", "providers", "registered", "state", "why"),
                rows=[
                    (
                        version.model_id,
                        version.name,
                        version.version,
                        version.kind,
                        version.owner,
                        ", ".join(version.providers),
                        moment(version.created_ms),
                        each.state,
                        each.reason,
                    )
                    for version, each in found
                ],
            )
            if found
            else "No model is registered."
        ],
    )
