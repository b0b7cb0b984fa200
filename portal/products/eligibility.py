"""Who may have a product: rules as data, evaluated against the facts that an enterprise told.

A rule is answered yes, no or unknown, with a sentence that says why. Unknown is never a no: it names the fact that is missing. A region
is within another if its code begins with the other's without the zeros that stand for "all of it"; an industry, if it belongs to its
section, division, group or class.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from enum import StrEnum
from typing import Annotated, Literal

import msgspec

from consent.enterprise_size import EnterpriseSize
from consent.validators import parse_industry
from portal.facts.facts import Facts
from portal.facts.names import MEASURES, SIZES, industry_name, number, region_name
from portal.text import Name, Text

Measure = Literal["employees", "revenue_wan", "assets_wan"]


class Answer(StrEnum):
    """Whether a rule holds."""

    YES = "yes"
    NO = "no"
    UNKNOWN = "unknown"


@dataclass(frozen=True, kw_only=True)
class Finding:
    """A rule, answered. `fact`: the one of `Facts` that it looks at; `told`: what that is, None while it is not known."""

    answer: Answer
    demand: Text
    fact: str
    told: Text | Name | None


class FoundedFor(msgspec.Struct, frozen=True, kw_only=True, tag="founded_for"):
    """Founded at least so many months ago."""

    months: Annotated[int, msgspec.Meta(ge=1, le=1200)]


class RegionAmong(msgspec.Struct, frozen=True, kw_only=True, tag="region_among"):
    """Registered in one of these regions (GB/T 2260)."""

    regions: tuple[str, ...]


class IndustryAmong(msgspec.Struct, frozen=True, kw_only=True, tag="industry_among"):
    """Of one of these industries (GB/T 4754-2017)."""

    industries: tuple[str, ...]


class IndustryOutside(msgspec.Struct, frozen=True, kw_only=True, tag="industry_outside"):
    """Of none of these industries (GB/T 4754-2017)."""

    industries: tuple[str, ...]


class SizeAmong(msgspec.Struct, frozen=True, kw_only=True, tag="size_among"):
    """Of one of these size classes."""

    sizes: tuple[EnterpriseSize, ...]


class Measured(msgspec.Struct, frozen=True, kw_only=True, tag="measured"):
    """A number of the last whole year within bounds, which belong to it; persons, or CNY 10,000."""

    measure: Measure
    at_least: Decimal | None = None
    at_most: Decimal | None = None


Rule = FoundedFor | RegionAmong | IndustryAmong | IndustryOutside | SizeAmong | Measured


def evaluate(rules: Sequence[Rule], facts: Facts, today: date) -> tuple[Finding, ...]:
    """Answer each rule."""
    return tuple(_answer(rule, facts, today) for rule in rules)


def overall(findings: Sequence[Finding]) -> Answer:
    """No if one is, else unknown if one is, else yes."""
    answers = {each.answer for each in findings}
    return next((answer for answer in (Answer.NO, Answer.UNKNOWN) if answer in answers), Answer.YES)


def months_between(earlier: date, later: date) -> int:
    """Whole months from one date to another; negative if it is later."""
    months = 12 * (later.year - earlier.year) + later.month - earlier.month
    return months - (later.day < earlier.day)


def region_within(code: str, wanted: str) -> bool:
    """Whether a region is another one or lies in it: 110108 in 110000."""
    return code.startswith(all_of(wanted))


def industry_within(code: str, wanted: str) -> bool:
    """Whether an industry is another one or belongs to it: C3921 to C, C39 and 392."""
    one, other = parse_industry(code), parse_industry(wanted)
    return one.section == other.section and one.digits.startswith(other.digits)


def all_of(code: str) -> str:
    """What the codes of a region and of all regions in it begin with: 11 for 110000."""
    while code.endswith("00"):
        code = code[:-2]
    return code


def _answer(rule: Rule, facts: Facts, today: date) -> Finding:
    match rule:
        case FoundedFor():
            return _founded(rule, facts, today)
        case RegionAmong():
            told = facts.region
            demand = Text("Registered in: {regions}", regions=tuple(map(region_name, rule.regions)))
            within = any(region_within(told, each) for each in rule.regions)
            unclear = not within and any(region_within(each, told) for each in rule.regions)
            return _finding(demand, "region", region_name(told) if told else None, within, unclear=unclear)
        case IndustryAmong():
            demand = Text("Industry: {industries}", industries=tuple(map(industry_name, rule.industries)))
            return _industry(demand, rule.industries, facts)
        case IndustryOutside():
            demand = Text("Not of the industry: {industries}", industries=tuple(map(industry_name, rule.industries)))
            return _industry(demand, rule.industries, facts, outside=True)
        case SizeAmong():
            demand = Text("Size: {sizes}", sizes=tuple(SIZES[each] for each in rule.sizes))
            size = facts.size
            return _finding(demand, "size", SIZES[size] if size else None, size in rule.sizes)
        case Measured():
            return _measured(rule, facts)


def _founded(rule: FoundedFor, facts: Facts, today: date) -> Finding:
    demand = Text("Founded at least {months} months ago", months=rule.months)
    if facts.founded is None:
        return _finding(demand, "founded", None, False)
    told = Text("on {date}", date=facts.founded.isoformat())
    return _finding(demand, "founded", told, months_between(facts.founded, today) >= rule.months)


def _industry(demand: Text, wanted: Sequence[str], facts: Facts, *, outside: bool = False) -> Finding:
    told = facts.industry
    if not told:
        return _finding(demand, "industry", None, False)
    within = any(industry_within(told, each) for each in wanted)
    unclear = not within and any(industry_within(each, told) for each in wanted)
    return _finding(demand, "industry", industry_name(told), within is not outside, unclear=unclear)


def _measured(rule: Measured, facts: Facts) -> Finding:
    told: int | Decimal | None = getattr(facts, rule.measure)
    what, unit = MEASURES[rule.measure]
    if rule.at_most is None:
        demand = Text("{what}: at least {least} {unit}", what=what, least=number(rule.at_least), unit=unit)
    elif rule.at_least is None:
        demand = Text("{what}: at most {most} {unit}", what=what, most=number(rule.at_most), unit=unit)
    else:
        least, most = number(rule.at_least), number(rule.at_most)
        demand = Text("{what}: {least} to {most} {unit}", what=what, least=least, most=most, unit=unit)
    if told is None:
        return _finding(demand, rule.measure, None, False)
    low, high = rule.at_least or 0, rule.at_most
    shown = Text("{number} {unit}", number=number(told), unit=unit)
    return _finding(demand, rule.measure, shown, told >= low and (high is None or told <= high))


def _finding(demand: Text, fact: str, told: Text | Name | None, holds: bool, *, unclear: bool = False) -> Finding:
    if told is None:
        return Finding(answer=Answer.UNKNOWN, demand=demand, fact=fact, told=None)
    answer = Answer.UNKNOWN if unclear else Answer.YES if holds else Answer.NO
    return Finding(answer=answer, demand=demand, fact=fact, told=told)
