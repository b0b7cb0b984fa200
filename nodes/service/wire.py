"""What passes through the HTTP door, as OpenAPI describes it. Unknown names and numbers that are not finite are refused."""

from __future__ import annotations

from datetime import date
from typing import Annotated, Final, Literal

from pydantic import BaseModel, ConfigDict, Field, StrictBool

from nodes.scoring.scorer import MOST_SUBJECTS

MOST_OUTCOMES: Final = 5_000

Number = Annotated[float, Field(strict=True)]
Text = Annotated[str, Field(strict=True)]
FeatureValue = Number | Text | None


class _In(BaseModel):
    model_config = ConfigDict(extra="forbid", allow_inf_nan=False)


class SubjectIn(_In):
    """An enterprise to score."""

    uscc: Annotated[str, Field(min_length=1, max_length=32, description="Unified social credit code, 18 characters.")]
    features: Annotated[
        dict[str, FeatureValue],
        Field(description="The bank's own columns that the model reads: all of them; null where a value is missing."),
    ] = {}


class ScoreIn(_In):
    """A question for scores."""

    model_config = ConfigDict(
        extra="forbid",
        allow_inf_nan=False,
        json_schema_extra={
            "examples": [
                {
                    "subjects": [
                        {"uscc": "91350211M000100Y43", "features": {"years_as_customer": 4, "branch": "Xiamen"}}
                    ],
                    "reason": "application for a working capital loan",
                    "application_no": "2026-000123",
                }
            ]
        },
    )

    model: Annotated[
        str, Field(max_length=100, description="Identifier or name of a model in service. Left out: the champion.")
    ] = ""
    subjects: Annotated[
        list[SubjectIn], Field(min_length=1, max_length=MOST_SUBJECTS, description="Each enterprise once.")
    ]
    reason: Annotated[
        str,
        Field(
            min_length=1,
            max_length=500,
            pattern=r"\S",
            description="Why; it stands in the record of use that the enterprise sees.",
        ),
    ]
    user: Annotated[str, Field(max_length=100, description="Who asks. Left out: the key's name.")] = ""
    application_no: Annotated[str, Field(max_length=100, description="Of the loan application or the like.")] = ""


class ResultOut(BaseModel):
    """One enterprise's score, or why there is none."""

    score_id: Annotated[str, Field(description="By which the outcome is reported.")]
    uscc: str
    score: Annotated[float | None, Field(description="Log odds of default. Null if refused.")]
    probability: Annotated[float | None, Field(description="Of default.")]
    points: Annotated[float | None, Field(description="Null if the model has no scale of points.")]
    band: str
    reasons: Annotated[list[str], Field(description="What cost most points, the worst first.")]
    refused: Annotated[str, Field(description="Empty, or a reason code: no consent, a provider's limit, ...")]
    detail: Annotated[str, Field(description="The same in words.")]
    receipt_ids: Annotated[list[str], Field(description="This node's receipts of the use.")]
    error_bound: Annotated[float, Field(description="Proved bound of the difference from the plaintext score.")]


class ScoreOut(BaseModel):
    """Scores in the order of the subjects."""

    model_id: str
    model_name: str
    model_version: int
    results: list[ResultOut]


class FeatureOut(BaseModel):
    """A column of the bank's own that a model reads."""

    name: str
    kind: Literal["number", "text"]
    nullable: Annotated[bool, Field(description="Whether it may be null.")]


class ModelOut(BaseModel):
    """A model of this node."""

    model_id: str
    name: str
    version: int
    kind: str
    mode: str
    state: Annotated[str, Field(description="draft, approved, in_service or retired.")]
    why: Annotated[str, Field(description="Of a state that refuses.")]
    role: Annotated[str, Field(description="champion, challenger or named.")]
    providers: list[str]
    features: list[FeatureOut]


class ModelsOut(BaseModel):
    """The models that the key covers."""

    models: list[ModelOut]


class OutcomeIn(_In):
    """What became of a scored enterprise."""

    score_id: Annotated[str, Field(min_length=1, max_length=64)]
    defaulted: StrictBool
    observed: Annotated[date, Field(description="The day on which it was known.")]


class OutcomesIn(_In):
    """Outcomes; a later one corrects an earlier one."""

    outcomes: Annotated[list[OutcomeIn], Field(min_length=1, max_length=MOST_OUTCOMES)]


class OutcomesOut(BaseModel):
    """What was recorded."""

    recorded: int
    unknown: Annotated[list[str], Field(description="Identifiers that name no score; nothing is lost of the others.")]


class HealthOut(BaseModel):
    """Whether scores can be had."""

    status: Literal["ok", "agent_away"]


class FaultOut(BaseModel):
    """One thing that is wrong with a request."""

    where: str
    what: str


class ProblemOut(BaseModel):
    """A failure, as RFC 9457 has it."""

    type: str
    title: str
    status: int
    detail: str
    code: Annotated[str, Field(description="Stable; the codes are those of docs/errors.md.")]
    request_id: str
    reason: str | None = None
    faults: list[FaultOut] = []
