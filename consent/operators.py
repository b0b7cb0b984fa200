"""The operators of the directory: whose approval counts, from which entry of the log to which.

An operator's signature binds keys to enterprises, so that a new operator is more than the hub may make, and a stolen
operator's key must be endable. Rules, in this order (DIRECTORY_RULE, for signatures SIGNATURE_INVALID):
1. The first operator ever needs the hub's signature only, and its entry names no signer. Every further key, of a new
   name or of a known one, names an operator that stands, and carries that operator's signature; for a known name that
   may be its own present key.
2. A key is an operator's once: what was ended never comes back, under no name.
3. A key is ended by an operator that stands, its own included, and named by its id, so that an old revocation cannot be
   shown again. The last operator that stands is never ended: nobody could approve anything any more.

What counts is the place in the log, not the date: after its end a key signs nothing, however that is dated; what it
signed before stays valid.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Self

from consent.directory_entries import OperatorKey, OperatorRevoked
from consent.documents import parse
from consent.errors import DirectoryRule
from trust.document import SignedDocument
from trust.sm2 import PublicKey

Verify = Callable[[SignedDocument, PublicKey], None]
"""Raises SignatureInvalid unless this very key signed the document."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Operator:
    """One key of an operator. `signer` is who let it in, None: the hub; it stands until `ended_ms` (None: still)."""

    name: str
    key: PublicKey
    from_ms: int
    signer: str | None
    ended_ms: int | None = None
    ended_by: str | None = None

    @property
    def stands(self) -> bool:
        """Whether its signature counts now."""
        return self.ended_ms is None


@dataclass(slots=True)
class Operators:
    """All operators' keys as of the newest entry, in the order in which they came."""

    _by_name: dict[str, tuple[Operator, ...]] = field(default_factory=dict)

    def copy(self) -> Self:
        """An independent twin."""
        return type(self)(dict(self._by_name))

    def standing(self, name: str) -> Operator | None:
        """The operator with its present key, unless that was ended."""
        newest = self._by_name.get(name, (None,))[-1]
        return newest if newest is not None and newest.stands else None

    def ever(self) -> tuple[Operator, ...]:
        """Every key that any operator ever had, name by name."""
        return tuple(each for versions in self._by_name.values() for each in versions)

    def verify(self, document: SignedDocument, name: str, verify: Verify) -> None:
        """Return only if this operator stands and signed."""
        operator = self.standing(name)
        if operator is None:
            known = "was revoked" if name in self._by_name else "is not in the directory"
            raise DirectoryRule(f"Operator {name} {known}; have the entry signed by an operator that stands.")
        verify(document, operator.key)

    def on_key(self, document: SignedDocument, verify: Verify) -> Callable[[], None]:
        """Rules 1 and 2 for an "operator-key", whose signature by the hub is verified; returns the change."""
        entry = parse(document.payload, OperatorKey)
        if (entry.signer is None) != (not self._by_name):
            raise DirectoryRule(
                "The first operator is the hub's, every further one is signed by an operator that stands; name the signer."
            )
        if entry.signer is not None:
            self.verify(document, entry.signer, verify)
        key = PublicKey.decode(entry.public_key)
        if any(each.key == key for each in self.ever()):
            raise DirectoryRule(
                f"Key {key.key_id} is or was an operator's already; make a new key for {entry.operator}."
            )
        before = self._by_name.get(entry.operator, ())
        if before and before[-1].stands:
            before = (*before[:-1], replace(before[-1], ended_ms=entry.time_ms, ended_by=entry.signer))
        new = Operator(name=entry.operator, key=key, from_ms=entry.time_ms, signer=entry.signer)

        def change() -> None:
            self._by_name[entry.operator] = (*before, new)

        return change

    def on_revoked(self, document: SignedDocument, verify: Verify) -> Callable[[], None]:
        """Rule 3 for an "operator-revoked"; returns the change."""
        entry = parse(document.payload, OperatorRevoked)
        self.verify(document, entry.signer, verify)
        known = self.standing(entry.operator)
        if known is None or known.key.key_id != entry.key_id:
            raise DirectoryRule(
                f"Key {entry.key_id} is not the present key of operator {entry.operator}; nothing to end."
            )
        if sum(each.stands for each in self.ever()) == 1:
            raise DirectoryRule(f"{entry.operator} is the last operator that stands; add another before you revoke it.")
        ended = replace(known, ended_ms=max(entry.time_ms, known.from_ms), ended_by=entry.signer)

        def change() -> None:
            self._by_name[entry.operator] = (*self._by_name[entry.operator][:-1], ended)

        return change
