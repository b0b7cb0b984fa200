from __future__ import annotations

import re
from pathlib import Path

import pytest
from xinqiao.v1 import errors_pb2

from consent.errors import UsccInvalid
from hub.error_catalogue import SENTENCES
from hub.errors import STATUS, HubError
from hub.interceptors import known_error
from trust.errors import DecryptionFailed, SignatureInvalid

PROTO = Path(__file__).parents[2] / "proto" / "xinqiao" / "v1" / "errors.proto"


def test_the_catalogue_says_what_the_protos_comments_say() -> None:
    written = re.findall(r"^ {2}// (.+)\n {2}([A-Z_]+) = \d+;$", PROTO.read_text(encoding="utf-8"), re.MULTILINE)
    assert {name: sentence for sentence, name in written} == SENTENCES


def test_every_code_of_the_proto_has_a_status_and_a_sentence() -> None:
    codes = set(errors_pb2.ErrorCode.keys()) - {"ERROR_CODE_UNSPECIFIED"}
    assert codes == set(SENTENCES) == set(STATUS)


def test_every_sentence_says_what_happened_and_what_to_do() -> None:
    assert [code for code, sentence in SENTENCES.items() if " - " not in sentence] == []


def test_a_code_that_is_not_in_the_list_cannot_be_raised() -> None:
    with pytest.raises(KeyError):
        HubError("NO_SUCH_CODE")


@pytest.mark.parametrize(
    ("problem", "code"),
    [
        (SignatureInvalid("x"), "SIGNATURE_INVALID"),
        (UsccInvalid("x"), "INVALID_ARGUMENT"),
        (HubError("NOT_FOUND"), "NOT_FOUND"),
        (OSError(28, "no space"), "DISK_FULL"),
        (TimeoutError(), "UNAVAILABLE"),
        (DecryptionFailed("x"), None),
        (KeyError("x"), None),
    ],
)
def test_only_foreseen_errors_are_told(problem: Exception, code: str | None) -> None:
    found = known_error(problem)
    assert (found and found.code) == code
