"""The usage rules (使用规则, guideline 6.6.1): upper bounds per purpose and per level of sensitivity, as versioned data.

They bound what a consent can allow: a use outside them is refused even if an enterprise signed it, and data is kept no longer than the
shortest of consent, purpose and level say. Purpose templates with upper bounds follow the fair-use templates of account aggregation.
"""

from __future__ import annotations

import tomllib
from dataclasses import dataclass
from functools import lru_cache
from importlib import resources
from typing import Annotated, Final

import msgspec

from consent.documents import ItemMode, Purpose
from consent.errors import CatalogueInvalid

CURRENT: Final = "2026.1"

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
    version: str
    purposes: tuple[PurposeRule, ...] = msgspec.field(name="purpose")
    levels: tuple[LevelRule, ...] = msgspec.field(name="level")


@dataclass(frozen=True, kw_only=True)
class UsageRules:
    """A version of the rules."""

    version: str
    purposes: dict[Purpose, PurposeRule]
    levels: dict[int, LevelRule]

    def mode_allowed(self, purpose: Purpose, mode: ItemMode) -> bool:
        """Whether the purpose allows the mode at all."""
        return mode in self.purposes[purpose].modes

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
    purposes = {rule.purpose: rule for rule in parsed.purposes}
    levels = {rule.level: rule for rule in parsed.levels}
    if set(purposes) != set(Purpose) or set(levels) != {1, 2, 3, 4}:
        raise CatalogueInvalid("The usage rules must have every purpose and the levels 1 to 4, each once.")
    if not levels[4].separate_consent:
        raise CatalogueInvalid("Level 4 must demand a separate consent.")
    return UsageRules(version=parsed.version, purposes=purposes, levels=levels)


@lru_cache(maxsize=4)
def load_rules(version: str = CURRENT) -> UsageRules:
    """The rules that come with the software. Raises CatalogueInvalid if there is no such version."""
    path = resources.files("consent") / "data" / f"usage-rules-{version}.toml"
    if not path.is_file():
        raise CatalogueInvalid(f"This software has no usage rules {version!r}; it has {CURRENT}.")
    return parse_rules(path.read_text(encoding="utf-8"))
