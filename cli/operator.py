"""The operator's side of the hub's commands: settings, the operator's key, and documents signed here and never in the hub."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated

import msgspec
import typer
from xinqiao.v1 import admin_pb2, admin_pb2_grpc

from cli import rpc
from cli.errors import CliError
from cli.secret import read_secret
from consent.documents import encode
from hub.keys import load_keys
from hub.settings import Settings, load_settings
from nodes.credentials import HubFacts
from trust.document import SignedDocument, sign_document
from trust.keyfile import load_private_key
from trust.sm2 import PrivateKey

WHOM = "the hub"

OperatorName = Annotated[
    str,
    typer.Option(
        "--operator", envvar="XINQIAO_OPERATOR", help="Operator who signs. Default: the only one in HOME/operators."
    ),
]
OperatorKeyFile = Annotated[
    Path | None,
    typer.Option("--operator-key", help="The operator's key file. Default: HOME/operators/NAME.pem."),
]


@dataclass(frozen=True, kw_only=True)
class Operator:
    """A named operator with its key."""

    name: str
    key: PrivateKey = field(repr=False)

    def sign(self, payload_type: str, document: msgspec.Struct) -> SignedDocument:
        """Sign a directory document in the operator's name."""
        return sign_document(payload_type, encode(document), self.key)


def hub_settings(home: Path) -> Settings:
    """The settings of a hub's home. Raises SettingsInvalid, CliError CONFIGURATION if there is no hub."""
    if not (home / "keys").is_dir():
        raise CliError("CONFIGURATION", f"{home} is no hub's home. Name it by --home, or make one: `xinqiao hub init`.")
    return load_settings(home, os.environ)


def operator_file(home: Path, name: str) -> Path:
    """Where an operator's key lies."""
    return home / "operators" / f"{name}.pem"


def open_operator(home: Path, name: str, key_file: Path | None, secret_file: Path | None) -> Operator:
    """Open the operator's key. Raises CliError CONFIGURATION, KeyFileError, WrongPassphrase."""
    if not name:
        name = key_file.stem if key_file is not None else _only(sorted((home / "operators").glob("*.pem")), home)
    path = key_file if key_file is not None else operator_file(home, name)
    return Operator(name=name, key=load_private_key(path, read_secret(home, secret_file)))


def _only(files: Sequence[Path], home: Path) -> str:
    if len(files) == 1:
        return files[0].stem
    found = ", ".join(file.stem for file in files) or "none"
    raise CliError("CONFIGURATION", f"{home / 'operators'} holds {found}: say who signs by --operator.")


def hub_facts(home: Path, secret_file: Path | None) -> HubFacts:
    """What nodes and enterprises pin of this hub. Raises CliError, KeyFileError, WrongPassphrase."""
    settings = hub_settings(home)
    keys = load_keys(settings.keys, read_secret(home, secret_file))
    return HubFacts(
        public_address=settings.public_address,
        node_address=settings.node_address,
        authority_pem=keys.authority_cert,
        hub_key=keys.public,
    )


@contextmanager
def hub(home: Path) -> Iterator[admin_pb2_grpc.AdminStub]:
    """The operator interface of the running hub. Raises CliError."""
    with rpc.admin(hub_settings(home).socket) as stub:
        yield stub


def message(document: SignedDocument) -> admin_pb2.DirectoryDocument:
    """A document as the hub takes it."""
    return admin_pb2.DirectoryDocument(document=document.encode())
