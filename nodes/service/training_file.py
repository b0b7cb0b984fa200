"""Files that tell the monitor something: training rows of a model, outcomes of scores. CSV or Parquet, by the file's name."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date, datetime
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet

from modeling.monitoring import Population, population
from nodes.errors import NodeError
from nodes.scoring.own import OwnColumn
from nodes.service.models import ServedModel
from nodes.service.records import Outcome


def read_population(file: Path, model: ServedModel, probability: str | None) -> Population:
    """Whom a model was made on: its own columns that the file has, and the probabilities. Raises NodeError, DataUnusable."""
    table = _read(file, texts=[each.name for each in model.own_columns if each.kind == "text"])
    if probability is not None and probability not in table.column_names:
        raise _unusable(file, f"has no column {probability!r}; name the one of the probabilities, or none")
    own = [each for each in model.own_columns if each.name in table.column_names]
    if probability is None and not own:
        raise _unusable(file, f"has none of the columns that {model.title} reads")
    return population(
        file.name,
        None if probability is None else _numbers(file, table, probability),
        {each.name: _column(file, table, each) for each in own},
    )


def read_outcomes(file: Path) -> tuple[Outcome, ...]:
    """Outcomes. Raises NodeError that names the first row that is none."""
    names = ("score_id", "defaulted", "observed")
    table = _read(file, texts=names)
    if missing := [name for name in names if name not in table.column_names]:
        raise _unusable(file, f"has no column {', '.join(missing)}")
    found = []
    for row, (score_id, defaulted, observed) in enumerate(
        zip(*(table.column(name).to_pylist() for name in names), strict=True), 1
    ):
        day = _day(observed)
        if score_id is None or day is None or str(defaulted).lower() not in {"0", "1", "true", "false", "0.0", "1.0"}:
            raise _unusable(file, f"row {row}: score_id, defaulted as 0 or 1, and a day as 2026-12-31 are needed")
        yes = str(defaulted).lower() in {"1", "true", "1.0"}
        found.append(Outcome(score_id=str(score_id), defaulted=yes, observed=day))
    return tuple(found)


def _read(file: Path, texts: Sequence[str]) -> Any:  # noqa: ANN401 - pyarrow has no types
    """`texts`: columns of a CSV file that stay as they are written, leading zeros and all."""
    try:
        if file.suffix == ".parquet":
            return pyarrow.parquet.read_table(file)
        types = pyarrow.csv.ConvertOptions(column_types=dict.fromkeys(texts, pa.string()))
        return pyarrow.csv.read_csv(file, convert_options=types)
    except (OSError, pa.ArrowException) as error:
        raise _unusable(file, f"cannot be read ({type(error).__name__})") from error


def _column(file: Path, table: Any, column: OwnColumn) -> npt.NDArray[Any]:  # noqa: ANN401
    if column.kind == "number":
        return _numbers(file, table, column.name)
    texts = [None if each is None or each == "" else str(each) for each in table.column(column.name).to_pylist()]
    return np.array(texts, dtype=object)


def _numbers(file: Path, table: Any, name: str) -> npt.NDArray[np.float64]:  # noqa: ANN401
    try:
        values = table.column(name).cast(pa.float64()).to_numpy()
    except pa.ArrowException as error:
        raise _unusable(file, f"column {name!r} is not all numbers") from error
    found: npt.NDArray[np.float64] = np.array(values, np.float64)
    return found


def _day(value: object) -> str | None:
    if isinstance(value, date | datetime):
        return value.isoformat()[:10]
    try:
        return date.fromisoformat(str(value)).isoformat()
    except ValueError:
        return None


def _unusable(file: Path, what: str) -> NodeError:
    return NodeError(f"{file} {what}.", code="INVALID_ARGUMENT")
