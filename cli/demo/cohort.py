"""Who consents to what in the demonstration: groups of enterprises, each made to show one outcome."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from cli.demo.enterprises import DAY_MS, Enterprise, Registry, now_ms
from cli.demo.loans import OWNERS
from consent.documents import Frequency, ItemMode, ItemScope, Limits, Purpose

BANK: Final = "first-bank"
OTHER_BANK: Final = "second-bank"
GOVERNMENT: Final = "tax-bureau"
PLATFORM: Final = "pay-platform"
GOVERNMENT_ITEM: Final = "demo_delinquency"
PLATFORM_ITEM: Final = "demo_accounts"

FULL: Final = 200
SMALL: Final = 10
MODEL: Final = 800
"""Enterprises of the joint models; half of their loans are bad ones, so that a cohort of this size can be tested on."""


@dataclass(frozen=True, kw_only=True)
class Member:
    """An enterprise of the demonstration, the group it is in, and its consents by provider."""

    enterprise: Enterprise
    group: str
    consents: dict[str, str]


GROUPS: Final[tuple[tuple[str, int], ...]] = (
    ("full", FULL),
    ("verification_only", SMALL),
    ("one_use", SMALL),
    ("not_yet", SMALL),
    ("ended", SMALL),
    ("other_bank", SMALL),
    ("other_purpose", SMALL),
    ("few_fields", SMALL),
    ("once_a_day", SMALL),
    ("other_provider", SMALL),
    ("none", SMALL),
)
"""Name and size of each group but that of the models."""

EXPECTED: Final[dict[str, str]] = {
    "verification_only": "MODE_NOT_ALLOWED",
    "one_use": "USES_EXHAUSTED",
    "not_yet": "CONSENT_NOT_YET_VALID",
    "ended": "CONSENT_EXPIRED",
    "other_bank": "WRONG_GRANTEE",
    "other_purpose": "PURPOSE_NOT_COVERED",
    "few_fields": "FIELD_NOT_COVERED",
    "once_a_day": "FREQUENCY_EXCEEDED",
    "other_provider": "NO_CONSENT",
    "none": "NO_CONSENT",
}
"""The refusal that each group is there to show, at the government node."""


def places(labels: Sequence[str]) -> list[tuple[int, str]]:
    """Which loan's enterprise is in which group. `labels`: of all loans."""
    small = [group for group, size in GROUPS for _ in range(size)]
    rest = range(len(small), len(labels))
    bad, good = ([at for at in rest if (labels[at] == "bad") == kind][: MODEL // 2] for kind in (True, False))
    return [*enumerate(small), *((at, "model") for at in [*bad, *good])]


def scope(item: str, *modes: ItemMode, fields: tuple[str, ...] = ()) -> tuple[ItemScope, ...]:
    """One item in several modes."""
    return tuple(ItemScope(item_id=item, mode=mode, fields=fields) for mode in modes)


def consent_of_group(registry: Registry, enterprise: Enterprise, group: str) -> dict[str, str]:
    """Sign what the group signs; identifiers by provider."""
    at = now_ms()
    usual = Limits(valid_from_ms=at - 60_000, valid_to_ms=at + 90 * DAY_MS, data_life_days=30)
    full = scope(GOVERNMENT_ITEM, ItemMode.Q, ItemMode.R, ItemMode.V)
    query = scope(GOVERNMENT_ITEM, ItemMode.Q)

    def government(what: tuple[ItemScope, ...], limits: Limits = usual, **more: object) -> dict[str, str]:
        users = (OTHER_BANK,) if group == "other_bank" else (BANK,)
        purpose = Purpose.POST_LOAN if group == "other_purpose" else Purpose.PRE_LOAN
        return {GOVERNMENT: registry.consent(enterprise, GOVERNMENT, users, what, purpose=purpose, limits=limits)}

    match group:
        case "full":
            platform = scope(PLATFORM_ITEM, ItemMode.Q, ItemMode.R)
            other = registry.consent(enterprise, PLATFORM, (BANK,), platform, limits=usual)
            return government(full) | {PLATFORM: other}
        case "model":
            return {
                provider: registry.consent(
                    enterprise,
                    provider,
                    (BANK,),
                    scope(item, ItemMode.J),
                    purpose=Purpose.JOINT_MODELLING,
                    limits=usual,
                )
                for provider, item in ((GOVERNMENT, GOVERNMENT_ITEM), (PLATFORM, PLATFORM_ITEM))
            }
        case "verification_only":
            return government(scope(GOVERNMENT_ITEM, ItemMode.V))
        case "one_use":
            return government(query, _with(usual, max_uses=1))
        case "not_yet":
            return government(query, _with(usual, valid_from_ms=at + DAY_MS))
        case "ended":
            return government(query, _with(usual, valid_to_ms=at + 1_500))
        case "few_fields":
            return government(scope(GOVERNMENT_ITEM, ItemMode.Q, fields=(OWNERS[GOVERNMENT_ITEM][0],)))
        case "once_a_day":
            return government(query, _with(usual, frequency=Frequency(count=1, unit="day")))
        case "other_provider":
            other = registry.consent(enterprise, PLATFORM, (BANK,), scope(PLATFORM_ITEM, ItemMode.Q), limits=usual)
            return {PLATFORM: other}
        case "other_bank" | "other_purpose":
            return government(query)
        case _:
            return {}


def _with(limits: Limits, **changes: object) -> Limits:
    from msgspec.structs import replace

    return replace(limits, **changes)
