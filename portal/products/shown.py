"""What the form of a product chooses from, and what is different between two versions as they were typed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from portal.consents.words import MODES
from portal.facts.names import SIZES, industries, regions
from portal.forms import Field
from portal.parsers import BETWEEN
from portal.products import fields, words
from portal.text import Name, Text

Choices = Sequence[tuple[str, Text | Name]]


@dataclass(frozen=True, kw_only=True)
class Difference:
    """A field that says something else now."""

    label: Text | Name
    before: tuple[Text | Name, ...]
    after: tuple[Text | Name, ...]


def choices() -> Mapping[str, Choices]:
    """The choices of each field that has some; of industries down to divisions."""

    def of(titles: Mapping[Any, Text | Name]) -> Choices:
        return [(str(getattr(key, "value", key)), title) for key, title in titles.items()]

    work = of({code: name for code, name in industries().items() if len(code) <= len("A01")})
    return {
        "product_type": of(words.TYPES),
        "purposes": of(words.PURPOSES),
        "term_unit": of(words.UNITS),
        "rate_basis": of(words.BASES),
        "guarantee_types": of(words.GUARANTEES),
        "repayment_methods": of(words.REPAYMENTS),
        "regions": of(regions()),
        "industries": work,
        "industries_outside": work,
        "target_sizes": of(SIZES),
        **{each.name: of(MODES) for each in fields.DATA.fields},
    }


def differences(before: Mapping[str, str], after: Mapping[str, str]) -> tuple[Difference, ...]:
    """What a later version says otherwise, in the order of the form."""
    titles = {name: dict(offered) for name, offered in choices().items()}
    found = []
    for each in fields.FIELDS:
        one, other = (_told(each, answers.get(each.name, ""), titles.get(each.name)) for answers in (before, after))
        if one != other:
            found.append(Difference(label=each.label, before=one, after=other))
    return tuple(found)


def _told(field: Field, typed: str, titles: Mapping[str, Text | Name] | None) -> tuple[Text | Name, ...]:
    if field.kind == "tick":
        return (Text("Yes") if typed else Text("No"),)
    values = sorted(typed.split(BETWEEN)) if titles is not None else [typed.strip()]
    return tuple((titles or {}).get(value) or Name(value, value) for value in values if value)
