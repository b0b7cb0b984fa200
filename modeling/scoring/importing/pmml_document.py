"""A PMML document's fields: what they hold, what is done to missing and unknown values, and how derived fields are made of raw ones.

Source: PMML 4.4 (dmg.org/pmml/v4-4), Data Dictionary, Mining Schema, Transformations. What changes a value in a way that is not read
here is refused. XML is parsed without document types, entities and external references (defusedxml).
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Final
from xml.etree.ElementTree import Element, ParseError

import defusedxml.ElementTree
from defusedxml.common import DefusedXmlException

from modeling.errors import ModelInvalid
from modeling.scoring.model import MAX_MODEL_BYTES

_NUMBERS: Final = frozenset({"integer", "float", "double"})
_MODELS: Final = ("RegressionModel", "Scorecard")


@dataclass(frozen=True, kw_only=True)
class Field:
    """A raw field. `values`: the valid categories, if they are declared. `fill`: what replaces a missing value.

    `unknown`: what a category that is not declared is: itself ("asIs"), a missing value, or no valid one.
    """

    name: str
    is_text: bool
    values: tuple[str, ...] = ()
    fill: str | None = None
    unknown: str = "returnInvalid"
    low: float | None = None
    high: float | None = None


@dataclass(frozen=True, kw_only=True)
class Scaled:
    """A raw field * slope + shift, cut off at raw `low` and `high`; `fill`: raw, where it is missing."""

    raw: Field
    slope: float = 1.0
    shift: float = 0.0
    low: float | None = None
    high: float | None = None
    fill: float | None = None


@dataclass(frozen=True, kw_only=True)
class Indicator:
    """1 where a raw field has the value, else 0; `missing`: where it is missing, None: not said."""

    raw: Field
    value: str
    missing: float | None = None


@dataclass(kw_only=True)
class Document:
    """The one model of a document, and its fields by name."""

    model: Element
    fields: Mapping[str, Field]
    derived: Mapping[str, Element] = field(default_factory=dict)

    def raw(self, name: str) -> Field:
        """A raw field, also under another name. Raises ModelInvalid."""
        found = self.resolve(name)
        if not isinstance(found, Scaled) or (found.slope, found.shift, found.low) != (1.0, 0.0, found.raw.low):
            raise ModelInvalid(f"{name!r} is a derived field; this is supported for raw fields only")
        return found.raw

    def resolve(self, name: str) -> Scaled | Indicator:
        """What a name stands for. Raises ModelInvalid."""
        element = self.derived.get(name)
        if element is None:
            raw = self.fields.get(name)
            if raw is None:
                raise ModelInvalid(f"the field {name!r} is not in the mining schema")
            fill = None if raw.fill is None or raw.is_text else number_text(raw.fill)
            return Scaled(raw=raw, low=raw.low, high=raw.high, fill=fill)
        expressions = [each for each in element if local(each) != "Extension"]
        kind = local(expressions[0]) if len(expressions) == 1 else "several expressions"
        if kind == "NormDiscrete":
            return self._indicator(expressions[0])
        if kind == "NormContinuous":
            return self._scaled(expressions[0])
        if kind == "FieldRef" and attribute(expressions[0], "field") not in self.derived:
            return self.resolve(attribute(expressions[0], "field"))
        raise ModelInvalid(
            f"the derived field {name!r} by {kind} is not supported: NormContinuous and NormDiscrete are"
        )

    def _indicator(self, element: Element) -> Indicator:
        missing = element.get("mapMissingTo")
        return Indicator(
            raw=self.raw(attribute(element, "field")),
            value=attribute(element, "value"),
            missing=None if missing is None else number_text(missing),
        )

    def _scaled(self, element: Element) -> Scaled:
        """Two points make a straight line; more would bend it."""
        raw, points = self.raw(attribute(element, "field")), children(element, "LinearNorm")
        if len(points) != 2:
            raise ModelInvalid(f"NormContinuous of {len(points)} points is not supported, but of two")
        (first, one), (last, other) = ((number(each, "orig"), number(each, "norm")) for each in points)
        outliers = element.get("outliers", "asIs")
        if not first < last or one == other or outliers not in {"asIs", "asExtremeValues"}:
            raise ModelInvalid(f"NormContinuous from {first} to {last} with outliers {outliers} is not supported")
        slope = (other - one) / (last - first)
        shift = one - slope * first
        limits = (first, last) if outliers == "asExtremeValues" else (raw.low, raw.high)
        missing = element.get("mapMissingTo")
        fill = None if missing is None else (number_text(missing) - shift) / slope
        if raw.fill is not None:  # replaced before anything is derived
            fill = number_text(raw.fill)
        return Scaled(raw=raw, slope=slope, shift=shift, low=limits[0], high=limits[1], fill=fill)


def parse_pmml(data: bytes) -> Document:
    """Raises ModelInvalid."""
    if len(data) > MAX_MODEL_BYTES:
        raise ModelInvalid(f"a PMML file of more than {MAX_MODEL_BYTES >> 20} MB is no linear model")
    try:
        root: Element = defusedxml.ElementTree.fromstring(data, forbid_dtd=True)
    except (ParseError, DefusedXmlException, ValueError, LookupError) as error:
        raise ModelInvalid(f"the file is no PMML document: {str(error)[:200] or type(error).__name__}") from None
    if local(root) != "PMML":
        raise ModelInvalid(f"the file is no PMML document, but one of {local(root)}")
    models = [each for each in root if child(each, "MiningSchema") is not None]
    kinds = [local(each) for each in models]
    if len(models) != 1 or kinds[0] not in _MODELS:
        raise ModelInvalid(
            f"one RegressionModel or Scorecard is supported; the document has {', '.join(kinds) or 'none'}"
        )
    model = models[0]
    if model.get("isScorable", "true") in {"false", "0"}:
        raise ModelInvalid("the document says that its model is not for scoring")
    for target in descendants(model, "Target"):
        if set(target.keys()) & {"rescaleConstant", "rescaleFactor", "castInteger", "min", "max"}:
            raise ModelInvalid("a Target that changes the result is not supported")
    places = [child(root, "TransformationDictionary"), child(model, "LocalTransformations")]
    derived = {
        attribute(each, "name"): each
        for place in places
        if place is not None
        for each in children(place, "DerivedField")
    }
    return Document(model=model, fields=_fields(root, model), derived=derived)


def _fields(root: Element, model: Element) -> dict[str, Field]:
    """Active fields of the mining schema."""
    dictionary, schema = child(root, "DataDictionary"), child(model, "MiningSchema")
    if dictionary is None or schema is None:
        raise ModelInvalid("the document has no DataDictionary")
    declared = {attribute(each, "name"): each for each in children(dictionary, "DataField")}
    found = {}
    for each in children(schema, "MiningField"):
        name = attribute(each, "name")
        if each.get("usageType", "active") != "active":
            continue
        if name not in declared:
            raise ModelInvalid(f"the field {name!r} is not in the DataDictionary")
        found[name] = _field(name, declared[name], each)
    return found


def _field(name: str, declared: Element, used: Element) -> Field:
    kind, outliers = declared.get("dataType", ""), used.get("outliers", "asIs")
    if kind != "string" and kind not in _NUMBERS:
        raise ModelInvalid(f"the field {name!r} of type {kind} is not supported: numbers and strings are")
    if outliers not in {"asIs", "asExtremeValues"} or used.get("missingValueTreatment") == "returnInvalid":
        raise ModelInvalid(
            f"the field {name!r}: outliers {outliers}, or a missing value that is invalid, is not supported"
        )
    extreme = outliers == "asExtremeValues"
    values = [each for each in children(declared, "Value") if each.get("property", "valid") == "valid"]
    if len(values) != len(children(declared, "Value")):
        raise ModelInvalid(f"the field {name!r} declares values for missing or invalid; this is not supported")
    return Field(
        name=name,
        is_text=kind == "string",
        values=tuple(attribute(each, "value") for each in values),
        fill=used.get("missingValueReplacement"),
        unknown=used.get("invalidValueTreatment", "returnInvalid"),
        low=number(used, "lowValue") if extreme else None,
        high=number(used, "highValue") if extreme else None,
    )


def local(element: Element) -> str:
    """A tag without its namespace."""
    return str(element.tag).rpartition("}")[2]


def children(element: Element, name: str) -> list[Element]:
    """Of one tag."""
    return [each for each in element if local(each) == name]


def child(element: Element, name: str) -> Element | None:
    """The first of one tag."""
    return next(iter(children(element, name)), None)


def descendants(element: Element, name: str) -> Iterator[Element]:
    """Of one tag, at any depth."""
    return (each for each in element.iter() if local(each) == name)


def attribute(element: Element, name: str) -> str:
    """Raises ModelInvalid if it is not there."""
    found = element.get(name)
    if found is None:
        raise ModelInvalid(f"an element {local(element)} has no attribute {name}")
    return found


def number(element: Element, name: str, default: str | None = None) -> float:
    """Raises ModelInvalid if it is not there and there is no default, or no finite number."""
    return number_text(attribute(element, name) if default is None else element.get(name, default))


def number_text(text: str) -> float:
    """Raises ModelInvalid for what is no finite number."""
    try:
        found = float(text)
    except ValueError:
        found = math.nan
    if not math.isfinite(found):
        raise ModelInvalid(f"{text[:40]!r} is no finite number")
    return found
