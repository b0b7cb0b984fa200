"""The estimators of a notebook against the pooled data, against the job that they run, and with frames that cannot be used."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from sklearn.base import clone
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import KFold

from modeling.errors import ArgumentInvalid, BudgetExceeded, DataUnusable, ParametersUnsafe
from modeling.estimator import VerticalBoosting, VerticalLogisticRegression
from modeling.frames import OWN, tables_of
from modeling.gbdt.settings import Settings as BoostingSettings
from modeling.jobs.plan import SelectionRules
from modeling.logistic.settings import Settings as LogisticSettings
from modeling.metrics import auc
from modeling.preparation.columns import OrdinalRule
from modeling.preparation.woe import Limits

ROWS = 800
Estimator = VerticalLogisticRegression | VerticalBoosting
QUICK: dict[str, Callable[[], Estimator]] = {
    "logistic": lambda: VerticalLogisticRegression(steps=4, tolerance=0.0),
    "boosting": lambda: VerticalBoosting(trees=2, key_bits=2048),
}


def loans() -> tuple[pd.DataFrame, pd.Series, dict[str, pd.DataFrame]]:
    """Own columns, the label, and those of two providers, on an index that is not 0, 1, 2."""
    random = np.random.default_rng(3)
    x = random.normal(size=(ROWS, 5))
    label = random.random(ROWS) < 1 / (1 + np.exp(-x @ [1.0, 0.7, 0.9, -0.8, 0.6]))
    frame = pd.DataFrame(x, columns=["income", "amount", "arrears", "staff", "turnover"])
    frame.index = pd.Index([f"e{row}" for row in range(ROWS)])
    return (
        frame[["income", "amount"]],
        pd.Series(label, index=frame.index, name="bad"),
        {"tax": frame[["arrears", "staff"]], "pay": frame[["turnover"]]},
    )


OWN_FRAME, LABEL, PROVIDERS = loans()
TAX = {"tax": PROVIDERS["tax"]}


# -- it is the model of the pooled data, and of the job


def test_logistic_regression_over_two_providers_is_that_of_the_pooled_data() -> None:
    model = VerticalLogisticRegression(steps=10, l2=1e-3).fit(OWN_FRAME, LABEL, PROVIDERS)
    found = model.predict_proba(OWN_FRAME, PROVIDERS)
    pooled = pd.concat([OWN_FRAME, *PROVIDERS.values()], axis=1)
    pooled = (pooled - pooled.mean()) / pooled.std(ddof=0)
    expected = LogisticRegression(C=1 / (1e-3 * ROWS)).fit(pooled, LABEL).predict_proba(pooled)
    assert found.shape == (ROWS, 2)
    np.testing.assert_allclose(found, expected, atol=0.03)
    np.testing.assert_allclose(found.sum(axis=1), 1.0)
    assert model.classes_.tolist() == [0, 1]
    assert model.predict(OWN_FRAME, PROVIDERS).tolist() == (found[:, 1] > 0.5).astype(int).tolist()


def test_columns_that_say_nothing_or_the_same_as_another_are_left_out_where_columns_are_chosen() -> None:
    own = OWN_FRAME.assign(noise=np.random.default_rng(5).normal(size=ROWS))
    both = PROVIDERS | {"pay": PROVIDERS["pay"].assign(again=-PROVIDERS["tax"]["arrears"])}
    rules = SelectionRules(limits=Limits(lowest_value=0.1), key_bits=2048)
    model = VerticalLogisticRegression(steps=4, tolerance=0.0, selection=rules).fit(own, LABEL, both)
    assert model.parts_.own.prepared.names == ("income", "amount")
    assert {name: part.prepared.names for name, part in model.parts_.providers.items()} == {
        "tax": ("arrears", "staff"),
        "pay": ("turnover",),
    }
    for told in ("each bin of a provider's columns", "every other party"):
        assert any(told in line for leak in model.leaks_ for line in leak.learns)


@pytest.mark.parametrize("algorithm", QUICK)
def test_what_a_provider_brings_shows_in_rows_that_were_held_out(algorithm: str) -> None:
    model = QUICK[algorithm]().fit(OWN_FRAME, LABEL, TAX, test=0.3)
    kept = round(ROWS * 0.7)
    tested = {"tax": TAX["tax"][kept:]}
    again = auc(LABEL[kept:].to_numpy(float), model.predict_proba(OWN_FRAME[kept:], tested)[:, 1])
    assert model.evaluation_ is not None
    assert model.evaluation_.rows == ROWS - kept
    assert model.evaluation_.auc.value == pytest.approx(again, abs=1e-6)
    assert model.score(OWN_FRAME[kept:], LABEL[kept:], tested) == again
    assert again > 0.65
    assert set(model.parts_.providers) == {"tax"}
    assert model.n_iter_ == {"logistic": 4, "boosting": 2}[algorithm]


def test_without_held_out_rows_every_row_trains_and_nothing_is_evaluated() -> None:
    model = QUICK["boosting"]().fit(OWN_FRAME, LABEL, TAX)
    assert model.evaluation_ is None
    assert model.score(OWN_FRAME, LABEL, TAX) > 0.7


@pytest.mark.parametrize("algorithm", QUICK)
def test_leaks_and_traffic_are_those_of_this_run(algorithm: str) -> None:
    model = QUICK[algorithm]().fit(OWN_FRAME, LABEL, TAX)
    assert [leak.party for leak in model.leaks_] == [OWN, "tax", "hub"]
    assert not any("test enterprise" in line for line in model.leaks_[0].learns)
    model.predict_proba(OWN_FRAME, TAX)
    assert any("test enterprise" in line for line in model.leaks_[0].learns)
    if algorithm == "logistic":
        assert any(f"each of {ROWS} test" in line for line in model.leaks_[0].learns)
    least = model.n_iter_ * (1_000_000 if algorithm == "logistic" else 50_000)
    assert least < model.traffic_.bytes < 40 * least
    assert 2 * model.n_iter_ < model.traffic_.rounds < model.traffic_.messages


# -- columns of every kind


def test_columns_of_every_kind_become_numbers_and_texts() -> None:
    frame = pd.DataFrame(
        {
            "whole": pd.array([1, None, 3], dtype="Int64"),
            "flag": [True, False, True],
            "day": pd.to_datetime(["1970-01-02", None, "1970-01-04"]),
            "text": ["a", None, "b"],
            "kind": pd.Categorical(["x", None, "y"]),
            "mixed": pd.Series([1, None, 2.5], dtype=object),
        }
    )
    mapping = {"list": [1, 2, None], "words": ["p", None, "q"]}
    array = np.array([[1.0, 2.0], [np.nan, np.nan], [3.0, 4.0]])
    tables = tables_of(frame, {"tax": mapping, "pay": array})
    columns = {name: values for table in tables.values() for name, values in table.columns.items()}
    nan = np.nan
    for name, expected in {
        "whole": [1, nan, 3],
        "flag": [1, 0, 1],
        "day": [1, nan, 3],
        "mixed": [1, nan, 2.5],
        "list": [1, 2, nan],
        "pay[0]": [1, nan, 3],
        "pay[1]": [2, nan, 4],
    }.items():
        assert columns[name].dtype == np.float64
        np.testing.assert_array_equal(columns[name], expected, err_msg=name)
    for name, texts in {"text": ["a", None, "b"], "kind": ["x", None, "y"], "words": ["p", None, "q"]}.items():
        assert columns[name].tolist() == texts
    assert tables["pay"].present.tolist() == [True, False, True]
    assert tables["tax"].present.all()
    assert mapping["words"] == ["p", None, "q"]


def test_rows_that_a_provider_lacks_and_columns_with_a_rule_train_and_score() -> None:
    size = pd.Series(np.where(OWN_FRAME["income"] > 0, "large", "small"), index=OWN_FRAME.index)
    tax = TAX["tax"].copy()
    tax.iloc[::10] = np.nan
    model = VerticalLogisticRegression(steps=6, rules={"size": OrdinalRule(order=("small", "large"))})
    model.fit(OWN_FRAME.assign(size=size), LABEL, {"tax": tax})
    assert model.parts_.own.prepared.names == ("income", "amount", "size")
    found = model.predict_proba(OWN_FRAME.assign(size=size), {"tax": tax})
    assert np.isfinite(found).all()
    turned = OWN_FRAME.assign(size=size, more=1.0)[["more", "size", "amount", "income"]]
    np.testing.assert_allclose(model.predict_proba(turned, {"tax": tax}), found)


# -- as scikit-learn expects it


@pytest.mark.parametrize(
    ("estimator", "settings", "more"),
    [(VerticalLogisticRegression, LogisticSettings, set()), (VerticalBoosting, BoostingSettings, {"validation"})],
)
def test_parameters_are_the_settings_with_their_defaults(estimator: Any, settings: Any, more: set[str]) -> None:
    parameters = inspect.signature(estimator).parameters
    assert set(parameters) == {*settings.__struct_fields__, "rules", "selection"} | more
    default = settings()
    for name in settings.__struct_fields__:
        assert parameters[name].default == getattr(default, name)
    assert set(estimator().get_params()) == set(parameters)


def test_clones_are_new_and_folds_are_trained_on_alone() -> None:
    scores = []
    first = QUICK["logistic"]().fit(OWN_FRAME, LABEL, TAX)
    for train, test in KFold(2, shuffle=True, random_state=0).split(OWN_FRAME):
        model = clone(first).set_params(steps=np.int64(3))
        assert not hasattr(model, "parts_")
        model.fit(OWN_FRAME.iloc[train], LABEL.iloc[train], {"tax": TAX["tax"].iloc[train]})
        scores.append(model.score(OWN_FRAME.iloc[test], LABEL.iloc[test], {"tax": TAX["tax"].iloc[test]}))
        assert model.n_iter_ == 3
    assert min(scores) > 0.65
    assert first.get_params()["steps"] == 4
    assert "steps=4" in repr(first)


# -- what cannot be


@pytest.mark.parametrize(
    ("own", "label", "providers", "words"),
    [
        (OWN_FRAME, LABEL, {}, "1 to 4 providers"),
        (OWN_FRAME, LABEL, PROVIDERS["tax"], "1 to 4 providers"),
        (OWN_FRAME, LABEL, dict.fromkeys("abcde", PROVIDERS["tax"]), "1 to 4 providers"),
        (OWN_FRAME, LABEL, {"own": PROVIDERS["tax"]}, "cannot be called own"),
        (OWN_FRAME, LABEL, {"tax": PROVIDERS["tax"][::-1]}, "rows of tax are not those of own"),
        (OWN_FRAME, LABEL[::-1], TAX, "rows of label are not those of own"),
        (OWN_FRAME, LABEL, {"tax": {"x": PROVIDERS["tax"]["staff"][::-1]}}, "rows of tax are not"),
        (OWN_FRAME, LABEL, {"tax": {"x": np.ones(5)}}, "own 800, tax 5"),
        (OWN_FRAME, LABEL, {"tax": {"x": np.ones(5), "y": np.ones(6)}}, "5 to 6 rows"),
        (
            OWN_FRAME,
            LABEL,
            {"tax": PROVIDERS["tax"].rename(columns={"staff": "income"})},
            "both have a column 'income'",
        ),
        (OWN_FRAME, LABEL, {"tax": PROVIDERS["tax"].set_axis(["a", "a"], axis=1)}, "each by another"),
        (OWN_FRAME, LABEL, {"tax": PROVIDERS["tax"].set_axis([1, 2], axis=1)}, "named by texts"),
        (OWN_FRAME, LABEL, {"tax": pa.table({"x": np.ones(ROWS)})}, "named by texts"),
        (OWN_FRAME, LABEL, {"tax": PROVIDERS["tax"][[]]}, "tax brings no column"),
        (OWN_FRAME, LABEL, {"tax": [1, 2]}, "tax brings a list"),
        (OWN_FRAME, LABEL, {"tax": np.ones(ROWS)}, "two dimensions"),
        (OWN_FRAME, LABEL, {"tax": {"x": np.ones((ROWS, 2))}}, "one dimension"),
        (OWN_FRAME, LABEL, {"tax": {"x": [1, "a"] * (ROWS // 2)}}, "holds int, str"),
        (OWN_FRAME, LABEL, {"tax": {"x": np.r_[np.inf, np.ones(ROWS - 1)]}}, "infinite"),
        (OWN_FRAME, LABEL, {"tax": {"x": np.ones(ROWS)}}, "constant or empty"),
        (OWN_FRAME, LABEL.map({True: "bad", False: "good"}), TAX, "a label is 0 or 1"),
        (OWN_FRAME, LABEL + 1, TAX, "a label is 0 or 1"),
        (OWN_FRAME, LABEL.astype(float).where(LABEL), TAX, "a label is 0 or 1"),
        (OWN_FRAME, LABEL.to_numpy()[:-1], TAX, "a value for each of the 800 rows"),
        (OWN_FRAME, np.ones(ROWS), TAX, "both occur"),
    ],
)
def test_frames_that_cannot_be_used_are_refused_in_words(own: Any, label: Any, providers: Any, words: str) -> None:
    with pytest.raises(DataUnusable, match=words):
        QUICK["logistic"]().fit(own, label, providers)


@pytest.mark.parametrize(
    ("estimator", "error", "words"),
    [
        (VerticalBoosting(trees=0), ArgumentInvalid, "trees"),
        (VerticalBoosting(key_bits=512), ParametersUnsafe, "512"),
        (VerticalBoosting(validation=2), ArgumentInvalid, "validation is a share"),
        (VerticalLogisticRegression(steps="many"), ArgumentInvalid, "steps"),  # type: ignore[arg-type]
        (VerticalLogisticRegression(steps=200), BudgetExceeded, "equations"),
        (VerticalLogisticRegression(rules={"no_such": OrdinalRule(order=("a",))}), ArgumentInvalid, "no such column"),
    ],
)
def test_parameters_that_cannot_be_used_are_refused(estimator: Estimator, error: type[Exception], words: str) -> None:
    with pytest.raises(error, match=words):
        estimator.fit(OWN_FRAME, LABEL, TAX)
    with pytest.raises(ArgumentInvalid, match="call fit first"):
        estimator.predict_proba(OWN_FRAME, TAX)


def test_a_share_of_test_rows_and_a_parameter_that_there_is_not_are_refused() -> None:
    with pytest.raises(ArgumentInvalid, match="share of the rows"):
        QUICK["logistic"]().fit(OWN_FRAME, LABEL, TAX, test=1.0)
    with pytest.raises(DataUnusable, match="one class only"):
        QUICK["logistic"]().fit(OWN_FRAME, np.arange(ROWS) < ROWS / 2, TAX, test=0.3)
    with pytest.raises(ArgumentInvalid, match="no parameter tress"):
        VerticalBoosting().set_params(tress=3)


def test_a_model_scores_with_the_columns_and_providers_that_it_was_trained_with() -> None:
    model = QUICK["logistic"]().fit(OWN_FRAME, LABEL, TAX)
    with pytest.raises(DataUnusable, match="'staff' is not in the data"):
        model.predict_proba(OWN_FRAME, {"tax": TAX["tax"][["arrears"]]})
    with pytest.raises(DataUnusable, match="the model is of tax, not of pay"):
        model.predict_proba(OWN_FRAME, {"pay": PROVIDERS["pay"]})
