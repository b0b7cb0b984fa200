"""Scoring in the demonstration, its tests and benchmarks: a bank's own model over the owners' columns, and consents to be scored."""

from __future__ import annotations

import csv
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

import msgspec
import numpy as np

from cli.demo.cohort import BANK, GOVERNMENT, GOVERNMENT_ITEM, PLATFORM, PLATFORM_ITEM
from cli.demo.enterprises import DAY_MS, Enterprise, Registry, now_ms
from cli.demo.loans import OWNERS
from consent.documents import ItemMode, ItemScope, Limits, Purpose
from modeling.preparation.columns import Number
from modeling.scorecard import Scale
from modeling.scoring.inputs import ASKER, OWN, Input
from modeling.scoring.meaning import Bands, Meaning
from modeling.scoring.model import Feature, LinearModel

ITEMS: Final[Mapping[str, str]] = {GOVERNMENT: GOVERNMENT_ITEM, PLATFORM: PLATFORM_ITEM}
OWN_ITEM: Final = "demo_application"
OWN_COLUMNS: Final = ("annual_inc", "funded_amnt")
CLIP: Final = 5.0

Columns = Mapping[str, Sequence[float]]


def numbers(file: Path, names: Sequence[str]) -> dict[str, list[float]]:
    """Columns of an owner's file."""
    with file.open(encoding="utf-8", newline="") as text:
        rows = [tuple(float(row[name]) for name in names) for row in csv.DictReader(text)]
    return {name: [row[at] for row in rows] for at, name in enumerate(names)}


def linear_model(name: str, files: Mapping[str, Path], members: Sequence[str], weight: float = 0.3) -> LinearModel:
    """Weights of about one size, of both signs, over every column of these members and two of the bank's own."""
    features = [
        Feature(input=_input(OWN, column, column, values), weights=(0.2,))
        for column, values in numbers(files[OWN_ITEM], OWN_COLUMNS).items()
    ]
    for place, member in enumerate(members):
        item = ITEMS[member]
        for at, (column, values) in enumerate(numbers(files[item], OWNERS[item]).items()):
            weights = (weight * (1 + 0.1 * place) * (-1) ** at,)
            features.append(Feature(input=_input(member, f"{item}.{column}", column, values), weights=weights))
    bands = Bands(by="points", names=("low", "middle", "high"), edges=(500.0, 560.0))
    return LinearModel(name=name, intercept=-1.5, features=tuple(features), meaning=Meaning(scale=Scale(), bands=bands))


def served_model(name: str, files: Mapping[str, Path], member: str) -> LinearModel:
    """The member's own model over all of its columns, to which an asker sends two of its own, encrypted (data to model)."""
    model = linear_model(name, files, (member,))
    whose = {OWN: ASKER, member: OWN}
    features = tuple(
        msgspec.structs.replace(each, input=msgspec.structs.replace(each.input, member=whose[each.input.member]))
        for each in model.features
    )
    return msgspec.structs.replace(model, features=features)


def consent_to_scoring(registry: Registry, enterprise: Enterprise, users: Sequence[str] = (BANK,)) -> dict[str, str]:
    """Both providers' items may be scored with; the consents by provider."""
    at = now_ms()
    limits = Limits(valid_from_ms=at - 60_000, valid_to_ms=at + 30 * DAY_MS, data_life_days=30)
    return {
        member: registry.consent(
            enterprise,
            member,
            tuple(users),
            (ItemScope(item_id=item, mode=ItemMode.J),),
            purpose=Purpose.SCORING,
            limits=limits,
        )
        for member, item in ITEMS.items()
    }


def _input(member: str, name: str, column: str, values: Sequence[float]) -> Input:
    held = np.array(values, np.float64)
    spread = float(held.std())
    if spread <= 0:
        raise ValueError(f"column {column} has one value only")
    number = Number(
        name=name,
        low=None,
        high=None,
        fill=float(np.median(held)),
        indicator=False,
        centre=float(held.mean()),
        spread=spread,
        clip=CLIP,
    )
    return Input(member=member, column=number)
