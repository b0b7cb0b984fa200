"""A call for scores and its answer, as both doors and the service know them."""

from __future__ import annotations

import secrets
from collections.abc import Mapping, Sequence

import msgspec

from nodes.scoring.scorer import Scored, ScoreRequest, Value
from nodes.service.keys import ApiKey
from nodes.service.models import ServedModel, columns_of
from trust.suite import sm3

Features = Mapping[str, Mapping[str, Value]]
"""The own columns of each enterprise, by its code."""


class ScoreCall(msgspec.Struct, frozen=True, kw_only=True):
    """What is asked. `model`: an identifier or a name; "": the champion. `features`: one mapping for each subject, in order."""

    model: str = ""
    subjects: tuple[str, ...]
    features: tuple[dict[str, Value], ...]
    reason: str
    user: str = ""
    application_no: str = ""

    def digest(self) -> bytes:
        """Of the question, however it was spelt."""
        return sm3(msgspec.json.encode(self, order="deterministic"))


class SubjectAnswer(msgspec.Struct, frozen=True, kw_only=True):
    """One subject's score, or why there is none. `score`: log odds; `score_id`: by which its outcome is reported."""

    score_id: str
    uscc: str
    score: float | None
    probability: float | None
    points: float | None
    band: str
    reasons: tuple[str, ...]
    refused: str
    detail: str
    receipt_ids: tuple[str, ...]
    error_bound: float


class ScoreAnswer(msgspec.Struct, frozen=True, kw_only=True):
    """What is answered, in the order of the subjects."""

    model_id: str
    model_name: str
    model_version: int
    results: tuple[SubjectAnswer, ...]


def request_of(model: ServedModel, call: ScoreCall, key: ApiKey, given: Features, request_key: str) -> ScoreRequest:
    """What the agent is asked: of the subjects that are given, the columns that the model reads."""
    return ScoreRequest(
        model_id=model.model_id,
        subjects=tuple(given),
        own={uscc: columns_of(model, features) or {} for uscc, features in given.items()},
        reason=call.reason,
        user=call.user or f"api key {key.name}",
        application_no=call.application_no or None,
        request_key=request_key,
    )


def answer_of(model: ServedModel, scored: Sequence[Scored], ids: Mapping[str, str] | None = None) -> ScoreAnswer:
    """The agent's scores as an answer. `ids`: the score_id of each subject; None makes new ones."""
    return ScoreAnswer(
        model_id=model.model_id,
        model_name=model.name,
        model_version=model.version,
        results=tuple(
            SubjectAnswer(
                score_id=secrets.token_hex(8) if ids is None else ids[each.uscc],
                uscc=each.uscc,
                score=each.score,
                probability=each.probability,
                points=each.points,
                band=each.band,
                reasons=each.reasons,
                refused=each.refused,
                detail=each.detail,
                receipt_ids=each.receipt_ids,
                error_bound=each.error_bound,
            )
            for each in scored
        ),
    )
