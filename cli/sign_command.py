"""`xinqiao enterprise sign`: signs what the portal prepared, by the key of this home, after telling what it is."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Final

import msgspec
import typer

from cli.commands import command
from cli.enterprise_commands import app
from cli.enterprise_home import Enterprise, open_enterprise
from cli.errors import CliError
from cli.options import SubjectHome
from cli.output import Result
from cli.secret import SecretFile
from consent.documents import (
    CONSENT_REFUSAL_TYPE,
    CONSENT_REVOCATION_TYPE,
    CONSENT_TYPE,
    parse_consent,
    parse_refusal,
    parse_revocation,
)
from consent.outside import Waiting, read_to_sign, sign_all
from consent.usage import parse_access_request

LARGEST: Final = 1 << 20


@command(app, "sign")
def sign(
    home: SubjectHome,
    file: Annotated[Path, typer.Argument(help="File from the portal, of documents that wait for a signature.")],
    out: Annotated[Path, typer.Option("--out", help="New file of the signed documents, for the portal.")],
    secret_file: SecretFile = None,
) -> Result:
    """Sign consents, withdrawals, refusals and questions that the portal prepared; read what it prints before you upload them."""
    if out.exists():
        raise CliError("ALREADY_EXISTS", f"{out} is there and is not overwritten. Choose another name.")
    try:
        encoded = file.read_bytes() if file.stat().st_size <= LARGEST else b""
    except OSError as error:
        raise CliError(
            "INVALID_ARGUMENT", f"{file} cannot be read ({error.strerror}). Name the portal's file."
        ) from error
    own = open_enterprise(home, secret_file)
    waiting = read_to_sign(encoded)
    told = [_told(each, own) for each in waiting]
    out.write_bytes(sign_all(waiting, own.key))
    return Result(
        data={"out": str(out), "signed": [msgspec.json.decode(each.payload) for each in waiting]},
        text=[*told, f"Signed by {own.key.public.key_id} into {out}. Nothing takes effect before you upload it."],
    )


def _told(waiting: Waiting, own: Enterprise) -> str:
    """What a document says, in a sentence. Raises CliError for one of another enterprise; DocumentMalformed."""
    tell = _SENTENCES.get(waiting.payload_type, _question)
    uscc, sentence = tell(waiting.payload)
    if uscc != own.uscc:
        raise CliError("INVALID_ARGUMENT", f"The file is for {uscc}, this home is of {own.uscc}. Nothing was signed.")
    return sentence


def _consent(payload: bytes) -> tuple[str, str]:
    consent = parse_consent(payload)
    items = ", ".join(f"{part.item_id}:{part.mode}" for part in consent.scope)
    users = ", ".join(consent.recipients.data_users)
    return consent.subject.uscc, (
        f"Consent {consent.record_id}: {users} may use {items} of {consent.recipients.data_source} for "
        f"{consent.purpose.purpose_code.value}."
    )


def _withdrawal(payload: bytes) -> tuple[str, str]:
    entry = parse_revocation(payload)
    return entry.uscc, f"Withdrawal of consent {entry.record_id}."


def _refusal(payload: bytes) -> tuple[str, str]:
    entry = parse_refusal(payload)
    return entry.uscc, f"Refusal of request {entry.request_id}."


def _question(payload: bytes) -> tuple[str, str]:
    entry = parse_access_request(payload)
    return entry.uscc, f"Question to the hub: {entry.action}."


_SENTENCES: Final[dict[str, Callable[[bytes], tuple[str, str]]]] = {
    CONSENT_TYPE: _consent,
    CONSENT_REVOCATION_TYPE: _withdrawal,
    CONSENT_REFUSAL_TYPE: _refusal,
}
