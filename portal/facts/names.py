"""What codes and numbers of facts are called, in both languages: regions, industries, size classes, measures.

Names are versioned data (`portal/facts/data`), sentences are the catalogues'.
"""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from decimal import Decimal
from functools import cache
from importlib.resources import files
from typing import Final

import msgspec

from consent.enterprise_size import EnterpriseSize
from consent.validators import parse_industry
from portal.text import Name, Text

SIZES: Final[Mapping[EnterpriseSize, Text]] = {
    EnterpriseSize.LARGE: Text("Large"),
    EnterpriseSize.MEDIUM: Text("Medium-sized"),
    EnterpriseSize.SMALL: Text("Small"),
    EnterpriseSize.MICRO: Text("Micro"),
    EnterpriseSize.UNCLASSIFIED: Text("Not classified"),
}
MEASURES: Final[Mapping[str, tuple[Text, Text]]] = {
    "employees": (Text("Employees"), Text("persons")),
    "revenue_wan": (Text("Revenue a year"), Text("× CNY 10,000")),
    "assets_wan": (Text("Total assets"), Text("× CNY 10,000")),
}


class _File(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    version: str
    provenance: str
    names: dict[str, tuple[str, str]]


@cache
def regions() -> Mapping[str, Name]:
    """Names by code (GB/T 2260), in the order of the codes; made once."""
    return _names("regions-2260.toml")


@cache
def industries() -> Mapping[str, Name]:
    """Names by code with its section letter (GB/T 4754-2017), each section before its divisions."""
    return _names("industries-4754.toml")


def region_name(code: str) -> Name:
    """What a region is called; a county without a name by its province and code."""
    found = regions().get(code)
    if found is not None:
        return found
    province = regions()[f"{code[:2]}0000"]
    return Name(f"{province.zh}（{code}）", f"{province.en} ({code})")


def industry_name(code: str) -> Name:
    """What an industry is called; a group or class without a name by its division and code."""
    industry = parse_industry(code)
    for length in (3, 2):
        found = industries().get(industry.section + industry.digits[:length])
        if found is not None and len(industry.digits) > length:
            return Name(f"{found.zh}（{code}）", f"{found.en} ({code})")
        if found is not None:
            return found
    return industries()[industry.section]


def number(value: Decimal | int | None) -> str:
    """A number as people write it: thousands apart, no zeros at the end."""
    if value is None:
        return "–"
    shown = f"{value:,f}"
    return shown.rstrip("0").rstrip(".") if "." in shown else shown


def _names(file: str) -> Mapping[str, Name]:
    text = files("portal").joinpath("facts", "data", file).read_text(encoding="utf-8")
    parsed = msgspec.convert(tomllib.loads(text), _File)
    return {code: Name(zh, en) for code, (zh, en) in parsed.names.items()}
