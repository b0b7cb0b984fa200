from __future__ import annotations

import base64
from collections.abc import Callable
from typing import Any

import msgspec
import pytest

from consent.documents import CONSENT_TYPE, encode
from consent.errors import DocumentMalformed
from consent.outside import read_signed, read_to_sign, sign_all, write_to_sign
from tests.consent.builders import USCC, consent, key
from trust.document import Signature, SignedDocument, signing_bytes, verify_document
from trust.errors import TrustError
from trust.sm2 import sign
from trust.suite import SUITE


def file() -> bytes:
    return write_to_sign([(CONSENT_TYPE, encode(consent()))])


def test_what_waits_comes_back_signed_by_whoever_has_the_key() -> None:
    (waiting,) = read_to_sign(file())
    (signed,) = read_signed(sign_all([waiting], key(USCC)))
    verify_document(signed, CONSENT_TYPE, key(USCC).public)
    assert signed.payload == encode(consent())


def test_a_device_that_signs_bytes_gives_the_same_document() -> None:
    (told,) = msgspec.json.decode(file())["documents"]
    value = sign(key(USCC), base64.b64decode(told["to_sign"]))
    signature = Signature(key(USCC).public.key_id, SUITE, value)
    made = SignedDocument(told["payload_type"], base64.b64decode(told["payload"]), (signature,))
    verify_document(made, CONSENT_TYPE, key(USCC).public)


def bent(change: Callable[[dict[str, Any]], None]) -> bytes:
    content = msgspec.json.decode(file())
    change(content["documents"][0])
    return msgspec.json.encode(content)


def other(text: str) -> str:
    return base64.b64encode(signing_bytes(CONSENT_TYPE, text.encode())).decode()


BENT: dict[str, Callable[[], bytes]] = {
    "bytes of another document": lambda: bent(lambda each: each.update(to_sign=other("{}"))),
    "a payload of another": lambda: bent(lambda each: each.update(payload="e30=")),
    "a type that is never signed so": lambda: bent(lambda each: each.update(payload_type="text/plain")),
    "a field more": lambda: bent(lambda each: each.update(more=1)),
    "nothing": lambda: b"",
    "none": lambda: b'{"format":"xinqiao-to-sign-1","documents":[]}',
}


@pytest.mark.parametrize("name", BENT)
def test_what_is_not_what_it_seems_is_not_signed(name: str) -> None:
    with pytest.raises(DocumentMalformed):
        read_to_sign(BENT[name]())


@pytest.mark.parametrize("content", [b"", b"{}", file(), b'{"format":"xinqiao-signed-1","documents":["e30="]}'])
def test_what_is_no_file_of_signed_documents_is_refused(content: bytes) -> None:
    with pytest.raises((DocumentMalformed, TrustError)):
        read_signed(content)
