"""A question to the providers of a model, and their answers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from nodes.errors import ExchangeFailed
from nodes.scoring.messages import Answer, Layout
from nodes.scoring.own import OwnRows
from nodes.scoring.recipe import Answers


@dataclass(frozen=True, kw_only=True)
class Asking:
    """In whose name the exchanges are opened."""

    reason: str
    user: str
    application_no: str | None = None


@dataclass(frozen=True, kw_only=True)
class Question:
    """Some rows. `consents`: by provider, 16 bytes a row; `own`: the bank's own columns; `single`: one enterprise by itself."""

    consents: Mapping[str, bytes]
    own: OwnRows
    request_key: str
    single: bool

    @property
    def rows(self) -> int:
        """How many."""
        return len(self.own.present)


@dataclass(frozen=True, kw_only=True)
class Part:
    """A provider's answer. `codes`: uint8[rows]; `parts`: what opens only together with the others'."""

    answer: Answer
    codes: bytes
    seed: bytes
    used: bytes
    parts: tuple[bytes, ...]


@dataclass(frozen=True, kw_only=True)
class Replies:
    """The providers' answers to one question, by member; all of one session and request number."""

    session: str
    layout: Layout
    request_no: int
    rows: int
    of: Mapping[str, Part]

    @property
    def answers(self) -> Answers:
        """What opens."""
        parts = {member: each.parts for member, each in self.of.items()}
        return Answers(session=self.session, layout=self.layout, rows=self.rows, parts=parts)


def part_of(member: str, said: Answer, blobs: Sequence[bytes]) -> Part:
    """Raises ExchangeFailed."""
    if len(blobs) < 4:
        raise ExchangeFailed(f"{member} did not send the parts of its answer.")
    return Part(answer=said, codes=blobs[0], seed=blobs[1], used=blobs[2], parts=tuple(blobs[3:]))


def not_in_time(members: Sequence[str], seconds: float) -> ExchangeFailed:
    """Who was silent, and what to do."""
    who = " and ".join(members) or "A provider"
    return ExchangeFailed(
        f"{who} did not answer within {seconds:.0f} s: its node is down, stuck or busy. Ask its operator to look at it (`xinqiao node "
        "status`), then repeat with the same request key: it counts once.",
        code="DEADLINE_EXCEEDED",
    )
