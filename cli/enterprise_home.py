"""An enterprise's home: who it is, its key, the hub that it pins, and what it saw of the hub's logs.

    enterprise.json   code, name, signatory
    hub.json          the hub's address, TLS authority and log key, from `xinqiao hub info`
    keys/             subject.pem (encrypted SM2 key), secret; a new key and ended ones: `cli.rotation_command`
    seen.json         the newest verified head of the usage log, the uses that were listed, the nodes that signed them

What was seen is kept so that a hub that later shows something else contradicts itself. It is written whole or not at all.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Annotated, Final

import msgspec

from cli.errors import CliError
from cli.hub_file import read_hub_file
from cli.secret import prepare_secret, read_secret
from consent.audit_uses import VerifiedPage
from consent.directory import NodeEnrolled
from consent.documents import parse
from nodes.credentials import HubFacts, load_hub
from trust.checkpoint import Checkpoint, open_checkpoint
from trust.document import SignedDocument
from trust.keyfile import load_private_key, save_private_key, write_protected
from trust.sm2 import PrivateKey, PublicKey

PROFILE: Final = "enterprise.json"
SEEN: Final = "seen.json"
HUB: Final = "hub.json"


class Profile(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Who the enterprise is; `signatory` signs its consents unless another is named."""

    uscc: str
    ent_name: str
    signatory: str


class _SeenFile(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    checkpoint: bytes = b""
    uses: dict[Annotated[int, msgspec.Meta(ge=0)], str] = {}
    nodes: dict[str, bytes] = {}


@dataclass(frozen=True, kw_only=True)
class Seen:
    """What was verified before. `uses`: index in the usage log to digest of the entry; `nodes`: their identity keys."""

    head: Checkpoint | None = None
    checkpoint: bytes = b""
    uses: Mapping[int, str] = field(default_factory=dict)
    nodes: Mapping[str, PublicKey] = field(default_factory=dict)
    node_entries: Mapping[str, bytes] = field(default_factory=dict)

    def after(self, page: VerifiedPage, checkpoint: bytes, nodes: Iterable[SignedDocument]) -> Seen:
        """What is known after a page was verified."""
        met = self.having_met(nodes)
        uses = dict(self.uses) | {use.log_index: use.leaf_sm3 for use in page.uses}
        newer = self.head is None or (page.head.size, page.head.time_ms) >= (self.head.size, self.head.time_ms)
        return Seen(
            head=page.head if newer else self.head,
            checkpoint=checkpoint if newer else self.checkpoint,
            uses=uses,
            nodes=met.nodes,
            node_entries=met.node_entries,
        )

    def having_met(self, nodes: Iterable[SignedDocument]) -> Seen:
        """What is known after the directory entries of nodes were verified."""
        entries = dict(self.node_entries)
        for document in nodes:
            entries[parse(document.payload, NodeEnrolled).node_id] = document.encode()
        return replace(self, nodes=_keys(entries), node_entries=entries)


@dataclass(frozen=True, kw_only=True)
class Enterprise:
    """An enterprise that acts."""

    home: Path
    profile: Profile
    hub: HubFacts
    key: PrivateKey = field(repr=False)

    @property
    def uscc(self) -> str:
        """Its code."""
        return self.profile.uscc

    def seen(self) -> Seen:
        """What it saw before. Raises CliError CONFIGURATION for a damaged file, SignatureInvalid."""
        path = self.home / SEEN
        if not path.exists():
            return Seen()
        try:
            return decode_seen(path.read_bytes(), self.hub.hub_key)
        except msgspec.DecodeError as error:
            raise CliError(
                "CONFIGURATION",
                f"{path} is damaged ({error}). Restore it from a backup: without it a hub could deny what it showed before.",
            ) from error

    def remember(self, seen: Seen) -> None:
        """Keep what was seen, whole or not at all."""
        path = self.home / SEEN
        new = path.with_suffix(".new")
        with new.open("wb") as stream:
            stream.write(encode_seen(seen))
            stream.flush()
            os.fsync(stream.fileno())
        new.replace(path)


def encode_seen(seen: Seen) -> bytes:
    """What was seen, as it is kept."""
    return msgspec.json.encode(
        _SeenFile(checkpoint=seen.checkpoint, uses=dict(seen.uses), nodes=dict(seen.node_entries))
    )


def decode_seen(kept: bytes, hub_key: PublicKey) -> Seen:
    """What was kept. Raises msgspec.DecodeError, SignatureInvalid."""
    file = msgspec.json.decode(kept, type=_SeenFile)
    head = open_checkpoint(SignedDocument.decode(file.checkpoint), hub_key) if file.checkpoint else None
    return Seen(head=head, checkpoint=file.checkpoint, uses=file.uses, nodes=_keys(file.nodes), node_entries=file.nodes)


def _keys(entries: Mapping[str, bytes]) -> dict[str, PublicKey]:
    found = {}
    for node_id, encoded in entries.items():
        node = parse(SignedDocument.decode(encoded).payload, NodeEnrolled)
        found[node_id] = PublicKey.decode(node.identity_key)
    return found


def key_file(home: Path) -> Path:
    """Where an enterprise's key lies."""
    return home / "keys" / "subject.pem"


def new_key_file(home: Path) -> Path:
    """Where a new key lies that waits for approval."""
    return home / "keys" / "subject.new.pem"


def ended_key_file(home: Path, key: PublicKey) -> Path:
    """Where a key is kept that was replaced."""
    return home / "keys" / f"subject-{key.key_id.removeprefix('sm2:')}.pem"


def create_home(
    home: Path,
    hub_file: Path,
    uscc: str,
    name: str,
    key: PrivateKey,
    *,
    secret_file: Path | None = None,
    signatory: str = "",
) -> str:
    """Make a home around a key; returns the sentence about its secret. Raises CliError ALREADY_EXISTS, CONFIGURATION.

    The code is the caller's to check.
    """
    if (home / PROFILE).exists() or key_file(home).exists():
        raise CliError("ALREADY_EXISTS", f"{home} holds an enterprise. Choose another home; nothing was changed.")
    facts = read_hub_file(hub_file)
    home.mkdir(mode=0o700, parents=True, exist_ok=True)
    secret, about_secret = prepare_secret(home, secret_file)
    key_file(home).parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    save_private_key(key_file(home), key, secret)
    profile = Profile(uscc=str(uscc), ent_name=name, signatory=signatory or name)
    write_protected(home / HUB, facts.encode())
    write_protected(home / PROFILE, msgspec.json.format(msgspec.json.encode(profile)) + b"\n")
    return about_secret


def open_enterprise(home: Path, secret_file: Path | None) -> Enterprise:
    """Open a home with its key. Raises CliError CONFIGURATION, CredentialsInvalid, KeyFileError, WrongPassphrase."""
    try:
        profile = msgspec.json.decode((home / PROFILE).read_bytes(), type=Profile)
    except FileNotFoundError:
        raise CliError(
            "CONFIGURATION",
            f"{home} is no enterprise's home. Name it by --home, or make one: `xinqiao enterprise init`.",
        ) from None
    except msgspec.DecodeError as error:
        raise CliError("CONFIGURATION", f"{home / PROFILE} is damaged ({error}). Restore it.") from error
    key = load_private_key(key_file(home), read_secret(home, secret_file))
    return Enterprise(home=home, profile=profile, hub=load_hub(home), key=key)
