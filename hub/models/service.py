"""The registry of scoring models: versions are registered by their owner, answered by their providers, taken into service and retired.

Rules:
1. A document is the calling node's own, for its member, with its signature alone, and not of the future (PERMISSION_DENIED,
   SIGNATURE_INVALID, CLOCK_SKEW). The same document again changes nothing.
2. A version has an identifier, and a number under its name, that its owner has not used (ALREADY_EXISTS); what it reads is on offer
   (PRODUCT_UNAVAILABLE); the model that it replaces is its owner's (NOT_FOUND).
3. A word is about a model of the caller's (NOT_FOUND) and fits where that stands (WRONG_STATE): `consent.models` decides.
4. Documents are shown to the owner, the providers, the askers and the operator, and never change. Nodes verify them again.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from sqlalchemy import Connection, func, insert, select

from consent.documents import parse
from consent.model_state import Model, Step, open_version, open_word, require_step
from consent.models import MODEL_ACT_TYPE, MODEL_APPROVAL_TYPE, ModelAct, ModelApproval, parse_version, parse_word
from hub.auth import Caller
from hub.database import touch
from hub.errors import HubError
from hub.models.tables import model_documents, model_parties, models
from hub.products.offers import require_offer
from hub.state import Hub
from trust.document import SignedDocument
from trust.suite import sm3

MAX_AHEAD_MS: Final = 60_000
MAX_WORDS: Final = 200
"""About one model; what ends a use is taken beyond it."""
PAGE: Final = 200
PAGE_BYTES: Final = 1 << 20


@dataclass(frozen=True, slots=True, kw_only=True)
class Kept:
    """A document that the registry has, and where its model stands with it."""

    model_id: str
    state: str
    seq: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Listed:
    """A document (encoded) and its number."""

    seq: int
    model_id: str
    document: bytes


def topic(member_id: str) -> str:
    """The topic that is touched when there is a document about a model of this member."""
    return f"models:{member_id}"


def register(hub: Hub, connection: Connection, who: Caller, document: SignedDocument) -> Kept:
    """Keep a version. Only inside `Database.write`. Raises HubError, SignatureInvalid, ConsentError."""
    directory = hub.directory.in_write(connection)
    model = open_version(document, directory)
    version = model.version
    _require_own(hub, who, version.owner, version.owner_node, version.created_ms)
    known = _known(connection, model.sm3)
    if known is not None:
        return Kept(model_id=version.model_id, state=_load(connection, version.model_id).standing.state, seq=known)
    if connection.execute(select(models.c.model_id).where(models.c.model_id == version.model_id)).first() is not None:
        raise HubError("ALREADY_EXISTS", "there is a model of this identifier; choose a fresh one")
    numbered = (models.c.owner == version.owner) & (models.c.name == version.name)
    newest = connection.execute(select(func.max(models.c.version)).where(numbered)).scalar() or 0
    if version.version <= newest:
        raise HubError("ALREADY_EXISTS", f"model {version.name} has version {newest} already; raise the version")
    for part in version.parts:
        require_offer(directory, part.provider, part.product_id, part.items)
    if version.replaces is not None:
        own = (models.c.model_id == version.replaces) & (models.c.owner == version.owner)
        if connection.execute(select(models.c.model_id).where(own)).first() is None:
            raise HubError("NOT_FOUND", f"the model is to replace {version.replaces}, which is no model of yours")
    row = {"model_id": version.model_id, "owner": version.owner, "name": version.name, "version": version.version}
    connection.execute(insert(models), row)
    parties = [{"member_id": member, "model_id": version.model_id} for member in (version.owner, *version.parties)]
    connection.execute(insert(model_parties), parties)
    return Kept(model_id=version.model_id, state=model.standing.state, seq=_keep(connection, model, document))


def answer(hub: Hub, connection: Connection, who: Caller, document: SignedDocument) -> Kept:
    """Keep the word of a provider or an asker. Only inside `Database.write`. Raises HubError, SignatureInvalid, ConsentError."""
    if document.payload_type != MODEL_APPROVAL_TYPE:
        raise HubError("INVALID_ARGUMENT", f"a document of type {document.payload_type} answers no model")
    word = parse(document.payload, ModelApproval)
    _require_own(hub, who, word.provider, word.node_id, word.time_ms)
    return _say(hub, connection, who, document, word.model_id, Step(word.decision))


def act(hub: Hub, connection: Connection, who: Caller, document: SignedDocument) -> Kept:
    """Keep what an owner does with its model. Only inside `Database.write`. Raises HubError, SignatureInvalid, ConsentError."""
    if document.payload_type != MODEL_ACT_TYPE:
        raise HubError("INVALID_ARGUMENT", f"a document of type {document.payload_type} does nothing with a model")
    word = parse(document.payload, ModelAct)
    _require_own(hub, who, word.owner, word.node_id, word.time_ms)
    return _say(hub, connection, who, document, word.model_id, Step(word.act))


def listed(connection: Connection, member_id: str, after: int) -> tuple[list[Listed], bool]:
    """The documents about a member's models after a number, and whether there are more."""
    wanted = (
        select(model_documents)
        .join(model_parties, model_parties.c.model_id == model_documents.c.model_id)
        .where(model_parties.c.member_id == member_id, model_documents.c.seq > after)
        .order_by(model_documents.c.seq)
        .limit(PAGE + 1)
    )
    rows = connection.execute(wanted).all()
    found: list[Listed] = []
    size = 0
    for row in rows[:PAGE]:
        size += len(row.document)
        if found and size > PAGE_BYTES:
            break
        found.append(Listed(seq=row.seq, model_id=row.model_id, document=bytes(row.document)))
    return found, len(found) < len(rows)


def newest_for(connection: Connection, member_id: str) -> int:
    """The number of the newest document about a model of this member; 0 without one."""
    wanted = (
        select(func.max(model_documents.c.seq))
        .join(model_parties, model_parties.c.model_id == model_documents.c.model_id)
        .where(model_parties.c.member_id == member_id)
    )
    return connection.execute(wanted).scalar() or 0


def everything(connection: Connection) -> list[Model]:
    """Every model, oldest first, for the operator."""
    ids = connection.execute(
        select(model_documents.c.model_id)
        .group_by(model_documents.c.model_id)
        .order_by(func.min(model_documents.c.seq))
    )
    return [_load(connection, model_id) for model_id in ids.scalars().all()]


def _say(hub: Hub, connection: Connection, who: Caller, document: SignedDocument, model_id: str, step: Step) -> Kept:
    directory = hub.directory.in_write(connection)
    party = (model_parties.c.model_id == model_id) & (model_parties.c.member_id == who.member_id)
    if connection.execute(select(model_parties.c.model_id).where(party)).first() is None:
        raise HubError("NOT_FOUND", f"there is no model {model_id} of yours; list those that name you")
    model = _load(connection, model_id)
    word = open_word(document, directory, model)
    known = _known(connection, sm3(document.payload).hex())
    if known is not None:
        return Kept(model_id=model_id, state=model.standing.state, seq=known)
    require_step(model, step, who.member_id)
    if step not in {Step.WITHDRAW, Step.RETIRE} and len(model.approvals) + len(model.acts) >= MAX_WORDS:
        raise HubError("TOO_LARGE", f"there are {MAX_WORDS} words about this model; register another version")
    seq = _keep(connection, model, document)
    return Kept(model_id=model_id, state=model.with_word(word).standing.state, seq=seq)


def _require_own(hub: Hub, who: Caller, member: str, node_id: str, time_ms: int) -> None:
    """Rule 1, but for the signature."""
    if (member, node_id) != (who.member_id, who.node_id):
        raise HubError("PERMISSION_DENIED", "the document is in another node's name; sign it as the node that calls")
    # It may be old: what a node said while the hub was away comes later.
    if time_ms > hub.clock() + MAX_AHEAD_MS:
        raise HubError("CLOCK_SKEW", "the document is dated ahead of the hub's clock; synchronise the node's clock")


def _known(connection: Connection, payload_sm3: str) -> int | None:
    wanted = select(model_documents.c.seq).where(model_documents.c.payload_sm3 == payload_sm3)
    return connection.execute(wanted).scalar()


def _keep(connection: Connection, model: Model, document: SignedDocument) -> int:
    seq = (connection.execute(select(func.max(model_documents.c.seq))).scalar() or 0) + 1
    row = {
        "seq": seq,
        "model_id": model.version.model_id,
        "payload_sm3": sm3(document.payload).hex(),
        "document": document.encode(),
    }
    connection.execute(insert(model_documents), row)
    for member in (model.version.owner, *model.version.parties):
        touch(connection, topic(member))
    return seq


def _load(connection: Connection, model_id: str) -> Model:
    """A model with its words, which were verified when they came; the first document is the version."""
    wanted = select(model_documents.c.document).where(model_documents.c.model_id == model_id)
    first, *words = map(SignedDocument.decode, connection.execute(wanted.order_by(model_documents.c.seq)).scalars())
    model = Model(version=parse_version(first.payload), sm3=sm3(first.payload).hex(), document=first)
    for word in words:
        model = model.with_word(parse_word(word))
    return model
