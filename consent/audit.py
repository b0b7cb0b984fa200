"""Checking a whole log of the hub's from an export, without trusting the hub or asking it anything.

Rules, in this order; the first that is broken is the answer, with the entry's index:
 1. The checkpoint is of the log that it is said to be of, and signed by the hub's key.
 2. Where the export lists the hash of every entry, each entry hashes to its own (this names the very entry that was
    altered or moved).
 3. There are not more entries than the checkpoint says, and every entry is valid by itself: in ``usage`` a receipt that a
    node of the directory signed, and no earlier one again, or a signed deletion attestation; in ``directory`` and
    ``consent/<provider>`` what their own rules say.
 4. Every head that was seen before is a head of these entries too: a hub that shows two histories is caught by whoever
    has seen both.
 5. There are not fewer entries than the checkpoint says, and they hash to its root.
 6. Every cosignature by a node of the directory verifies.

What this cannot show: a use that nobody recorded. The sister module `consent.audit_uses` checks what one enterprise is shown.
Source: RFC 9162, 2.1; protocols.md 3.
"""

from __future__ import annotations

import hmac
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import ClassVar, Final, NoReturn

from consent.book import ConsentBook
from consent.directory import Directory
from consent.errors import ConsentError, DocumentMalformed
from consent.usage import (
    DELETION_TYPE,
    BatchHead,
    DeletionAttestation,
    Receipt,
    parse_deletion,
    parse_signed_receipt,
    verify_head,
    verify_in_batch,
)
from trust.checkpoint import Checkpoint, open_checkpoint, verify_witness
from trust.document import SignedDocument, verify_document
from trust.errors import TrustError
from trust.merkle import Frontier, leaf_hash
from trust.sm2 import PublicKey
from trust.suite import HASH_SIZE

USAGE: Final = "usage"
DIRECTORY: Final = "directory"
CONSENT_PREFIX: Final = "consent/"
PERMIT: Final = "permit"


class AuditFailed(ConsentError):
    """A log or a proof is not what it claims to be. `index`: the first entry concerned, None for the log as a whole."""

    code: ClassVar[str] = "AUDIT_FAILED"

    def __init__(self, why: str, *, index: int | None = None, origin: str = "") -> None:
        """`why` says what is wrong and what it means."""
        place = "" if index is None else f"entry {index}: "
        super().__init__(f"{f'log {origin}, ' if origin else ''}{place}{why}")
        self.index = index
        self.why = why
        self.origin = origin


@dataclass(frozen=True, kw_only=True)
class Export:
    """A log as it was exported. `hashes`: the leaf hashes in order (32 bytes each), where the export lists them."""

    origin: str
    leaves: Iterable[bytes]
    checkpoint: SignedDocument
    hashes: bytes | None = None


@dataclass(frozen=True, kw_only=True)
class AuditReport:
    """What was verified: nothing of it is a claim of the hub's. Times in milliseconds since the epoch."""

    origin: str
    size: int
    root: bytes
    time_ms: int
    witnesses: tuple[str, ...]
    receipts: int = 0
    refusals: int = 0
    deletions: int = 0
    batches: int = 0
    heads_seen: int = 0


@dataclass(slots=True)
class _UsageState:
    """What the rules of the usage log need to remember. Heads are verified once each."""

    heads: dict[bytes, BatchHead] = field(default_factory=dict)
    last_place: dict[bytes, int] = field(default_factory=dict)
    seen: dict[str, int] = field(default_factory=dict)
    refusals: int = 0
    deletions: int = 0
    suspect: int | None = None


_Check = Callable[[int, bytes], None]


def verify_export(
    export: Export, hub_key: PublicKey, directory: Directory, seen: Sequence[Checkpoint] = ()
) -> AuditReport:
    """Check a whole log by the rules above and report what was verified.

    `directory`: folded from its own log (see `fold_directory`; it is not looked at for the directory log itself); `seen`:
    heads of this log that the auditor or a witness kept. Raises AuditFailed, which names the first bad entry.
    """
    if export.origin == DIRECTORY:
        return fold_directory(export, hub_key, seen)[1]
    state = _UsageState()
    return _verify(export, hub_key, directory, _entry_check(export.origin, state, hub_key, directory), state, seen)


def fold_directory(
    export: Export, hub_key: PublicKey, seen: Sequence[Checkpoint] = ()
) -> tuple[Directory, AuditReport]:
    """Check an exported directory log and return the directory that it makes. Raises AuditFailed."""
    directory = Directory()

    def check(index: int, leaf: bytes) -> None:
        directory.apply(index, SignedDocument.decode(leaf), hub_key)

    return directory, _verify(export, hub_key, directory, check, _UsageState(), seen)


def _verify(
    export: Export,
    hub_key: PublicKey,
    directory: Directory,
    check: _Check,
    state: _UsageState,
    seen: Sequence[Checkpoint],
) -> AuditReport:
    head = _open_head(export, hub_key)
    frontier, seen_roots = Frontier(), _by_size(export.origin, seen)
    for index, leaf in enumerate(export.leaves):
        hashed = leaf_hash(leaf)
        _verify_listed(export, index, hashed)
        if index >= head.size:
            _fail(
                export.origin,
                index,
                f"the checkpoint covers {head.size} entries only; this and what follows were added",
            )
        try:
            check(index, leaf)
        except (TrustError, ConsentError) as problem:
            raise AuditFailed(f"it does not verify: {problem}", index=index, origin=export.origin) from problem
        frontier.append(hashed)
        _verify_seen(export.origin, frontier, seen_roots)
    _verify_head(export, head, frontier, seen_roots, state.suspect)
    return AuditReport(
        origin=export.origin,
        size=head.size,
        root=head.root,
        time_ms=head.time_ms,
        witnesses=verified_witnesses(export.origin, export.checkpoint, _identity_keys(export.checkpoint, directory)),
        receipts=len(state.seen),
        refusals=state.refusals,
        deletions=state.deletions,
        batches=len(state.heads),
        heads_seen=len(seen),
    )


def _open_head(export: Export, hub_key: PublicKey) -> Checkpoint:
    try:
        head = open_checkpoint(export.checkpoint, hub_key)
    except TrustError as problem:
        raise AuditFailed(f"its checkpoint does not verify: {problem}", origin=export.origin) from problem
    if head.origin != export.origin:
        raise AuditFailed(
            f"its checkpoint is of log {head.origin}; the export was put together wrongly", origin=export.origin
        )
    return head


def _verify_listed(export: Export, index: int, hashed: bytes) -> None:
    if export.hashes is None:
        return
    listed = export.hashes[index * HASH_SIZE : (index + 1) * HASH_SIZE]
    if not hmac.compare_digest(listed, hashed):
        _fail(
            export.origin,
            index,
            "it is not the entry whose hash the export lists here: it was altered, moved or put in",
        )


def _by_size(origin: str, seen: Sequence[Checkpoint]) -> dict[int, bytes]:
    roots: dict[int, bytes] = {}
    for head in seen:
        if head.origin != origin:
            raise AuditFailed(f"a head of log {head.origin} was given to compare with; leave it out", origin=origin)
        if not hmac.compare_digest(roots.setdefault(head.size, head.root), head.root):
            raise AuditFailed(
                f"two of the heads seen are of size {head.size} with two roots: the log was forked", origin=origin
            )
    return roots


def _verify_seen(origin: str, frontier: Frontier, seen_roots: Mapping[int, bytes]) -> None:
    expected = seen_roots.get(frontier.size)
    if expected is not None and not hmac.compare_digest(expected, frontier.root()):
        earlier = max((size for size in seen_roots if size < frontier.size), default=0)
        _fail(
            origin,
            earlier,
            f"the first {frontier.size} entries are not those under the head of that size that was seen before; the two histories "
            f"part at entry {earlier} or later: the log was forked or rewritten",
        )


def _verify_head(
    export: Export, head: Checkpoint, frontier: Frontier, seen_roots: Mapping[int, bytes], suspect: int | None
) -> None:
    if frontier.size < head.size:
        _fail(
            export.origin,
            frontier.size,
            f"it is missing, with all that follow: the checkpoint covers {head.size} entries",
        )
    if not hmac.compare_digest(frontier.root(), head.root):
        proved = max((size for size in seen_roots if size < head.size), default=0)
        _fail(
            export.origin,
            proved if suspect is None else suspect,
            f"the entries do not hash to the root that the hub signed: one of those from {proved} on was altered, moved, put in "
            "or left out"
            + ("" if suspect is None else "; this one stands after a later one of its batch")
            + ". An export with its list of hashes names the very one",
        )
    if seen_roots and max(seen_roots) > head.size:
        _fail(
            export.origin, head.size, f"a head over {max(seen_roots)} entries was seen before: entries are being hidden"
        )


def _fail(origin: str, index: int | None, why: str) -> NoReturn:
    raise AuditFailed(why, index=index, origin=origin)


def _entry_check(origin: str, state: _UsageState, hub_key: PublicKey, directory: Directory) -> _Check:
    if origin == USAGE:
        return lambda index, leaf: _check_usage(state, directory, index, leaf)
    if not origin.startswith(CONSENT_PREFIX):
        raise AuditFailed("it is not one of the hub's logs: directory, usage, consent/<provider>", origin=origin)
    book = ConsentBook(origin.removeprefix(CONSENT_PREFIX))

    def check(index: int, leaf: bytes) -> None:
        book.apply_entry(index, SignedDocument.decode(leaf), directory, hub_key)

    return check


def _check_usage(state: _UsageState, directory: Directory, index: int, leaf: bytes) -> None:
    if leaf.startswith(b'{"payloadType"'):
        _check_deletion(directory, leaf)
        state.deletions += 1
        return
    signed, receipt = parse_signed_receipt(leaf)
    head = state.heads.get(signed.head)
    if head is None:
        head = state.heads[signed.head] = verify_head(signed.head, _identity_key(directory, receipt.node_id))
    verify_in_batch(signed, receipt, head)
    verify_institution(receipt, _member_of(directory, receipt.node_id))
    earlier = state.seen.setdefault(receipt.receipt_id, index)
    if earlier != index:
        raise DocumentMalformed(f"receipt {receipt.receipt_id} stands at entry {earlier} already; it was put in twice")
    if state.suspect is None and signed.index < state.last_place.get(signed.head, -1):
        # No fault by itself (a node may send a batch in parts), but the likely place if the root does not fit.
        state.suspect = index
    state.last_place[signed.head] = signed.index
    state.refusals += receipt.decision != PERMIT


def _check_deletion(directory: Directory, leaf: bytes) -> None:
    document = SignedDocument.decode(leaf)
    entry: DeletionAttestation = parse_deletion(document.payload)
    verify_document(document, DELETION_TYPE, _identity_key(directory, entry.node_id))


def _identity_key(directory: Directory, node_id: str) -> PublicKey:
    node = directory.node(node_id)
    if node is None:
        raise DocumentMalformed(f"node {node_id} is not in the directory; nobody vouches for what it signed")
    return node.identity_key


def _member_of(directory: Directory, node_id: str) -> str:
    node = directory.node(node_id)
    return "" if node is None else node.member_id


def verify_institution(receipt: Receipt, member_id: str) -> None:
    """Refuse a requester's receipt by another member's node. The provider's names the requester too. Raises DocumentMalformed."""
    if receipt.side == "requester" and receipt.institution != member_id:
        raise DocumentMalformed(f"node {receipt.node_id} of {member_id} signed a use by {receipt.institution}")


def _identity_keys(checkpoint: SignedDocument, directory: Directory) -> dict[str, PublicKey]:
    nodes = (node for member in directory.members() for node in directory.nodes_of(member.member_id))
    signers = {signature.key_id for signature in checkpoint.signatures}
    return {node.node_id: node.identity_key for node in nodes if node.identity_key.key_id in signers}


def verified_witnesses(origin: str, checkpoint: SignedDocument, keys: Mapping[str, PublicKey]) -> tuple[str, ...]:
    """The nodes, of those whose keys are given, that have cosigned a checkpoint. Raises AuditFailed for a false cosignature."""
    signers = {signature.key_id for signature in checkpoint.signatures}
    found = []
    for node_id, key in sorted(keys.items()):
        if key.key_id not in signers:
            continue
        try:
            verify_witness(checkpoint, key)
        except TrustError as problem:
            raise AuditFailed(
                f"the cosignature of witness {node_id} does not verify: {problem}", origin=origin
            ) from problem
        found.append(node_id)
    return tuple(found)
