"""Models of scikit-learn, held against scikit-learn's own scores."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.ensemble import RandomForestClassifier
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LinearRegression, LogisticRegression
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import MinMaxScaler, StandardScaler

from modeling.errors import ModelInvalid
from modeling.scoring.importing import from_sklearn
from tests.modeling.scoring.importing.mappings import NAMES, mapping, of_rows, scored

RANDOM = np.random.default_rng(5)
X = RANDOM.normal(size=(200, 3)) * [1e5, 100.0, 7.0] + [3e5, 50.0, 12.0]
Y = (RANDOM.random(200) < 1 / (1 + np.exp(-(X - X.mean(0)) / X.std(0) @ [1.0, 2.0, -1.0]))).astype(int)
GAPS = np.where(RANDOM.random(X.shape) < 0.1, np.nan, X)


def regression() -> LogisticRegression:
    return LogisticRegression(solver="newton-cholesky")  # finds its way without scaling


def behind(*steps: Any) -> Pipeline:
    return make_pipeline(*steps, regression())


@pytest.mark.parametrize(
    ("estimator", "said"),
    [
        (regression(), {"missing": 0, "low": -1e7, "high": 1e7}),
        (regression(), {"missing": 0, "centre": 10.0, "spread": 1e6}),
        (behind(StandardScaler()), {"missing": 5}),
        (behind(StandardScaler(with_mean=False)), {"missing": 5, "clip": 50}),
        (behind(StandardScaler(with_std=False)), {"missing": 5, "clip": 9e5}),
        (behind(SimpleImputer(), StandardScaler()), {}),
        (behind(StandardScaler(), SimpleImputer(strategy="median")), {}),
        (behind(StandardScaler(), SimpleImputer(strategy="constant", fill_value=0.3), StandardScaler()), {}),
        (behind(SimpleImputer(add_indicator=True), StandardScaler()), {}),
        (behind(SimpleImputer(add_indicator=True)), {"low": -1e7, "high": 1e7}),
        (behind(Pipeline([("one", StandardScaler()), ("none", "passthrough")])), {"missing": 1}),
    ],
)
def test_an_imported_model_scores_as_scikit_learn_does(estimator: Any, said: dict[str, float]) -> None:
    rows = X if "missing" in said else GAPS
    estimator.fit(rows, Y)
    model = from_sklearn(estimator, mapping(all=said))
    np.testing.assert_allclose(scored(model, of_rows(rows)), estimator.decision_function(rows), rtol=0, atol=1e-9)
    probability = model.meaning.read(scored(model, of_rows(rows))).probability
    assert probability is not None
    np.testing.assert_allclose(probability, estimator.predict_proba(rows)[:, 1], rtol=0, atol=1e-9)


@settings(max_examples=15)
@given(st.integers(0, 2**32 - 1), st.booleans(), st.booleans())
def test_so_does_any_model_on_any_rows(seed: int, scaled: bool, indicator: bool) -> None:
    """Coefficients are set, not fitted: any could come."""
    random = np.random.default_rng(seed)
    steps = [
        SimpleImputer(add_indicator=indicator),
        *([StandardScaler()] if scaled else []),
        LogisticRegression(max_iter=1),
    ]
    estimator = make_pipeline(*steps[:-1])
    width = estimator.fit_transform(GAPS).shape[1]
    last = LogisticRegression()
    last.classes_, last.n_features_in_ = np.array([0, 1]), width
    last.coef_, last.intercept_ = random.normal(size=(1, width)), random.normal(size=1)
    whole = Pipeline([*estimator.steps, ("last", last)])
    rows = np.where(random.random((50, 3)) < 0.2, np.nan, random.normal(size=(50, 3)) * X.std(0) + X.mean(0))
    model = from_sklearn(whole, mapping(all={} if scaled else {"low": -1e7, "high": 1e7}))
    np.testing.assert_allclose(scored(model, of_rows(rows)), whole.decision_function(rows), rtol=1e-12, atol=1e-9)


def test_a_number_is_cut_off_where_the_mapping_says_or_far_out() -> None:
    estimator = behind(StandardScaler()).fit(X, Y)
    far = X[:1] + X.std(0) * 1000
    at_ten = X.mean(0) + X.std(0) * 10
    model = from_sklearn(estimator, mapping(all={"missing": 0}))
    np.testing.assert_allclose(scored(model, of_rows(far)), estimator.decision_function(at_ten[None]))
    model = from_sklearn(estimator, mapping(all={"missing": 0, "high": 20.0}))
    np.testing.assert_allclose(scored(model, of_rows(far)), estimator.decision_function(np.full((1, 3), 20.0)))


def test_names_of_training_are_taken_and_the_class_that_is_the_event() -> None:
    pandas = pytest.importorskip("pandas", exc_type=ImportError)
    words = np.where(Y == 1, "bad", "good")
    estimator = regression().fit(pandas.DataFrame(X, columns=NAMES), words)
    told = {"all": {"missing": 0, "low": -1e7, "high": 1e7}, "columns": []}
    good = estimator.decision_function(pandas.DataFrame(X, columns=NAMES))
    assert tuple(estimator.classes_) == ("bad", "good")
    np.testing.assert_allclose(
        scored(from_sklearn(estimator, mapping(event="bad", **told)), of_rows(X)), -good, atol=1e-9
    )
    np.testing.assert_allclose(
        scored(from_sklearn(estimator, mapping(event="good", **told)), of_rows(X)), good, atol=1e-9
    )
    with pytest.raises(ModelInvalid, match="event"):
        from_sklearn(estimator, mapping(**told))


def test_a_column_of_weight_0_is_not_read() -> None:
    estimator = LogisticRegression(l1_ratio=1, C=0.02, solver="liblinear").fit((X - X.mean(0)) / X.std(0), Y)
    assert estimator.coef_[0, 2] == 0 != estimator.coef_[0, 1]
    model = from_sklearn(estimator, mapping(all={"missing": 0, "low": -9, "high": 9}))
    assert "basics" not in model.preparation_for("tax").items


@pytest.mark.parametrize(
    ("estimator", "told", "said"),
    [
        (RandomForestClassifier(n_estimators=1), {}, "RandomForestClassifier is not supported"),
        (LinearRegression(), {}, "LinearRegression is not supported"),
        (behind(MinMaxScaler()), {}, "MinMaxScaler is not supported"),
        (behind(SimpleImputer(missing_values=-1.0)), {}, "in place of NaN"),
        (regression(), {"all": {"low": -1e7, "high": 1e7}}, "give `missing`"),
        (regression(), {"all": {"missing": 0}}, "`low` and `high`"),
        (regression(), {"all": {"missing": "none"}}, "for categories"),
        (regression(), {"columns": ["income"]}, "numbers its 3 inputs"),
        (regression(), {"columns": ["income", "arrears", "turnover"]}, "only the model has: turnover"),
        (behind(SimpleImputer(), StandardScaler()), {"all": {"missing": 0}}, "leave it out"),
        (
            behind(StandardScaler()),
            {"all": {"missing": 0, "centre": 0.0, "spread": 1.0}},
            "standardises this number itself",
        ),
    ],
)
def test_what_is_not_supported_is_refused_and_says_so(estimator: Any, told: dict[str, Any], said: str) -> None:
    estimator.fit(X, Y)
    with pytest.raises(ModelInvalid, match=said):
        from_sklearn(estimator, mapping(**{"all": {"missing": 0, "low": -1e7, "high": 1e7}, **told}))


def test_three_classes_an_unfitted_and_no_estimator_are_refused() -> None:
    three = regression().fit(X, np.arange(200) % 3)
    for estimator, said in ((three, "3 classes"), (regression(), "not fitted"), (object(), "object is not supported")):
        with pytest.raises(ModelInvalid, match=said):
            from_sklearn(estimator, mapping(all={"missing": 0, "low": -1e7, "high": 1e7}))


def test_an_object_that_only_calls_itself_so_is_not_trusted() -> None:
    class LogisticRegression:  # not scikit-learn's
        coef_ = np.ones((1, 3))

    with pytest.raises(ModelInvalid, match="not supported"):
        from_sklearn(LogisticRegression(), mapping())
