"""Predicates of PMML over one field, and how a function of such a field becomes bins.

A predicate is true, false, or None: unknown, where the value is missing (three-valued logic of PMML 4.4, Trees, Predicates).
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final
from xml.etree.ElementTree import Element

from modeling.errors import ModelInvalid
from modeling.scoring.importing.found import Steps
from modeling.scoring.importing.pmml_document import Field, attribute, children, local, number_text

_DEEPEST: Final = 20
_ARRAY: Final = re.compile(r'"((?:[^"\\]|\\.)*)"|([^\s"]+)')
_SIGNS: Final = {
    "equal": {0},
    "notEqual": {-1, 1},
    "lessThan": {-1},
    "lessOrEqual": {-1, 0},
    "greaterThan": {1},
    "greaterOrEqual": {0, 1},
}
"""How a value may stand to the one that it is compared with."""
_OF_TEXTS: Final = frozenset({"equal", "notEqual", "isIn", "isNotIn", "isMissing", "isNotMissing", "True", "False"})

Raw = float | str | None
"""A field's value; None: missing."""


@dataclass(frozen=True, kw_only=True)
class Predicate:
    """`kind`: the operator, "and", "or", "isIn", "isNotIn", or "True" and "False"."""

    kind: str
    field: str = ""
    values: tuple[str, ...] = ()
    parts: tuple[Predicate, ...] = ()

    @property
    def leaves(self) -> tuple[Predicate, ...]:
        """Comparisons, at any depth."""
        return (self,) if not self.parts else tuple(leaf for part in self.parts for leaf in part.leaves)

    def holds(self, value: Raw) -> bool | None:
        """Of its field's value."""
        if self.kind in {"True", "False"}:
            return self.kind == "True"
        if self.parts:
            return self._together([each.holds(value) for each in self.parts])
        if self.kind in {"isMissing", "isNotMissing"}:
            return (value is None) == (self.kind == "isMissing")
        if value is None:
            return None
        signs = [_compared(value, each) for each in self.values]
        if self.kind in {"isIn", "isNotIn"}:
            return (0 in signs) == (self.kind == "isIn")
        return signs[0] in _SIGNS[self.kind]

    def _together(self, found: Sequence[bool | None]) -> bool | None:
        decisive = self.kind == "or"
        return decisive if decisive in found else None if None in found else not decisive


def read_predicate(element: Element, depth: int = 0) -> Predicate:
    """Raises ModelInvalid for what is not supported."""
    kind = local(element)
    if kind in {"True", "False"}:
        return Predicate(kind=kind)
    if kind == "SimplePredicate":
        operator = attribute(element, "operator")
        unary = operator in {"isMissing", "isNotMissing"}
        if not unary and operator not in _SIGNS:
            raise ModelInvalid(f"the operator {operator} of a predicate is not supported")
        values = () if unary else (attribute(element, "value"),)
        return Predicate(kind=operator, field=attribute(element, "field"), values=values)
    if kind == "SimpleSetPredicate":
        return _set_predicate(element)
    operator = element.get("booleanOperator", "")
    if kind != "CompoundPredicate" or operator not in {"and", "or"} or depth == _DEEPEST:
        raise ModelInvalid(f"a {kind} {operator} is not supported")
    parts = tuple(read_predicate(each, depth + 1) for each in element if local(each) != "Extension")
    if not parts:
        raise ModelInvalid("a CompoundPredicate is empty")
    return Predicate(kind=operator, parts=parts)


def bins_of(
    raw: Field,
    mentioned: Sequence[Predicate],
    effect: Callable[[Raw], tuple[float, str] | None],
    baseline: float | None = None,
) -> Steps:
    """Bins over which `effect` is constant, where it depends on its value by the mentioned comparisons only.

    `effect`: what a value adds and its reason code; None: nothing is said. Raises ModelInvalid where nothing is said of a number.
    """
    missing = effect(raw.fill if raw.is_text or raw.fill is None else number_text(raw.fill))
    if raw.is_text:
        return _category_steps(raw, mentioned, effect, missing, baseline)
    edges = sorted({edge for each in mentioned for edge in _edges(each)})
    last = math.nextafter(edges[-1], math.inf) if edges else 0.0
    found = [effect(_held(raw, each)) for each in (*edges, last)]
    ends = [place for place in range(len(edges)) if found[place] != found[place + 1]]
    effects = [found[place] for place in (*ends, len(edges))]
    for place, each in enumerate(effects):
        if each is None:
            below = edges[ends[place]] if place < len(ends) else math.inf
            raise ModelInvalid(
                f"the model says nothing of {raw.name!r} up to {below:g}: every value should have its points"
            )
    return _steps("number", tuple(edges[place] for place in ends), [missing, *effects], baseline)


def _category_steps(
    raw: Field,
    mentioned: Sequence[Predicate],
    effect: Callable[[Raw], tuple[float, str] | None],
    missing: tuple[float, str] | None,
    baseline: float | None,
) -> Steps:
    if any(each.kind not in _OF_TEXTS for each in mentioned):
        raise ModelInvalid(f"texts of {raw.name!r} are compared by their order; this is not supported")
    categories = tuple(dict.fromkeys([*raw.values, *(value for each in mentioned for value in each.values)]))
    unheard_of = max(categories, key=len, default="") + "?"
    other = missing if raw.unknown == "asMissing" else None
    if not raw.values or raw.unknown == "asIs":
        other = effect(unheard_of)
    found = [effect(each) for each in categories]
    for name, each in zip(categories, found, strict=True):
        if each is None:
            raise ModelInvalid(f"the model says nothing of {raw.name!r} where it is {name!r}")
    return _steps("category", categories, [missing, *found, other], baseline)


def _steps(
    kind: str,
    cuts: tuple[float, ...] | tuple[str, ...],
    found: Sequence[tuple[float, str] | None],
    baseline: float | None,
) -> Steps:
    """Codes only if there are any."""
    codes = tuple("" if each is None else each[1] for each in found)
    return Steps(
        bins="number" if kind == "number" else "category",
        cuts=cuts,
        effects=tuple(None if each is None else each[0] for each in found),
        codes=codes if any(codes) else (),
        baseline=baseline,
    )


def _set_predicate(element: Element) -> Predicate:
    operator, arrays = attribute(element, "booleanOperator"), children(element, "Array")
    if operator not in {"isIn", "isNotIn"} or len(arrays) != 1:
        raise ModelInvalid("a SimpleSetPredicate is isIn or isNotIn one Array")
    return Predicate(kind=operator, field=attribute(element, "field"), values=_array(arrays[0].text or ""))


def _array(text: str) -> tuple[str, ...]:
    r"""Values apart by blanks; one with blanks stands in quotes, \" is a quote in it (PMML 4.4, General Structure, Arrays)."""
    return tuple(bare or quoted.replace('\\"', '"') for quoted, bare in _ARRAY.findall(text))


def _compared(value: float | str, other: str) -> int:
    """-1, 0 or 1."""
    if isinstance(value, str):
        return (value > other) - (value < other)
    told = number_text(other)
    return (value > told) - (value < told)


def _edges(predicate: Predicate) -> list[float]:
    """Where its truth may change: bins are open at their lower edge and closed at their upper, so x < v is x <= the double before v."""
    if predicate.kind in {"isMissing", "isNotMissing", "True", "False"}:
        return []
    values = [number_text(each) for each in predicate.values]
    if predicate.kind in {"lessOrEqual", "greaterThan"}:
        return values
    below = [math.nextafter(each, -math.inf) for each in values]
    return below if predicate.kind in {"lessThan", "greaterOrEqual"} else [*below, *values]


def _held(raw: Field, value: float) -> float:
    """Cut off where the field's outliers are."""
    held = value if raw.low is None else max(value, raw.low)
    return held if raw.high is None else min(held, raw.high)
