"""The documents of the model registry: which version of a scoring model exists, who let it be used, and whether it is.

A *model* is one registered version: its *owner* (a member) states what it reads of which *providers*, and commits to every party's
*part* without showing it. A provider's *approval* is its signed word on exactly these bytes. No weight stands in any of them.

| document      | payload type (application/vnd.xinqiao.…+json) | signed by            |
|---------------|-----------------------------------------------|----------------------|
| ModelVersion  | model-version                                 | the owner's node     |
| ModelApproval | model-approval                                | a provider's node    |
| ModelAct      | model-act                                     | a node of the owner  |

Rules:
1. Every document names its node; it is believed if the directory has this node, of that member and not cut off at the document's
   time, and this very node signed it (SIGNATURE_INVALID, DIRECTORY_RULE). Nobody needs to believe the hub that passes it on.
2. Approvals and acts name the model and the digest of its document: a word about one version says nothing about another.
3. Where a model stands follows from the documents alone, in whatever order they came (`consent.model_state`): what ends a use (an act
   of retiring, one provider's withdrawal) is final, and nothing is in service without every provider's approval.
4. A model that comes to nobody's data (data to model) is its owner's to serve: it names its *askers*, who send encrypted columns of
   their own. Each answers for itself alone: its word lets its own nodes ask, or not, and changes nothing for the others.

A part's commitment is SM3 over a random salt and the part's bytes; a model's is SM3 over the parts' commitments, the owner's own
first. So a party can show later which part it held, and nobody can guess a part from what the hub or another party keeps.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Annotated, Final, Literal

import msgspec

from consent.decision import ItemUse
from consent.directory import Directory
from consent.documents import (
    Document,
    FreeText,
    ItemMode,
    MemberId,
    Purpose,
    ShortText,
    Sm3Hex,
    TimeMs,
    Uuid,
    encode,
    parse,
    payload_type,
)
from consent.errors import DirectoryRule, DocumentMalformed
from consent.usage import DigestOrNone
from trust.document import SignedDocument, sign_document, verify_document
from trust.errors import SignatureInvalid
from trust.sm2 import PrivateKey
from trust.suite import sm3

MODEL_VERSION_TYPE: Final = payload_type("model-version")
MODEL_APPROVAL_TYPE: Final = payload_type("model-approval")
MODEL_ACT_TYPE: Final = payload_type("model-act")

MAX_PROVIDERS: Final = 4
MAX_ASKERS: Final = 50
MAX_TOLD: Final = 200_000
_DOMAIN: Final = b"xinqiao/model/v1\0"

ModelName = Annotated[str, msgspec.Meta(pattern=r"^[a-z0-9][a-z0-9_.-]{0,80}\Z")]
ModelKind = Literal["linear", "joint_logistic", "joint_boosting"]
ModelMode = Literal["model_to_data", "data_to_model", "joint"]
Metric = Literal["auc", "ks", "gini", "brier"]
Metrics = Annotated[dict[Metric, Annotated[float, msgspec.Meta(ge=-1, le=1)]], msgspec.Meta(max_length=4)]
JobOrNone = Annotated[str, msgspec.Meta(pattern=r"^([0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}|[0-9a-f]{32})?\Z")]
_Features = Annotated[int, msgspec.Meta(ge=0, le=10_000)]


class ModelPart(Document, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What a model reads of one provider. `items`: with all fields named, in mode J.

    `features`: how many of these columns. `nonzero` (how many of them count) and `leverage` (0 to 1, docs/scoring.md) are the owner's
    word on weights that it holds, and None in a joint model, whose weights for these columns only the provider has.
    `preparation_sm3`: of the document that tells the provider how its columns become numbers, empty where the provider keeps that
    itself. `batch_root`: of the receipts over the enterprises of this provider that trained the model, empty for one that was not
    trained here. Of data to model: the owner's own product, which covers the columns that it adds, or those that stand for its score.
    """

    provider: MemberId
    product_id: ShortText
    items: Annotated[tuple[ItemUse, ...], msgspec.Meta(min_length=1, max_length=200)]
    features: Annotated[int, msgspec.Meta(ge=1, le=10_000)]
    nonzero: _Features | None
    leverage: Annotated[float, msgspec.Meta(ge=0, le=1)] | None
    commitment: Sm3Hex
    preparation_sm3: DigestOrNone = ""
    batch_root: DigestOrNone = ""

    @property
    def fields(self) -> tuple[str, ...]:
        """Every field that is read, as item.field."""
        return tuple(f"{use.item_id}.{name}" for use in self.items for name in use.fields)


class ModelVersion(Document, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A version of a model, as its owner registers it. It never changes; another version is another `model_id`.

    `own_commitment`: of the owner's part; that of a linear model is the whole model, intercept, scale and bands too. `job`: the
    training job of a joint model. `subjects`: how many enterprises it was trained on, 0 where that is not known. `replaces`: the
    owner's model that this one is to follow. `licensed_bureau`: the member whose licence covers the scoring, where one is needed.
    `askers`: of data to model, who may ask; `told`: what they are told of it, a document of modeling/scoring/told.py, without weights.
    """

    model_id: Uuid
    name: ModelName
    version: Annotated[int, msgspec.Meta(ge=1, le=1_000_000)]
    kind: ModelKind
    mode: ModelMode
    owner: MemberId
    owner_node: ShortText
    purpose: Purpose
    parts: Annotated[tuple[ModelPart, ...], msgspec.Meta(min_length=1, max_length=MAX_PROVIDERS)]
    own_features: _Features
    own_commitment: Sm3Hex
    commitment: Sm3Hex
    job: JobOrNone = ""
    subjects: Annotated[int, msgspec.Meta(ge=0, le=1_000_000_000)] = 0
    metrics: Metrics = msgspec.field(default_factory=dict)
    replaces: Uuid | None = None
    licensed_bureau: MemberId | None = None
    askers: Annotated[tuple[MemberId, ...], msgspec.Meta(max_length=MAX_ASKERS)] = ()
    told: Annotated[str, msgspec.Meta(max_length=MAX_TOLD)] = ""
    description: FreeText = ""
    created_ms: TimeMs

    @property
    def providers(self) -> tuple[str, ...]:
        """The members whose data it reads, in the order of its parts; of data to model the owner."""
        return tuple(part.provider for part in self.parts)

    @property
    def approvers(self) -> tuple[str, ...]:
        """The members without whose approval it is in service nowhere."""
        return () if self.mode == "data_to_model" else self.providers

    @property
    def parties(self) -> tuple[str, ...]:
        """The members that it concerns beside its owner: each has a word to say on it."""
        return (*self.approvers, *self.askers)

    def may_ask(self, member: str) -> bool:
        """Whether this member asks for its scores."""
        return member in (self.askers if self.mode == "data_to_model" else (self.owner,))

    def part_of(self, provider: str) -> ModelPart | None:
        """What it reads of this member."""
        return next((part for part in self.parts if part.provider == provider), None)


class ModelApproval(Document, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A provider's word on a model, or an asker's. `withdrawn` is final; after `declined` it may still be approved."""

    model_id: Uuid
    model_sm3: Sm3Hex
    provider: MemberId
    node_id: ShortText
    decision: Literal["approved", "declined", "withdrawn"]
    reason: FreeText = ""
    user: ShortText
    time_ms: TimeMs


class ModelAct(Document, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What an owner does with its model. `retired` is final."""

    model_id: Uuid
    model_sm3: Sm3Hex
    owner: MemberId
    node_id: ShortText
    act: Literal["in_service", "retired"]
    reason: FreeText = ""
    user: ShortText
    time_ms: TimeMs


Word = ModelApproval | ModelAct
"""What is said about a model after its registration."""
WORDS: Final[dict[str, type[Word]]] = {MODEL_APPROVAL_TYPE: ModelApproval, MODEL_ACT_TYPE: ModelAct}


def part_commitment(salt: str, part: bytes) -> str:
    """Hex SM3 of a part under its salt (32 hex digits)."""
    return sm3(_DOMAIN + bytes.fromhex(salt) + part).hex()


def model_commitment(parts: Iterable[str]) -> str:
    """Over the parts' commitments (hex) in the order of the parties, the owner's first."""
    return sm3(_DOMAIN + b"".join(bytes.fromhex(each) for each in parts)).hex()


def parse_version(payload: bytes) -> ModelVersion:
    """Parse and check a version. Raises DocumentMalformed."""
    version = parse(payload, ModelVersion)
    members = (version.owner, *version.parties)
    if len(set(members)) != len(members):
        raise DocumentMalformed("A model names each provider or asker once, and its owner is none of them.")
    served = version.mode == "data_to_model"
    if bool(version.askers) != served or bool(version.told) != served or (served and version.providers != members[:1]):
        raise DocumentMalformed(
            "Data to model, and it alone, names askers, tells them what to send, and reads of its owner."
        )
    if (version.mode == "joint") != (version.kind != "linear") or (version.job == "") != (version.kind == "linear"):
        raise DocumentMalformed("A joint model is scored jointly and names its job; a linear one is neither.")
    for part in version.parts:
        if any(use.mode is not ItemMode.J or not use.fields for use in part.items):
            raise DocumentMalformed(f"The items of {part.provider} are read in mode J, with their fields named.")
        if len({use.item_id for use in part.items}) != len(part.items):
            raise DocumentMalformed(f"The part of {part.provider} names an item twice: merge the two.")
        attested = version.mode == "model_to_data"
        if (part.nonzero is not None) != attested or (part.leverage is not None) != attested:
            raise DocumentMalformed("The owner attests weights that it holds over others' columns, and no others.")
        if part.nonzero is not None and part.nonzero > part.features:
            raise DocumentMalformed(f"The part of {part.provider} has more weights than features.")
    if version.commitment != model_commitment([version.own_commitment, *(part.commitment for part in version.parts)]):
        raise DocumentMalformed("The model's commitment is not that of its parts; register it again.")
    return version


def parse_word(document: SignedDocument) -> Word:
    """Parse a word without verifying it. Raises DocumentMalformed."""
    kind = WORDS.get(document.payload_type)
    if kind is None:
        raise DocumentMalformed(f"A {document.payload_type} says nothing about a model.")
    return parse(document.payload, kind)


def sign_version(version: ModelVersion, key: PrivateKey) -> SignedDocument:
    """Sign a version. Raises DocumentMalformed if it breaks a rule."""
    payload = encode(version)
    parse_version(payload)
    return sign_document(MODEL_VERSION_TYPE, payload, key)


def sign_word(word: Word, key: PrivateKey) -> SignedDocument:
    """Sign an approval or an act."""
    kind = MODEL_APPROVAL_TYPE if isinstance(word, ModelApproval) else MODEL_ACT_TYPE
    return sign_document(kind, encode(word), key)


def require_type(document: SignedDocument, *wanted: str) -> None:
    """It is one of these, with one signature. Raises DocumentMalformed."""
    if document.payload_type not in wanted or len(document.signatures) != 1:
        raise DocumentMalformed(f"A {' or '.join(wanted)} with one signature was due, not a {document.payload_type}.")


def verify_by_node(document: SignedDocument, directory: Directory, member: str, node_id: str, at_ms: int) -> None:
    """Rule 1. Raises DirectoryRule, SignatureInvalid."""
    node = directory.node(node_id)
    if node is None or node.member_id != member:
        raise DirectoryRule(f"The directory has no node {node_id[:64]} of {member}.")
    if not node.active_at(at_ms):
        raise SignatureInvalid(f"Node {node_id} was cut off before it signed this.")
    verify_document(document, document.payload_type, node.identity_key)
