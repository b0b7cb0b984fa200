"""What a provider lets a requester score."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nodes.scoring.limits import (
    DAY_MS,
    ModelUse,
    PartFacts,
    ScoreLimitReached,
    SubjectSpent,
    check_part,
    probing,
    refusals,
    sentence_of,
    served_scores,
)
from nodes.settings import ScoringRules

RULES = ScoringRules()
NOW = 1_900_000_000_000


def part(**changes: float) -> PartFacts:
    return PartFacts(**({"features": 12, "nonzero": 8, "leverage": 0.4} | changes))  # type: ignore[arg-type]


def use(model: str, **changes: object) -> ModelUse:
    facts: dict[str, object] = {"fields": frozenset({"a.x", "a.y"}), "created_ms": NOW, "first_ms": NOW, "subjects": 50}
    return ModelUse(model=model, **(facts | changes))  # type: ignore[arg-type]


def test_a_usual_part_passes() -> None:
    check_part(RULES, part())


@pytest.mark.parametrize(
    ("changes", "limit"),
    [
        ({"nonzero": 4}, "minimum_nonzero"),
        ({"features": 3, "nonzero": 2}, "minimum_nonzero"),
        ({"features": 1, "nonzero": 1}, "minimum_nonzero"),
        ({"leverage": 0.76}, "maximum_leverage"),
        ({"leverage": -0.1}, "maximum_leverage"),
        ({"leverage": math.nan}, "maximum_leverage"),
    ],
)
def test_a_part_that_would_tell_a_feature_is_refused_with_the_limits_name(
    changes: dict[str, float], limit: str
) -> None:
    with pytest.raises(ScoreLimitReached) as refused:
        check_part(RULES, part(**changes))
    assert refused.value.reason == limit
    assert limit in refused.value.message
    assert refused.value.code == "SCORE_LIMIT_REACHED"


def test_a_part_of_few_features_has_to_weigh_all_of_them() -> None:
    check_part(RULES, part(features=3, nonzero=3))


def test_a_jointly_trained_part_counts_at_least_two_features() -> None:
    check_part(RULES, part(nonzero=2, trained=True))
    with pytest.raises(ScoreLimitReached):
        check_part(RULES, part(nonzero=1, trained=True))


def test_a_fourth_model_is_refused_and_a_known_one_is_not() -> None:
    spent = SubjectSpent(models=frozenset({"m1", "m2", "m3"}))
    assert refusals(RULES, "m4", [spent], 0)[0] == ["models_per_subject"]
    assert refusals(RULES, "m2", [spent], 0)[0] == [None]


def test_a_subject_is_scored_so_often_a_day() -> None:
    assert refusals(RULES, "m", [SubjectSpent(today=9), SubjectSpent(today=10)], 0)[0] == [
        None,
        "scores_per_subject_per_day",
    ]


@given(
    st.lists(st.integers(0, 12), max_size=30),
    st.integers(0, 40),
    st.integers(1, 40),
)
def test_never_more_than_the_days_scores_are_allowed(today: list[int], used: int, most: int) -> None:
    rules = ScoringRules(scores_per_day=most)
    found, total = refusals(rules, "m", [SubjectSpent(today=each) for each in today], used)
    assert total == used + found.count(None)
    assert total <= max(used, most)
    for limit, each in zip(found, today, strict=True):
        assert (limit == "scores_per_subject_per_day") == (each >= 10)
    if "scores_per_day" in found:
        assert total >= most


def test_every_limit_of_subjects_has_its_sentence() -> None:
    assert "3 other models" in sentence_of(RULES, "models_per_subject")
    assert "10 times today" in sentence_of(RULES, "scores_per_subject_per_day")
    assert "1,000,000 scores" in sentence_of(RULES, "scores_per_day")


def test_more_than_ten_models_over_the_same_features_in_a_month_are_flagged() -> None:
    models = [use(f"m{number}") for number in range(11)]
    assert [each.what for each in probing(models, NOW)] == ["many_alike"]
    assert probing(models[:10], NOW) == ()
    aged = [use(f"m{number}", created_ms=NOW - 31 * DAY_MS) for number in range(11)]
    assert probing(aged, NOW) == ()
    elsewhere = [use(f"m{number}", fields=frozenset({f"a.{number}"})) for number in range(11)]
    assert probing(elsewhere, NOW) == ()


def test_a_model_that_is_hardly_used_beside_others_is_flagged_after_a_day() -> None:
    tried = use("tried", subjects=3, first_ms=NOW - 2 * DAY_MS)
    (flag,) = probing([tried, use("real")], NOW)
    assert (flag.what, flag.models) == ("hardly_used", ("tried",))
    assert probing([tried], NOW) == ()
    assert probing([use("new", subjects=3), use("real")], NOW) == ()
    assert probing([use("unused", subjects=0, first_ms=None), use("real")], NOW) == ()


@given(st.integers(0, 20), st.integers(-3, 30))
def test_never_more_scores_of_a_served_model_than_are_left(subjects: int, left: int) -> None:
    found, total = refusals(RULES, None, [SubjectSpent()] * subjects, 0, served_left=left)
    assert found == [None] * total + ["served_scores"] * (subjects - total)
    assert total == max(0, min(subjects, left))


@pytest.mark.parametrize(("columns", "scores"), [(1, 1), (2, 1), (3, 1), (18, 9)])
def test_a_served_model_gives_half_as_many_scores_as_it_has_columns_unless_its_owner_says_more(
    columns: int, scores: int
) -> None:
    assert served_scores(RULES, columns) == scores
    assert served_scores(ScoringRules(served_scores=500), columns) == 500
    assert "its owner has to agree" in sentence_of(RULES, "served_scores")


def test_a_model_of_the_nodes_own_member_is_limited_by_scores_alone() -> None:
    full = SubjectSpent(models=frozenset({"a", "b", "c"}), today=0)
    worn = SubjectSpent(models=frozenset(), today=RULES.scores_per_subject_per_day)
    assert refusals(RULES, "d", [full], 0)[0] == ["models_per_subject"]
    assert refusals(RULES, None, [full, worn], 0)[0] == [None, "scores_per_subject_per_day"]
    assert refusals(RULES, None, [full], RULES.scores_per_day)[0] == ["scores_per_day"]
    alike = [ModelUse(model=f"m{n}", fields=frozenset(), created_ms=0, first_ms=0, subjects=1) for n in range(12)]
    assert probing(alike, DAY_MS) == ()
