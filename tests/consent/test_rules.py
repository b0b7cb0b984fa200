from __future__ import annotations

from importlib import resources

import pytest

from consent.documents import ItemMode, Purpose
from consent.errors import CatalogueInvalid
from consent.rules import DAY_MS, load_rules, parse_rules

RULES = load_rules()
TEXT = (resources.files("consent") / "data" / "usage-rules-2026.1.toml").read_text(encoding="utf-8")


def test_every_purpose_and_every_level_has_a_rule() -> None:
    assert set(RULES.purposes) == set(Purpose)
    assert set(RULES.levels) == {1, 2, 3, 4}
    assert "ours" in RULES.provenance


@pytest.mark.parametrize(
    ("purpose", "modes"),
    [
        (Purpose.VERIFICATION, "PQV"),
        (Purpose.PRE_LOAN, "PQRV"),
        (Purpose.POST_LOAN, "PQRV"),
        (Purpose.JOINT_MODELLING, "PRJ"),
        (Purpose.SCORING, "PQVJ"),
        (Purpose.SHARING, "PQV"),
    ],
)
def test_a_purpose_allows_its_modes_and_no_others(purpose: Purpose, modes: str) -> None:
    assert {mode for mode in ItemMode if RULES.mode_allowed(purpose, mode)} == {ItemMode(mode) for mode in modes}


@pytest.mark.parametrize(
    ("purpose", "level", "days"),
    [
        (Purpose.VERIFICATION, 1, 30),  # the purpose is the shorter one
        (Purpose.POST_LOAN, 2, 1830),
        (Purpose.POST_LOAN, 3, 1095),  # the level is
        (Purpose.POST_LOAN, 4, 365),
        (Purpose.JOINT_MODELLING, 3, 730),
    ],
)
def test_data_is_kept_no_longer_than_purpose_and_level_both_allow(purpose: Purpose, level: int, days: int) -> None:
    assert RULES.longest_life_days(purpose, level) == days


def test_a_higher_level_is_never_kept_longer() -> None:
    for purpose in Purpose:
        lives = [RULES.longest_life_days(purpose, level) for level in (1, 2, 3, 4)]
        assert lives == sorted(lives, reverse=True)


def test_a_consent_ends_at_the_latest_when_its_purpose_says() -> None:
    assert RULES.latest_end_ms(Purpose.VERIFICATION, 1000) == 1000 + 30 * DAY_MS


def test_masking_begins_at_level_2_and_separate_consent_at_level_4() -> None:
    assert [RULES.masked(level) for level in (1, 2, 3, 4)] == [False, True, True, True]
    assert [RULES.separate_consent_needed(level) for level in (1, 2, 3, 4)] == [False, False, False, True]


def test_the_rules_cannot_be_changed_by_who_holds_them() -> None:
    with pytest.raises(TypeError):
        RULES.levels[4] = RULES.levels[1]  # type: ignore[index]


@pytest.mark.parametrize(
    ("before", "after", "said"),
    [
        ('version = "2026.1"', "version = ", "line 2"),
        ('version = "2026.1"', 'version = "2026.1"\nsurplus = 1', "surplus"),
        ('purpose = "sharing"', 'purpose = "selling"', "purpose"),
        ('purpose = "sharing"', 'purpose = "scoring"', "every purpose once"),
        ("level = 3", "level = 2", "levels 1 to 4"),
        ("level = 3", "level = 5", "level"),
        ('modes = ["P", "R", "J"]', 'modes = ["P", "X"]', "joint_modelling.*never X"),
        ('modes = ["P", "R", "J"]', "modes = []", "joint_modelling"),
        ("longest_validity_days = 30", "longest_validity_days = 0", "longest_validity_days"),
        ("longest_life_days = 1095", "longest_life_days = 1831", "Level 3 is handled more laxly"),
        ("level = 3\nmasked = true", "level = 3\nmasked = false", "Level 3 is handled more laxly"),
        ("separate_consent = true", "separate_consent = false", "separate consent"),
    ],
)
def test_bad_rules_are_refused_with_the_place(before: str, after: str, said: str) -> None:
    assert before in TEXT
    with pytest.raises(CatalogueInvalid, match=said):
        parse_rules(TEXT.replace(before, after, 1))


def test_an_unknown_version_is_refused() -> None:
    with pytest.raises(CatalogueInvalid, match=r"2026\.1"):
        load_rules("1999.1")
