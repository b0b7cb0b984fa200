"""The directory: who is who, and which key speaks for whom. A fold of the log ``directory``.

Every entry is a signed document with the hub's countersignature. Who may make which entry (a known operator is one that
stands: in the directory, and not revoked):

| entry              | signed by                                             |
|--------------------|-------------------------------------------------------|
| OperatorKey        | the first: the hub; every further: a known operator   |
| OperatorRevoked    | a known operator; see `consent.operators`             |
| MemberAdmitted     | a known operator                                      |
| MemberSuspended    | a known operator                                      |
| NodeEnrolled       | the node's own new identity key                       |
| NodeRevoked        | a known operator                                      |
| SubjectKey         | the operator who approved the enterprise              |
| SubjectKeyRevoked  | a known operator                                      |
| ProductPublished   | a node of the provider, not revoked                   |
| ProductWithdrawn   | a node of the provider, not revoked                   |

Rules, in this order; an entry that breaks one is refused and nothing changes:
1. It carries the hub's countersignature (SIGNATURE_INVALID).
2. It parses as the document that its type names (CONSENT_MALFORMED); an unknown type is refused.
3. It is signed by whoever may make it (SIGNATURE_INVALID, or DIRECTORY_RULE where that party is unknown).
4. It fits what is there: a member or node once; a node only of an active member, with a key that no node ever had; a
   subject's key only as the next version that names the key before it, and never one that it had; a product only of an
   active member and as the next version (DIRECTORY_RULE).

Nothing is ever forgotten: a revoked node or key stays, with its time, so that what it signed before can still be
verified.

`restore` folds entries that were verified before, by all rules but the arithmetic of the signatures: they must name the
right signers. Its caller says why the entries are those that were verified.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import replace
from typing import Final, Self

from consent.directory_entries import (
    MEMBER_ADMITTED_TYPE,
    MEMBER_SUSPENDED_TYPE,
    NODE_ENROLLED_TYPE,
    NODE_REVOKED_TYPE,
    OPERATOR_KEY_TYPE,
    OPERATOR_REVOKED_TYPE,
    PRODUCT_PUBLISHED_TYPE,
    PRODUCT_WITHDRAWN_TYPE,
    SUBJECT_KEY_REVOKED_TYPE,
    SUBJECT_KEY_TYPE,
    KeyText,
    Member,
    MemberAdmitted,
    MemberKind,
    MemberSuspended,
    Node,
    NodeEnrolled,
    NodeId,
    NodeRevoked,
    OperatorKey,
    OperatorRevoked,
    Product,
    ProductItem,
    ProductPublished,
    ProductWithdrawn,
    SubjectKey,
    SubjectKeyRevoked,
    SubjectKeyVersion,
)
from consent.documents import parse
from consent.errors import DirectoryRule
from consent.operators import Operator, Operators, Verify
from trust.document import SignedDocument, verify_document
from trust.errors import SignatureInvalid
from trust.sm2 import PublicKey

__all__ = [
    "MEMBER_ADMITTED_TYPE",
    "MEMBER_SUSPENDED_TYPE",
    "NODE_ENROLLED_TYPE",
    "NODE_REVOKED_TYPE",
    "OPERATOR_KEY_TYPE",
    "OPERATOR_REVOKED_TYPE",
    "PRODUCT_PUBLISHED_TYPE",
    "PRODUCT_WITHDRAWN_TYPE",
    "SUBJECT_KEY_REVOKED_TYPE",
    "SUBJECT_KEY_TYPE",
    "Directory",
    "DirectoryRule",
    "KeyText",
    "Member",
    "MemberAdmitted",
    "MemberKind",
    "MemberSuspended",
    "Node",
    "NodeEnrolled",
    "NodeId",
    "NodeRevoked",
    "Operator",
    "OperatorKey",
    "OperatorRevoked",
    "Product",
    "ProductItem",
    "ProductPublished",
    "ProductWithdrawn",
    "SubjectKey",
    "SubjectKeyRevoked",
    "SubjectKeyVersion",
]


def _signed(document: SignedDocument, key: PublicKey) -> None:
    verify_document(document, document.payload_type, key)


def _names_signer(document: SignedDocument, key: PublicKey) -> None:
    """For what was verified before: the signature is there, and is not computed again."""
    if all(signature.key_id != key.key_id for signature in document.signatures):
        raise SignatureInvalid(f"A {document.payload_type} carries no signature of {key.key_id}; it was altered.")


class Directory:
    """The directory as of its newest entry. `apply` entries in the order of the log."""

    def __init__(self) -> None:
        self._members: dict[str, Member] = {}
        self._nodes: dict[str, Node] = {}
        self._operators = Operators()
        self._subjects: dict[str, tuple[SubjectKeyVersion, ...]] = {}
        self._products: dict[str, Product] = {}
        self.size = 0

    def copy(self) -> Self:
        """An independent directory of the same entries. Cheap: what is in it never changes, only what it holds."""
        twin = type(self)()
        twin._members = dict(self._members)
        twin._nodes = dict(self._nodes)
        twin._operators = self._operators.copy()
        twin._subjects = dict(self._subjects)
        twin._products = dict(self._products)
        twin.size = self.size
        return twin

    # -- lookups

    def member(self, member_id: str) -> Member | None:
        """A member, suspended or not."""
        return self._members.get(member_id)

    def members(self) -> tuple[Member, ...]:
        """All members."""
        return tuple(self._members.values())

    def node(self, node_id: str) -> Node | None:
        """A node, revoked or not."""
        return self._nodes.get(node_id)

    def nodes_of(self, member_id: str) -> tuple[Node, ...]:
        """A member's nodes that are not revoked."""
        return tuple(node for node in self._nodes.values() if node.member_id == member_id and not node.revoked)

    def operator_key(self, operator: str) -> PublicKey | None:
        """The key of an operator that stands."""
        known = self._operators.standing(operator)
        return known.key if known is not None else None

    def operators_ever(self) -> tuple[Operator, ...]:
        """Every key that any operator ever had, those that stand and those that were ended."""
        return self._operators.ever()

    def subject_key(self, uscc: str, at_ms: int | None = None) -> PublicKey | None:
        """The enterprise's key now, or the one that was valid at a time."""
        for version in reversed(self._subjects.get(uscc, ())):
            if at_ms is None:
                return version.key if version.to_ms is None else None
            if version.from_ms <= at_ms and (version.to_ms is None or at_ms < version.to_ms):
                return version.key
        return None

    def subject(self, uscc: str) -> SubjectKeyVersion | None:
        """The newest key entry of an enterprise."""
        versions = self._subjects.get(uscc)
        return versions[-1] if versions else None

    def subject_keys_ever(self, uscc: str) -> tuple[SubjectKeyVersion, ...]:
        """Every key that an enterprise ever had, oldest first."""
        return self._subjects.get(uscc, ())

    def product(self, product_id: str) -> Product | None:
        """A product, withdrawn or not."""
        return self._products.get(product_id)

    def products(self) -> tuple[Product, ...]:
        """Products on offer."""
        return tuple(product for product in self._products.values() if product.withdrawn_ms is None)

    # -- the fold

    def apply(self, index: int, document: SignedDocument, hub_key: PublicKey) -> None:
        """Take the next entry. Raises DirectoryRule, SignatureInvalid or DocumentMalformed; then nothing changed."""
        if index != self.size:
            raise DirectoryRule(f"Entry {index} of the directory came where entry {self.size} was due.")
        self.check(document, hub_key)()
        self.size += 1

    def restore(self, documents: Iterable[SignedDocument], hub_key: PublicKey) -> None:
        """Take the next entries, which were verified before: every rule but the computation of the signatures.

        Two signatures an entry cost a millisecond, which is minutes for a hundred thousand enterprises. Only for entries
        of which something outside of them proves that they are the ones that were verified. Raises as `apply`, at the
        first entry that breaks a rule; the ones before it stay.
        """
        for document in documents:
            self._check(document, hub_key, _names_signer)()
            self.size += 1

    def check(self, document: SignedDocument, hub_key: PublicKey) -> Callable[[], None]:
        """Verify an entry against the rules and return the change, not yet made. Raises as `apply`."""
        return self._check(document, hub_key, _signed)

    def _check(self, document: SignedDocument, hub_key: PublicKey, verify: Verify) -> Callable[[], None]:
        verify(document, hub_key)
        handler = _HANDLERS.get(document.payload_type)
        if handler is None:
            raise DirectoryRule(f"The directory has no entries of type {document.payload_type}; update this software.")
        return handler(self, document, verify)

    def _provider_signed(self, document: SignedDocument, provider: str, verify: Verify) -> None:
        self._require_active(provider)
        keys = [node.identity_key for node in self.nodes_of(provider)]
        signers = {signature.key_id for signature in document.signatures}
        for key in keys:
            if key.key_id in signers:
                verify(document, key)
                return
        raise DirectoryRule(f"No active node of {provider} signed this product entry.")

    def _require_active(self, member_id: str) -> None:
        member = self._members.get(member_id)
        if member is None or member.suspended_ms is not None:
            raise DirectoryRule(f"{member_id} is not an active member; an operator must admit it first.")

    def _on_member(self, document: SignedDocument, verify: Verify) -> Callable[[], None]:
        entry = parse(document.payload, MemberAdmitted)
        self._operators.verify(document, entry.operator, verify)
        known = self._members.get(entry.member_id)
        if known is not None and known.suspended_ms is None:
            raise DirectoryRule(f"Member {entry.member_id} is admitted already; choose another identifier.")
        member = Member(member_id=entry.member_id, name=entry.name, kind=entry.kind, uscc=entry.uscc)

        def change() -> None:
            self._members[entry.member_id] = member

        return change

    def _on_suspension(self, document: SignedDocument, verify: Verify) -> Callable[[], None]:
        entry = parse(document.payload, MemberSuspended)
        self._operators.verify(document, entry.operator, verify)
        known = self._members.get(entry.member_id)
        if known is None or known.suspended_ms is not None:
            raise DirectoryRule(f"Member {entry.member_id} is not an active member; nothing to suspend.")
        member = replace(known, suspended_ms=entry.time_ms)

        def change() -> None:
            self._members[entry.member_id] = member

        return change

    def _on_node(self, document: SignedDocument, verify: Verify) -> Callable[[], None]:
        entry = parse(document.payload, NodeEnrolled)
        key = PublicKey.decode(entry.identity_key)
        verify(document, key)
        self._require_active(entry.member_id)
        if any(known.identity_key == key for known in self._nodes.values()):
            raise DirectoryRule(f"Node {entry.node_id} states a key that another node has; every node makes its own.")
        if entry.node_id in self._nodes:
            raise DirectoryRule(
                f"Node {entry.node_id} is in the directory already; a revoked node never comes back, choose a new name."
            )
        node = Node(
            node_id=entry.node_id,
            member_id=entry.member_id,
            identity_key=key,
            enrolled_ms=entry.time_ms,
            index=self.size,
        )

        def change() -> None:
            self._nodes[entry.node_id] = node

        return change

    def _on_node_revoked(self, document: SignedDocument, verify: Verify) -> Callable[[], None]:
        entry = parse(document.payload, NodeRevoked)
        self._operators.verify(document, entry.operator, verify)
        known = self._nodes.get(entry.node_id)
        if known is None or known.revoked:
            raise DirectoryRule(f"Node {entry.node_id} is not an active node; nothing to revoke.")
        node = replace(known, revoked_ms=entry.time_ms)

        def change() -> None:
            self._nodes[entry.node_id] = node

        return change

    def _on_subject_key(self, document: SignedDocument, verify: Verify) -> Callable[[], None]:
        entry = parse(document.payload, SubjectKey)
        self._operators.verify(document, entry.operator, verify)
        versions = self._subjects.get(entry.uscc, ())
        last = versions[-1] if versions else None
        expected = (last.version + 1, last.key.key_id) if last is not None else (1, None)
        if (entry.version, entry.prev_key_id) != expected:
            raise DirectoryRule(
                f"The key of {entry.uscc[:2]}…{entry.uscc[-4:]} would be version {entry.version}; version {expected[0]} "
                "is due, naming the key before it. A key is never replaced unseen."
            )
        if last is not None and entry.time_ms < last.from_ms:
            raise DirectoryRule("A key cannot begin before the one that it replaces.")
        if any(each.key.encode() == entry.public_key for each in versions):
            raise DirectoryRule(
                "This key of the enterprise was ended, perhaps because it was stolen; it makes a new one."
            )
        new = SubjectKeyVersion(
            uscc=entry.uscc,
            ent_name=entry.ent_name,
            key=PublicKey.decode(entry.public_key),
            version=entry.version,
            from_ms=entry.time_ms,
        )

        before = versions
        if last is not None and last.to_ms is None:
            before = (*versions[:-1], replace(last, to_ms=entry.time_ms))

        def change() -> None:
            self._subjects[entry.uscc] = (*before, new)

        return change

    def _on_subject_key_revoked(self, document: SignedDocument, verify: Verify) -> Callable[[], None]:
        entry = parse(document.payload, SubjectKeyRevoked)
        self._operators.verify(document, entry.operator, verify)
        versions = self._subjects.get(entry.uscc, ())
        last = versions[-1] if versions else None
        if last is None or last.to_ms is not None or last.key.key_id != entry.key_id:
            raise DirectoryRule("The key that is to be revoked is not the enterprise's present key.")
        ended = replace(last, to_ms=max(entry.time_ms, last.from_ms))

        def change() -> None:
            self._subjects[entry.uscc] = (*versions[:-1], ended)

        return change

    def _on_product(self, document: SignedDocument, verify: Verify) -> Callable[[], None]:
        entry = parse(document.payload, ProductPublished)
        self._provider_signed(document, entry.provider, verify)
        known = self._products.get(entry.product_id)
        if known is not None and known.published.provider != entry.provider:
            raise DirectoryRule(
                f"Product {entry.product_id} belongs to {known.published.provider}; choose another identifier."
            )
        if known is not None and entry.version <= known.published.version:
            raise DirectoryRule(f"Product {entry.product_id} has version {known.published.version}; raise the version.")

        def change() -> None:
            self._products[entry.product_id] = Product(published=entry)

        return change

    def _on_product_withdrawn(self, document: SignedDocument, verify: Verify) -> Callable[[], None]:
        entry = parse(document.payload, ProductWithdrawn)
        self._provider_signed(document, entry.provider, verify)
        known = self._products.get(entry.product_id)
        if known is None or known.withdrawn_ms is not None or known.published.provider != entry.provider:
            raise DirectoryRule(f"Product {entry.product_id} of {entry.provider} is not on offer; nothing to withdraw.")
        product = replace(known, withdrawn_ms=entry.time_ms)

        def change() -> None:
            self._products[entry.product_id] = product

        return change


_Handler = Callable[[Directory, SignedDocument, Verify], Callable[[], None]]
_HANDLERS: Final[dict[str, _Handler]] = {
    OPERATOR_KEY_TYPE: lambda directory, document, verify: directory._operators.on_key(document, verify),
    OPERATOR_REVOKED_TYPE: lambda directory, document, verify: directory._operators.on_revoked(document, verify),
    MEMBER_ADMITTED_TYPE: Directory._on_member,
    MEMBER_SUSPENDED_TYPE: Directory._on_suspension,
    NODE_ENROLLED_TYPE: Directory._on_node,
    NODE_REVOKED_TYPE: Directory._on_node_revoked,
    SUBJECT_KEY_TYPE: Directory._on_subject_key,
    SUBJECT_KEY_REVOKED_TYPE: Directory._on_subject_key_revoked,
    PRODUCT_PUBLISHED_TYPE: Directory._on_product,
    PRODUCT_WITHDRAWN_TYPE: Directory._on_product_withdrawn,
}
