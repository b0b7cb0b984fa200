"""`xinqiao enterprise rotate-key`: a new key for an enterprise, from the making to the day on which it signs.

    keys/subject.pem           the key that signs
    keys/subject.new.pem       the new key, while it waits for approval
    keys/subject-<key id>.pem  keys that ended; kept, since what they signed is verified by them

The same command does each step and may be run again at any time: it makes the new key once, asks once, and tells where it
stands; when the operator has approved, it puts the new key in the place of the old one. The old key signs until then.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from xinqiao.v1 import public_pb2

from cli.clock import now_ms
from cli.commands import command
from cli.enterprise_client import EnterpriseClient, connect
from cli.enterprise_commands import app
from cli.enterprise_home import Enterprise, ended_key_file, key_file, new_key_file, open_enterprise
from cli.errors import CliError
from cli.options import SubjectHome
from cli.output import Result
from cli.secret import SecretFile, read_secret
from consent.documents import encode
from consent.registration import SUBJECT_REGISTRATION_TYPE, SubjectRegistration, parse_registration
from trust.document import SignedDocument, countersign, sign_document
from trust.keyfile import load_private_key, read_protected, save_private_key, write_protected
from trust.sm2 import PrivateKey, PublicKey


@command(app, "rotate-key")
def rotate_key(
    home: SubjectHome,
    contact: Annotated[
        str,
        typer.Option(
            "--contact", help="How the hub's operator reaches you. Needed to ask, and to ask again once rejected."
        ),
    ] = "",
    secret_file: SecretFile = None,
) -> Result:
    """Replace the enterprise's key: make a new one, ask for approval by the old one, use it once approved. Run it again to go on."""
    own = open_enterprise(home, secret_file)
    secret = read_secret(home, secret_file)
    path = new_key_file(home)
    if not path.exists() and not contact:
        raise CliError("INVALID_ARGUMENT", "No new key waits. To make one and ask for its approval, add --contact.")
    new = _new_key(path, secret)
    with connect(own) as client:
        stands = _standing(client, new)
        if stands.state in {"", "rejected"} and contact:
            stands = client.register(countersign(_registration(own, new, contact), own.key))
    if stands.state == "approved":
        _put_in_place(home, own.key.public)
    return _told(own, new, path, stands)


def _new_key(path: Path, secret: bytes) -> PrivateKey:
    """The new key, on disk before anybody hears of it."""
    if not path.exists():
        save_private_key(path, PrivateKey.generate(), secret)
    return load_private_key(path, secret)


def _standing(client: EnterpriseClient, new: PrivateKey) -> public_pb2.RegisterReply:
    """Where the registration of this very key stands; state "" if there is none."""
    try:
        reply = client.registration()
    except CliError as error:
        if error.code != "NOT_FOUND":
            raise
        return public_pb2.RegisterReply()
    return reply if reply.key_id == new.public.key_id else public_pb2.RegisterReply()


def _registration(own: Enterprise, new: PrivateKey, contact: str) -> SignedDocument:
    """The statement that the new key signs; the old one signs after it."""
    entry = SubjectRegistration(
        uscc=own.uscc,
        ent_name=own.profile.ent_name,
        contact=contact,
        public_key=new.public.encode(),
        time_ms=now_ms(),
    )
    payload = encode(entry)
    parse_registration(payload)  # what the hub would refuse is not sent
    return sign_document(SUBJECT_REGISTRATION_TYPE, payload, new)


def _put_in_place(home: Path, old: PublicKey) -> None:
    """The old key is copied first, so that there is a key in its place at every moment."""
    ended = ended_key_file(home, old)
    if not ended.exists():
        write_protected(ended, read_protected(key_file(home)))
    new_key_file(home).replace(key_file(home))


def _told(own: Enterprise, new: PrivateKey, path: Path, stands: public_pb2.RegisterReply) -> Result:
    old_id, new_id = own.key.public.key_id, new.public.key_id
    ended = ended_key_file(own.home, own.key.public)
    match stands.state:
        case "approved":
            sentence = f"Key {new_id} is approved and signs from now on. The old one, {old_id}, is kept in {ended}."
        case "rejected":
            sentence = f"Key {new_id} was rejected: {stands.reason}. Key {old_id} still signs; ask again by --contact."
        case "pending":
            sentence = f"Key {new_id} waits for approval; {old_id} signs until then. Run this again to go on."
        case _:
            sentence = f"Key {new_id} in {path} was not registered; {old_id} still signs. To ask for its approval, add --contact."
    return Result(
        data={
            "uscc": own.uscc,
            "state": stands.state or "unregistered",
            "old_key_id": old_id,
            "new_key_id": new_id,
            "old_key_file": str(ended if stands.state == "approved" else key_file(own.home)),
            "new_key_file": str(key_file(own.home) if stands.state == "approved" else path),
            "reason": stands.reason,
            "directory_index": stands.directory_index if stands.state == "approved" else None,
        },
        text=[sentence],
    )
