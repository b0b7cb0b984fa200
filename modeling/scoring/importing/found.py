"""What an importer finds in a model of another form, and how this and the mapping become a LinearModel.

A score is intercept + the sum of a term for each input. None stands for what the model does not say; the mapping has to say it then.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, Literal

import numpy as np

from modeling.errors import ModelingError, ModelInvalid
from modeling.preparation.binning import Bins, CategoryBins, NumberBins, assign
from modeling.preparation.columns import Number
from modeling.scoring.importing.mapping import InputMapping, ModelMapping
from modeling.scoring.inputs import Binned, Input, Reference, Transform
from modeling.scoring.meaning import Meaning
from modeling.scoring.model import Feature, LinearModel, canonical, parse_model

DEFAULT_CLIP: Final = 10.0
"""Spreads from the centre: where a standardised number is cut off, if nothing else is said."""


@dataclass(frozen=True, kw_only=True)
class Slope:
    """weight * (x - centre) / spread, and `indicator` where x is missing. `spread`: None where the model takes numbers as they are."""

    weight: float
    centre: float = 0.0
    spread: float | None = None
    fill: float | None = None
    low: float | None = None
    high: float | None = None
    indicator: float | None = None


@dataclass(frozen=True, kw_only=True)
class Steps:
    """An effect for each bin, that of missing values (None: not said) first, that of other categories (None: not said) last.

    `codes`: reasons, one for each bin, or none. `baseline`: the effect that costs nothing.
    """

    bins: Literal["number", "category"]
    cuts: tuple[float, ...] | tuple[str, ...]
    effects: tuple[float | None, ...]
    codes: tuple[str, ...] = ()
    baseline: float | None = None


Term = Slope | Steps


@dataclass(frozen=True, kw_only=True)
class Found:
    """A model of another form. `terms`: by input. `link`: as in `Meaning`."""

    intercept: float
    terms: Mapping[str, Term]
    link: Literal["logit", "identity"] = "logit"


def assemble(found: Found, mapping: ModelMapping) -> LinearModel:
    """The model over the columns of the mapping. An input that the score does not depend on is left out: nobody has to read it.

    Raises ModelInvalid.
    """
    unknown, unmapped = set(mapping.inputs) - set(found.terms), set(found.terms) - set(mapping.inputs)
    if unknown or unmapped:
        raise ModelInvalid(
            f"inputs of model and mapping differ; only the mapping has: {_listed(unknown)}; only the model has: {_listed(unmapped)}"
        )
    features, intercept = [], found.intercept
    for name, term in found.terms.items():
        try:
            feature, constant = _feature(term, mapping.inputs[name])
        except (ValueError, ModelingError) as error:
            raise ModelInvalid(f"input {name!r}: {error}") from None
        intercept += constant
        if feature is not None:
            features.append(feature)
    try:
        meaning = Meaning(link=found.link, scale=mapping.scale, bands=mapping.bands)
        made = LinearModel(name=mapping.name, meaning=meaning, intercept=intercept, features=tuple(features))
        return parse_model(canonical(made))  # a document that is read has all of its limits checked
    except ValueError as error:
        raise ModelInvalid(f"the model cannot be used: {error}") from None


def _listed(names: set[str]) -> str:
    return ", ".join(sorted(names))[:300] or "none"


def _feature(term: Term, said: InputMapping) -> tuple[Feature | None, float]:
    """The feature, None where the term is the same for every value; and what goes to the intercept. Raises ModelInvalid, ValueError."""
    codes: tuple[str, ...] = (said.reason,) if said.reason is not None else ()
    constant, baseline = 0.0, None
    if isinstance(term, Slope):
        number, weights, constant = _number(term, said)
        column: Transform = number
    else:
        column, weights, own = _binned(term, said)
        codes, baseline = own or codes, term.baseline
    given = Input(member=said.whose, aggregate=said.aggregate, column=column, reference=_reference(said, column))
    effects = given.cases @ np.array(weights)
    if not np.ptp(effects) > 0:
        return None, constant + float(effects[0])
    return Feature(input=given, weights=weights, reasons=codes, baseline=baseline), constant


def _number(term: Slope, said: InputMapping) -> tuple[Number, tuple[float, ...], float]:
    """The column, its weights, and what goes to the intercept. Raises ModelInvalid."""
    if said.other is not None or isinstance(said.missing, str):
        raise ModelInvalid("`other`, and a text for what is missing, are for categories; this is a number")
    fill = _one(term.fill, said.missing, "missing")
    if fill is None:
        raise ModelInvalid("the model does not say what a missing value is taken for: give `missing`")
    low, high = _one(term.low, said.low, "low"), _one(term.high, said.high, "high")
    bounded = low is not None and high is not None
    centre, spread, weight, constant = term.centre, term.spread, term.weight, 0.0
    if spread is not None and said.spread is not None:
        raise ModelInvalid("the model standardises this number itself: leave `centre` and `spread` out")
    if spread is None:
        if said.spread is not None and said.centre is not None:
            centre, spread = said.centre, said.spread
        elif low is not None and high is not None:
            centre, spread = (low + high) / 2, (high - low) / 2
        else:
            raise ModelInvalid("the model takes this number as it is: give `low` and `high`, or `centre` and `spread`")
        constant = weight * (centre - term.centre)
        weight *= spread
    clip = said.clip if said.clip is not None or bounded else DEFAULT_CLIP
    column = Number(
        name=said.column,
        low=low,
        high=high,
        fill=float(fill),
        indicator=term.indicator is not None,
        centre=centre,
        spread=spread,
        clip=clip,
    )
    return column, (weight,) if term.indicator is None else (weight, term.indicator), constant


def _binned(term: Steps, said: InputMapping) -> tuple[Binned, tuple[float, ...], tuple[str, ...]]:
    """The column, its weights, and their reason codes. Raises ModelInvalid."""
    if any(each is not None for each in (said.low, said.high, said.clip, said.spread)):
        raise ModelInvalid("`low`, `high`, `clip`, `centre` and `spread` are for numbers; this has bins")
    bins = _bins(said.column, term)
    if term.bins == "number" and said.other is not None:
        raise ModelInvalid("`other` is for categories; this is a number")
    stand_ins = {0: ("missing", said.missing)}
    if term.bins == "category":
        stand_ins[bins.count - 1] = ("other", said.other)
    places = list(range(bins.count))
    for place, (name, value) in stand_ins.items():
        if (term.effects[place] is None) == (value is None):
            raise ModelInvalid(
                f"the model does not say what is taken for a value that is `{name}`: give one"
                if value is None
                else f"the model says itself what `{name}` is: leave it out of the mapping"
            )
        if value is not None:
            places[place] = _place_of(bins, value, name)
    effects = [term.effects[place] for place in places]
    weights = tuple(each for each in effects if each is not None)
    return Binned(bins=bins), weights, tuple(term.codes[place] or said.column for place in places) if term.codes else ()


def _bins(name: str, term: Steps) -> Bins:
    if term.bins == "number":
        return NumberBins(name=name, edges=tuple(float(each) for each in term.cuts))
    return CategoryBins(name=name, categories=tuple(str(each) for each in term.cuts))


def _place_of(bins: Bins, value: float | str, name: str) -> int:
    """The bin of a value that stands for others. Raises ModelInvalid."""
    if isinstance(bins, CategoryBins):
        if value not in bins.categories:
            raise ModelInvalid(f"`{name}` is {value!r}, none of the model's categories")
        return 1 + bins.categories.index(str(value))
    if isinstance(value, str):
        raise ModelInvalid(f"`{name}` is a text; this is a number")
    return int(assign(bins, np.array([value], np.float64))[0])


def _one(model: float | None, said: float | None, name: str) -> float | None:
    """What the model says, or else the mapping. Raises ModelInvalid if both do."""
    if model is not None and said is not None:
        raise ModelInvalid(f"the model says itself what `{name}` is: leave it out of the mapping")
    return model if model is not None else said


def _reference(said: InputMapping, column: Transform) -> Reference | None:
    """Raises ValueError, ModelInvalid."""
    told = said.reference
    if told is None:
        return None
    if told.edges is not None and told.categories is not None:
        raise ModelInvalid("a reference has edges or categories")
    if told.edges is not None:
        bins: Bins = NumberBins(name=said.column, edges=told.edges)
    elif told.categories is not None:
        bins = CategoryBins(name=said.column, categories=told.categories)
    elif isinstance(column, Binned):
        bins = column.bins
    else:
        raise ModelInvalid("a reference of a number has `edges`")
    return Reference(bins=bins, shares=told.shares)
