"""`sources.toml`: which data this node has, where each lies, and how its columns become fields of the catalogue.

    [[source]]
    name = "fund-2026"                  # names the source in reports
    type = "csv"                        # csv, parquet, sqlite, postgresql, mysql
    item_id = "hf_contribution"         # item of the catalogue
    path = "data/fund.csv"              # csv, parquet (may be a pattern), sqlite; relative to this file
    subject = "统一社会信用代码"          # column with the enterprise's code
    as_of = 2026-05-31                  # last day that the data tells of, where the time of the file does not say it
    [source.fields]                     # field = column; left out: columns are named like the fields
    period = { column = "月份", format = "%Y%m" }
    amount = { column = "金额(万元)", unit = "万" }

The rules of this module:
1. What is misspelt, unknown or missing is an error that names it; nothing is guessed.
2. Every field that the catalogue requires is mapped, or listed under `absent`: data is never incomplete by oversight.
3. A unit or a scale converts exactly. Digits are cut only where `round = true` says so.
4. A password stays out of this file where the owner wants it so: `url_file` names a file that holds the address.
"""

from __future__ import annotations

import tomllib
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal, InvalidOperation
from pathlib import Path
from typing import Annotated, Final, Literal

import msgspec

from consent.catalogue import Catalogue, Field, Item
from consent.errors import ItemUnknown
from nodes.sources.errors import SourcesInvalid
from nodes.sources.units import conversion_factor

SourceType = Literal["csv", "parquet", "sqlite", "postgresql", "mysql"]
FILE_TYPES: Final = frozenset({"csv", "parquet", "sqlite"})
SERVER_TYPES: Final = frozenset({"postgresql", "mysql"})
MAX_SOURCES: Final = 62
"""Of one item: a row's sources are the bits of one number."""
_Text = Annotated[str, msgspec.Meta(min_length=1, max_length=4000)]
_Name = Annotated[str, msgspec.Meta(pattern=r"^[a-z0-9][a-z0-9._-]{0,60}\Z")]


class ColumnMapping(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """How one column becomes one field.

    `unit`: of the column, where it differs from the field's. `scale`: a factor as decimal text, instead of a unit. `format`: of a
    date or month, as strptime writes it. `round`: cut to the field's decimals, half away from zero.
    """

    column: _Text
    unit: str | None = None
    scale: str | None = None
    format: str | None = None
    round: bool = False


class SourceConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """One `[[source]]` as it stands in the file. `key`: fields that tell one record of a subject from another.

    `as_of`: the last day that the data tells of, where neither the time of a file nor that of the load says how old it is.
    """

    name: _Name
    type: SourceType
    item_id: str
    subject: _Text = "uscc"
    path: _Text | None = None
    url: _Text | None = None
    url_file: _Text | None = None
    table: _Text | None = None
    query: _Text | None = None
    fields: dict[str, _Text | ColumnMapping] = {}
    absent: tuple[str, ...] = ()
    key: tuple[str, ...] = ()
    encoding: Annotated[str, msgspec.Meta(max_length=40)] = "auto"
    delimiter: Annotated[str, msgspec.Meta(min_length=1, max_length=1)] = ","
    null_values: tuple[str, ...] = ("",)
    reviewed_codes: tuple[str, ...] = ()
    origin: Literal["enterprise", "government", "third_party", "other"] = "government"
    source_org: Annotated[str, msgspec.Meta(max_length=200)] = ""
    collect_method: Literal["api", "file", "manual", "self_report", "public"] | None = None
    as_of: date | None = None


class _File(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    source: tuple[SourceConfig, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Column:
    """A field and the column that it comes from; the number in the column times `factor` is in the field's unit."""

    field: Field
    column: str
    factor: Decimal = Decimal(1)
    format: str | None = None
    round: bool = False


@dataclass(frozen=True, kw_only=True)
class Source:
    """One source, checked against the catalogue. `directory` is what its paths are relative to."""

    config: SourceConfig
    item: Item
    columns: tuple[Column, ...]
    directory: Path

    @property
    def name(self) -> str:
        """Its name in reports."""
        return self.config.name

    @property
    def collect_method(self) -> str:
        """How the data is collected (dictionary, envelope)."""
        return self.config.collect_method or ("file" if self.config.type in FILE_TYPES else "api")

    @property
    def path(self) -> Path:
        """The file, or the pattern of files, of a source that is one."""
        return self.directory / (self.config.path or "")


def parse_sources(text: str, directory: Path, catalogue: Catalogue) -> tuple[Source, ...]:
    """Parse the file's text. Raises SourcesInvalid, naming the source and what to change."""
    try:
        parsed = msgspec.convert(tomllib.loads(text), _File)
    except (tomllib.TOMLDecodeError, msgspec.ValidationError) as error:
        raise SourcesInvalid(f"sources.toml cannot be used: {error}. Correct the file.") from error
    sources: list[Source] = []
    for config in parsed.source:
        if any(config.name == other.name for other in sources):
            raise SourcesInvalid(f"sources.toml names the source {config.name!r} twice. Rename one.")
        sources.append(_checked(config, directory, catalogue))
    _check_items(sources)
    return tuple(sources)


def load_config(path: Path, catalogue: Catalogue) -> tuple[Source, ...]:
    """Read `sources.toml`; a node without the file has no data. Raises SourcesInvalid."""
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        return ()
    except (OSError, UnicodeDecodeError) as error:
        raise SourcesInvalid(
            f"{path} cannot be read as UTF-8 text: {error}. Correct the file or its permissions."
        ) from error
    return parse_sources(text, path.parent, catalogue)


def _checked(config: SourceConfig, directory: Path, catalogue: Catalogue) -> Source:
    def wrong(what: str) -> SourcesInvalid:
        return SourcesInvalid(f"Source {config.name!r} in sources.toml: {what}.")

    try:
        item = catalogue.item(config.item_id)
    except ItemUnknown as error:
        raise wrong(f"the catalogue {catalogue.version} has no item {config.item_id!r}; correct item_id") from error
    if not item.provided:
        raise wrong(f"item {item.id} is not exchanged (mode X); remove the source")
    place = _wrong_place(config)
    if place:
        raise wrong(place)
    unknown = [name for name in (*config.fields, *config.absent, *config.key) if name not in item.by_name]
    if unknown:
        raise wrong(f"item {item.id} has no field {', '.join(unknown)}; it has {', '.join(item.by_name)}")
    mapped: Mapping[str, str | ColumnMapping] = config.fields or {n: n for n in item.by_name if n not in config.absent}
    both = [name for name in mapped if name in config.absent]
    if both:
        raise wrong(f"{', '.join(both)} is both mapped and absent; decide")
    missing = [
        each.name for each in item.fields if not (each.nullable or each.name in mapped or each.name in config.absent)
    ]
    if missing:
        raise wrong(
            f"required fields of item {item.id} are not mapped: {', '.join(missing)}; map them, or list them under absent"
        )
    if any(name not in mapped for name in config.key):
        raise wrong("a field of key is not mapped to a column; map it")
    try:
        columns = tuple(_column(item.by_name[name], mapping) for name, mapping in mapped.items())
    except ValueError as error:
        raise wrong(str(error)) from error
    return Source(config=config, item=item, columns=columns, directory=directory)


def _wrong_place(config: SourceConfig) -> str:
    """What is wrong with where the source says that its data lies; empty if nothing is."""
    addressed = [name for name in ("path", "url", "url_file") if getattr(config, name) is not None]
    if config.type in FILE_TYPES and addressed != ["path"]:
        return f"type {config.type} needs path, and neither url nor url_file"
    if config.type in SERVER_TYPES and (len(addressed) != 1 or addressed == ["path"]):
        return f"type {config.type} needs one of url and url_file, and no path"
    chosen = [name for name in ("table", "query") if getattr(config, name) is not None]
    if config.type in {"csv", "parquet"} and chosen:
        return f"type {config.type} has no {chosen[0]}; remove it"
    if config.type not in {"csv", "parquet"} and len(chosen) != 1:
        return f"type {config.type} needs one of table and query"
    return ""


def _column(field: Field, mapping: str | ColumnMapping) -> Column:
    """Raises ValueError with what is wrong."""
    if isinstance(mapping, str):
        return Column(field=field, column=mapping)
    factor = Decimal(1)
    if mapping.unit is not None or mapping.scale is not None:
        if field.type not in {"decimal", "integer"} or (mapping.unit is not None and mapping.scale is not None):
            raise ValueError(f"field {field.name}: give a unit or a scale, not both, and only to a number")
        factor = _factor(field, mapping)
    if mapping.round and field.type != "decimal":
        raise ValueError(f"field {field.name} of type {field.type} cannot be rounded; remove round")
    if mapping.format is not None:
        _check_format(field, mapping.format)
    return Column(field=field, column=mapping.column, factor=factor, format=mapping.format, round=mapping.round)


def _factor(field: Field, mapping: ColumnMapping) -> Decimal:
    if mapping.unit is not None:
        if field.unit is None:
            raise ValueError(f"field {field.name} has no unit; use scale, or nothing")
        try:
            return conversion_factor(mapping.unit, field.unit)
        except ValueError as error:
            raise ValueError(f"field {field.name}: {error}") from error
    try:
        factor = Decimal(mapping.scale or "")
    except InvalidOperation:
        factor = Decimal(0)
    digits, exponent = factor.as_tuple().digits, factor.as_tuple().exponent
    if (
        not factor.is_finite()
        or factor <= 0
        or len(digits) > 12
        or not isinstance(exponent, int)
        or not -8 <= exponent <= 8
    ):
        raise ValueError(f"field {field.name}: scale is no positive decimal of at most 12 digits and 8 decimals")
    return factor


def _check_format(field: Field, form: str) -> None:
    if field.type not in {"date", "month"}:
        raise ValueError(f"field {field.name} of type {field.type} has no format; remove it")
    sample = datetime(2024, 2, 1) if field.type == "month" else datetime(2024, 2, 29)
    try:
        same = datetime.strptime(sample.strftime(form), form) == sample
    except ValueError:
        same = False
    if not same:
        raise ValueError(
            f"field {field.name}: the format {form!r} does not hold a whole {field.type} (an example: %Y%m%d)"
        )


def _check_items(sources: list[Source]) -> None:
    """What the sources of one item must have in common."""
    for item_id, count in Counter(source.item.id for source in sources).items():
        if count > MAX_SOURCES:
            raise SourcesInvalid(
                f"sources.toml has {count} sources of item {item_id}, more than {MAX_SOURCES}. Combine some: a path may be a "
                "pattern of many files."
            )
    keys: dict[str, tuple[str, ...]] = {}
    for source in sources:
        if keys.setdefault(source.item.id, source.config.key) != source.config.key:
            raise SourcesInvalid(
                f"The sources of item {source.item.id} in sources.toml state different keys, so that their records cannot be "
                f"compared. Give all the same key."
            )
