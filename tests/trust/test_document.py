"""Signed documents: the bytes that are signed, the one encoding, and the parser against anything that may come."""

import base64
import json
from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from trust.document import (
    MAX_DOCUMENT_SIZE,
    MAX_SIGNATURES,
    Signature,
    SignedDocument,
    countersign,
    sign_document,
    signing_bytes,
    verify_document,
)
from trust.errors import DocumentMalformed, SignatureInvalid
from trust.sm2 import PrivateKey, sign, verify_signature
from trust.suite import SUITE

TYPE = "application/vnd.xinqiao.test+json"
KEY = PrivateKey.generate()
OTHER = PrivateKey.generate()
DOCUMENT = sign_document(TYPE, b'{"a":1}', KEY)
CORPUS = sorted((Path(__file__).parent / "corpus" / "document").iterdir())

types = st.from_regex(r"[a-z0-9][a-z0-9.+/-]{0,30}[a-z0-9]", fullmatch=True)


def test_the_bytes_that_are_signed_are_these_and_no_others() -> None:
    assert signing_bytes("application/x", b"hi\xff") == (
        b"DSSEv1 26 xinqiao/signed-document/v1 14 SM2-SM3-SM4GCM 13 application/x 3 hi\xff"
    )
    assert signing_bytes("application/x", b"") == (
        b"DSSEv1 26 xinqiao/signed-document/v1 14 SM2-SM3-SM4GCM 13 application/x 0 "
    )


@given(types, st.binary(max_size=40), types, st.binary(max_size=40))
@example("aa", b"1 b 3 abc", "aa 9 1 b", b"abc")
def test_two_documents_never_sign_the_same_bytes(type_a: str, a: bytes, type_b: str, b: bytes) -> None:
    assert (signing_bytes(type_a, a) == signing_bytes(type_b, b)) == ((type_a, a) == (type_b, b))


def test_the_envelope_is_that_of_dsse_with_a_suite() -> None:
    value = base64.b64encode(DOCUMENT.signatures[0].value).decode()
    assert DOCUMENT.encode().decode() == (
        '{"payloadType":"application/vnd.xinqiao.test+json","payload":"eyJhIjoxfQ==","signatures":'
        f'[{{"keyid":"{KEY.public.key_id}","suite":"SM2-SM3-SM4GCM","sig":"{value}"}}]}}'
    )


def test_the_signature_is_over_the_signing_bytes() -> None:
    verify_signature(KEY.public, signing_bytes(TYPE, b'{"a":1}'), DOCUMENT.signatures[0].value)


@given(types, st.binary(max_size=300))
def test_what_was_signed_travels_and_verifies(payload_type: str, payload: bytes) -> None:
    received = SignedDocument.decode(sign_document(payload_type, payload, KEY).encode())
    verify_document(received, payload_type, KEY.public)
    assert (received.payload_type, received.payload) == (payload_type, payload)


def test_every_flipped_bit_of_an_encoded_document_is_rejected() -> None:
    encoded = countersign(DOCUMENT, OTHER).encode()
    for bit in range(8 * len(encoded)):
        changed = bytearray(encoded)
        changed[bit // 8] ^= 1 << bit % 8
        with pytest.raises((DocumentMalformed, SignatureInvalid)):
            received = SignedDocument.decode(bytes(changed))
            verify_document(received, TYPE, KEY.public)
            verify_document(received, TYPE, OTHER.public)


def test_a_document_of_another_type_is_refused_though_its_signature_holds() -> None:
    with pytest.raises(SignatureInvalid, match="where application/other is expected"):
        verify_document(DOCUMENT, "application/other", KEY.public)


def test_a_payload_moved_under_another_type_is_refused() -> None:
    moved = SignedDocument("application/other", DOCUMENT.payload, DOCUMENT.signatures)
    with pytest.raises(SignatureInvalid):
        verify_document(moved, "application/other", KEY.public)


def test_a_document_by_another_key_is_refused() -> None:
    with pytest.raises(SignatureInvalid, match="only by " + KEY.public.key_id):
        verify_document(DOCUMENT, TYPE, OTHER.public)


def test_a_foreign_signature_under_our_key_id_is_refused() -> None:
    forged = Signature(KEY.public.key_id, SUITE, sign(OTHER, signing_bytes(TYPE, b"x")))
    with pytest.raises(SignatureInvalid):
        verify_document(SignedDocument(TYPE, b"x", (forged,)), TYPE, KEY.public)


def test_a_signature_in_an_unknown_suite_does_not_count() -> None:
    value = DOCUMENT.signatures[0].value
    document = SignedDocument(TYPE, DOCUMENT.payload, (Signature(KEY.public.key_id, "ED25519", value),))
    with pytest.raises(SignatureInvalid, match="ED25519"):
        verify_document(SignedDocument.decode(document.encode()), TYPE, KEY.public)


def test_a_countersigned_document_holds_for_both_and_keeps_its_bytes() -> None:
    both = SignedDocument.decode(countersign(DOCUMENT, OTHER).encode())
    verify_document(both, TYPE, KEY.public)
    verify_document(both, TYPE, OTHER.public)
    assert both.payload == DOCUMENT.payload
    assert [one.key_id for one in both.signatures] == [KEY.public.key_id, OTHER.public.key_id]


def test_countersigning_twice_changes_nothing() -> None:
    once = countersign(DOCUMENT, OTHER)
    assert countersign(once, OTHER) is once


def test_countersigning_beside_a_forged_signature_in_ones_name_is_refused() -> None:
    forged = SignedDocument(TYPE, b"x", (Signature(KEY.public.key_id, SUITE, b"forged"),))
    with pytest.raises(SignatureInvalid):
        countersign(forged, KEY)


ONE = {"keyid": "sm2:0123456789abcdef", "suite": "SM2-SM3-SM4GCM", "sig": "AAAA"}


def envelope(**changes: object) -> bytes:
    fields = {"payloadType": TYPE, "payload": "AAAA", "signatures": [ONE]} | changes
    return json.dumps({k: v for k, v in fields.items() if v is not None}, separators=(",", ":")).encode()


MALFORMED = {
    "empty": b"",
    "not JSON": b"{",
    "not UTF-8": b'{"payloadType":"\xff"}',
    "a list": b"[]",
    "null": b"null",
    "deeply nested": b"[" * 100_000,
    "no signatures": envelope(signatures=[]),
    "signatures missing": envelope(signatures=None),
    "payload missing": envelope(payload=None),
    "type missing": envelope(payloadType=None),
    "unknown field": envelope(extra=1),
    "unknown field in a signature": envelope(signatures=[ONE | {"cert": ""}]),
    "two signatures by one key": envelope(signatures=[ONE, ONE]),
    "too many signatures": envelope(signatures=[ONE | {"keyid": f"sm2:{at:016x}"} for at in range(MAX_SIGNATURES + 1)]),
    "space between": envelope().replace(b",", b", ", 1),
    "trailing newline": envelope() + b"\n",
    "leading space": b" " + envelope(),
    "byte order mark": b"\xef\xbb\xbf" + envelope(),
    "two documents": envelope() * 2,
    "duplicate key": envelope().replace(b'"payload":', b'"payload":"AAAA","payload":'),
    "other order": b'{"payload":"AAAA",' + envelope().replace(b'"payload":"AAAA",', b"")[1:],
    "escaped letter": envelope().replace(b"xinqiao", b"\\u0078inqiao"),
    "unpadded base64": envelope(payload="AAA"),
    "base64 with loose bits": envelope(payload="AAB="),
    "base64 of the web": envelope(payload="__--"),
    "base64 with a line break": envelope(payload="AA\nAA"),
    "payload a number": envelope(payload=1),
    "empty type": envelope(payloadType=""),
    "type in capitals": envelope(payloadType="Application/JSON"),
    "type with a space": envelope(payloadType="application/x y"),
    "type in Chinese": envelope(payloadType="信桥"),
    "type with a newline": envelope(payloadType="application/x\n"),
    "long type": envelope(payloadType="a" * 129),
    "key id of another kind": envelope(signatures=[ONE | {"keyid": "rsa:0123456789abcdef"}]),
    "key id in capitals": envelope(signatures=[ONE | {"keyid": "sm2:0123456789ABCDEF"}]),
    "suite in small letters": envelope(signatures=[ONE | {"suite": "sm2"}]),
    "empty signature": envelope(signatures=[ONE | {"sig": ""}]),
    "long signature": envelope(signatures=[ONE | {"sig": "AAAA" * 200}]),
    "over the limit": envelope(payload="AAAA" * (MAX_DOCUMENT_SIZE // 4)),
}


def test_the_table_of_malformed_documents_starts_from_a_good_one() -> None:
    assert SignedDocument.decode(envelope()).payload == bytes(3)


@pytest.mark.parametrize("name", MALFORMED)
def test_a_malformed_document_is_refused_by_our_own_error(name: str) -> None:
    with pytest.raises(DocumentMalformed):
        SignedDocument.decode(MALFORMED[name])


def test_a_document_that_would_be_too_large_is_not_encoded() -> None:
    with pytest.raises(DocumentMalformed, match="over the limit"):
        sign_document(TYPE, bytes(MAX_DOCUMENT_SIZE), KEY).encode()


def parse_or_refuse(data: bytes) -> None:
    """The law of the parser: our error, or a document whose only encoding is what came."""
    try:
        document = SignedDocument.decode(data)
    except DocumentMalformed:
        return
    assert document.encode() == data


@pytest.mark.parametrize("case", CORPUS, ids=lambda path: path.name)
def test_what_fuzzing_found_stays_refused(case: Path) -> None:
    with pytest.raises(DocumentMalformed):
        SignedDocument.decode(case.read_bytes())


@given(st.binary(max_size=400))
@example(b'{"payloadType":"a/b","payload":"","signatures":[]}')
@example(b"\xed\xa0\x80")
def test_any_bytes_are_parsed_or_refused(data: bytes) -> None:
    parse_or_refuse(data)


@given(st.data())
def test_any_mutation_of_a_document_is_parsed_as_it_stands_or_refused(data: st.DataObject) -> None:
    encoded = bytearray(envelope())
    for _ in range(data.draw(st.integers(1, 4))):
        at = data.draw(st.integers(0, len(encoded) - 1))
        cut = data.draw(st.integers(0, 3))
        piece = data.draw(
            st.one_of(st.binary(max_size=3), st.sampled_from([b"\\u0061", b"=", b'","', b"null", b"1e9"]))
        )
        encoded[at : at + cut] = piece
        if not encoded:
            return
    parse_or_refuse(bytes(encoded))
