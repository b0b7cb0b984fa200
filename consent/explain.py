"""How a use is proved, step by step: the same checks as `consent.audit_uses`, with every value that they pass through.

For people who want to follow a proof with their own eyes, or with another program. An explanation exists only of a use whose every
proof held. The steps:

1. the receipt, and its hash as a leaf (SM3 over 0x00 and its bytes);
2. its way up to the root of the batch, which the node signed once for many receipts;
3. of a transfer about many enterprises, the way from this enterprise's own part up to the root that the receipt states;
4. the entry of the log (receipt, place, way and signed root together), its hash as a leaf, and its way up to the root of the log;
5. the checkpoint that states this root, signed by the hub, and the nodes that signed the same bytes as witnesses.

Source: RFC 9162, 2.1.3.2, over SM3; protocols.md 3.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from consent.audit_uses import ListedUse, UsePage, VerifiedUse, verify_node, verify_uses
from consent.usage import BatchHead, parse_signed_receipt, verify_head
from trust.checkpoint import Checkpoint
from trust.merkle import leaf_hash, node_hash, verify_inclusion
from trust.sm2 import PublicKey


@dataclass(frozen=True, kw_only=True)
class Level:
    """One step up a tree: the hash at hand and its sibling, in their order, make `result`. `sibling_left`: it stands before."""

    sibling: bytes
    sibling_left: bool
    result: bytes


@dataclass(frozen=True, kw_only=True)
class Climb:
    """The way from a leaf to a root. `index`: the leaf's place among `size`; the last level's result is `root`."""

    leaf: bytes
    index: int
    size: int
    levels: tuple[Level, ...]
    root: bytes


@dataclass(frozen=True, kw_only=True)
class Signer:
    """A node and the id of the key that it signed with."""

    node_id: str
    key_id: str


@dataclass(frozen=True, kw_only=True)
class Explained:
    """One use and the steps that prove it. `receipt`: its bytes as signed; `entry_bytes`: size of the log's entry."""

    use: VerifiedUse
    receipt: bytes
    batch: Climb
    batch_head: BatchHead
    node: Signer
    part: Climb | None
    entry_bytes: int
    log: Climb
    head: Checkpoint
    hub_key_id: str
    witnesses: tuple[Signer, ...]


def climb(leaf: bytes, index: int, size: int, path: Sequence[bytes], root: bytes) -> Climb:
    """The way of a leaf hash, level by level. Raises LogInconsistent if it does not prove what it claims."""
    verify_inclusion(leaf, index, size, path, root)
    node, last, computed = index, size - 1, leaf
    levels = []
    for sibling in path:
        left = bool(node & 1 or node == last)
        computed = node_hash(sibling, computed) if left else node_hash(computed, sibling)
        levels.append(Level(sibling=sibling, sibling_left=left, result=computed))
        while left and not node & 1 and node:
            node, last = node >> 1, last >> 1  # at the right edge the node rises unchanged
        node, last = node >> 1, last >> 1
    return Climb(leaf=leaf, index=index, size=size, levels=tuple(levels), root=root)


def explain(uscc: str, page: UsePage, log_index: int, hub_key: PublicKey) -> Explained | None:
    """Explain the use at an index of the log; None if the page has none there. Raises AuditFailed if a proof does not hold."""
    listed = next((each for each in page.uses if each.log_index == log_index), None)
    if listed is None:
        return None
    alone = UsePage(checkpoint=page.checkpoint, uses=(listed,), nodes=page.nodes)
    verified = verify_uses(uscc, alone, hub_key)
    (use,), head = verified.uses, verified.head
    keys = {
        node.node_id: PublicKey.decode(node.identity_key)
        for node in (verify_node(each, hub_key) for each in page.nodes)
    }
    signed, receipt = parse_signed_receipt(listed.leaf)
    batch_head = verify_head(signed.head, keys[receipt.node_id])
    return Explained(
        use=use,
        receipt=signed.receipt,
        batch=climb(
            leaf_hash(signed.receipt), signed.index, batch_head.size, signed.path, bytes.fromhex(batch_head.root)
        ),
        batch_head=batch_head,
        node=Signer(node_id=receipt.node_id, key_id=keys[receipt.node_id].key_id),
        part=_part(listed, use),
        entry_bytes=len(listed.leaf),
        log=climb(leaf_hash(listed.leaf), log_index, head.size, listed.path, head.root),
        head=head,
        hub_key_id=hub_key.key_id,
        witnesses=tuple(Signer(node_id=each, key_id=keys[each].key_id) for each in verified.witnesses),
    )


def _part(listed: ListedUse, use: VerifiedUse) -> Climb | None:
    commitment = use.receipt.batch
    if use.part is None or commitment is None:
        return None
    root = bytes.fromhex(commitment.root)
    return climb(leaf_hash(listed.subject_use), listed.subject_index, commitment.size, listed.subject_path, root)
