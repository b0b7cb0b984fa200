"""The fast way through the checks: one DuckDB expression a field, over whole columns.

An expression yields the typed value where the text is surely right, and NULL where it is not sure. What it leaves goes through
`check.parse_cell`, which decides and has the words; so the two must agree on every value that is accepted here (a test generates
them). Identifiers and texts are quoted here and nowhere else.
"""

from __future__ import annotations

from decimal import Decimal
from typing import Final

from consent.catalogue import Field
from nodes.sources.config import Column

BLANKS: Final = " \t\r\n\u00a0\u3000\ufeff"
"""What is cut off both ends of every cell."""
UNREADABLE: Final = "\ufffd"
"""What stands where bytes were no character of the file's encoding."""
CONTROLS: Final = r"[\x00-\x08\x0B\x0C\x0E-\x1F\x7F]"
_WIDE_DIGITS: Final = 38  # DuckDB's widest decimal
_TEXT_DIGITS: Final = (15, 9)  # digits before and after the point that the fast way takes


def identifier(name: str) -> str:
    """A name, quoted for SQL."""
    return '"' + name.replace('"', '""') + '"'


def literal(text: str) -> str:
    """A text, quoted for SQL."""
    return "'" + text.replace("'", "''") + "'"


def sql_type(field: Field) -> str:
    """The DuckDB type that holds a field."""
    if field.list:
        return "VARCHAR[]"
    names = {"integer": "BIGINT", "boolean": "BOOLEAN", "date": "DATE"}
    return (
        f"DECIMAL({field.precision},{field.scale or 0})"
        if field.type == "decimal"
        else names.get(field.type, "VARCHAR")
    )


def cell(text: str, null_values: tuple[str, ...]) -> str:
    """The cell without blanks around it, NULL if it stands for nothing."""
    trimmed = f"trim({text}, {literal(BLANKS)})"
    nothing = ", ".join(literal(value) for value in dict.fromkeys(("", *null_values)))
    return f"CASE WHEN {trimmed} IN ({nothing}) THEN NULL ELSE {trimmed} END"


def normalised(column: Column, text: str) -> str:
    """The cell in the words that the catalogue's parser reads: dates as ISO, midnight cut off, whole numbers without `.0`."""
    kind = column.field.type
    if kind in {"date", "month"}:
        # Databases and data frames hold dates as times at midnight.
        text = rf"regexp_replace({text}, '[ T]00:00:00(\.0+)?(Z|\+00(:00)?)?$', '')"
        if column.format is not None:
            iso = "%Y-%m-%d" if kind == "date" else "%Y-%m"
            text = f"coalesce(strftime(try_strptime({text}, {literal(column.format)}), {literal(iso)}), {text})"
    if kind == "integer":
        text = rf"regexp_replace({text}, '^(-?[0-9]+)\.0+$', '\1')"
    return text


def fast_value(column: Column, text: str) -> str:
    """The typed value of a normalised cell, or NULL where the slow way must decide."""
    field = column.field
    if field.list:
        return _list(field, text)
    match field.type:
        case "string" | "code" | "enum":
            return _text(field, text)
        case "integer":
            return _integer(column, text)
        case "decimal":
            return _decimal(column, text)
        case "boolean":
            return f"CASE WHEN lower({text}) IN ('true','1','是') THEN true WHEN lower({text}) IN ('false','0','否') THEN false END"
        case "date":
            sure = rf"regexp_full_match({text}, '[0-9]{{4}}-[0-9]{{2}}-[0-9]{{2}}') AND {text} > '0001'"
            return f"CASE WHEN {sure} THEN TRY_CAST({text} AS DATE) END"
        case "month":
            sure = rf"regexp_full_match({text}, '[0-9]{{4}}-(0[1-9]|1[0-2])') AND {text} > '0001'"
            return f"CASE WHEN {sure} THEN {text} END"


def _readable(text: str) -> str:
    return f"NOT contains({text}, {literal(UNREADABLE)}) AND NOT regexp_matches({text}, {literal(CONTROLS)})"


def _text(field: Field, text: str) -> str:
    if field.type == "enum":
        return f"CASE WHEN {text} IN ({', '.join(map(literal, field.values))}) THEN {text} END"
    bounds = ""
    if field.length is not None:
        bounds = f"length({text}) {'=' if field.type == 'code' else '<='} {field.length} AND "
    return f"CASE WHEN {bounds}{_readable(text)} THEN {text} END"


def _list(field: Field, text: str) -> str:
    parts = f"list_transform(string_split({text}, '|'), lambda part: trim(part, {literal(BLANKS)}))"
    sure = f"{_readable(text)} AND NOT list_contains({parts}, '')"
    if field.values:
        sure += f" AND list_has_all([{', '.join(map(literal, field.values))}], {parts})"
    elif field.length is not None:
        sure += f" AND length({text}) <= {field.length}"
    return f"CASE WHEN {sure} THEN {parts} END"


def _bounds(field: Field, value: str) -> str:
    bounds = [f"{value} >= {field.minimum}"] if field.minimum is not None else []
    bounds += [f"{value} <= {field.maximum}"] if field.maximum is not None else []
    return f"CASE WHEN {' AND '.join(bounds)} THEN {value} END" if bounds else value


def _integer(column: Column, text: str) -> str:
    if column.factor != 1:
        return "CAST(NULL AS BIGINT)"
    value = rf"CASE WHEN regexp_full_match({text}, '-?[0-9]{{1,18}}') THEN TRY_CAST({text} AS BIGINT) END"
    return _bounds(column.field, f"({value})")


def _decimal(column: Column, text: str) -> str:
    precision, scale = column.field.precision or 18, column.field.scale or 0
    kind = f"DECIMAL({precision},{scale})"
    factor_digits, factor_scale = _digits(column.factor)
    before, after = _TEXT_DIGITS
    if before + after + factor_digits > _WIDE_DIGITS:
        return f"CAST(NULL AS {kind})"
    form = rf"regexp_full_match({text}, '-?[0-9]{{1,{before}}}(\.[0-9]{{1,{after}}})?')"
    number = f"TRY_CAST({text} AS DECIMAL({before + after},{after}))"
    if column.factor != 1:
        number = f"({number} * CAST({literal(format(column.factor, 'f'))} AS DECIMAL({factor_digits},{factor_scale})))"
    value = f"TRY_CAST({number} AS {kind})"
    # DuckDB rounds where it casts; without leave to round, only what stays itself is sure.
    sure = form if column.round else f"{form} AND {value} = {number}"
    return _bounds(column.field, f"(CASE WHEN {sure} THEN {value} END)")


def _digits(factor: Decimal) -> tuple[int, int]:
    """Digits in all and after the point."""
    whole, _, fraction = format(factor, "f").partition(".")
    return len(whole) + len(fraction), len(fraction)
