"""The end-to-end secure channel of an exchange, after its set-up (`trust.handshake`): frames, no IO.

Rules, in the order in which `open` checks them:
1. A dead channel stays dead: after any rejected frame its keys are gone and everything is refused.
2. A frame is 28 bytes to 4 MiB; its header says version 1, the direction from the peer, and zero in reserve.
3. Frames are accepted in strict order of their sequence number, each once: a repeated, missing or re-ordered
   frame kills the channel. The one exception is a resumption, below.
4. The tag must hold over exchange id, epoch, suite, direction and header, so that no frame can be moved
   between exchanges, epochs, directions, types or positions.

Frame: version 1 B | type 1 B | direction 1 B | reserved 1 B | sequence number 8 B, big-endian | SM4-GCM
ciphertext | tag 16 B. Nonce: 4 bytes of salt for the direction, then the sequence number; a number is never
used twice under one key.

Resumption after a lost connection. The sender keeps each sealed frame until it is acknowledged. Each side (1)
stops reading the old connection for good, (2) calls `resume` and tells the peer its `next_expected`, (3)
calls `acknowledge` with the number that the peer told, and sends every frame of `unacknowledged` again, byte
for byte, before any new one. The peer may start earlier than was asked for (it may not know yet what had
arrived): until the first new frame comes, frames below `next_expected` that are genuine and follow one
another without a gap are dropped, and `open` returns None. From the first new frame on, the rule of strict
order holds again. A forged or out-of-order duplicate kills the channel.

Not for concurrent use: one owner calls `seal`, one calls `open`, on one thread.
"""

from __future__ import annotations

import struct
from collections import deque
from dataclasses import dataclass, field
from typing import Final, Literal, NoReturn

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes

from trust.errors import FrameRejected, WindowFull
from trust.suite import KEY_SIZE, SUITE, TAG_SIZE, Buffer

Role = Literal["requester", "provider"]

VERSION: Final = 1
HEADER_SIZE: Final = 12
SALT_SIZE: Final = 4
OVERHEAD: Final = HEADER_SIZE + TAG_SIZE
MAX_FRAME: Final = 4 << 20
MAX_PAYLOAD: Final = MAX_FRAME - OVERHEAD
MAX_FRAMES: Final = 1 << 32
"""Frames per direction and key; keeps the data under one key far below what GCM with 128-bit blocks can "
"bear."""
DEFAULT_WINDOW: Final = 64 << 20

_HEADER: Final = struct.Struct(">BBBBQ")
_SEQUENCE: Final = struct.Struct(">Q")
_DIRECTION: Final[dict[Role, int]] = {"requester": 1, "provider": 2}


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class ChannelKeys:
    """What a handshake agreed on: a key (16 bytes) and a salt (4 bytes) for each direction, by who sends.

    `exchange_id` and `epoch` bind every frame; `session_id` (32 bytes, public) names this very set-up in
    records.
    """

    exchange_id: str
    epoch: int
    session_id: bytes
    requester_key: bytes = field(repr=False)
    requester_salt: bytes = field(repr=False)
    provider_key: bytes = field(repr=False)
    provider_salt: bytes = field(repr=False)

    def __post_init__(self) -> None:
        keys, salts = (self.requester_key, self.provider_key), (self.requester_salt, self.provider_salt)
        if any(len(key) != KEY_SIZE for key in keys) or any(len(salt) != SALT_SIZE for salt in salts):
            raise ValueError("channel keys have 16 bytes and salts 4; take them from a handshake")


class SecureChannel:
    """One end of the channel.

    `role` is this end's role; `window_bytes` bounds what is sealed and unacknowledged.
    """

    __slots__ = (
        "_aad",
        "_acknowledged",
        "_death",
        "_in_flight",
        "_next_expected",
        "_next_replayed",
        "_next_sent",
        "_receive",
        "_receive_direction",
        "_receive_salt",
        "_resuming",
        "_send",
        "_send_direction",
        "_send_salt",
        "_unacknowledged",
        "_window",
    )

    def __init__(self, keys: ChannelKeys, role: Role, *, window_bytes: int = DEFAULT_WINDOW) -> None:
        mine = (keys.requester_key, keys.requester_salt, _DIRECTION["requester"])
        theirs = (keys.provider_key, keys.provider_salt, _DIRECTION["provider"])
        if role == "provider":
            mine, theirs = theirs, mine
        self._send: algorithms.SM4 | None = algorithms.SM4(mine[0])
        self._send_salt, self._send_direction = mine[1:]
        self._receive: algorithms.SM4 | None = algorithms.SM4(theirs[0])
        self._receive_salt, self._receive_direction = theirs[1:]
        exchange = keys.exchange_id.encode()
        self._aad = b"".join((SUITE.encode(), b"\0", struct.pack(">HI", len(exchange), keys.epoch), exchange))
        self._window = window_bytes
        self._next_sent = self._acknowledged = self._next_expected = 0
        self._unacknowledged: deque[bytes] = deque()
        self._in_flight = 0
        self._resuming = False
        self._next_replayed: int | None = None
        self._death: str | None = None

    def __reduce__(self) -> str:
        """Refuse to be copied or pickled: two copies would seal different frames under one nonce."""
        raise TypeError("a secure channel cannot be copied; set up a new one by a handshake")

    @property
    def alive(self) -> bool:
        """Whether no frame has been rejected yet."""
        return self._death is None

    @property
    def next_expected(self) -> int:
        """Sequence number of the next frame to come from the peer; what the peer needs for acknowledging."""
        return self._next_expected

    @property
    def in_flight_bytes(self) -> int:
        """Bytes of the frames that are sealed and not acknowledged."""
        return self._in_flight

    def seal(self, frame_type: int, payload: Buffer) -> bytes:
        """Encrypt a payload of up to 4 MiB - 28 bytes as the next frame; it is kept until acknowledged.

        `frame_type` is 0 to 255 and travels in the clear. Raises WindowFull (nothing has happened, wait for
        an acknowledgement), FrameRejected on a dead or exhausted channel, ValueError for a type or size out
        of range.
        """
        if self._send is None:
            self._refuse_dead()
        size = memoryview(payload).nbytes + OVERHEAD
        if size > MAX_FRAME:
            raise ValueError(f"a frame carries up to {MAX_PAYLOAD} bytes, not {size - OVERHEAD}: split the payload")
        if self._unacknowledged and self._in_flight + size > self._window:
            raise WindowFull(
                f"{self._in_flight} bytes await acknowledgement, the window is {self._window}: wait for the peer"
            )
        sequence = self._next_sent
        if sequence >= MAX_FRAMES:
            self._reject("it has sent all the frames that one key permits; open a new exchange")
        try:
            header = _HEADER.pack(VERSION, frame_type, self._send_direction, 0, sequence)
        except struct.error:
            raise ValueError(f"a frame type is 0 to 255, not {frame_type}") from None
        # The number is spent before the cipher runs: whatever fails now, this nonce is never used again.
        self._next_sent = sequence + 1
        try:
            encryptor = Cipher(self._send, modes.GCM(self._send_salt + header[4:])).encryptor()
            encryptor.authenticate_additional_data(self._aad + header)
            body = encryptor.update(payload)
            encryptor.finalize()
        except BaseException:
            self._die("sealing a frame failed")
            raise
        frame = b"".join((header, body, encryptor.tag))
        self._unacknowledged.append(frame)
        self._in_flight += size
        return frame

    def open(self, frame: Buffer) -> tuple[int, bytes] | None:
        """Check and decrypt the next frame of the peer: its type and payload.

        Returns None only during a resumption, for a genuine duplicate that is to be ignored. Raises
        FrameRejected for everything else that is not the next frame; the channel is dead then.
        """
        if self._receive is None:
            self._refuse_dead()
        size = len(frame)
        if not OVERHEAD <= size <= MAX_FRAME:
            self._reject(f"a frame of {size} bytes came; frames have {OVERHEAD} to {MAX_FRAME}")
        view = memoryview(frame)
        header = bytes(view[:HEADER_SIZE])
        version, frame_type, direction, reserved, sequence = _HEADER.unpack(header)
        if version != VERSION or direction != self._receive_direction or reserved != 0:
            self._reject("a frame came with another version, a wrong direction or reserved bits")
        duplicate = self._check_order(sequence)
        nonce = self._receive_salt + header[4:]
        decryptor = Cipher(self._receive, modes.GCM(nonce, bytes(view[-TAG_SIZE:]))).decryptor()
        decryptor.authenticate_additional_data(self._aad + header)
        payload = decryptor.update(view[HEADER_SIZE:-TAG_SIZE])
        try:
            decryptor.finalize()
        except InvalidTag:
            self._reject(f"frame {sequence} is forged or damaged")
        if duplicate:
            self._next_replayed = sequence + 1
            return None
        self._next_expected = sequence + 1
        self._resuming, self._next_replayed = False, None
        return frame_type, payload

    def acknowledge(self, next_expected: int) -> None:
        """Forget the sealed frames below this number, which the peer says it has.

        Raises FrameRejected when the peer claims frames that were never sent, or asks again for frames that
        it has acknowledged before (it has lost its state; only a new handshake helps).
        """
        if self._send is None:
            self._refuse_dead()
        if not self._acknowledged <= next_expected <= self._next_sent:
            self._reject(
                f"the peer expects frame {next_expected}, outside {self._acknowledged} to {self._next_sent}; "
                "one side has lost its state"
            )
        for _ in range(next_expected - self._acknowledged):
            self._in_flight -= len(self._unacknowledged.popleft())
        self._acknowledged = next_expected

    def unacknowledged(self) -> list[bytes]:
        """Return the frames to send again after a reconnection, oldest first, byte for byte the same."""
        return list(self._unacknowledged)

    def resume(self) -> None:
        """Begin a resumption: until the next new frame, genuine duplicates are dropped.

        The procedure for both sides is in the module's text.

        Raises FrameRejected on a dead channel.
        """
        if self._receive is None:
            self._refuse_dead()
        self._resuming = True
        self._next_replayed = None

    def close(self) -> None:
        """End the channel in an orderly way: drop its keys and frames; every later call is refused."""
        if self._death is None:
            self._die("it was closed")

    def _check_order(self, sequence: int) -> bool:
        """Return whether this is a duplicate to drop; if neither that nor the next, kill the channel."""
        expected = self._next_expected
        if self._next_replayed is not None and sequence != self._next_replayed:
            self._reject(f"frame {sequence} came in a resumption where {self._next_replayed} was due")
        if sequence == expected:
            return False
        if sequence > expected:
            self._reject(f"frame {sequence} came where {expected} was due: frames are missing")
        if not self._resuming:
            self._reject(f"frame {sequence} came again where {expected} was due")
        return True

    def _die(self, reason: str) -> None:
        self._death = reason
        self._send = self._receive = None
        self._unacknowledged.clear()
        self._in_flight = 0

    def _reject(self, reason: str) -> NoReturn:
        self._die(reason)
        raise FrameRejected(
            f"the secure channel is dead: {reason}. Start a new exchange; if it recurs, the relay alters frames"
        )

    def _refuse_dead(self) -> NoReturn:
        raise FrameRejected(f"the secure channel is dead: {self._death}. Start a new exchange")
