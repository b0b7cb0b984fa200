"""Scores as the bank's programs ask for them: a model, one enterprise or some, the bank's own features; back come scores or why not.

Behind it stands whatever the model's mode needs (open exchanges with each provider, keys and encrypted weights kept warm). Enterprises
are scored all or not at all: one that a single provider refuses has no score, and says why.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final, Protocol

Value = float | str | None
"""A cell of the bank's own columns; None where it is missing."""

MOST_SUBJECTS: Final = 1_000
"""Enterprises of one request; more are a batch (`xinqiao score run`)."""


@dataclass(frozen=True, kw_only=True)
class ScoreRequest:
    """What is asked. `own`: for each enterprise the bank's own columns by name, none where the model has none.

    `request_key`: the same key with the same question gets the same answer for ten minutes and counts once; empty makes a new one.
    """

    model_id: str
    subjects: tuple[str, ...]
    own: Mapping[str, Mapping[str, Value]] = field(default_factory=dict)
    reason: str
    user: str
    application_no: str | None = None
    request_key: str = ""


@dataclass(frozen=True, kw_only=True)
class Scored:
    """One enterprise's outcome. `score`: log odds, None if it was refused.

    `refused`: empty, or a reason code (of the consent decision, or SCORE_LIMIT_REACHED, MODEL_NOT_APPROVED …), `detail` in words, with
    the provider's name. `error_bound`: the proved bound of |score - plaintext score|. `receipt_ids`: this node's receipts of the use.
    """

    uscc: str
    model_id: str
    score: float | None = None
    probability: float | None = None
    points: float | None = None
    band: str = ""
    reasons: tuple[str, ...] = ()
    refused: str = ""
    detail: str = ""
    receipt_ids: tuple[str, ...] = ()
    error_bound: float = 0.0


class Scorer(Protocol):
    """Gives scores. `nodes.scoring.scores.Scores` in the agent; rpc Score for everybody else."""

    async def score(self, request: ScoreRequest) -> tuple[Scored, ...]:
        """One outcome for each subject, in their order.

        Raises NodeError for what concerns the whole request: NOT_FOUND, MODEL_NOT_APPROVED, MODEL_RETIRED, MODEL_INVALID (own columns
        that are missing, unknown or of the wrong kind are named), INVALID_ARGUMENT, REQUEST_KEY_USED, PEER_OFFLINE,
        DEADLINE_EXCEEDED (which names who was silent), UNAVAILABLE.
        """
        ...
