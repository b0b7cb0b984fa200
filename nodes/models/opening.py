"""A model's opening: its document with the parts and salts that it commits to, for an auditor who checks them offline.

The owner of a linear model can open all of it; of a joint model each party opens its own part. A provider of a linear model opens what
the owner signed about the weights of each session, which are then held against the owner's opening (`sessions`). An opening shows
weights: it is given to an auditor and to nobody else.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import msgspec

from consent.model_state import Model
from consent.models import parse_version
from consent.sent_weights import parse_sent
from modeling.errors import ModelingError
from modeling.scoring.leverage import leverage
from modeling.scoring.model import LinearModel, Part, canonical, parse_model, parse_part
from modeling.scoring.told import told_of
from nodes.errors import NodeError
from nodes.joint.model_files import write_document
from nodes.models.parts import HeldPart
from nodes.models.sessions import SessionSeed, check_sessions
from trust.document import SignedDocument
from trust.suite import sm3

TOLERANCE = 1e-6
"""Of an attested leverage: another machine's arithmetic differs by less."""


class Opening(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`model`: the signed document as it was registered.

    `sessions`: seeds of the owner's sessions; `sent`: of a provider, the signed `SentWeights`.
    """

    model: bytes
    parts: Annotated[tuple[HeldPart, ...], msgspec.Meta(max_length=5)] = ()
    sessions: tuple[SessionSeed, ...] = ()
    sent: tuple[bytes, ...] = ()

    @property
    def document(self) -> SignedDocument:
        """Raises TrustError."""
        return SignedDocument.decode(self.model)


@dataclass(frozen=True, kw_only=True)
class Checked:
    """What an opening shows about one model. `findings`: what is not as it was attested, in words; none if all is true.

    `opened`: the parties whose parts were shown. `leverages`: by provider, recomputed over the models that were opened.
    `sent`: what its owner signed about sessions, of the providers' openings; the weights of each were made again.
    """

    model: Model
    opened: tuple[str, ...]
    leverages: dict[str, float]
    sent: tuple[SignedDocument, ...]
    findings: tuple[str, ...]


def write_opening(path: Path, opening: Opening) -> None:
    """Raises NodeError ALREADY_EXISTS."""
    if path.exists():
        raise NodeError(f"{path} exists already; name a new file.", code="ALREADY_EXISTS")
    write_document(path, opening)
    path.chmod(0o600)


def read_opening(path: Path) -> Opening:
    """Raises NodeError NOT_FOUND, MODEL_INVALID."""
    try:
        return msgspec.json.decode(path.read_bytes(), type=Opening)
    except OSError as error:
        raise NodeError(f"{path} cannot be read ({type(error).__name__}).", code="NOT_FOUND") from error
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise NodeError(f"{path} is no opening of a model: {error}", code="MODEL_INVALID") from None


def check_openings(openings: Sequence[Opening]) -> tuple[Checked, ...]:
    """Check openings of one owner's models together, oldest first: each leverage is over the model and those before it.

    Providers' openings of these models show what was sent in sessions. Signatures are not looked at. Raises TrustError, ConsentError
    for a document that cannot be read, NodeError for two owners, or a provider's opening without the owner's.
    """
    models = []
    sent: dict[str, list[SignedDocument]] = {}
    for opening in openings:
        document = opening.document
        version = parse_version(document.payload)
        model = Model(version=version, sm3=sm3(document.payload).hex(), document=document)
        sent.setdefault(model.sm3, []).extend(map(SignedDocument.decode, opening.sent))
        if opening.parts:
            models.append((model, opening))
    if unopened := [each for each in sent if each not in {model.sm3 for model, _ in models}]:
        raise NodeError(
            f"The owner's own opening of {len(unopened)} model(s) is missing; providers' openings are held against it.",
            code="MODEL_INVALID",
        )
    if len({model.version.owner for model, _ in models}) > 1:
        raise NodeError("These are models of several owners; check each owner's alone.", code="MODEL_INVALID")
    models.sort(key=lambda one: (one[0].version.created_ms, one[0].version.model_id))
    earlier: dict[str, list[Part]] = {}
    return tuple(_check(model, opening, earlier, tuple(sent[model.sm3])) for model, opening in models)


def _check(model: Model, opening: Opening, earlier: dict[str, list[Part]], sent: tuple[SignedDocument, ...]) -> Checked:
    version = model.version
    stated = {part.provider: part.commitment for part in version.parts} | {version.owner: version.own_commitment}
    findings = [
        f"The part of {held.party} is not the one that was committed to."
        for held in opening.parts
        if held.commitment != stated.get(held.party)
    ]
    held = {part.party: part for part in opening.parts}
    found: dict[str, float] = {}
    if version.kind == "linear":
        if missing := [party for party in stated if party not in held]:
            findings.append(f"The part of {', '.join(missing)} is not in the opening.")
        try:
            findings += _linear(model, held, earlier, found)
            findings += _sent(model, held, opening, sent)
        except ModelingError as error:
            findings.append(f"A part cannot be read: {error}")
    return Checked(model=model, opened=tuple(held), leverages=found, sent=sent, findings=tuple(findings))


def _sent(
    model: Model, held: dict[str, HeldPart], opening: Opening, documents: Sequence[SignedDocument]
) -> Sequence[str]:
    said = [parse_sent(each) for each in documents]
    if any((each.model_id, each.model_sm3) != (model.version.model_id, model.sm3) for each in said):
        raise NodeError("A provider's opening shows what was sent of another model.", code="MODEL_INVALID")
    if not said or model.version.owner not in held:
        return ()
    return check_sessions(model.version, parse_model(held[model.version.owner].part), opening.sessions, said)


def _linear(
    model: Model, held: dict[str, HeldPart], earlier: dict[str, list[Part]], found: dict[str, float]
) -> list[str]:
    findings = []
    version = model.version
    whole: LinearModel | None = parse_model(held[version.owner].part) if version.owner in held else None
    if version.mode == "data_to_model":
        if whole is not None and canonical(told_of(whole)).decode() != version.told:
            findings.append("Askers are told of other columns, or another meaning of scores, than those of the model.")
        return findings
    for stated in version.parts:
        provider = stated.provider
        if provider not in held:
            continue
        part = parse_part(held[provider].part)
        if whole is not None and canonical(whole.part_for(provider)) != held[provider].part:
            findings.append(f"The part of {provider} is not that of the whole model.")
        if sm3(canonical(part.preparation)).hex() != stated.preparation_sm3:
            findings.append(f"{provider} is told to prepare its columns in another way than was committed to.")
        if (part.features, part.nonzero) != (stated.features, stated.nonzero):
            findings.append(
                f"{provider}: {stated.nonzero} of {stated.features} features were attested to count; "
                f"{part.nonzero} of {part.features} do."
            )
        earlier.setdefault(provider, []).append(part)
        found[provider] = leverage(earlier[provider])
        if stated.leverage is None or found[provider] > stated.leverage + TOLERANCE:
            findings.append(f"{provider}: a leverage of {stated.leverage} was attested; it is {found[provider]:.6f}.")
    return findings
