from __future__ import annotations

import re
from datetime import datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from consent.errors import ConsentError, IdentifierInvalid, UsccInvalid
from consent.identifiers import USCC_ALPHABET, Uscc, check_character, parse_member_id, window_start_ms

REAL = ("91310110666007217T", "91310115591693856A", "9135010026017703XW", "91110000802100433B")
SYNTHETIC = (
    "91110000Y00000016N",
    "92110108Y000000247",
    "93110116Y00000032H",
    "91110302Y00000040K",
    "91110105Y000001A63",
)
PILOT = "91350211M00013FA1N"

stems = st.builds(
    lambda kind, region, rest: kind + region + rest,
    st.text(USCC_ALPHABET, min_size=2, max_size=2),
    st.text("0123456789", min_size=6, max_size=6),
    st.text(USCC_ALPHABET, min_size=9, max_size=9),
)


@pytest.mark.parametrize("code", REAL + SYNTHETIC)
def test_valid_codes_are_accepted_unchanged(code: str) -> None:
    assert Uscc.parse(code) == code


@pytest.mark.parametrize("code", REAL + SYNTHETIC)
def test_their_organisation_codes_are_sound_too(code: str) -> None:
    assert Uscc.parse(code).organisation_code_ok


def test_a_wrong_organisation_code_is_told_apart() -> None:
    stem = "91110000Y00000017"  # the organisation code Y0000001-6 with another check character
    assert not Uscc.parse(stem + check_character(stem)).organisation_code_ok


def test_the_code_of_an_early_pilot_region_needs_the_override_of_a_review() -> None:
    with pytest.raises(UsccInvalid, match="reviewed by hand"):
        Uscc.parse(PILOT)
    assert Uscc.parse(PILOT, allow_check_mismatch=True) == PILOT


@pytest.mark.parametrize(
    "text",
    [
        "",
        "91110000Y00000016",  # too short
        "91110000Y00000016NN",  # too long
        "91110000y00000016n",  # lower case
        "9111000OY00000016N",  # the letter O
        "911100A0Y00000016N",  # a letter in the region
        "91110000Y00000016N\n",
        " 91110000Y00000016N",
        "９１110000Y00000016N",  # full-width digits
        "9111000٠Y00000016N",  # an Arabic digit
    ],
)
def test_a_malformed_code_is_refused_even_under_the_override(text: str) -> None:
    for override in (False, True):
        with pytest.raises(UsccInvalid, match="Correct the code"):
            Uscc.parse(text, allow_check_mismatch=override)


@given(stems, st.integers(0, 16), st.data())
def test_every_single_wrong_character_is_noticed(stem: str, place: int, data: st.DataObject) -> None:
    code = stem + check_character(stem)
    assert Uscc.parse(code) == code
    alphabet = "0123456789" if 2 <= place < 8 else USCC_ALPHABET
    other = data.draw(st.sampled_from([char for char in alphabet if char != code[place]]))
    with pytest.raises(UsccInvalid):
        Uscc.parse(code[:place] + other + code[place + 1 :])


def test_the_refusal_does_not_repeat_the_whole_code() -> None:
    with pytest.raises(UsccInvalid) as caught:
        Uscc.parse(PILOT)
    assert PILOT not in str(caught.value)


def test_errors_carry_stable_codes() -> None:
    assert issubclass(UsccInvalid, IdentifierInvalid)
    assert issubclass(IdentifierInvalid, ConsentError)
    assert (UsccInvalid.code, IdentifierInvalid.code) == ("USCC_INVALID", "IDENTIFIER_INVALID")


@pytest.mark.parametrize("text", ["firstbank", "a1", "tax-office-2", "a" * 41])
def test_member_ids_are_accepted(text: str) -> None:
    assert parse_member_id(text) == text


@pytest.mark.parametrize("text", ["", "a", "A1", "1bank", "-bank", "bank_1", "a" * 42, "bank\n", "../bank", "银行"])
def test_other_texts_are_no_member_ids(text: str) -> None:
    with pytest.raises(IdentifierInvalid, match=re.escape("is no identifier")):
        parse_member_id(text)


def _ms(text: str) -> int:
    return int(datetime.fromisoformat(text + "+08:00").timestamp() * 1000)


@pytest.mark.parametrize(
    ("unit", "at", "start"),
    [
        ("hour", "2026-03-01T08:59:59.999", "2026-03-01T08:00"),
        ("hour", "2026-03-01T09:00", "2026-03-01T09:00"),
        ("day", "2026-03-01T07:59", "2026-03-01T00:00"),  # still the day before in UTC
        ("day", "2026-03-01T23:59:59.999", "2026-03-01T00:00"),
        ("month", "2026-03-01T00:00", "2026-03-01T00:00"),  # still February in UTC
        ("month", "2028-02-29T23:59:59.999", "2028-02-01T00:00"),
    ],
)
def test_windows_are_those_of_the_calendar_in_china(unit: str, at: str, start: str) -> None:
    assert window_start_ms(unit, _ms(at)) == _ms(start)


@given(st.sampled_from(["hour", "day", "month"]), st.integers(0, 4_000_000_000_000))
def test_a_window_contains_its_time_and_starts_itself(unit: str, at_ms: int) -> None:
    start = window_start_ms(unit, at_ms)
    assert start <= at_ms
    assert window_start_ms(unit, start) == start
    assert window_start_ms(unit, start - 1) < start


def test_an_unknown_unit_is_no_hour() -> None:
    with pytest.raises(ValueError, match="no unit"):
        window_start_ms("week", 0)
