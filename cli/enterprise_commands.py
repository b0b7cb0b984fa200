"""`xinqiao enterprise`: an enterprise makes its key, registers it, and sees who asks and what it has consented to."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from cli.clock import now_ms
from cli.commands import command, group
from cli.enterprise_client import Standing, connect
from cli.enterprise_home import Enterprise, create_home, new_key_file, open_enterprise
from cli.errors import CliError
from cli.options import SubjectHome, UsccOption
from cli.output import Result, Rows, moment
from cli.secret import SecretFile
from consent.documents import ConsentRequest, Limits, encode
from consent.identifiers import Uscc
from consent.outside import write_signed
from consent.registration import SUBJECT_REGISTRATION_TYPE, SubjectRegistration, parse_registration
from nodes.credentials import load_hub
from trust.document import SignedDocument, sign_document
from trust.sm2 import PrivateKey

app = group("An enterprise: its key, its registration, who asks for its data, and what it has consented to.")


@command(app, "init")
def init(
    home: SubjectHome,
    hub: Annotated[Path, typer.Option("--hub", help="The file hub.json that the hub's operator gave out.")],
    uscc: UsccOption,
    name: Annotated[str, typer.Option("--name", help="The enterprise's registered name.")],
    signatory: Annotated[
        str, typer.Option("--signatory", help="Who signs consents, in the enterprise's name. Default: the enterprise.")
    ] = "",
    allow_check_mismatch: Annotated[
        bool,
        typer.Option("--allow-check-mismatch", help="Take a code whose check character is wrong, as some early ones."),
    ] = False,
    secret_file: SecretFile = None,
) -> Result:
    """Make an enterprise's key. It never leaves this home: whoever has it can consent in the enterprise's name."""
    code = str(Uscc.parse(uscc, allow_check_mismatch=allow_check_mismatch))
    key = PrivateKey.generate()
    about_secret = create_home(home, hub, code, name, key, secret_file=secret_file, signatory=signatory)
    address = load_hub(home).public_address
    return Result(
        data={"home": str(home), "uscc": code, "key_id": key.public.key_id, "hub": address},
        text=[
            f"Made key {key.public.key_id} for {name} ({code}) in {home}.",
            about_secret,
            f"Next: `xinqiao enterprise register --home {home} --contact …`.",
        ],
    )


@command(app, "register")
def register(
    home: SubjectHome,
    contact: Annotated[
        str, typer.Option("--contact", help="How the hub's operator reaches you, to check who you are.")
    ],
    out: Annotated[
        Path | None,
        typer.Option("--out", help="Write the signed registration to this file, for the portal, and send nothing."),
    ] = None,
    secret_file: SecretFile = None,
) -> Result:
    """Ask the hub's operator to bind this key to the enterprise's code."""
    own = open_enterprise(home, secret_file)
    entry = SubjectRegistration(
        uscc=own.uscc,
        ent_name=own.profile.ent_name,
        contact=contact,
        public_key=own.key.public.encode(),
        time_ms=now_ms(),
    )
    payload = encode(entry)
    parse_registration(payload)
    signed = sign_document(SUBJECT_REGISTRATION_TYPE, payload, own.key)
    if out is not None:
        return _written(own, signed, out)
    with connect(own) as client:
        reply = client.register(signed)
    return Result(
        data={"uscc": own.uscc, "key_id": own.key.public.key_id, "state": reply.state},
        text=[
            f"Registered {own.profile.ent_name} ({own.uscc}) with key {own.key.public.key_id}; it is {reply.state}.",
            "The operator checks who you are, then approves; `xinqiao enterprise status` tells.",
        ],
    )


def _written(own: Enterprise, signed: SignedDocument, out: Path) -> Result:
    if out.exists():
        raise CliError("ALREADY_EXISTS", f"{out} is there and is not overwritten. Choose another name.")
    out.write_bytes(write_signed([signed]))
    return Result(
        data={"uscc": own.uscc, "key_id": own.key.public.key_id, "out": str(out)},
        text=[
            f"Wrote the registration of {own.uscc} with key {own.key.public.key_id} to {out}. Upload it in the portal."
        ],
    )


@command(app, "status")
def status(home: SubjectHome, secret_file: SecretFile = None) -> Result:
    """Tell whether the registration was approved."""
    own = open_enterprise(home, secret_file)
    with connect(own) as client:
        reply = client.registration()
    reason = f": {reply.reason}" if reply.reason else ""
    own_id = own.key.public.key_id
    waits = new_key_file(home).exists()
    return Result(
        data={
            "uscc": own.uscc,
            "ent_name": own.profile.ent_name,
            "key_id": own_id,
            "registered_key_id": reply.key_id or own_id,
            "state": reply.state,
            "reason": reply.reason,
            "directory_index": reply.directory_index if reply.state == "approved" else None,
            "rotating": waits,
        },
        text=[
            f"{own.profile.ent_name} ({own.uscc}), key {reply.key_id or own_id}: {reply.state}{reason}.",
            *([f"A new key waits beside {own_id}; `xinqiao enterprise rotate-key` goes on with it."] if waits else []),
        ],
    )


@command(app, "requests")
def requests(home: SubjectHome, secret_file: SecretFile = None) -> Result:
    """List who asks for consent, for what, and on which terms."""
    own = open_enterprise(home, secret_file)
    with connect(own) as client:
        found = client.requests()
    rows = [
        (r.request_id, r.requester, r.provider, r.purpose.purpose_code.value, _items(r), _terms(r.limits), r.reason)
        for r in found
    ]
    return Result(
        data={"requests": [_request(each) for each in found]},
        text=[
            Rows(columns=("request", "asks", "data of", "purpose", "items", "terms", "reason"), rows=rows)
            if rows
            else "Nobody waits for an answer.",
            *(["Answer by `xinqiao consent grant REQUEST` or `xinqiao consent refuse REQUEST`."] if rows else []),
        ],
    )


@command(app, "consents")
def consents(home: SubjectHome, secret_file: SecretFile = None) -> Result:
    """List the consents that were given, and where each stands."""
    own = open_enterprise(home, secret_file)
    with connect(own) as client:
        found = client.consents()
    rows = [
        (
            each.consent.record_id,
            each.state,
            ", ".join(each.consent.recipients.data_users),
            each.consent.recipients.data_source,
            each.consent.purpose.purpose_code.value,
            ", ".join(f"{item.item_id}:{item.mode}" for item in each.consent.scope),
            moment(each.consent.limits.valid_to_ms),
        )
        for each in found
    ]
    return Result(
        data={"consents": [_standing(each) for each in found]},
        text=[
            Rows(columns=("consent", "state", "may use", "data of", "purpose", "items", "until"), rows=rows)
            if rows
            else "No consent was given."
        ],
    )


def _items(request: ConsentRequest) -> str:
    return ", ".join(
        f"{item.item_id}:{item.mode}" + (f" ({', '.join(item.fields)})" if item.fields else "")
        for item in request.scope
    )


def _terms(limits: Limits) -> str:
    uses = "once" if limits.fetch == "once" else f"{limits.max_uses or 'any number of'} uses"
    return f"until {moment(limits.valid_to_ms)}, {uses}, kept {limits.data_life_days} days"


def _request(request: ConsentRequest) -> dict[str, object]:
    return {
        "request_id": request.request_id,
        "requester": request.requester,
        "provider": request.provider,
        "purpose": request.purpose.purpose_code.value,
        "application_no": request.purpose.application_no,
        "separate_consent": request.purpose.separate_consent,
        "items": [
            {"item_id": item.item_id, "mode": item.mode.value, "fields": list(item.fields)} for item in request.scope
        ],
        "valid_from_ms": request.limits.valid_from_ms,
        "valid_to_ms": request.limits.valid_to_ms,
        "max_uses": request.limits.max_uses,
        "data_life_days": request.limits.data_life_days,
        "reason": request.reason,
        "time_ms": request.time_ms,
    }


def _standing(standing: Standing) -> dict[str, object]:
    consent = standing.consent
    return {
        "consent_id": consent.record_id,
        "version": consent.record_version,
        "state": standing.state,
        "provider": consent.recipients.data_source,
        "data_users": list(consent.recipients.data_users),
        "purpose": consent.purpose.purpose_code.value,
        "items": [
            {"item_id": item.item_id, "mode": item.mode.value, "fields": list(item.fields)} for item in consent.scope
        ],
        "valid_from_ms": consent.limits.valid_from_ms,
        "valid_to_ms": consent.limits.valid_to_ms,
        "max_uses": consent.limits.max_uses,
        "log_index": standing.log_index,
        "ended_ms": standing.ended_ms,
    }
