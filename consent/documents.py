"""The documents of consent: what an enterprise signs, what a bank asks for, how a consent ends.

Names follow ISO/IEC TS 27560 (consent record) with limits in the manner of ReBIT's consent artefact; one record names
exactly one data provider. Each document travels as the payload of a `trust.document.SignedDocument`; the five of this
module are the entries of the log ``consent/<provider>``:

| document          | payload type                                  | signed by            |
|-------------------|-----------------------------------------------|----------------------|
| ConsentRequest    | application/vnd.xinqiao.consent-request+json   | the requester's node |
| ConsentDocument   | application/vnd.xinqiao.consent+json           | the subject          |
| ConsentRefusal    | application/vnd.xinqiao.consent-refusal+json   | the subject          |
| ConsentRevocation | application/vnd.xinqiao.consent-revocation+json| the subject          |
| ConsentExpiry     | application/vnd.xinqiao.consent-expiry+json    | the hub              |

and every one of them is countersigned by the hub. Times are milliseconds since the epoch (UTC), digests hex SM3,
identifiers lower-case UUIDs. Parsing is strict: unknown fields, out-of-range values and over-long texts are refused
with DocumentMalformed.
"""

from __future__ import annotations

from datetime import date
from enum import StrEnum
from typing import Annotated, Final, Literal, TypeVar

import msgspec

from consent.errors import DocumentMalformed
from consent.identifiers import Uscc


def payload_type(name: str) -> str:
    """The media type under which a document of this name is signed."""
    return f"application/vnd.xinqiao.{name}+json"


CONSENT_TYPE: Final = payload_type("consent")
CONSENT_REQUEST_TYPE: Final = payload_type("consent-request")
CONSENT_REFUSAL_TYPE: Final = payload_type("consent-refusal")
CONSENT_REVOCATION_TYPE: Final = payload_type("consent-revocation")
CONSENT_EXPIRY_TYPE: Final = payload_type("consent-expiry")

SCHEMA_VERSION: Final = "1"
MAX_DAYS_MS: Final = 20 * 366 * 86_400_000

# Patterns end in \Z, because $ would let a line feed through behind the value.
MemberId = Annotated[str, msgspec.Meta(pattern=r"^[a-z][a-z0-9-]{1,40}\Z")]
ItemId = Annotated[str, msgspec.Meta(pattern=r"^[a-z][a-z0-9_]{1,60}\Z")]
FieldName = Annotated[str, msgspec.Meta(pattern=r"^[a-z][a-z0-9_]{0,60}\Z")]
Uuid = Annotated[str, msgspec.Meta(pattern=r"^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}\Z")]
Sm3Hex = Annotated[str, msgspec.Meta(pattern=r"^[0-9a-f]{64}\Z")]
ShortText = Annotated[str, msgspec.Meta(min_length=1, max_length=200)]
FreeText = Annotated[str, msgspec.Meta(max_length=1000)]
TimeMs = Annotated[int, msgspec.Meta(ge=0, le=32_503_680_000_000)]
UsccText = Annotated[str, msgspec.Meta(pattern=r"^[0-9A-HJ-NPQRTUWXY]{2}[0-9]{6}[0-9A-HJ-NPQRTUWXY]{10}\Z")]
"""The form of a unified social credit code. Its check character is the business of the registration, which may overrule
it.
"""
IsoDate = Annotated[str, msgspec.Meta(pattern=r"^[0-9]{4}-[0-9]{2}(-[0-9]{2})?\Z")]
SmallCount = Annotated[int, msgspec.Meta(ge=1, le=1_000_000_000)]


class Purpose(StrEnum):
    """Why data is used (dictionary 5)."""

    VERIFICATION = "verification"
    PRE_LOAN = "pre_loan"
    POST_LOAN = "post_loan"
    JOINT_MODELLING = "joint_modelling"
    SCORING = "scoring"
    SHARING = "sharing"


class ItemMode(StrEnum):
    """How an item may be used: public, query, raw, verification, joint modelling, not provided."""

    P = "P"
    Q = "Q"
    R = "R"
    V = "V"
    J = "J"
    X = "X"


class ExchangeMode(StrEnum):
    """What an exchange does (guideline 6.5.2).

    The two of set intersection (protocols.md 4b) compare who is in an item's data with the requester's list: `psi_size` tells how many
    are in both, `psi_rows` which. They show nothing of the item (its mode is X), and stand on another legal basis than consent.
    """

    QUERY = "query"
    RAW = "raw"
    JOINT = "joint"
    SCORE = "score"
    PSI_SIZE = "psi_size"
    PSI_ROWS = "psi_rows"

    @property
    def compares_sets(self) -> bool:
        """Whether it is one of set intersection."""
        return self in {ExchangeMode.PSI_SIZE, ExchangeMode.PSI_ROWS}


class Document(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Base of everything that is parsed from outside."""


class ItemScope(Document, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One item of a consent. No fields means all; the range bounds the record's period, both ends included."""

    item_id: ItemId
    mode: ItemMode
    fields: Annotated[tuple[FieldName, ...], msgspec.Meta(max_length=200)] = ()
    range_from: IsoDate | None = None
    range_to: IsoDate | None = None


class Frequency(Document, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """At most `count` uses in one calendar hour, day or month (UTC+8)."""

    count: SmallCount
    unit: Literal["hour", "day", "month"]


class Limits(Document, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How long, how often, and how long the data may be kept. Valid in [valid_from_ms, valid_to_ms)."""

    valid_from_ms: TimeMs
    valid_to_ms: TimeMs
    data_life_days: Annotated[int, msgspec.Meta(ge=1, le=3660)]
    fetch: Literal["once", "periodic"] = "periodic"
    frequency: Frequency | None = None
    max_uses: SmallCount | None = None
    storage_location: ShortText = "CN"


class IdentityCheck(Document, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How the signatory was identified."""

    method: ShortText
    time_ms: TimeMs
    ref: ShortText | None = None


class SubjectPart(Document, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The enterprise and who signed for it."""

    uscc: UsccText
    ent_name: ShortText
    signatory_name: ShortText
    signatory_role: Literal["legal_rep", "agent"]
    authority_doc_sm3: Sm3Hex | None = None
    identity_check: IdentityCheck | None = None


class NoticePart(Document, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The notice that was shown before signing, by digest; it contains the leak statement of each mode."""

    notice_id: ShortText
    version: ShortText
    sm3: Sm3Hex
    language: ShortText = "zh-CN"


class PurposePart(Document, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The purpose; `separate_consent` is given for level 4 items only after their own explicit question."""

    purpose_code: Purpose
    application_no: ShortText | None = None
    separate_consent: bool = False


class Recipients(Document, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """From whom to whom: one provider, the members that may use, the licensed bureau where one is needed."""

    data_source: MemberId
    data_users: Annotated[tuple[MemberId, ...], msgspec.Meta(min_length=1, max_length=50)]
    licensed_bureau: MemberId | None = None
    onward_sharing: Annotated[tuple[MemberId, ...], msgspec.Meta(max_length=50)] = ()


Scope = Annotated[tuple[ItemScope, ...], msgspec.Meta(min_length=1, max_length=200)]


class ConsentDocument(Document, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """An enterprise's consent. A later version of the same record supersedes the one whose payload digest it names."""

    schema_version: Literal["1"] = "1"
    record_id: Uuid
    record_version: Annotated[int, msgspec.Meta(ge=1, le=10_000)] = 1
    prev_record_sm3: Sm3Hex | None = None
    subject: SubjectPart
    notice: NoticePart
    purpose: PurposePart
    scope: Scope
    recipients: Recipients
    limits: Limits
    request_id: Uuid | None = None
    given_ms: TimeMs


class ConsentRequest(Document, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A member asks an enterprise for consent to a provider's items."""

    request_id: Uuid
    requester: MemberId
    node_id: ShortText
    provider: MemberId
    uscc: UsccText
    purpose: PurposePart
    scope: Scope
    limits: Limits
    notice: NoticePart
    reason: FreeText
    time_ms: TimeMs


class ConsentRefusal(Document, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The enterprise says no to a request."""

    request_id: Uuid
    provider: MemberId
    uscc: UsccText
    reason: FreeText = ""
    time_ms: TimeMs


class ConsentRevocation(Document, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The enterprise withdraws a consent, with effect at once; what was used before stays lawful (PIPL)."""

    record_id: Uuid
    provider: MemberId
    uscc: UsccText
    method: ShortText = "cli"
    reason: FreeText = ""
    time_ms: TimeMs


class ConsentExpiry(Document, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The hub notes that a consent's time is over. The decision does not depend on it."""

    record_id: Uuid
    provider: MemberId
    uscc: UsccText
    time_ms: TimeMs


D = TypeVar("D", bound=msgspec.Struct)
_encoder: Final = msgspec.json.Encoder()
_decoders: Final[dict[type, msgspec.json.Decoder[object]]] = {}


def encode(document: msgspec.Struct) -> bytes:
    """The bytes of a document, to be signed and never re-made."""
    return _encoder.encode(document)


def parse(payload: bytes, kind: type[D]) -> D:
    """Parse a document of a known kind. Raises DocumentMalformed, naming the field and what is wrong with it."""
    decoder = _decoders.get(kind)
    if decoder is None:
        decoder = _decoders[kind] = msgspec.json.Decoder(kind)
    try:
        document = decoder.decode(payload)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise DocumentMalformed(f"This is no valid {kind.__name__}: {error}. Make the document again.") from error
    if not isinstance(document, kind):
        raise DocumentMalformed(f"This is no {kind.__name__}.")
    return document


def parse_consent(payload: bytes) -> ConsentDocument:
    """Parse and check a consent. Raises DocumentMalformed or UsccInvalid."""
    document = parse(payload, ConsentDocument)
    Uscc.parse(document.subject.uscc, allow_check_mismatch=True)
    _check_limits(document.limits)
    _check_scope(document.scope)
    if (document.record_version == 1) != (document.prev_record_sm3 is None):
        raise DocumentMalformed(
            "A first version names no previous record, and every later one names it by its SM3 digest."
        )
    return document


def parse_request(payload: bytes) -> ConsentRequest:
    """Parse and check a request for consent. Raises DocumentMalformed or UsccInvalid."""
    document = parse(payload, ConsentRequest)
    Uscc.parse(document.uscc, allow_check_mismatch=True)
    _check_limits(document.limits)
    _check_scope(document.scope)
    return document


def parse_refusal(payload: bytes) -> ConsentRefusal:
    """Parse a refusal. Raises DocumentMalformed."""
    return parse(payload, ConsentRefusal)


def parse_revocation(payload: bytes) -> ConsentRevocation:
    """Parse a revocation. Raises DocumentMalformed."""
    return parse(payload, ConsentRevocation)


def parse_expiry(payload: bytes) -> ConsentExpiry:
    """Parse the hub's note of an expiry. Raises DocumentMalformed."""
    return parse(payload, ConsentExpiry)


def _check_limits(limits: Limits) -> None:
    if not 0 < limits.valid_to_ms - limits.valid_from_ms <= MAX_DAYS_MS:
        raise DocumentMalformed(
            "A consent ends after it begins, and within 20 years: correct valid_from_ms and valid_to_ms."
        )


def _check_scope(scope: tuple[ItemScope, ...]) -> None:
    seen: set[tuple[str, ItemMode]] = set()
    for part in scope:
        if part.mode in {ItemMode.P, ItemMode.X}:
            raise DocumentMalformed(
                f"Item {part.item_id}: mode {part.mode} cannot be consented to; public items need no consent, X is not provided."
            )
        if (part.item_id, part.mode) in seen:
            raise DocumentMalformed(f"Item {part.item_id} with mode {part.mode} is named twice: merge the two.")
        seen.add((part.item_id, part.mode))
        if len(set(part.fields)) != len(part.fields):
            raise DocumentMalformed(f"Item {part.item_id} names a field twice: leave one out.")
        _check_range(part)


def _check_range(part: ItemScope) -> None:
    for bound in filter(None, (part.range_from, part.range_to)):
        try:
            date.fromisoformat(bound if len(bound) > 7 else f"{bound}-01")
        except ValueError as error:
            raise DocumentMalformed(f"Item {part.item_id}: {bound} is no date of the calendar: {error}.") from None
    # A month as the end includes all of its days.
    last = part.range_to and (part.range_to if len(part.range_to) > 7 else f"{part.range_to}-31")
    if part.range_from and last and part.range_from > last:
        raise DocumentMalformed(f"Item {part.item_id}: its range ends before it begins.")
