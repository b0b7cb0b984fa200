"""The documents of consent: what parses, what does not, and that nothing is lost on the way."""

from __future__ import annotations

from collections.abc import Callable

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from consent.documents import (
    ConsentDocument,
    ConsentExpiry,
    ConsentRefusal,
    ConsentRevocation,
    Frequency,
    IdentityCheck,
    ItemMode,
    ItemScope,
    Limits,
    Purpose,
    PurposePart,
    encode,
    parse_consent,
    parse_expiry,
    parse_refusal,
    parse_request,
    parse_revocation,
)
from consent.errors import ConsentError, DocumentMalformed, UsccInvalid
from tests.consent.builders import DAY, NOW, PROVIDER, RECORD, REQUEST, USCC, consent, request

REVOCATION = ConsentRevocation(record_id=RECORD, provider=PROVIDER, uscc=USCC, time_ms=NOW)
REFUSAL = ConsentRefusal(request_id=REQUEST, provider=PROVIDER, uscc=USCC, reason="不同意", time_ms=NOW)
EXPIRY = ConsentExpiry(record_id=RECORD, provider=PROVIDER, uscc=USCC, time_ms=NOW)
Parser = Callable[[bytes], msgspec.Struct]
PARSERS: list[tuple[msgspec.Struct, Parser]] = [
    (consent(), parse_consent),
    (request(), parse_request),
    (REFUSAL, parse_refusal),
    (REVOCATION, parse_revocation),
    (EXPIRY, parse_expiry),
]


@pytest.mark.parametrize(("document", "parser"), PARSERS)
def test_a_document_comes_back_as_it_was_encoded(document: msgspec.Struct, parser: Parser) -> None:
    assert parser(encode(document)) == document


@pytest.mark.parametrize(("document", "parser"), PARSERS)
def test_an_unknown_field_is_refused(document: msgspec.Struct, parser: Parser) -> None:
    fields = msgspec.json.decode(encode(document))
    with pytest.raises(DocumentMalformed, match="unknown field"):
        parser(msgspec.json.encode(fields | {"surprise": 1}))


@pytest.mark.parametrize(("document", "parser"), PARSERS)
def test_a_missing_time_is_refused(document: msgspec.Struct, parser: Parser) -> None:
    fields = msgspec.json.decode(encode(document))
    del fields["given_ms" if isinstance(document, ConsentDocument) else "time_ms"]
    with pytest.raises(DocumentMalformed, match="missing required field"):
        parser(msgspec.json.encode(fields))


@pytest.mark.parametrize(("document", "parser"), PARSERS)
def test_no_other_document_passes_for_this_one(document: msgspec.Struct, parser: Parser) -> None:
    for other, _ in PARSERS:
        if type(other) is not type(document) and {type(other), type(document)} != {ConsentRevocation, ConsentExpiry}:
            with pytest.raises(DocumentMalformed):
                parser(encode(other))


def changed(path: str, value: object) -> bytes:
    """Return the valid consent's JSON with the value at a dotted path replaced."""
    fields = msgspec.json.decode(encode(consent()))
    at = fields
    *parents, last = path.split(".")
    for name in parents:
        at = at[int(name)] if name.isdigit() else at[name]
    at[last] = value
    return msgspec.json.encode(fields)


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("schema_version", "2"),
        ("record_id", "not-a-uuid"),
        ("record_id", RECORD.upper().replace("0", "A")),
        ("record_version", 0),
        ("record_version", 1.5),
        ("record_version", 2),
        ("prev_record_sm3", "ab" * 32),
        ("prev_record_sm3", "AB" * 32),
        ("given_ms", -1),
        ("given_ms", 10**18),
        ("given_ms", "2026-01-01"),
        ("subject.uscc", "91110000Y0000001"),
        ("subject.ent_name", ""),
        ("subject.ent_name", "长" * 201),
        ("subject.signatory_role", "friend"),
        ("subject.authority_doc_sm3", "abc"),
        ("notice.sm3", ""),
        ("purpose.purpose_code", "marketing"),
        ("purpose.separate_consent", 1),
        ("scope", []),
        ("scope", None),
        ("scope", [{"item_id": f"item_{number}", "mode": "Q"} for number in range(201)]),
        ("scope", [{"item_id": "tax_registration", "mode": "P"}]),
        ("scope", [{"item_id": "tax_registration", "mode": "X"}]),
        ("scope", [{"item_id": "tax_registration", "mode": "Q"}] * 2),
        ("scope", [{"item_id": "tax_registration", "mode": "Q", "fields": ["a", "a"]}]),
        ("scope", [{"item_id": "tax_registration", "mode": "Q", "fields": [f"f{n}" for n in range(201)]}]),
        ("scope", [{"item_id": "a", "mode": "Q", "range_from": "2026-02", "range_to": "2026-01"}]),
        ("scope", [{"item_id": "tax_registration", "mode": "Q", "range_from": "2026-02", "range_to": "2026-01"}]),
        ("scope", [{"item_id": "tax_registration", "mode": "Q", "range_from": "2026-13-01"}]),
        ("scope", [{"item_id": "tax_registration", "mode": "Q", "range_to": "2026-02-30"}]),
        ("scope.0.item_id", "Tax; DROP TABLE"),
        ("scope.0.item_id", "tax_registration\n"),
        ("recipients.data_source", "Tax Office"),
        ("recipients.data_source", "taxoffice\n"),
        ("recipients.data_users", []),
        ("recipients.data_users", ["firstbank"] * 51),
        ("limits.valid_to_ms", NOW),
        ("limits.valid_to_ms", NOW - 1),
        ("limits.valid_to_ms", NOW + 21 * 366 * DAY),
        ("limits.data_life_days", 0),
        ("limits.data_life_days", 3661),
        ("limits.max_uses", 0),
        ("limits.fetch", "always"),
        ("limits.frequency", {"count": 0, "unit": "day"}),
        ("limits.frequency", {"count": 1, "unit": "week"}),
        ("limits.storage_location", ""),
    ],
)
def test_a_consent_out_of_bounds_is_refused(path: str, value: object) -> None:
    with pytest.raises((DocumentMalformed, UsccInvalid)):
        parse_consent(changed(path, value))


@pytest.mark.parametrize("garbage", [b"", b"{", b"null", b"[]", b"\xff\xfe", b"{}" * 2, b"[" * 5000, b'{"a":NaN}'])
def test_garbage_ends_in_our_error(garbage: bytes) -> None:
    for _, parser in PARSERS:
        with pytest.raises(DocumentMalformed):
            parser(garbage)


@given(st.data())
def test_a_damaged_document_ends_in_our_error_or_parses(data: st.DataObject) -> None:
    document, parser = data.draw(st.sampled_from(PARSERS))
    payload = bytearray(encode(document))
    payload[data.draw(st.integers(0, len(payload) - 1))] = data.draw(st.integers(0, 255))
    try:
        parser(bytes(payload))
    except ConsentError as error:
        assert error.code and str(error)


def test_a_later_version_names_the_one_before_it() -> None:
    later = consent(record_version=2, prev_record_sm3="ab" * 32)
    assert parse_consent(encode(later)) == later


def test_everything_that_a_consent_can_say_survives() -> None:
    full = consent(
        purpose=PurposePart(purpose_code=Purpose.SCORING, application_no="A-1", separate_consent=True),
        scope=(
            ItemScope(
                item_id="tax_payment_summary",
                mode=ItemMode.J,
                fields=("period", "paid"),
                range_from="2025-01",
                range_to="2025-12-31",
            ),
            ItemScope(item_id="tax_payment_summary", mode=ItemMode.Q),
        ),
        limits=Limits(
            valid_from_ms=NOW,
            valid_to_ms=NOW + DAY,
            data_life_days=1,
            fetch="once",
            frequency=Frequency(count=3, unit="month"),
            max_uses=5,
        ),
        subject=msgspec.structs.replace(
            consent().subject, identity_check=IdentityCheck(method="face", time_ms=NOW, ref="r-1")
        ),
        request_id=REQUEST,
    )
    assert parse_consent(encode(full)) == full


@pytest.mark.parametrize(("document", "parser"), PARSERS[2:])
def test_every_document_that_names_an_enterprise_checks_its_code(document: msgspec.Struct, parser: Parser) -> None:
    with pytest.raises((DocumentMalformed, UsccInvalid)):
        parser(encode(msgspec.structs.replace(document, uscc="x" * 18)))
