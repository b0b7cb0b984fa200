"""`xinqiao consent`: a bank asks; the enterprise grants, refuses, revokes, each by its own signature."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import msgspec
import typer
from xinqiao.v1 import agent_pb2

from cli.clock import new_id, now_ms
from cli.commands import command, group
from cli.enterprise_client import EnterpriseClient, Submitted, connect
from cli.enterprise_home import Enterprise, open_enterprise
from cli.errors import CliError
from cli.options import (
    ApplicationNo,
    Items,
    NodeHome,
    Provider,
    PurposeOption,
    SubjectHome,
    UsccOption,
    items_json,
    parse_items,
)
from cli.output import Output, Result, Rows, moment
from cli.secret import SecretFile
from consent.catalogue import load_catalogue
from consent.documents import (
    CONSENT_REFUSAL_TYPE,
    CONSENT_REVOCATION_TYPE,
    CONSENT_TYPE,
    ConsentDocument,
    ConsentRefusal,
    ConsentRequest,
    ConsentRevocation,
    ItemScope,
    Limits,
    Purpose,
    PurposePart,
    Recipients,
    SubjectPart,
    encode,
    parse_consent,
)
from nodes.client import AgentClient

app = group("Consents: ask for one, grant, refuse and revoke.")

DAY_MS = 86_400_000
MAX_WAIT_MS = 5000

RequestId = Annotated[str, typer.Argument(help="Identifier of the request, from `xinqiao enterprise requests`.")]


@command(app, "request")
def request(
    home: NodeHome,
    uscc: UsccOption,
    provider: Provider,
    item: Items,
    purpose: PurposeOption,
    reason: Annotated[str, typer.Option("--reason", help="Why, in words that the enterprise reads before it decides.")],
    application_no: ApplicationNo = "",
    days: Annotated[
        int, typer.Option("--days", min=1, max=3660, help="How many days the consent is to be valid.")
    ] = 30,
    max_uses: Annotated[int, typer.Option("--max-uses", min=0, help="Most uses in all; 0 is no limit.")] = 0,
    keep_days: Annotated[
        int, typer.Option("--keep-days", min=1, max=3660, help="Days that the data may be kept.")
    ] = 30,
) -> Result:
    """Ask an enterprise for consent (run by the institution, at its node)."""
    message = agent_pb2.AskConsentRequest(
        uscc=uscc,
        provider=provider,
        purpose=purpose.value,
        items_json=items_json(parse_items(item)),
        reason=reason,
        application_no=application_no,
        valid_days=days,
        max_uses=max_uses,
        data_life_days=keep_days,
    )
    with AgentClient(home) as agent:
        reply: agent_pb2.AskConsentReply = agent.call("AskConsent", message)
    return Result(
        data={"request_id": reply.request_id, "uscc": uscc, "provider": provider},
        text=[f"Asked {uscc} for consent to data of {provider}: request {reply.request_id}. The enterprise decides."],
    )


@command(app, "grant")
def grant(
    home: SubjectHome,
    output: Output,
    request_id: Annotated[
        str, typer.Argument(help="Request to grant, as it was asked. Without one, say the terms by options or --file.")
    ] = "",
    file: Annotated[
        Path | None,
        typer.Option(
            "--file", help="JSON of one consent or a list of them (documents.md); subject and ids may be left out."
        ),
    ] = None,
    provider: Annotated[str, typer.Option("--provider", help="Member whose data it is about.")] = "",
    to: Annotated[
        list[str] | None, typer.Option("--to", help="Member that may use the data. Repeat for several.")
    ] = None,
    item: Annotated[
        list[str] | None, typer.Option("--item", help="An item as id[:mode[:field,field]]. Repeat for several.")
    ] = None,
    purpose: Annotated[Purpose, typer.Option("--purpose", help="What it may be used for.")] = Purpose.PRE_LOAN,
    days: Annotated[int, typer.Option("--days", min=1, max=3660, help="How many days it is valid, from now.")] = 30,
    max_uses: Annotated[int, typer.Option("--max-uses", min=0, help="Most uses in all; 0 is no limit.")] = 0,
    keep_days: Annotated[
        int, typer.Option("--keep-days", min=1, max=3660, help="Days that the data may be kept.")
    ] = 30,
    separate: Annotated[
        bool,
        typer.Option("--separate", help="Consent to items of the highest level too: they need this word of their own."),
    ] = False,
    signatory: Annotated[
        str, typer.Option("--signatory", help="Who signs. Default: as said at `enterprise init`.")
    ] = "",
    agent: Annotated[
        bool, typer.Option("--agent", help="The signatory is an agent, not the legal representative.")
    ] = False,
    secret_file: SecretFile = None,
) -> Result:
    """Give consent, by the enterprise's own signature, and prove that it is in the provider's log."""
    if (bool(request_id), file is not None, bool(provider)).count(True) != 1:
        raise CliError(
            "INVALID_ARGUMENT",
            "Name a request, or a --file, or the terms (--provider, --to, --item): one of the three.",
        )
    own = open_enterprise(home, secret_file)
    subject = SubjectPart(
        uscc=own.uscc,
        ent_name=own.profile.ent_name,
        signatory_name=signatory or own.profile.signatory,
        signatory_role="agent" if agent else "legal_rep",
    )
    with connect(own) as client, output.progress("Granting") as step:
        if request_id:
            wanted = [_from_request(_find(client, request_id), subject, separate=separate)]
        elif file is not None:
            wanted = _from_file(file, subject)
        else:
            limits = _limits(days, max_uses, keep_days)
            wanted = [_from_terms(subject, provider, to or (), item or (), purpose, limits, separate=separate)]
        granted = []
        for done, consent in enumerate(wanted, start=1):
            granted.append((consent, client.grant(consent, CONSENT_TYPE)))
            step(done, len(wanted))
    return Result(
        data={"granted": [_granted(consent, submitted) for consent, submitted in granted]},
        text=[_said(consent, submitted) for consent, submitted in granted],
    )


@command(app, "refuse")
def refuse(
    home: SubjectHome,
    request_id: RequestId,
    reason: Annotated[str, typer.Option("--reason", help="Why; the institution reads it.")] = "",
    secret_file: SecretFile = None,
) -> Result:
    """Say no to a request."""
    own = open_enterprise(home, secret_file)
    with connect(own) as client:
        asked = _find(client, request_id)
        entry = ConsentRefusal(
            request_id=request_id, provider=asked.provider, uscc=own.uscc, reason=reason, time_ms=now_ms()
        )
        submitted = client.submit(CONSENT_REFUSAL_TYPE, encode(entry), asked.provider)
    return Result(
        data={"request_id": request_id, "requester": asked.requester, "log_index": submitted.log_index},
        text=[
            f"Refused {asked.requester}'s request {request_id}: entry {submitted.log_index} of {asked.provider}'s consent log."
        ],
    )


@command(app, "revoke")
def revoke(
    home: SubjectHome,
    consent_id: Annotated[str, typer.Argument(help="Consent to withdraw, from `xinqiao enterprise consents`.")],
    reason: Annotated[str, typer.Option("--reason", help="Why, if you want to say.")] = "",
    wait_ms: Annotated[
        int, typer.Option("--wait-ms", min=0, max=MAX_WAIT_MS, help="How long to wait for the provider's nodes.")
    ] = MAX_WAIT_MS,
    secret_file: SecretFile = None,
) -> Result:
    """Withdraw a consent with effect at once, and tell which nodes have seen it after how long."""
    own = open_enterprise(home, secret_file)
    with connect(own) as client:
        provider = _provider_of(client, own, consent_id)
        entry = ConsentRevocation(
            record_id=consent_id, provider=provider, uscc=own.uscc, reason=reason, time_ms=now_ms()
        )
        submitted = client.submit(CONSENT_REVOCATION_TYPE, encode(entry), provider, wait_ms=wait_ms)
    rows = [(each.node_id, each.after_ms) for each in submitted.acknowledged]
    pending = [f"Not yet: {', '.join(submitted.pending)}; they refuse once they see it."] if submitted.pending else []
    return Result(
        data={
            "consent_id": consent_id,
            "provider": provider,
            "log_index": submitted.log_index,
            "acknowledgements": [{"node": each.node_id, "after_ms": each.after_ms} for each in submitted.acknowledged],
            "pending_nodes": list(submitted.pending),
        },
        text=[
            f"Withdrew consent {consent_id}: entry {submitted.log_index} of {provider}'s consent log, verified.",
            Rows(columns=("node has seen it (cosignature verified)", "after ms"), rows=rows)
            if rows
            else "No node of the provider is connected; one that is cut off refuses within its staleness bound.",
            *pending,
        ],
    )


def _find(client: EnterpriseClient, request_id: str) -> ConsentRequest:
    for each in client.requests():
        if each.request_id == request_id:
            return each
    raise CliError("NOT_FOUND", f"No request {request_id} waits. `xinqiao enterprise requests` lists those that do.")


def _provider_of(client: EnterpriseClient, own: Enterprise, consent_id: str) -> str:
    for each in client.consents():
        if each.consent.record_id == consent_id and each.consent.subject.uscc == own.uscc:
            return each.consent.recipients.data_source
    raise CliError("NOT_FOUND", f"There is no consent {consent_id}. `xinqiao enterprise consents` lists yours.")


def _from_request(asked: ConsentRequest, subject: SubjectPart, *, separate: bool) -> ConsentDocument:
    _require_separate(asked.scope, separate=separate)
    return ConsentDocument(
        record_id=new_id(),
        subject=subject,
        notice=asked.notice,
        purpose=msgspec.structs.replace(asked.purpose, separate_consent=separate),
        scope=asked.scope,
        recipients=Recipients(data_source=asked.provider, data_users=(asked.requester,)),
        limits=asked.limits,
        request_id=asked.request_id,
        given_ms=now_ms(),
    )


def _from_terms(
    subject: SubjectPart,
    provider: str,
    to: Sequence[str],
    items: Sequence[str],
    purpose: Purpose,
    limits: Limits,
    *,
    separate: bool,
) -> ConsentDocument:
    from consent.notice import NOTICE

    if not to:
        raise CliError("INVALID_ARGUMENT", "Say who may use the data: --to MEMBER.")
    scope = tuple(ItemScope(item_id=each.item_id, mode=each.mode, fields=each.fields) for each in parse_items(items))
    _require_separate(scope, separate=separate)
    return ConsentDocument(
        record_id=new_id(),
        subject=subject,
        notice=NOTICE,
        purpose=PurposePart(purpose_code=purpose, separate_consent=separate),
        scope=scope,
        recipients=Recipients(data_source=provider, data_users=tuple(to)),
        limits=limits,
        given_ms=limits.valid_from_ms,
    )


def _limits(days: int, max_uses: int, keep_days: int) -> Limits:
    start = now_ms()
    return Limits(
        valid_from_ms=start, valid_to_ms=start + days * DAY_MS, data_life_days=keep_days, max_uses=max_uses or None
    )


def _require_separate(scope: Sequence[ItemScope], *, separate: bool) -> None:
    catalogue = load_catalogue()
    highest = [part.item_id for part in scope if catalogue.item(part.item_id).level >= 4]
    if highest and not separate:
        raise CliError(
            "INVALID_ARGUMENT",
            f"{', '.join(highest)} is of the highest level and needs a consent of its own. If that is meant, say --separate.",
        )


def _from_file(path: Path, subject: SubjectPart) -> list[ConsentDocument]:
    """The consents of a file. A later version of a consent names its own record; a first one may leave it out."""
    try:
        content: Any = msgspec.json.decode(path.read_bytes())
    except msgspec.DecodeError as error:
        raise CliError("INVALID_ARGUMENT", f"{path} is not JSON ({error}). Correct it.") from error
    found = []
    for fields in content if isinstance(content, list) else [content]:
        if not isinstance(fields, dict):
            raise CliError("INVALID_ARGUMENT", f"{path} holds something that is no consent: one object each.")
        whole = {"record_id": new_id(), "given_ms": now_ms(), "subject": msgspec.to_builtins(subject)} | fields
        consent = parse_consent(msgspec.json.encode(whole))
        if consent.subject.uscc != subject.uscc:
            raise CliError("INVALID_ARGUMENT", f"{path} holds a consent of another enterprise. Use that one's home.")
        found.append(consent)
    return found


def _granted(consent: ConsentDocument, submitted: Submitted) -> dict[str, object]:
    return {
        "consent_id": consent.record_id,
        "provider": consent.recipients.data_source,
        "data_users": list(consent.recipients.data_users),
        "log_index": submitted.log_index,
        "valid_to_ms": consent.limits.valid_to_ms,
        "inclusion_verified": True,
    }


def _said(consent: ConsentDocument, submitted: Submitted) -> str:
    items = ", ".join(f"{part.item_id}:{part.mode}" for part in consent.scope)
    return (
        f"Consented: {', '.join(consent.recipients.data_users)} may use {items} of {consent.recipients.data_source} for "
        f"{consent.purpose.purpose_code.value} until {moment(consent.limits.valid_to_ms)}. Consent {consent.record_id}, entry "
        f"{submitted.log_index} of the provider's consent log, verified."
    )
