"""`xinqiao hub`, continued: the operators themselves. Who is let in, who is out, and what the directory says of all of them.

A new operator is let in by one that stands: the hub's own key is not enough. What is signed here is checked again by the
hub and by every node.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer
from xinqiao.v1 import admin_pb2, admin_pb2_grpc

from cli import rpc
from cli.clock import now_ms
from cli.commands import command
from cli.errors import CliError
from cli.hub_commands import Reason, app
from cli.operator import WHOM, OperatorKeyFile, OperatorName, hub, message, open_operator, operator_file
from cli.options import HubHome
from cli.output import Result, Rows, moment
from cli.secret import SecretFile, read_secret
from consent.directory import OPERATOR_KEY_TYPE, OPERATOR_REVOKED_TYPE, OperatorKey, OperatorRevoked
from consent.documents import encode, parse
from hub.keys import create_operator_key
from trust.keyfile import load_private_key
from trust.sm2 import PrivateKey

Name = Annotated[str, typer.Argument(help="Name of the operator.")]


@command(app, "operators")
def operators(home: HubHome) -> Result:
    """List every key that an operator ever had, who let it in, and who ended it."""
    with hub(home) as stub:
        found = _operators(stub)
    rows = [
        (
            each.operator,
            each.key_id,
            each.state,
            moment(each.from_ms),
            each.signer or "the hub",
            f"{moment(each.ended_ms)} by {each.ended_by}" if each.state == "ended" else "-",
        )
        for each in found
    ]
    return Result(
        data={
            "operators": [
                {
                    "operator": each.operator,
                    "key_id": each.key_id,
                    "state": each.state,
                    "from_ms": each.from_ms,
                    "signer": each.signer or None,
                    "ended_ms": each.ended_ms or None,
                    "ended_by": each.ended_by or None,
                }
                for each in found
            ]
        },
        text=[Rows(columns=("operator", "key", "state", "since", "let in by", "ended"), rows=rows)],
    )


@command(app, "add-operator")
def add_operator(
    home: HubHome,
    new: Name,
    key_file: Annotated[
        Path | None,
        typer.Option(
            "--key-file", help="The new operator's key file, made if it is not there. Default: HOME/operators/NAME.pem."
        ),
    ] = None,
    replace: Annotated[
        bool, typer.Option("--replace", help="The operator stands already and gets another key; the old one ends.")
    ] = False,
    operator: OperatorName = "",
    operator_key: OperatorKeyFile = None,
    secret_file: SecretFile = None,
) -> Result:
    """Give another person the right to admit, approve and revoke, by the signature of an operator that stands."""
    who = open_operator(home, operator, operator_key, secret_file)
    path = key_file if key_file is not None else operator_file(home, new)
    with hub(home) as stub:
        known = _present(stub, new)
        if known is not None and not replace:
            raise CliError(
                "ALREADY_EXISTS",
                f"Operator {new} stands with key {known.key_id}. Choose another name; or --replace, for another key.",
            )
        if known is None and replace:
            raise CliError(
                "NOT_FOUND", f"No operator {new} stands, so there is no key to replace. Leave --replace out."
            )
        key = _key(path, read_secret(home, secret_file))
        entry = OperatorKey(operator=new, public_key=key.public.encode(), time_ms=now_ms(), signer=who.name)
        parse(encode(entry), OperatorKey)  # what the hub would refuse is refused here
        reply = rpc.call(stub.AddOperator, message(who.sign(OPERATOR_KEY_TYPE, entry)), whom=WHOM)
    return Result(
        data={
            "operator": new,
            "operator_key_file": str(path),
            "key_id": key.public.key_id,
            "signer": who.name,
            "replaced_key_id": known.key_id if known is not None else None,
            "directory_index": reply.directory_index,
        },
        text=[
            f"Operator {new} has key {key.public.key_id} in {path}, signed by {who.name}: entry {reply.directory_index} of the "
            "directory.",
            *([f"The key before it, {known.key_id}, signs nothing any more."] if known is not None else []),
        ],
    )


@command(app, "revoke-operator")
def revoke_operator(
    home: HubHome,
    name: Name,
    reason: Reason,
    operator: OperatorName = "",
    operator_key: OperatorKeyFile = None,
    secret_file: SecretFile = None,
) -> Result:
    """End an operator's key at once: hub and nodes refuse what it signs from now on. What it signed before stays valid."""
    who = open_operator(home, operator, operator_key, secret_file)
    with hub(home) as stub:
        known = _present(stub, name)
        if known is None:
            raise CliError("NOT_FOUND", f"No operator {name} stands. `xinqiao hub operators` lists all of them.")
        entry = OperatorRevoked(operator=name, key_id=known.key_id, reason=reason, time_ms=now_ms(), signer=who.name)
        parse(encode(entry), OperatorRevoked)
        reply = rpc.call(stub.Revoke, message(who.sign(OPERATOR_REVOKED_TYPE, entry)), whom=WHOM)
    return Result(
        data={
            "operator": name,
            "key_id": known.key_id,
            "signer": who.name,
            "directory_index": reply.directory_index,
        },
        text=[
            f"Revoked operator {name} with key {known.key_id}, signed by {who.name}: entry {reply.directory_index} of the directory.",
            "If the key was stolen, look at what it signed: `xinqiao audit export` of the log directory; revoke what is false.",
        ],
    )


def _key(path: Path, secret: bytes) -> PrivateKey:
    """The key in a file, made if there is none: an attempt that was cut off goes on with the key that it made."""
    return load_private_key(path, secret) if path.exists() else create_operator_key(path, secret)


def _operators(stub: admin_pb2_grpc.AdminStub) -> Sequence[admin_pb2.OperatorReply]:
    return rpc.call(stub.ListOperators, admin_pb2.ListOperatorsRequest(), whom=WHOM).operators


def _present(stub: admin_pb2_grpc.AdminStub, name: str) -> admin_pb2.OperatorReply | None:
    """An operator that stands; what the hub leaves out or makes up here only makes it refuse."""
    return next((each for each in _operators(stub) if (each.operator, each.state) == (name, "standing")), None)
