"""Extraction protection at a provider: what a requester may score, so that scores do not give a feature away.

A score is a linear query on a subject's features. Many different ones on one subject, or few that are nearly the same, solve for a
feature. So a provider's node bounds, for each requester:

| limit                      | counted over                                            | stops                                    |
|----------------------------|---------------------------------------------------------|------------------------------------------|
| minimum_nonzero            | the features of its part that count, attested           | a model that reads one feature           |
| maximum_leverage           | attested, with the owner's earlier models               | differencing of nearly the same models   |
| models_per_subject         | distinct models that touched the subject in a year      | a system of equations about one subject  |
| scores_per_subject_per_day | scores of a subject on one calendar day                 | watching a feature change                |
| scores_per_day             | scores on one calendar day                              | harvesting                               |
| served_scores              | scores of a model of this member's, ever                | solving for that model (data to model)   |
| probing                    | models over the same features; models hardly used       | tries: flagged, refused if so configured |

A model of the node's own member, to which the requester's data come (data to model), has no weights of the requester's: there the
limits on scores alone count. Each exact score of chosen numbers is one equation about the model's weights, whoever it is about. Unless
`served_scores` says otherwise an asker gets half as many as it has columns in the model: of m equations the best guess leaves at least
1 - m / p of the spread of p weights unexplained, so here half. More tell the model sooner or later, so that is for its owner to decide.

Days are calendar days in UTC+8, as in the decision. Everything here is pure: it is given what was spent and says what is left; the
counts are read and written in the transaction that charges the uses (`spent`). A refusal names its limit.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final

from nodes.errors import NodeError
from nodes.settings import ScoringRules

DAY_MS: Final = 86_400_000
YEAR_MS: Final = 365 * DAY_MS
"""How long a model that touched a subject counts."""
PROBING_MODELS: Final = 10
PROBING_WINDOW_MS: Final = 30 * DAY_MS
LEAST_SUBJECTS: Final = 20
"""A model that is in earnest is used on more subjects than this."""

MODELS: Final = "models_per_subject"
SUBJECT_DAY: Final = "scores_per_subject_per_day"
DAY: Final = "scores_per_day"
SERVED: Final = "served_scores"
PROBING: Final = "refuse_probing"


@dataclass(frozen=True, kw_only=True)
class PartFacts:
    """What a model is like at this provider: attested by its document, or known here of a joint model.

    `trained`: the weights came of joint training: the owner neither chose nor knows them.
    """

    features: int
    nonzero: int
    leverage: float
    trained: bool = False


@dataclass(frozen=True, kw_only=True)
class SubjectSpent:
    """What a requester has spent on one subject. `models`: those of the last year."""

    models: frozenset[str] = frozenset()
    today: int = 0


@dataclass(frozen=True, kw_only=True)
class ModelUse:
    """A requester's model at this provider, as far as probing shows in it. Times in milliseconds; `first_ms`: of its first score."""

    model: str
    fields: frozenset[str]
    created_ms: int
    first_ms: int | None
    subjects: int


@dataclass(frozen=True, kw_only=True)
class Flag:
    """A pattern that an honest requester has no reason for. `what`: `many_alike` or `hardly_used`."""

    what: str
    models: tuple[str, ...]
    sentence: str


class ScoreLimitReached(NodeError):
    """A limit refuses. `reason` is the setting that says so."""

    code = "SCORE_LIMIT_REACHED"

    def __init__(self, limit: str, sentence: str) -> None:
        super().__init__(f"{sentence} (limit {limit}, set by the provider)", reason=limit)


def check_part(rules: ScoringRules, part: PartFacts) -> None:
    """What a model must be like at all. Raises ScoreLimitReached."""
    least = 2 if part.trained else max(2, min(rules.minimum_nonzero, part.features))
    if part.nonzero < least:
        raise ScoreLimitReached(
            "minimum_nonzero",
            f"The model weighs {part.nonzero} of this provider's features; it must weigh at least {least}.",
        )
    # Not `>`: what is no number is no leverage.
    if not 0.0 <= part.leverage <= rules.maximum_leverage:
        raise ScoreLimitReached(
            "maximum_leverage",
            f"With the owner's earlier models its scores would tell a feature with leverage {part.leverage:.3f}, "
            f"above {rules.maximum_leverage:.3f}: models over the same features are too many or too much alike.",
        )


def served_scores(rules: ScoringRules, columns: int) -> int:
    """How many scores an asker with so many columns gets of a model of this node's own member."""
    return rules.served_scores if rules.served_scores is not None else max(1, columns // 2)


def refusals(
    rules: ScoringRules,
    model: str | None,
    spent: Iterable[SubjectSpent],
    used_today: int,
    *,
    served_left: int | None = None,
) -> tuple[list[str | None], int]:
    """For each subject in order the limit that refuses it or None; and the requester's scores of the day with those allowed.

    `model`: None if it is of this node's own member; `served_left`: how many scores of that the requester may still get.
    """
    found: list[str | None] = []
    allowed = 0
    for each in spent:
        limit = _refusal(rules, model, each, used_today + allowed)
        if limit is None and served_left is not None and allowed >= served_left:
            limit = SERVED
        found.append(limit)
        allowed += limit is None
    return found, used_today + allowed


def _refusal(rules: ScoringRules, model: str | None, spent: SubjectSpent, used_today: int) -> str | None:
    if model is not None and model not in spent.models and len(spent.models) >= rules.models_per_subject:
        return MODELS
    if spent.today >= rules.scores_per_subject_per_day:
        return SUBJECT_DAY
    return DAY if used_today >= rules.scores_per_day else None


def sentence_of(rules: ScoringRules, limit: str) -> str:
    """What a limit that refuses subjects says, in words."""
    return {
        MODELS: f"{rules.models_per_subject} other models have scored this enterprise within a year.",
        SUBJECT_DAY: f"This enterprise was scored {rules.scores_per_subject_per_day} times today.",
        DAY: f"{rules.scores_per_day:,} scores were given today.",
        SERVED: "More scores of chosen numbers would tell the model itself; its owner has to agree to that and set how many it gives.",
    }[limit]


def probing(models: Sequence[ModelUse], now_ms: int) -> tuple[Flag, ...]:
    """What looks like probing in one requester's models at this provider."""
    return (*_many_alike(models, now_ms), *_hardly_used(models, now_ms))


def _many_alike(models: Sequence[ModelUse], now_ms: int) -> Iterable[Flag]:
    recent = [each for each in models if each.fields and now_ms - each.created_ms < PROBING_WINDOW_MS]
    by_fields: dict[frozenset[str], list[str]] = {}
    for each in recent:
        by_fields.setdefault(each.fields, []).append(each.model)
    for fields, alike in by_fields.items():
        if len(alike) > PROBING_MODELS:
            yield Flag(
                what="many_alike",
                models=tuple(sorted(alike)),
                sentence=f"{len(alike)} models over the same {len(fields)} features were made within 30 days.",
            )


def _hardly_used(models: Sequence[ModelUse], now_ms: int) -> Iterable[Flag]:
    for each in models:
        begun = each.first_ms is not None and now_ms - each.first_ms >= DAY_MS
        others = [other for other in models if other.model != each.model and other.fields & each.fields]
        if begun and each.subjects < LEAST_SUBJECTS and others:
            yield Flag(
                what="hardly_used",
                models=(each.model,),
                sentence=f"A model was used on {each.subjects} enterprises only, beside {len(others)} others over its features.",
            )
