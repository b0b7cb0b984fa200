"""A new version for the registry: from a linear model's document, or from what a finished joint job made. Nothing is sent here."""

from __future__ import annotations

import uuid
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import msgspec

from consent.decision import ItemUse
from consent.directory import Directory
from consent.documents import ItemMode, Purpose
from consent.model_state import Model, State
from consent.models import Metrics, ModelKind, ModelMode, ModelPart, ModelVersion, model_commitment
from modeling.errors import DataUnusable
from modeling.report.document import from_json
from modeling.scoring.inputs import OWN, Preparation
from modeling.scoring.leverage import leverage
from modeling.scoring.model import LinearModel, Part, canonical, parse_model, parse_part
from modeling.scoring.told import told_of
from nodes.errors import NodeError
from nodes.joint.job_file import parse_job
from nodes.joint.job_store import StoredJob
from nodes.joint.job_told import REPORT_FILE
from nodes.joint.model_files import ModelRecord, fresh_salt
from nodes.models.parts import HeldPart, LinearParts
from trust.suite import sm3

YEAR_MS: Final = 366 * 86_400_000
_KINDS: Final[dict[str, ModelKind]] = {"logistic": "joint_logistic", "boosting": "joint_boosting"}


@dataclass(frozen=True, kw_only=True)
class Terms:
    """What an owner adds when it registers a model. `version` 0: the next under this name.

    `products`: by provider; one that is not named is found in the directory. `metrics`: those of a job's test where there are none.
    `askers`: of data to model, who may ask; `covers`: fields of the owner's own product, as item.field, that a subject's consent has to
    cover beside those that the model reads.
    """

    name: str
    version: int = 0
    description: str = ""
    products: Mapping[str, str] = field(default_factory=dict)
    metrics: Metrics = field(default_factory=dict)
    replaces: str | None = None
    licensed_bureau: str | None = None
    askers: tuple[str, ...] = ()
    covers: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Owner:
    """Who registers, what it knows, and the models that it has registered before, with their parts where they lie here."""

    member_id: str
    node_id: str
    directory: Directory
    models: Sequence[tuple[Model, LinearParts | None]]
    now_ms: int


def linear_version(data: bytes, terms: Terms, owner: Owner) -> tuple[ModelVersion, LinearParts]:
    """From a linear model's document. Raises ModelInvalid, DataUnusable, NodeError MODEL_INVALID, PRODUCT_UNAVAILABLE."""
    model = parse_model(data)
    if model.mode == "data_to_model":
        return _served_version(model, terms, owner)
    if not model.members or terms.askers or terms.covers:
        raise NodeError(
            "A model is registered with the members whose columns it reads, or as one that reads columns of whoever asks (*), with "
            "its askers; this one is neither.",
            code="MODEL_INVALID",
        )
    held = LinearParts(
        parts=(
            HeldPart(party=owner.member_id, salt=fresh_salt(), part=canonical(model)),
            *(
                HeldPart(party=member, salt=fresh_salt(), part=canonical(model.part_for(member)))
                for member in model.members
            ),
        ),
    )
    parts = []
    for member, kept in zip(model.members, held.parts[1:], strict=True):
        part, told = model.part_for(member), model.preparation_for(member)
        items = tuple(ItemUse(item_id=item, mode=ItemMode.J, fields=names) for item, names in told.items.items())
        parts.append(
            ModelPart(
                provider=member,
                product_id=terms.products.get(member) or find_product(owner.directory, member, items),
                items=items,
                features=part.features,
                nonzero=part.nonzero,
                leverage=leverage([*earlier_parts(owner, member), part]),
                commitment=kept.commitment,
                preparation_sm3=sm3(canonical(told)).hex(),
            )
        )
    version = _version(
        terms,
        owner,
        kind="linear",
        mode="model_to_data",
        parts=tuple(parts),
        own_features=model.part_for(OWN).features,
        own_commitment=held.parts[0].commitment,
        metrics=terms.metrics,
    )
    return version, held


def _served_version(model: LinearModel, terms: Terms, owner: Owner) -> tuple[ModelVersion, LinearParts]:
    """Data to model: askers send their columns encrypted; the owner's own come from its product."""
    if not terms.askers or any(not owner.directory.nodes_of(asker) for asker in terms.askers):
        raise NodeError(
            "A model that reads columns of whoever asks names its askers, members that have a node.",
            code="MODEL_INVALID",
        )
    own = own_columns(model, owner.member_id)
    covered = own.items
    for text in terms.covers:
        item, _, name = text.partition(".")
        covered[item] = tuple(dict.fromkeys((*covered.get(item, ()), name)))
    if not covered:
        raise NodeError(
            "The model reads no column of this member. Name what a consent has to cover so that its score may be given, as item.field.",
            code="MODEL_INVALID",
        )
    items = tuple(ItemUse(item_id=item, mode=ItemMode.J, fields=names) for item, names in covered.items())
    held = LinearParts(parts=(HeldPart(party=owner.member_id, salt=fresh_salt(), part=canonical(model)),))
    part = ModelPart(
        provider=owner.member_id,
        product_id=terms.products.get(owner.member_id) or find_product(owner.directory, owner.member_id, items),
        items=items,
        features=sum(map(len, covered.values())),
        nonzero=None,
        leverage=None,
        commitment=held.parts[0].commitment,
    )
    version = _version(
        terms,
        owner,
        kind="linear",
        mode="data_to_model",
        parts=(part,),
        own_features=len(own.inputs),
        own_commitment=part.commitment,
        metrics=terms.metrics,
        told=canonical(told_of(model)).decode(),
    )
    return version, held


def own_columns(model: LinearModel, owner: str) -> Preparation:
    """Data to model: the owner's own columns, which are fields of its product as any member's. Raises NodeError MODEL_INVALID."""
    try:
        inputs = tuple(msgspec.structs.replace(each, member=owner) for each in model.preparation_for(OWN).inputs)
        return Preparation(member=owner, inputs=inputs)
    except ValueError as error:
        raise NodeError(f"The owner's columns are fields of its product: {error}.", code="MODEL_INVALID") from None


def earlier_parts(owner: Owner, member: str) -> list[Part]:
    """What other models of this owner may score over the member's columns, or could within the last year.

    Raises NodeError MODEL_INVALID if one of them does not lie here: nothing true can be attested then.
    """
    found = []
    for model, held in owner.models:
        standing = model.standing
        was_used = any(act.act == "in_service" for act in model.acts)
        over = standing.state is State.RETIRED and (not was_used or (standing.ended_ms or 0) < owner.now_ms - YEAR_MS)
        if over or model.version.kind != "linear" or model.version.part_of(member) is None:
            continue
        if held is None:
            raise NodeError(
                f"The parts of model {model.version.name} version {model.version.version} do not lie in this node's home, so that "
                f"the leverage over {member} cannot be told. Register at the node that has them.",
                code="MODEL_INVALID",
            )
        found += [parse_part(each.part) for each in held.parts if each.party == member]
    return found


def joint_version(job: StoredJob, record: ModelRecord, own: str, terms: Terms, owner: Owner) -> ModelVersion:
    """From a finished job of this node; `own`: the commitment of the part that lies here. Raises NodeError MODEL_INVALID."""
    if record.parties[0] != owner.member_id or record.commitments[0] != own:
        raise NodeError(f"The files of job {job.job_id} are not of one model of this node.", code="MODEL_INVALID")
    asked = parse_job(job.job_text)
    roots = record.batch_roots or ("",) * len(asked.providers)
    parts = tuple(
        ModelPart(
            provider=part.member,
            product_id=terms.products.get(part.member, part.product),
            items=part.uses(),
            features=sum(len(use.fields) for use in part.uses()),
            nonzero=None,
            leverage=None,
            commitment=commitment,
            batch_root=root,
        )
        for part, commitment, root in zip(asked.providers, record.commitments[1:], roots, strict=True)
    )
    return _version(
        terms,
        owner,
        kind=_KINDS[record.algorithm],
        mode="joint",
        parts=parts,
        own_features=len(asked.own.features),
        own_commitment=own,
        metrics=terms.metrics or _metrics(Path(job.directory)),
        job=job.job_id,
        subjects=record.subjects,
    )


def find_product(directory: Directory, provider: str, items: Iterable[ItemUse]) -> str:
    """The one product of the provider that offers all of this. Raises NodeError PRODUCT_UNAVAILABLE."""
    wanted = tuple(items)
    found = [
        product.published.product_id
        for product in directory.products()
        if product.published.provider == provider
        and all(
            any(item.offers(use.item_id, use.mode, use.fields) for item in product.published.items) for use in wanted
        )
    ]
    if len(found) != 1:
        told = f"{provider} offers {'none' if not found else 'several'} with {', '.join(use.item_id for use in wanted)} in mode J"
        raise NodeError(f"The model's product cannot be found: {told}. Name one.", code="PRODUCT_UNAVAILABLE")
    return found[0]


def _version(
    terms: Terms,
    owner: Owner,
    *,
    kind: ModelKind,
    mode: ModelMode,
    parts: tuple[ModelPart, ...],
    own_features: int,
    own_commitment: str,
    metrics: Metrics,
    job: str = "",
    subjects: int = 0,
    told: str = "",
) -> ModelVersion:
    used = [each.version.version for each, _ in owner.models if each.version.name == terms.name]
    version = ModelVersion(
        model_id=str(uuid.uuid4()),
        name=terms.name,
        version=terms.version or max(used, default=0) + 1,
        kind=kind,
        mode=mode,
        owner=owner.member_id,
        owner_node=owner.node_id,
        purpose=Purpose.SCORING,
        parts=parts,
        own_features=own_features,
        own_commitment=own_commitment,
        commitment=model_commitment([own_commitment, *(part.commitment for part in parts)]),
        job=job,
        subjects=subjects,
        metrics=metrics,
        replaces=terms.replaces,
        licensed_bureau=terms.licensed_bureau,
        askers=terms.askers,
        told=told,
        description=terms.description,
        created_ms=owner.now_ms,
    )
    try:
        msgspec.convert(msgspec.to_builtins(version), ModelVersion)
    except msgspec.ValidationError as error:
        raise NodeError(
            f"The model cannot be registered: {error}. Correct what is named.", code="MODEL_INVALID"
        ) from None
    return version


def _metrics(directory: Path) -> Metrics:
    """Of the job's test; none where its report is gone."""
    try:
        test = from_json((directory / REPORT_FILE).read_bytes()).test
    except (OSError, DataUnusable):
        return {}
    return {"auc": test.auc.value, "ks": test.ks.value, "gini": test.gini, "brier": test.brier}
