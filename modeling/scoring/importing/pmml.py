"""PMML: a RegressionModel with two classes or one number, or a Scorecard whose points are numbers.

Source: PMML 4.4 (dmg.org/pmml/v4-4), Regression and Scorecard; documents of versions 4.0 to 4.4 are read alike.
"""

from __future__ import annotations

from collections import defaultdict
from typing import Final
from xml.etree.ElementTree import Element

from modeling.errors import ModelInvalid
from modeling.scorecard import Scale
from modeling.scoring.importing.found import Found, Slope, Steps, Term, assemble
from modeling.scoring.importing.mapping import ModelMapping, label_text
from modeling.scoring.importing.pmml_document import (
    Document,
    Field,
    Indicator,
    Scaled,
    attribute,
    child,
    children,
    local,
    number,
    number_text,
    parse_pmml,
)
from modeling.scoring.importing.pmml_predicates import Predicate, Raw, bins_of, read_predicate
from modeling.scoring.model import LinearModel

_PREDICATES: Final = frozenset({"SimplePredicate", "CompoundPredicate", "SimpleSetPredicate", "True", "False"})


def read_pmml(data: bytes, mapping: ModelMapping) -> LinearModel:
    """The model of a PMML document's bytes; inputs are named as its fields. Raises ModelInvalid."""
    document = parse_pmml(data)
    try:
        found = (
            _scorecard(document, mapping) if local(document.model) == "Scorecard" else _regression(document, mapping)
        )
    except RecursionError:
        raise ModelInvalid("the PMML document is nested too deeply") from None
    return assemble(found, mapping)


def _regression(document: Document, mapping: ModelMapping) -> Found:
    model = document.model
    tables = children(model, "RegressionTable")
    method, function = model.get("normalizationMethod", "none"), model.get("functionName")
    if function == "regression" and len(tables) == 1 and method in {"none", "logit"}:
        intercept, terms = _table(document, tables[0], 1)
        return Found(intercept=intercept, terms=terms, link="logit" if method == "logit" else "identity")
    if function != "classification" or len(tables) != 2 or method not in {"logit", "softmax"}:
        raise ModelInvalid(
            f"a RegressionModel for {function} with {len(tables)} tables and normalizationMethod {method} is not supported"
        )
    first, second = (label_text(_number_or_text(attribute(each, "targetCategory"))) for each in tables)
    sign = -mapping.sign((first, second))  # the first table's score is that of the first class
    intercept, terms = _table(document, tables[0], sign)
    other_intercept, others = _table(document, tables[1], -sign)
    if method == "softmax":
        if set(others) & set(terms):
            raise ModelInvalid(
                "a softmax whose two tables both have terms of a field is not supported; give one the difference"
            )
        return Found(intercept=intercept + other_intercept, terms={**terms, **others})
    if others or other_intercept:
        raise ModelInvalid("with normalizationMethod logit the second table is empty: it is the other class")
    return Found(intercept=intercept, terms=terms)


def _table(document: Document, table: Element, sign: int) -> tuple[float, dict[str, Term]]:
    """The intercept and the terms by raw field."""
    terms: dict[str, Term] = {}
    indicators: dict[str, list[tuple[str, float]]] = defaultdict(list)
    missing: dict[str, float | None] = {}
    fields: dict[str, Field] = {}
    for each in table:
        kind = local(each)
        if kind in {"Extension"}:
            continue
        if kind not in {"NumericPredictor", "CategoricalPredictor"}:
            raise ModelInvalid(
                f"a {kind} in a RegressionTable is not supported: the model has to be linear in its fields"
            )
        name, weight = attribute(each, "name"), sign * number(each, "coefficient")
        source = document.resolve(name)
        if kind == "CategoricalPredictor":
            source = Indicator(raw=document.raw(name), value=attribute(each, "value"), missing=0.0)
        elif number(each, "exponent", "1") != 1:
            raise ModelInvalid(f"{name!r} has an exponent; the model has to be linear in its fields")
        raw = source.raw
        if raw.name in terms or (raw.name in fields and isinstance(source, Scaled)):
            raise ModelInvalid(f"several terms of {raw.name!r} are not supported, but for those of its categories")
        fields[raw.name] = raw
        if isinstance(source, Scaled):
            terms[raw.name] = _slope(source, weight)
            continue
        indicators[raw.name].append((source.value, weight))
        before = missing.get(raw.name, 0.0)
        missing[raw.name] = None if source.missing is None or before is None else before + weight * source.missing
    for name, values in indicators.items():
        terms[name] = _indicated(fields[name], values, missing[name])
    return sign * number(table, "intercept"), terms


def _slope(source: Scaled, weight: float) -> Slope:
    if source.raw.is_text:
        raise ModelInvalid(f"the field {source.raw.name!r} is a text and used as a number")
    if (source.slope, source.shift) == (1.0, 0.0):
        return Slope(weight=weight, fill=source.fill, low=source.low, high=source.high)
    return Slope(
        weight=weight if source.slope > 0 else -weight,
        centre=-source.shift / source.slope,
        spread=1 / abs(source.slope),
        fill=source.fill,
        low=source.low,
        high=source.high,
    )


def _indicated(raw: Field, values: list[tuple[str, float]], missing: float | None) -> Steps:
    """The sum of indicators of single values."""
    equals = [(Predicate(kind="equal", field=raw.name, values=(value,)), weight) for value, weight in values]

    def effect(value: Raw) -> tuple[float, str] | None:
        if value is None:
            return None if missing is None else (missing, "")
        return sum(weight for each, weight in equals if each.holds(value)), ""

    return bins_of(raw, [each for each, _ in equals], effect)


def _scorecard(document: Document, mapping: ModelMapping) -> Found:
    """Points become log odds by the scale of the mapping: z = (offset - points) / factor."""
    model, scale = document.model, mapping.scale
    if scale is None:
        raise ModelInvalid("a scorecard needs `scale` in the mapping: which points mean which odds")
    coded = model.get("useReasonCodes", "true") in {"true", "1"}
    if coded and model.get("reasonCodeAlgorithm", "pointsBelow") != "pointsBelow":
        raise ModelInvalid("reasonCodeAlgorithm pointsAbove is not supported: more points should be the better")
    characteristics = child(model, "Characteristics")
    terms: dict[str, Term] = {}
    for each in children(characteristics, "Characteristic") if characteristics is not None else ():
        baseline = each.get("baselineScore", model.get("baselineScore"))
        name, term = _characteristic(document, each, scale, coded, baseline if coded else None)
        if name in terms:
            raise ModelInvalid(f"two characteristics of {name!r} are not supported; make one of them")
        terms[name] = term
    return Found(intercept=(scale.offset - number(model, "initialScore", "0")) / scale.factor, terms=terms)


def _characteristic(
    document: Document, element: Element, scale: Scale, coded: bool, baseline: str | None
) -> tuple[str, Steps]:
    """The raw field and its bins: of each value the first attribute that holds counts."""
    attributes: list[tuple[Predicate, tuple[float, str]]] = []
    for each in children(element, "Attribute"):
        predicates = [read_predicate(part) for part in each if local(part) in _PREDICATES]
        if len(predicates) != 1 or child(each, "ComplexPartialScore") is not None:
            raise ModelInvalid("an Attribute has one predicate and a partialScore that is a number")
        code = each.get("reasonCode", element.get("reasonCode", "")) if coded else ""
        attributes.append((predicates[0], (-number(each, "partialScore") / scale.factor, code)))
    leaves = [leaf for predicate, _ in attributes for leaf in predicate.leaves]
    names = {leaf.field for leaf in leaves if leaf.field}
    if len(names) != 1:
        raise ModelInvalid(f"a Characteristic is over one field, not over {', '.join(sorted(names)) or 'none'}")
    raw = document.raw(names.pop())

    def effect(value: Raw) -> tuple[float, str] | None:
        return next((told for predicate, told in attributes if predicate.holds(value)), None)

    least = None if baseline is None else -number_text(baseline) / scale.factor
    return raw.name, bins_of(raw, leaves, effect, least)


def _number_or_text(text: str) -> float | str:
    try:
        return float(text)
    except ValueError:
        return text
