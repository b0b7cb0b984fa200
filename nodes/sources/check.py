"""What a row must be to be kept.

Rules of a row, each cell by itself, in this order:
1. The subject is a unified social credit code with the right check character (GB 32100-2015), or one that was reviewed by hand
   (`reviewed_codes`: early pilot regions issued codes with another check character).
2. A required field is there. Fields that the source declares absent are null in every row.
3. A cell is text of the declared encoding, without control characters.
4. It has the type, length, decimals, bounds and values that the catalogue states, after the declared conversion of its unit.
5. An identifier of another enterprise is valid as in rule 1.
A row that breaks a rule is left out and counted; the others are kept. Whole columns are checked at a time (`expressions`); Python
sees the distinct texts that did not pass at once.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import date
from decimal import ROUND_HALF_UP, Context, Decimal, InvalidOperation
from re import compile as compile_pattern
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from consent.catalogue import Field, parse_value
from consent.errors import UsccInvalid
from consent.identifiers import Uscc
from nodes.sources.codes import CODE_LENGTH, valid_codes
from nodes.sources.config import Column, Source
from nodes.sources.expressions import BLANKS, CONTROLS, UNREADABLE
from nodes.sources.report import Rejection, ReportBuilder, Rule, shape

ROW: Final = "_row"
SUBJECT: Final = "uscc"
_CONTROLS: Final = compile_pattern(CONTROLS)
_EXACT: Final = Context(prec=60)

Value = str | int | bool | Decimal | date | list[str]


class CellRefused(Exception):
    """A cell breaks a rule; the message completes a sentence that begins with the field's name."""

    def __init__(self, rule: Rule, message: str) -> None:
        super().__init__(message)
        self.rule = rule
        self.message = message


@dataclass(frozen=True)
class _Faults:
    """Broken cells of one column of a batch: their places, and for each its rule, message and text (None: nothing there)."""

    places: npt.NDArray[np.int64]
    causes: list[tuple[Rule, str, str | None]]


def arrow_type(field: Field) -> Any:  # noqa: ANN401 (a pyarrow type)
    """The Arrow type that holds a field."""
    if field.list:
        return pa.list_(pa.string())
    if field.type == "decimal":
        return pa.decimal128(field.precision or 18, field.scale or 0)
    kinds = {"integer": pa.int64(), "boolean": pa.bool_(), "date": pa.date32()}
    return kinds.get(field.type, pa.string())


def item_schema(source: Source) -> Any:  # noqa: ANN401 (a pyarrow schema)
    """Columns of a checked batch: `_row`, `uscc`, and the mapped fields."""
    fields = [(column.field.name, arrow_type(column.field)) for column in source.columns]
    return pa.schema([(ROW, pa.int64()), (SUBJECT, pa.string()), *fields])


def parse_subject(text: str, reviewed: frozenset[str]) -> str:
    """Rule 1, in words. Raises CellRefused."""
    _check_readable(text)
    try:
        return Uscc.parse(text, allow_check_mismatch=text in reviewed)
    except UsccInvalid as error:
        raise CellRefused(Rule.SUBJECT, str(error)) from None


def parse_cell(column: Column, text: str) -> Value:
    """Rules 3 to 5 for one normalised, non-empty text, in words. Raises CellRefused."""
    field = column.field
    rule = Rule(field.type)
    _check_readable(text)
    try:
        if field.list:
            return _parse_list(field, text)
        if field.type in {"decimal", "integer"}:
            text = _converted(column, text)
        value = parse_value(field, text)
        if isinstance(value, Decimal):
            _check_bounds(field, value)
    except ValueError as error:
        raise CellRefused(rule, str(error)) from None
    if is_code(field):
        try:
            return str(Uscc.parse(text))
        except UsccInvalid as error:
            raise CellRefused(Rule.IDENTIFIER, str(error)) from None
    if value is None:
        raise CellRefused(rule, "is empty")
    return value


def is_code(field: Field) -> bool:
    """Whether a field holds the code of another enterprise."""
    return field.type == "code" and field.length == CODE_LENGTH and field.name.endswith("uscc")


def check_batch(source: Source, batch: Any, report: ReportBuilder) -> Any:  # noqa: ANN401 (pyarrow record batches)
    """The good rows of a batch, in the schema of `item_schema`; the others are counted.

    `batch`: `_row`, `subject` (text), and for each mapped field `v<i>` (its value, null if not sure) and `b<i>` (its text where
    the value is null; null if the cell is empty).
    """
    rows = batch.column(ROW)
    keep = np.ones(batch.num_rows, dtype=np.bool_)
    subjects, faults = _check_subjects(source, batch.column("subject"))
    _tell(report, rows, source.config.subject, faults, keep)
    columns = [rows, subjects]
    for place, column in enumerate(source.columns):
        checked, faults = _check_column(column, batch.column(f"v{place}"), batch.column(f"b{place}"))
        _tell(report, rows, column.column, faults, keep)
        columns.append(checked)
    report.rows += batch.num_rows
    report.rejected += int(batch.num_rows - keep.sum())
    good = pa.record_batch(columns, schema=item_schema(source))
    return good if keep.all() else good.filter(pa.array(keep))


def _check_subjects(source: Source, texts: Any) -> tuple[Any, _Faults]:  # noqa: ANN401
    reviewed = frozenset(source.config.reviewed_codes)
    places = np.flatnonzero(~valid_codes(texts))
    values, faults = _slow(
        places, texts.take(pa.array(places)), lambda text: parse_subject(text, reviewed), Rule.SUBJECT
    )
    # A reviewed code passes unchanged, so that the column stays as it is.
    del values
    return texts, faults


def _check_column(column: Column, fast: Any, rest: Any) -> tuple[Any, _Faults]:  # noqa: ANN401 (pyarrow arrays)
    kind = arrow_type(column.field)
    if fast.type != kind:
        fast = fast.cast(kind)
    unsure = pc.is_null(fast)
    if is_code(column.field):
        wrong = pa.array(~valid_codes(fast))
        rest = pc.if_else(wrong, pc.coalesce(fast, rest), rest)
        unsure = wrong
    if not pc.any(unsure).as_py():
        return fast, _Faults(np.empty(0, dtype=np.int64), [])
    if column.field.nullable:
        unsure = pc.and_(unsure, pc.is_valid(rest))
    places = np.flatnonzero(unsure.to_numpy(zero_copy_only=False))
    texts = rest.take(pa.array(places))
    values, faults = _slow(places, texts, lambda text: parse_cell(column, text), Rule.MISSING)
    return _patched(fast, values, kind), faults


def _slow(
    places: npt.NDArray[np.int64],
    texts: Any,  # noqa: ANN401 (a pyarrow string array)
    parse: Callable[[str], Value],
    missing: Rule,
) -> tuple[dict[int, Value], _Faults]:
    """Parse texts one by one, each distinct one once: the values by place, and the faults."""
    values: dict[int, Value] = {}
    wrong: list[int] = []
    causes: list[tuple[Rule, str, str | None]] = []
    known: dict[str | None, Value | tuple[Rule, str, str | None]] = {
        None: (missing, "is empty, and the catalogue requires it", None)
    }
    for place, text in zip(places.tolist(), texts.to_pylist(), strict=True):
        if text not in known:
            try:
                known[text] = parse(text)
            except CellRefused as refused:
                known[text] = (refused.rule, refused.message, text)
        outcome = known[text]
        if isinstance(outcome, tuple):
            wrong.append(place)
            causes.append(outcome)
        else:
            values[place] = outcome
    return values, _Faults(np.array(wrong, dtype=np.int64), causes)


def _patched(array: Any, values: dict[int, Value], kind: Any) -> Any:  # noqa: ANN401 (pyarrow arrays)
    """The array with some places filled."""
    if not values:
        return array
    if pa.types.is_list(kind):
        cells = array.to_pylist()
        for place, value in values.items():
            cells[place] = value
        return pa.array(cells, kind)
    mask = np.zeros(len(array), dtype=np.bool_)
    mask[list(values)] = True
    return pc.replace_with_mask(array, pa.array(mask), pa.array(list(values.values()), kind))


def _tell(report: ReportBuilder, rows: Any, column: str, faults: _Faults, keep: npt.NDArray[np.bool_]) -> None:  # noqa: ANN401
    if not len(faults.places):
        return
    keep[faults.places] = False
    for rule in {cause[0] for cause in faults.causes}:
        report.count(rule, sum(cause[0] is rule for cause in faults.causes))
    told = list(zip(faults.places.tolist(), faults.causes, strict=True))[: max(0, report.room)]
    report.add(
        Rejection(row=rows[place].as_py(), column=column, rule=rule, message=message, shown=shape(text) if text else "")
        for place, (rule, message, text) in told
    )


def _check_readable(text: str) -> None:
    if UNREADABLE in text:
        raise CellRefused(
            Rule.ENCODING,
            "holds bytes that are no text in the file's encoding; state the right encoding, or mend the cell",
        )
    if _CONTROLS.search(text):
        raise CellRefused(Rule.ENCODING, "holds control characters; remove them at the source")


def _converted(column: Column, text: str) -> str:
    """The number in the field's unit, with the field's decimals where rounding is allowed. Raises ValueError."""
    if column.factor == 1 and not column.round:
        return text
    try:
        number = Decimal(text)
        # A number of thousands of digits is no number of this catalogue, and would cost as much as it is long.
        if not number.is_finite() or abs(number.adjusted()) > 40 or len(text) > 60:
            return text
        number = _EXACT.multiply(number, column.factor)
        if column.round:
            number = number.quantize(
                Decimal(1).scaleb(-(column.field.scale or 0)), rounding=ROUND_HALF_UP, context=_EXACT
            )
        elif column.field.type == "integer" and number == number.to_integral_value():
            number = number.to_integral_value()
    except InvalidOperation:
        return text
    return format(number, "f")


def _check_bounds(field: Field, value: Decimal) -> None:
    below = field.minimum is not None and value < field.minimum
    if below or (field.maximum is not None and value > field.maximum):
        raise ValueError(f"lies outside {field.minimum} to {field.maximum}")


def _parse_list(field: Field, text: str) -> list[str]:
    parts = [part.strip(BLANKS) for part in text.split("|")]
    if "" in parts:
        raise ValueError("has an empty part between its separators |")
    if field.values and not set(parts) <= set(field.values):
        raise ValueError(f"has a part that is none of {', '.join(field.values)}")
    if not field.values and field.length is not None and len(text) > field.length:
        raise ValueError(f"has {len(text)} characters, more than {field.length}")
    return parts
