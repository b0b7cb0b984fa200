"""The usage rules (使用规则, guideline 6.6.1): upper bounds per purpose and per level of sensitivity, as versioned data.

They bound what a consent can allow: a use outside them is refused even if an enterprise signed it, and data is kept no longer than the
shortest of consent, purpose and level say. Purpose templates with upper bounds follow the fair-use templates of account aggregation.

A file of rules is refused (CATALOGUE_INVALID) unless
1. it has every purpose and every level once;
2. no purpose allows mode X;
3. a higher level is never handled more laxly than a lower one: masked, separate consent and retention (guideline 7.2.2 c);
4. level 4 demands a separate consent (PIPL on sensitive information; dictionary 5).
"""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from importlib import resources
from itertools import pairwise
from types import MappingProxyType
from typing import Annotated, Final

import msgspec

from consent.documents import ItemMode, Purpose
from consent.errors import CatalogueInvalid

CURRENT: Final = "2026.1"
DAY_MS: Final = 86_400_000

_Days = Annotated[int, msgspec.Meta(ge=1, le=3660)]


class PurposeRule(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What a purpose allows at most."""

    purpose: Purpose
    name: str
    modes: tuple[ItemMode, ...]
    longest_validity_days: _Days
    longest_life_days: _Days


class LevelRule(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What a level of sensitivity demands."""

    level: Annotated[int, msgspec.Meta(ge=1, le=4)]
    masked: bool
    separate_consent: bool
    longest_life_days: _Days


class _File(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    version: Annotated[str, msgspec.Meta(min_length=1)]
    provenance: Annotated[str, msgspec.Meta(min_length=1)]
    purposes: tuple[PurposeRule, ...] = msgspec.field(name="purpose")
    levels: tuple[LevelRule, ...] = msgspec.field(name="level")


@dataclass(frozen=True, kw_only=True)
class UsageRules:
    """A version of the rules."""

    version: str
    provenance: str
    purposes: Mapping[Purpose, PurposeRule]
    levels: Mapping[int, LevelRule]

    def mode_allowed(self, purpose: Purpose, mode: ItemMode) -> bool:
        """Whether the purpose allows the mode at all."""
        return mode in self.purposes[purpose].modes

    def latest_end_ms(self, purpose: Purpose, valid_from_ms: int) -> int:
        """When a consent for this purpose that begins then ends at the latest (milliseconds since the epoch, exclusive)."""
        return valid_from_ms + self.purposes[purpose].longest_validity_days * DAY_MS

    def separate_consent_needed(self, level: int) -> bool:
        """Whether an item of this level needs a consent of its own."""
        return self.levels[level].separate_consent

    def masked(self, level: int) -> bool:
        """Whether fields with a mask are masked at this level."""
        return self.levels[level].masked

    def longest_life_days(self, purpose: Purpose, level: int) -> int:
        """How long data may be kept at most, in days."""
        return min(self.purposes[purpose].longest_life_days, self.levels[level].longest_life_days)


def parse_rules(text: str) -> UsageRules:
    """Parse a rules file. Raises CatalogueInvalid if it is malformed or lacks a purpose or level."""
    try:
        parsed = msgspec.convert(tomllib.loads(text), _File)
    except (tomllib.TOMLDecodeError, msgspec.ValidationError) as error:
        raise CatalogueInvalid(f"The usage rules cannot be used: {error}. Correct the file.") from error
    _check_rules(parsed)
    return UsageRules(
        version=parsed.version,
        provenance=parsed.provenance,
        purposes=MappingProxyType({rule.purpose: rule for rule in parsed.purposes}),
        levels=MappingProxyType({rule.level: rule for rule in parsed.levels}),
    )


def _check_rules(parsed: _File) -> None:
    if sorted(rule.purpose for rule in parsed.purposes) != sorted(Purpose):
        raise CatalogueInvalid(
            f"The usage rules must have every purpose once: {', '.join(Purpose)}. Add or remove some."
        )
    if sorted(rule.level for rule in parsed.levels) != [1, 2, 3, 4]:
        raise CatalogueInvalid("The usage rules must have the levels 1 to 4, each once. Add or remove some.")
    for rule in parsed.purposes:
        if ItemMode.X in rule.modes or not rule.modes or len(set(rule.modes)) != len(rule.modes):
            raise CatalogueInvalid(
                f"Purpose {rule.purpose} must allow some modes, each once, and never X. Correct its modes."
            )
    levels = sorted(parsed.levels, key=lambda rule: rule.level)
    for low, high in pairwise(levels):
        laxer = (low.masked and not high.masked) or (low.separate_consent and not high.separate_consent)
        if laxer or high.longest_life_days > low.longest_life_days:
            raise CatalogueInvalid(
                f"Level {high.level} is handled more laxly than level {low.level}. Make it at least as strict."
            )
    if not levels[-1].separate_consent:
        raise CatalogueInvalid("Level 4 must demand a separate consent. Set separate_consent = true.")


@lru_cache(maxsize=4)
def load_rules(version: str = CURRENT) -> UsageRules:
    """The rules that come with the software. Raises CatalogueInvalid if there is no such version."""
    path = resources.files("consent") / "data" / f"usage-rules-{version}.toml"
    if not path.is_file():
        raise CatalogueInvalid(f"This software has no usage rules {version!r}; it has {CURRENT}.")
    return parse_rules(path.read_text(encoding="utf-8"))
