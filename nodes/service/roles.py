"""Champion and challenger: which model answers calls that name none, and which is tried beside it.

A challenger scores its share of the enterprises in the shadow: after the champion, on the same question, and nobody is given its score.
An enterprise is in the share always or never. Each shadow score is a use like any other: it is in the consent's count, in the receipts,
and among the models that the provider lets touch an enterprise.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Final, Literal

from nodes.errors import NodeError
from nodes.store import Store
from trust.suite import sm3

Role = Literal["champion", "challenger"]
ROLES: Final[tuple[Role, ...]] = ("champion", "challenger")


@dataclass(frozen=True, kw_only=True)
class Appointment:
    """A model in a role since a time. `share`: of the enterprises; 1 for a champion. An empty `model_id` ended the role."""

    role: str
    model_id: str
    share: float
    since_ms: int
    user: str
    reason: str


@dataclass(frozen=True)
class Appointed:
    """Who is in which role now."""

    champion: Appointment | None = None
    challenger: Appointment | None = None

    def role_of(self, model_id: str) -> str:
        """The role of a model; "named" for one that answers only who names it."""
        for each in (self.champion, self.challenger):
            if each is not None and each.model_id == model_id:
                return each.role
        return "named"


def in_share(challenger: Appointment, uscc: str) -> bool:
    """Whether an enterprise is among those that a challenger scores; another challenger gets others."""
    digest = sm3(f"{challenger.model_id}\x00{uscc}".encode())
    return int.from_bytes(digest[:8], "big") < challenger.share * 2**64


class Roles:
    """The roles in service.db, with their history."""

    def __init__(self, store: Store, clock: Callable[[], int]) -> None:
        self._store = store
        self._clock = clock

    async def now(self) -> Appointed:
        """Who is in which role."""
        return await self._store.read(_now)

    async def history(self) -> tuple[Appointment, ...]:
        """Every change, the newest first."""
        return await self._store.read(
            lambda connection: tuple(
                Appointment(role=role, model_id=model, share=share, since_ms=since_ms, user=user, reason=reason)
                for role, model, share, since_ms, user, reason in connection.execute(
                    "SELECT role, model_id, share, since_ms, user, reason FROM roles ORDER BY role_no DESC"
                )
            )
        )

    async def appoint(self, role: Role, model_id: str, *, share: float = 1.0, user: str, reason: str) -> Appointment:
        """Put a model into a role, or nobody (""). A challenger that becomes champion leaves its old role.

        Raises NodeError for a share that is none, or a challenger that is the champion.
        """
        if not 0.0 < share <= 1.0:
            raise NodeError("A share is above 0 and at most 1.", code="INVALID_ARGUMENT")
        made = Appointment(role=role, model_id=model_id, share=share, since_ms=self._clock(), user=user, reason=reason)

        def work(connection: sqlite3.Connection) -> None:
            before = _now(connection)
            if role == "challenger" and model_id and before.role_of(model_id) == "champion":
                raise NodeError("The champion cannot be its own challenger.", code="WRONG_STATE")
            if role == "champion" and model_id and before.role_of(model_id) == "challenger":
                _insert(connection, replace(made, role="challenger", model_id=""))
            _insert(connection, made)

        await self._store.write(work)
        return made


def _insert(connection: sqlite3.Connection, made: Appointment) -> None:
    connection.execute(
        "INSERT INTO roles (role, model_id, share, since_ms, user, reason) VALUES (?,?,?,?,?,?)",
        (made.role, made.model_id, made.share, made.since_ms, made.user, made.reason),
    )


def _now(connection: sqlite3.Connection) -> Appointed:
    found: dict[str, Appointment | None] = {}
    for role in ROLES:
        row = connection.execute(
            "SELECT model_id, share, since_ms, user, reason FROM roles WHERE role = ? ORDER BY role_no DESC LIMIT 1",
            (role,),
        ).fetchone()
        found[role] = (
            Appointment(role=role, model_id=row[0], share=row[1], since_ms=row[2], user=row[3], reason=row[4])
            if row and row[0]
            else None
        )
    return Appointed(**found)
