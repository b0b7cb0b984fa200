"""The hub as the portal sees it. The command implements it over gRPC (`cli.portal_link`), tests by a simulator."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import date
from typing import Protocol

from consent.audit_uses import UsePage, VerifiedUse
from consent.directory import Member, ProductPublished
from consent.documents import ConsentDocument, ConsentRequest
from consent.models import ModelVersion
from portal.errors import PortalError
from portal.text import Text
from trust.document import SignedDocument
from trust.sm2 import PrivateKey, PublicKey


@dataclass(frozen=True, kw_only=True)
class Signer:
    """An enterprise that acts. `seen`: what it saw of the hub before, as the last call gave it back; empty at first."""

    uscc: str
    key: PrivateKey = field(repr=False)
    seen: bytes = b""


@dataclass(frozen=True, kw_only=True)
class Presigned:
    """An enterprise whose key is elsewhere, with a question that was signed there: one call, once. `seen`: as in Signer."""

    uscc: str
    question: SignedDocument
    seen: bytes = b""


Asker = Signer | Presigned


@dataclass(frozen=True, kw_only=True)
class Author:
    """An enterprise that signed a document already, here or elsewhere. `seen`: as in Signer."""

    uscc: str
    key: PublicKey
    seen: bytes = b""


@dataclass(frozen=True, kw_only=True)
class Standing:
    """A consent and where it stands: active, withdrawn, expired or superseded. `ended_ms`: 0 while it stands.

    `log_index`: its place in the provider's consent log; `entry`: what stands there.
    """

    consent: ConsentDocument
    state: str
    ended_ms: int
    log_index: int = 0
    entry: bytes = field(default=b"", repr=False)


@dataclass(frozen=True, kw_only=True)
class Confirmed:
    """A node has seen an entry, proved by its cosignature, so long after the hub was asked."""

    node_id: str
    after_ms: int


@dataclass(frozen=True, kw_only=True)
class Entered:
    """A consent, refusal or withdrawal is in the log, proved. `pending`: connected nodes that have not confirmed yet."""

    log_index: int
    confirmed: tuple[Confirmed, ...]
    pending: tuple[str, ...]
    seen: bytes


@dataclass(frozen=True, kw_only=True)
class Verified:
    """All uses of an enterprise's data, every proof of which held, in a log of `size` entries that extends what was seen.

    `pages`: the same with their proofs, each for a checkpoint that `hub_key` signed.
    """

    uses: tuple[VerifiedUse, ...]
    pages: tuple[UsePage, ...]
    hub_key: PublicKey
    size: int
    time_ms: int
    witnesses: tuple[str, ...]
    seen: bytes


@dataclass(frozen=True, kw_only=True)
class KnownModel:
    """A model of the registry, as the hub tells it. `state`: draft, approved, in_service, retired."""

    version: ModelVersion
    state: str


@dataclass(frozen=True, kw_only=True)
class LogHead:
    """A log of the hub at one of its signed checkpoints: so many entries, signed then. `time_ms`: 0 for none yet."""

    origin: str
    size: int
    time_ms: int


@dataclass(frozen=True, kw_only=True)
class NodeStatus:
    """A node as the hub sees it. `version`: its software while it is connected; `certificate_ends_ms`: 0 for no certificate.

    `acknowledged`: the newest checkpoint of each log that it has cosigned within the last ten minutes, or that nobody has outdone.
    """

    node_id: str
    revoked: bool
    connected: bool
    version: str
    certificate_ends_ms: int
    acknowledged: tuple[LogHead, ...]


@dataclass(frozen=True, kw_only=True)
class MemberStatus:
    """A member and all nodes that it ever had."""

    member_id: str
    name: str
    suspended: bool
    nodes: tuple[NodeStatus, ...]


@dataclass(frozen=True, kw_only=True)
class ExchangeStatus:
    """An exchange as the hub sees it: who, about what, how far. `total`: 0 while unknown; `ended_ms`: 0 while it goes on."""

    exchange_id: str
    state: str
    reason: str
    mode: str
    requester: str
    requester_node: str
    provider: str
    provider_node: str
    product_id: str
    done: int
    total: int
    unit: str
    opened_ms: int
    active_ms: int
    ended_ms: int


@dataclass(frozen=True, kw_only=True)
class Operations:
    """How the hub, its members' nodes and their exchanges are, at `time_ms` of the hub's clock."""

    time_ms: int
    version: str
    logs: tuple[LogHead, ...]
    members: tuple[MemberStatus, ...]
    exchanges: tuple[ExchangeStatus, ...]


@dataclass(frozen=True, kw_only=True)
class RegisteredFacts:
    """What a registration says of an enterprise, as its provider gave it (item `registration_basic`); text may be empty.

    `status`: 存续, or that it is closed, revoked, struck off, moved; `region`: GB/T 2260; `industry`: GB/T 4754.
    """

    ent_name: str
    status: str
    region: str
    industry: str
    founded: date | None


@dataclass(frozen=True, kw_only=True)
class Registered:
    """The answer to one query of a code, in the exchange that recorded it. `facts`: None if nothing is registered under it."""

    provider: str
    exchange_id: str
    facts: RegisteredFacts | None


class HubLink(Protocol):
    """Calls block: they are made on a thread. Each raises PortalError HUB_REFUSED or UNAVAILABLE."""

    def alive(self) -> bool:
        """Whether the hub answers."""

    def approve_enterprise(self, registration: SignedDocument, operator: str, key: PrivateKey) -> int:
        """Leave an enterprise's registration at the hub and bind its key by the operator's signature.

        Returns the index of the directory's entry. Doing it again changes nothing.
        """

    def consents(self, who: Asker) -> Sequence[Standing]:
        """All consents of an enterprise, the newest version of each."""

    def requests(self, who: Asker) -> Sequence[ConsentRequest]:
        """The requests for consent that wait for the enterprise's answer."""

    def enter(self, author: Author, document: SignedDocument, provider: str, *, wait_ms: int = 0) -> Entered:
        """Send a consent, refusal or withdrawal, and verify that it is in the provider's log and which nodes have seen it.

        Waits for connected nodes so long, at most 5 s. The same document again has the same place, and the newest confirmations.
        Raises PortalError UNVERIFIED, too.
        """

    def offers(self) -> Sequence[ProductPublished]:
        """What providers publish: the items and modes that a consent can name."""

    def models(self) -> Sequence[KnownModel]:
        """The registered models."""

    def members(self) -> Sequence[Member]:
        """The members that stand, by name."""

    def operations(self, member_id: str | None) -> Operations:
        """How everything is that runs, for one member or for all (None). Exchanges: the open ones and the last that changed."""

    def registered(self, uscc: str) -> Registered:
        """Query the public registration item of a code at a provider's node, through an exchange like any other.

        Raises PortalError WRONG_STATE if this portal has no node to ask by, NOT_FOUND if nobody offers the item.
        """

    def uses(self, who: Asker) -> Verified:
        """Every recorded use, verified; of a Presigned at most 500, or it raises PortalError HUB_REFUSED.

        Raises PortalError UNVERIFIED if a proof does not hold, too.
        """


def hub_away() -> PortalError:
    """The hub does not answer."""
    return PortalError("UNAVAILABLE", Text("The hub does not answer. Nothing was changed; try again soon."))


def hub_refused(reason: str) -> PortalError:
    """The hub answered with a refusal; its own sentence is English."""
    return PortalError("HUB_REFUSED", Text("The hub refused: {reason}", reason=reason))


def node_away(reason: str) -> PortalError:
    """A node did not answer, its own or the provider's. `reason`: the code of its error."""
    return PortalError("UNAVAILABLE", Text("The provider's node did not answer ({reason}).", reason=reason))


def unverified(reason: str) -> PortalError:
    """What the hub showed is not proved, or contradicts what it showed before."""
    return PortalError(
        "UNVERIFIED",
        Text(
            "What the hub shows does not hold: {reason} Keep this page and ask the audit administrator.", reason=reason
        ),
    )
