"""Mappings of models over three inputs: one column of the bank, two of the tax bureau."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from modeling.scoring.importing import mapping_of
from modeling.scoring.importing.mapping import ModelMapping
from modeling.scoring.inputs import OWN
from modeling.scoring.model import LinearModel, canonical, parse_model, score_plain

NAMES = ("income", "arrears", "age")
_WHERE: dict[str, dict[str, Any]] = {
    "income": {"own": "annual_income"},
    "arrears": {"member": "tax", "item": "tax_arrears", "field": "amount"},
    "age": {"member": "tax", "item": "basics", "field": "age"},
}


def mapping(**changes: Any) -> ModelMapping:
    """`all`: said of each input; an input's name: said of that one; anything else replaces a part of the mapping."""
    of_all = changes.pop("all", {})
    inputs = {name: {**where, **of_all, **changes.pop(name, {})} for name, where in _WHERE.items()}
    return mapping_of({"name": "sme", "columns": list(NAMES), "inputs": inputs, **changes})


def scored(model: LinearModel, columns: dict[str, npt.NDArray[Any]]) -> npt.NDArray[np.float64]:
    """By the document as it travels; columns by the names of the inputs."""
    tax = {"tax_arrears.amount": columns["arrears"], "basics.age": columns["age"]}
    tables = {OWN: {"annual_income": columns["income"]}, "tax": tax}
    there = dict.fromkeys(tables, np.ones(len(columns["income"]), np.bool_))
    return score_plain(parse_model(canonical(model)), tables, there)


def of_rows(rows: npt.NDArray[np.float64]) -> dict[str, npt.NDArray[Any]]:
    """Columns of float64[n, 3]."""
    return {name: rows[:, at] for at, name in enumerate(NAMES)}
