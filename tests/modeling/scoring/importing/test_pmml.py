"""PMML documents, held against scores that are worked out by hand: regressions, and scorecards with their reason codes."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from modeling.errors import ModelInvalid
from modeling.scoring.importing import import_model
from modeling.scoring.model import LinearModel
from modeling.scoring.reasons import outcome
from tests.modeling.scoring.importing.mappings import mapping, of_rows, scored
from tests.modeling.scoring.models import texts

SCALE = {"base_score": 600, "base_odds": 50, "pdo": 20}
FACTOR = 20 / math.log(2)
OFFSET = 600 - FACTOR * math.log(50)
NUMBERS = {"all": {"missing": 0.0, "low": -1e6, "high": 1e6}}

FIELDS = """
    <DataField name="income" optype="continuous" dataType="double"/>
    <DataField name="arrears" optype="continuous" dataType="double"/>
    <DataField name="age" optype="continuous" dataType="integer"/>
    <DataField name="default" optype="categorical" dataType="string"><Value value="bad"/><Value value="good"/></DataField>
"""
SCHEMA = """
    <MiningField name="income"/><MiningField name="arrears"/><MiningField name="age"/>
    <MiningField name="default" usageType="target"/>
"""
SECTOR = FIELDS.replace(
    '<DataField name="age" optype="continuous" dataType="integer"/>',
    '<DataField name="age" optype="categorical" dataType="string"/>',
)
"""The third input is a text here."""


def pmml(model: str, fields: str = FIELDS, before: str = "", version: str = "4_4") -> bytes:
    space = f'xmlns="http://www.dmg.org/PMML-{version}"'
    return f"""<?xml version="1.0" encoding="UTF-8"?>
<PMML version="4.4" {space}><Header/><DataDictionary>{fields}</DataDictionary>{before}{model}</PMML>""".encode()


def regression(
    *tables: str, schema: str = SCHEMA, inside: str = "", function: str = "classification", method: str = "logit"
) -> str:
    return f"""<RegressionModel functionName="{function}" normalizationMethod="{method}">
<MiningSchema>{schema}</MiningSchema>{inside}{"".join(tables)}</RegressionModel>"""


LINEAR = """
<NumericPredictor name="income" coefficient="-2e-6"/><NumericPredictor name="arrears" exponent="1" coefficient="0.75"/>
<NumericPredictor name="age" coefficient="-0.125"/>
"""
BAD = f'<RegressionTable targetCategory="bad" intercept="0.5">{LINEAR}</RegressionTable>'
GOOD = '<RegressionTable targetCategory="good" intercept="0"/>'
ROWS = np.array([[1e5, 2.0, 8.0], [5e5, 0.0, 30.0], [0.0, -1.0, 0.0], [2e6, 0.5, 4.0]])
BY_HAND = np.array([0.5 - 0.2 + 1.5 - 1.0, 0.5 - 1.0 + 0.0 - 3.75, 0.5 - 0.75, 0.5 - 2.0 + 0.375 - 0.5])
"""Income is cut off at a million."""


def read(document: bytes, **said: Any) -> LinearModel:
    return import_model(document, "pmml", mapping(**said))


@pytest.mark.parametrize("version", ["4_0", "4_1", "4_4"])
def test_a_regression_of_two_classes_scores_as_by_hand(version: str) -> None:
    model = read(pmml(regression(BAD, GOOD), version=version), event="bad", **NUMBERS)
    np.testing.assert_allclose(scored(model, of_rows(ROWS)), BY_HAND, rtol=0, atol=1e-9)
    assert model.meaning.link == "logit"


def test_the_mapping_says_which_class_is_the_event() -> None:
    for event, sign in (("bad", 1), ("good", -1)):
        model = read(pmml(regression(BAD, GOOD)), event=event, **NUMBERS)
        np.testing.assert_allclose(scored(model, of_rows(ROWS)), sign * BY_HAND, rtol=0, atol=1e-9)
    for event, words in ((None, "say in `event`"), ("worse", "none of the model's classes")):
        with pytest.raises(ModelInvalid, match=words):
            read(pmml(regression(BAD, GOOD)), event=event, **NUMBERS)


def test_softmax_is_the_difference_of_two_tables() -> None:
    other = '<RegressionTable targetCategory="good" intercept="-0.25"/>'
    model = read(pmml(regression(other, BAD, method="softmax")), event="bad", **NUMBERS)
    np.testing.assert_allclose(scored(model, of_rows(ROWS)), BY_HAND + 0.25, rtol=0, atol=1e-9)


def test_a_regression_of_one_number_may_be_a_probability_or_no_log_odds() -> None:
    table = f'<RegressionTable intercept="0.5">{LINEAR}</RegressionTable>'
    for method, link in (("logit", "logit"), ("none", "identity")):
        model = read(pmml(regression(table, function="regression", method=method)), **NUMBERS)
        np.testing.assert_allclose(scored(model, of_rows(ROWS)), BY_HAND, rtol=0, atol=1e-9)
        assert model.meaning.link == link


DERIVED = """<LocalTransformations>
<DerivedField name="z_income" optype="continuous" dataType="double"><NormContinuous field="income" mapMissingTo="0.5">
  <LinearNorm orig="0" norm="-2"/><LinearNorm orig="200000" norm="0"/></NormContinuous></DerivedField>
<DerivedField name="less" optype="continuous" dataType="double"><NormContinuous field="arrears" outliers="asExtremeValues">
  <LinearNorm orig="0" norm="1"/><LinearNorm orig="4" norm="0"/></NormContinuous></DerivedField>
<DerivedField name="same" optype="continuous" dataType="double"><FieldRef field="age"/></DerivedField>
</LocalTransformations>"""


def test_fields_standardised_inside_are_read_and_so_is_what_replaces_what_is_missing() -> None:
    table = """<RegressionTable intercept="1"><NumericPredictor name="z_income" coefficient="2"/>
      <NumericPredictor name="less" coefficient="4"/><NumericPredictor name="same" coefficient="0.5"/></RegressionTable>"""
    schema = SCHEMA.replace('name="arrears"', 'name="arrears" missingValueReplacement="3"').replace(
        'name="age"', 'name="age" outliers="asExtremeValues" lowValue="1" highValue="5" missingValueReplacement="2"'
    )
    model = read(pmml(regression(table, schema=schema, inside=DERIVED, function="regression")), income={"clip": 30.0})
    rows = np.array([[3e5, 1.0, 3.0], [np.nan, np.nan, np.nan], [0.0, 9.0, 100.0], [0.0, -9.0, 0.0]])
    by_hand = [1 + 2 * 1 + 4 * 0.75 + 1.5, 1 + 2 * 0.5 + 4 * 0.25 + 1, 1 - 4 + 0 + 2.5, 1 - 4 + 4 + 0.5]
    np.testing.assert_allclose(scored(model, of_rows(rows)), by_hand, rtol=0, atol=1e-9)
    assert model.features[0].input.cases.max() == 30.0


CATEGORIES = """<CategoricalPredictor name="age" value="trade" coefficient="0.5"/>
<CategoricalPredictor name="age" value="build" coefficient="-1"/><NumericPredictor name="income" coefficient="1"/>
<NumericPredictor name="arrears" coefficient="1"/>"""


def test_categories_add_their_coefficients_and_missing_or_other_ones_nothing() -> None:
    table = f'<RegressionTable intercept="0">{CATEGORIES}</RegressionTable>'
    said = {name: {"missing": 0.0, "low": -9, "high": 9} for name in ("income", "arrears")}
    model = read(pmml(regression(table, function="regression"), fields=SECTOR), **said)
    columns = {"income": np.zeros(4), "arrears": np.zeros(4), "age": texts("trade", "build", "fish", None)}
    np.testing.assert_allclose(scored(model, columns), [0.5, -1.0, 0.0, 0.0], rtol=0, atol=1e-12)


def test_a_category_that_a_document_calls_invalid_is_taken_for_what_the_mapping_says() -> None:
    declared = SECTOR.replace(
        'name="age" optype="categorical" dataType="string"/>',
        'name="age" optype="categorical" dataType="string"><Value value="trade"/><Value value="build"/>'
        '<Value value="farm"/></DataField>',
    )
    table = f'<RegressionTable intercept="0">{CATEGORIES}</RegressionTable>'
    said = {name: {"missing": 0.0, "low": -9, "high": 9} for name in ("income", "arrears")}
    document = pmml(regression(table, function="regression"), fields=declared)
    with pytest.raises(ModelInvalid, match="`other`"):
        read(document, **said)
    model = read(document, age={"other": "build"}, **said)
    columns = {"income": np.zeros(3), "arrears": np.zeros(3), "age": texts("farm", "fish", None)}
    np.testing.assert_allclose(scored(model, columns), [0.0, -1.0, 0.0], rtol=0, atol=1e-12)


def test_a_category_that_is_a_number_is_met_exactly() -> None:
    table = """<RegressionTable intercept="0"><CategoricalPredictor name="age" value="2" coefficient="0.5"/>
      <CategoricalPredictor name="age" value="3" coefficient="1"/></RegressionTable>"""
    schema = '<MiningField name="age"/>'
    document = pmml(regression(table, function="regression", schema=schema))
    model = import_model(document, "pmml", one_input("age"))
    values = np.array([2.0, 3.0, math.nextafter(2, 3), math.nextafter(2, 0), 0.0, np.nan])
    np.testing.assert_allclose(scored_one(model, values), [0.5, 1.0, 0.0, 0.0, 0.0, 0.0], rtol=0, atol=1e-12)


def one_input(name: str, **said: Any) -> Any:
    whole = mapping(scale=SCALE, **said)
    return type(whole)(
        **{**{each: getattr(whole, each) for each in whole.__struct_fields__}, "inputs": {name: whole.inputs[name]}}
    )


def scored_one(model: LinearModel, values: np.ndarray) -> np.ndarray:
    nothing = np.zeros(len(values))
    return scored(model, {"income": nothing, "arrears": nothing, "age": values})


# A scorecard of three characteristics: predicates of every kind, and codes of a characteristic and of single attributes.
SCORECARD = """<Scorecard functionName="regression" initialScore="300" useReasonCodes="true" reasonCodeAlgorithm="pointsBelow">
<MiningSchema>{schema}</MiningSchema><Characteristics>
<Characteristic name="i" reasonCode="INCOME" baselineScore="30">
  <Attribute partialScore="-5"><SimplePredicate field="income" operator="isMissing"/></Attribute>
  <Attribute partialScore="5"><SimplePredicate field="income" operator="lessThan" value="1000"/></Attribute>
  <Attribute partialScore="20"><CompoundPredicate booleanOperator="and">
    <SimplePredicate field="income" operator="greaterOrEqual" value="1000"/>
    <SimplePredicate field="income" operator="lessThan" value="5000"/></CompoundPredicate></Attribute>
  <Attribute partialScore="40"><True/></Attribute></Characteristic>
<Characteristic name="a" baselineScore="50">
  <Attribute partialScore="50" reasonCode="NONE"><SimplePredicate field="arrears" operator="lessOrEqual" value="0"/></Attribute>
  <Attribute partialScore="10" reasonCode="SOME"><SimplePredicate field="arrears" operator="lessOrEqual" value="100"/></Attribute>
  <Attribute partialScore="-40" reasonCode="MUCH"><SimplePredicate field="arrears" operator="greaterThan" value="100"/></Attribute>
</Characteristic>
<Characteristic name="s" reasonCode="SECTOR" baselineScore="10">
  <Attribute partialScore="15"><SimpleSetPredicate field="age" booleanOperator="isIn">
    <Array n="3" type="string">trade "food and drink" "a \\"b\\""</Array></SimpleSetPredicate></Attribute>
  <Attribute partialScore="-15"><CompoundPredicate booleanOperator="or"><SimplePredicate field="age" operator="equal" value="build"/>
    <SimplePredicate field="age" operator="equal" value="farm"/></CompoundPredicate></Attribute>
  <Attribute partialScore="0"><SimplePredicate field="age" operator="isNotMissing"/></Attribute></Characteristic>
</Characteristics></Scorecard>"""


def card(document: str = SCORECARD, **said: Any) -> LinearModel:
    told = {"scale": SCALE, "arrears": {"missing": 50.0}, "age": {"missing": "build"}, **said}
    return read(pmml(document.format(schema=SCHEMA), fields=SECTOR), **told)


def income_points(value: float) -> float:
    return -5 if math.isnan(value) else 5 if value < 1000 else 20 if value < 5000 else 40


def arrears_points(value: float) -> float:
    return 10 if math.isnan(value) else 50 if value <= 0 else 10 if value <= 100 else -40


SECTOR_POINTS = {"trade": 15, "food and drink": 15, 'a "b"': 15, "build": -15, "farm": -15, "fish": 0, None: -15}

EDGES = (0.0, 100.0, 1000.0, 5000.0)
BESIDE = tuple(math.nextafter(edge, way) for edge in EDGES for way in (-math.inf, math.inf))
VALUES = st.one_of(st.sampled_from([*EDGES, *BESIDE, math.nan]), st.floats(-1e6, 1e6))


@given(st.tuples(VALUES, VALUES, st.sampled_from(list(SECTOR_POINTS))))
def test_a_scorecard_gives_the_points_that_one_adds_up_by_hand(row: tuple[float, float, str | None]) -> None:
    income, arrears, sector = row
    columns = {"income": np.array([income]), "arrears": np.array([arrears]), "age": texts(sector)}
    by_hand = 300 + income_points(income) + arrears_points(arrears) + SECTOR_POINTS[sector]
    found = CARD.meaning.read(scored(CARD, columns))
    assert found.points is not None
    assert found.points[0] == by_hand
    assert found.score[0] == pytest.approx((OFFSET - by_hand) / FACTOR, abs=1e-9)


CARD = card()


def test_reason_codes_are_those_of_points_below_the_baseline_the_most_first() -> None:
    """All three characteristics as the bank's own, so that none is hidden in a total."""
    own = {name: {"own": name, "member": None, "item": None, "field": None} for name in ("income", "arrears", "age")}
    whole = card(
        income=own["income"], arrears={**own["arrears"], "missing": 50.0}, age={**own["age"], "missing": "build"}
    )
    columns = {
        "income": np.array([np.nan, 9000.0, 500.0, 9000.0]),
        "arrears": np.array([500.0, 50.0, 0.0, -1.0]),
        "age": texts("trade", "fish", "build", None),
    }
    score = whole.own_predictor(columns, np.ones(4, np.bool_))
    found = outcome(whole, score, columns, np.ones(4, np.bool_))
    # Points below the baselines 30, 50 and 10, row by row: (35, 90, -5), (-10, 40, 10), (25, 0, 25), (-10, 0, 25).
    assert found.reasons == (("MUCH", "INCOME"), ("SOME", "SECTOR"), ("INCOME", "SECTOR"), ("SECTOR",))


def test_outliers_of_a_characteristic_count_as_the_limit() -> None:
    schema = SCHEMA.replace('name="arrears"', 'name="arrears" outliers="asExtremeValues" lowValue="50" highValue="90"')
    whole = read(
        pmml(SCORECARD.format(schema=schema), fields=SECTOR),
        scale=SCALE,
        arrears={"missing": 50.0},
        age={"missing": "build"},
    )
    columns = {"income": np.full(3, 9000.0), "arrears": np.array([-5.0, 60.0, 1e9]), "age": texts(*["fish"] * 3)}
    assert np.rint(OFFSET - FACTOR * scored(whole, columns)).tolist() == [350, 350, 350]


def test_a_baseline_of_the_whole_card_serves_characteristics_without_one() -> None:
    document = SCORECARD.replace(' baselineScore="30"', "").replace(
        'initialScore="300"', 'initialScore="300" baselineScore="7"'
    )
    assert card(document).features[0].baseline == pytest.approx(-7 / FACTOR)
    off = SCORECARD.replace('useReasonCodes="true"', 'useReasonCodes="false"')
    assert card(off).features[0].baseline is None
    assert card(off).features[0].reasons == ()


def table(inside: str, **attributes: str) -> str:
    return f'<RegressionTable intercept="0">{inside}</RegressionTable>'


def changed(before: str, after: str) -> bytes:
    assert before in SCORECARD
    return pmml(SCORECARD.replace(before, after).format(schema=SCHEMA), fields=SECTOR)


FORMULA = """<LocalTransformations><DerivedField name="d"><Apply function="ln"><FieldRef field="income"/></Apply></DerivedField>
</LocalTransformations>"""
POINT = '<LinearNorm orig="0" norm="-2"/>'
ONE = '<NumericPredictor name="income" coefficient="1"/>'
REFUSED: dict[str, tuple[bytes, str]] = {
    "a tree": (pmml("<TreeModel><MiningSchema/></TreeModel>"), "TreeModel"),
    "a general regression": (pmml("<GeneralRegressionModel><MiningSchema/></GeneralRegressionModel>"), "GeneralRegressionModel"),
    "two models": (pmml(regression(BAD, GOOD) * 2), "RegressionModel, RegressionModel"),
    "another link": (pmml(regression(BAD, GOOD, method="probit")), "normalizationMethod probit"),
    "three classes": (pmml(regression(BAD, GOOD, GOOD.replace("good", "none"))), "with 3 tables"),
    "a power": (pmml(regression(table(ONE.replace("/>", ' exponent="2"/>')), function="regression")), "exponent"),
    "an interaction": (pmml(regression(table('<PredictorTerm coefficient="1"/>'), function="regression")), "PredictorTerm"),
    "a field twice": (pmml(regression(table(ONE * 2), function="regression")), "several terms"),
    "a field from nowhere": (pmml(regression(table(ONE.replace("income", "x")), function="regression")), "'x' is not in"),
    "no number": (pmml(regression(table(ONE.replace('"1"', '"one"')), function="regression")), "no finite number"),
    "an infinite number": (pmml(regression(table(ONE.replace('"1"', '"INF"')), function="regression")), "no finite number"),
    "two full tables by logit": (pmml(regression(BAD, BAD.replace("bad", "good"))), "second table is empty"),
    "a formula": (
        pmml(regression(table(ONE.replace("income", "d")), function="regression",
             inside=FORMULA)),
        "by Apply is not supported",
    ),
    "a bent line": (
        pmml(regression(table(ONE.replace("income", "z_income")), function="regression",
             inside=DERIVED.replace(POINT, POINT.replace('"0"', '"-9"') + POINT))),
        "of 3 points",
    ),
    "a result that is changed afterwards": (
        pmml(regression(table(ONE), function="regression", inside='<Targets><Target rescaleFactor="2"/></Targets>')), "Target",
    ),
    "a model that is not for scoring": (
        pmml(regression(BAD, GOOD).replace("<RegressionModel", '<RegressionModel isScorable="false"')), "not for scoring",
    ),
    "a date": (pmml(regression(BAD, GOOD), fields=FIELDS.replace('dataType="integer"', 'dataType="date"')), "type date"),
    "outliers as missing": (
        pmml(regression(BAD, GOOD, schema=SCHEMA.replace('name="age"', 'name="age" outliers="asMissingValues"'))), "asMissingValues",
    ),
    "points above": (changed("pointsBelow", "pointsAbove"), "pointsAbove"),
    "computed points": (changed('<Attribute partialScore="40"><True/>', '<Attribute><ComplexPartialScore/><True/>'), "partialScore"),
    "two fields in a characteristic": (
        changed('field="income" operator="isMissing"', 'field="arrears" operator="isMissing"'), "over one field",
    ),
    "values without points": (changed('<Attribute partialScore="40"><True/></Attribute>', ""), "says nothing of 'income' up to inf"),
    "a category without points": (changed('operator="isNotMissing"', 'operator="equal" value="fish"'), "`other`"),
    "texts by their order": (changed('operator="isNotMissing"', 'operator="lessThan" value="m"'), "by their order"),
    "a surrogate": (changed('booleanOperator="and"', 'booleanOperator="surrogate"'), "surrogate"),
    "no document": (b"<html/>", "one of html"),
    "no XML": (b"PMML", "no PMML document"),
    "an endless document": (b'<!DOCTYPE x [<!ENTITY a "b"><!ENTITY c "&a;&a;">]><PMML>&c;</PMML>', "no PMML document"),
    "a file of the machine": (b'<!DOCTYPE x [<!ENTITY a SYSTEM "file:///etc/passwd">]><PMML>&a;</PMML>', "no PMML document"),
    "predicates without end": (
        changed("<True/>", '<CompoundPredicate booleanOperator="and">' * 5000 + "<True/>" + "</CompoundPredicate>" * 5000),
        "CompoundPredicate",
    ),
    "a document type, though harmless": (pmml(regression(BAD, GOOD)).replace(b"<PMML", b"<!DOCTYPE PMML><PMML"), "no PMML document"),
    "nothing": (b"", "no PMML document"),
    "far too much": (b" " * (9 << 20), "8 MB"),
}  # fmt: skip


@pytest.mark.parametrize("name", REFUSED)
def test_what_is_not_linear_or_not_complete_is_refused_and_says_so(name: str) -> None:
    document, words = REFUSED[name]
    sector = {"age": {"missing": "build"}, "arrears": {"missing": 50.0}} if document.startswith(pmml("")[:200]) else {}
    scorecard = b"Scorecard" in document
    said = {"scale": SCALE, **sector} if scorecard else {"event": "bad", **NUMBERS}
    with pytest.raises(ModelInvalid, match=words):
        read(document, **said)


def test_a_scorecard_without_a_scale_means_nothing() -> None:
    with pytest.raises(ModelInvalid, match="needs `scale`"):
        card(scale=None)


@pytest.mark.parametrize(
    ("said", "words"),
    [
        ({"arrears": {}}, "'arrears': the model does not say"),
        ({"arrears": {"missing": 0.0, "member": "Tax Bureau"}}, "member"),
        ({"arrears": {"missing": 0.0, "field": "Amount"}}, "not named as item.field"),
        ({"income": {"missing": 0.0}}, "'income': the model says itself"),
        ({"age": {"missing": "mine"}}, "none of the model's categories"),
        ({"arrears": {"missing": "none"}}, "is a text"),
        ({"arrears": {"missing": 0.0, "low": 0.0}}, "has bins"),
        ({"age": {"missing": "build", "other": "build"}}, "'age': the model says itself what `other` is"),
        ({"arrears": {"missing": 0.0, "other": "x"}}, "for categories"),
        ({"arrears": {"missing": 0.0, "reference": {"shares": [1.0]}}}, "4 bins"),
    ],
)
def test_a_mapping_that_does_not_fit_the_model_is_refused(said: dict[str, Any], words: str) -> None:
    with pytest.raises(ModelInvalid, match=words):
        card(**said)


def test_shares_of_the_cards_own_bins_are_its_reference() -> None:
    found = card(arrears={"missing": 0.0, "reference": {"shares": [0.0, 0.8, 0.15, 0.05]}}).features[1].input
    assert found.reference is not None
    assert found.reference.shares == (0.0, 0.8, 0.15, 0.05)
