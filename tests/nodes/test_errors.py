"""What a failed call of the hub becomes at the node."""

from __future__ import annotations

import grpc
import pytest
from xinqiao.v1 import errors_pb2

from nodes.errors import ALARM_SENTENCES, Alarm, AlarmKind, HubRefused, HubUnavailable, from_rpc


def failure(status: grpc.StatusCode, trailing: tuple[tuple[str, str | bytes], ...] = ()) -> grpc.aio.AioRpcError:
    return grpc.aio.AioRpcError(status, grpc.aio.Metadata(), grpc.aio.Metadata(*trailing), details="inner text")


def detail(code: int, **fields: object) -> tuple[tuple[str, str | bytes], ...]:
    message = errors_pb2.ErrorDetail(code=code, **fields)  # type: ignore[arg-type]
    return (("xinqiao-error-bin", message.SerializeToString()),)


def test_the_hubs_own_words_are_kept() -> None:
    trailing = detail(errors_pb2.USE_REFUSED, message="No.", reason="CONSENT_REVOKED", incident="i1")
    error = from_rpc(failure(grpc.StatusCode.PERMISSION_DENIED, trailing))
    assert isinstance(error, HubRefused)
    assert (error.code, error.message, error.reason, error.incident) == ("USE_REFUSED", "No.", "CONSENT_REVOKED", "i1")
    assert not error.retryable


@pytest.mark.parametrize(
    ("status", "trailing", "code", "retryable"),
    [
        (grpc.StatusCode.UNAVAILABLE, (), "UNAVAILABLE", True),
        (grpc.StatusCode.DEADLINE_EXCEEDED, (), "UNAVAILABLE", True),
        (grpc.StatusCode.UNKNOWN, (), "INTERNAL", False),
        (grpc.StatusCode.UNKNOWN, (("xinqiao-error-bin", b"\xff\xff"),), "INTERNAL", False),
        (grpc.StatusCode.UNKNOWN, detail(7777), "INTERNAL", False),  # a code of a newer hub
        (grpc.StatusCode.UNAVAILABLE, detail(errors_pb2.UNAVAILABLE, message="restarting"), "UNAVAILABLE", True),
        (grpc.StatusCode.RESOURCE_EXHAUSTED, detail(errors_pb2.RATE_LIMITED, retry_after_ms=50), "RATE_LIMITED", True),
        (grpc.StatusCode.PERMISSION_DENIED, detail(errors_pb2.NODE_REVOKED), "NODE_REVOKED", False),
    ],
)
def test_every_failure_has_a_code(
    status: grpc.StatusCode, trailing: tuple[tuple[str, str | bytes], ...], code: str, retryable: bool
) -> None:
    error = from_rpc(failure(status, trailing))
    assert (error.code, error.retryable) == (code, retryable)
    assert isinstance(error, HubUnavailable) == (code == "UNAVAILABLE")
    assert "inner text" not in error.message


def test_every_alarm_has_a_sentence_and_names_its_log() -> None:
    assert set(ALARM_SENTENCES) == set(AlarmKind)
    alarm = Alarm(AlarmKind.ENTRY_HIDDEN, "consent/tax", "two are missing")
    assert alarm.code == "LOG_INCONSISTENT"
    assert "consent/tax" in alarm.message
    assert "two are missing" in alarm.message
