"""Two ends of a channel with fixed keys, and the law of rejection, for the tests of the channel."""

import pytest

from trust.channel import ChannelKeys, SecureChannel
from trust.errors import FrameRejected


def keys(exchange_id: str = "exchange-1", epoch: int = 1, fill: int = 1) -> ChannelKeys:
    return ChannelKeys(
        exchange_id=exchange_id,
        epoch=epoch,
        session_id=bytes(32),
        requester_key=bytes([fill]) * 16,
        requester_salt=b"rrrr",
        provider_key=bytes([fill + 1]) * 16,
        provider_salt=b"pppp",
    )


def pair(window_bytes: int = 1 << 20) -> tuple[SecureChannel, SecureChannel]:
    return (
        SecureChannel(keys(), "requester", window_bytes=window_bytes),
        SecureChannel(keys(), "provider", window_bytes=window_bytes),
    )


def reject(channel: SecureChannel, frame: bytes, match: str | None = None) -> None:
    """The frame is refused, and so is everything afterwards."""
    with pytest.raises(FrameRejected, match=match):
        channel.open(frame)
    assert not channel.alive
    for use in (
        lambda: channel.open(frame),
        lambda: channel.seal(1, b""),
        channel.resume,
        lambda: channel.acknowledge(0),
    ):
        with pytest.raises(FrameRejected, match="dead"):
            use()
    assert channel.unacknowledged() == []
