"""Set-up of the secure channel of an exchange: both nodes run this same code, the relay learns no key.

| message  | from each side to the other                                         | what it proves           |
|----------|---------------------------------------------------------------------|--------------------------|
| hello    | the exchange's context and an ephemeral SM2 key, signed by identity | who speaks, about what   |
| wrap     | 32 random bytes, encrypted to the other's ephemeral key             | nothing by itself        |
| finished | HMAC-SM3 over the transcript under a key of this side               | the same keys, no change |

Rules, in the order in which they are checked:
1. Each message comes once, in this order; anything else ends the handshake, which then stays ended.
2. A hello is a signed document of its own type, by the very identity key that was expected.
3. It states the other role (so that none can be reflected) and the same exchange, nodes, mode and policy
   digest.
4. The epoch counts the set-ups of one exchange; both use the higher of the two that the hellos state.
5. The keys are HKDF-SM3 over both secrets and the digest of all four hellos and wraps. Each side's secret can
   be read only with the ephemeral key that the other's identity signed, so a relay that swaps a wrap knows
   neither key.
6. The channel may be used only after the peer's `finished` has verified. Ephemeral keys and secrets are
   dropped as soon as the keys are derived, and on every failure: who steals an identity key later cannot read
   what was recorded.

Cost: one signature, one verification, one wrap, one unwrap a side; three messages each way, one and a half
round trips. Source: docs/protocols.md, section 1; key transport both ways to signed ephemeral keys, with
confirmation.
"""

from __future__ import annotations

import hmac
import re
import secrets
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, NoReturn

import msgspec

from trust.channel import SALT_SIZE, ChannelKeys, Role
from trust.document import SignedDocument, sign_document, verify_document
from trust.errors import DecryptionFailed, DocumentMalformed, HandshakeFailed, KeyMalformed, SignatureInvalid
from trust.sm2 import PrivateKey, PublicKey, unwrap, wrap
from trust.suite import HASH_SIZE, KEY_SIZE, Sm3, hkdf_sm3, hmac_sm3

HELLO_TYPE: Final = "application/vnd.xinqiao.channel-hello+json"
MAX_MESSAGE: Final = 8192
MAX_EPOCH: Final = 2**32 - 1
SECRET_SIZE: Final = 32

_HELLO, _WRAP, _FINISHED = 1, 2, 3
_INFO: Final = b"xinqiao/channel-keys/v1"
_NAME: Final = re.compile(r"[\x21-\x7e]{1,128}", re.ASCII)


@dataclass(frozen=True, slots=True, kw_only=True)
class ChannelContext:
    """What both sides must agree on before they talk.

    `policy_digest` is the SM3 (32 bytes) of the policy that this use falls under; `epoch` (0 to 2^32 - 1) is
    this side's count of set-ups for the exchange, to be raised after each. Names are 1 to 128 visible ASCII
    characters. Raises ValueError.
    """

    exchange_id: str
    requester_node: str
    provider_node: str
    mode: str
    policy_digest: bytes
    epoch: int

    def __post_init__(self) -> None:
        for name in (self.exchange_id, self.requester_node, self.provider_node, self.mode):
            if not _NAME.fullmatch(name):
                raise ValueError(f"{name[:64]!r} cannot name an exchange, a node or a mode in a handshake")
        if len(self.policy_digest) != HASH_SIZE or not 0 <= self.epoch <= MAX_EPOCH:
            raise ValueError("a policy digest has 32 bytes and an epoch is 0 to 2^32 - 1")


class _Hello(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    exchange_id: str
    requester_node: str
    provider_node: str
    mode: str
    policy_digest: str
    epoch: int
    role: Role
    ephemeral_key: str


_decode_hello: Final = msgspec.json.Decoder(_Hello).decode


class Handshake:
    """One side of one set-up.

    Feed `step` with None to begin, then with each message of the peer; send what it returns.
    `identity` signs for this side, `peer_identity` is the key that the directory holds for the other. Not
    reusable. `random` gives secret random bytes (a parameter for tests only).
    """

    def __init__(
        self,
        context: ChannelContext,
        role: Role,
        identity: PrivateKey,
        peer_identity: PublicKey,
        *,
        random: Callable[[int], bytes] = secrets.token_bytes,
    ) -> None:
        self._context = context
        self._role: Role = role
        self._peer_role: Role = "provider" if role == "requester" else "requester"
        self._identity = identity
        self._peer_identity = peer_identity
        self._random = random
        self._ephemeral: PrivateKey | None = None
        self._secret: bytes | None = None
        self._sent: list[bytes] = []
        self._received: list[bytes] = []
        self._epoch = context.epoch
        self._pending: ChannelKeys | None = None
        self._peer_finished: bytes | None = None
        self._keys: ChannelKeys | None = None
        self._failure: str | None = None

    @property
    def done(self) -> bool:
        """Whether the peer has confirmed the keys."""
        return self._keys is not None

    @property
    def keys(self) -> ChannelKeys:
        """The agreed keys. Raises HandshakeFailed before the handshake is done."""
        if self._keys is None:
            raise HandshakeFailed(f"no channel keys yet for exchange {self._context.exchange_id}: {self._state()}")
        return self._keys

    def step(self, message: bytes | None = None) -> list[bytes]:
        """Take the peer's next message (None to begin) and return the messages to send, in order.

        A side that hears the peer's hello before it has begun begins by itself. Raises HandshakeFailed; the
        handshake is over then, and a new one needs a new object.
        """
        if self._failure is not None:
            raise HandshakeFailed(f"the handshake of exchange {self._context.exchange_id} is over: {self._failure}")
        if message is None:
            return self._begin()
        if not 2 <= len(message) <= MAX_MESSAGE:
            self._fail(f"a message of {len(message)} bytes cannot belong to it")
        expected = len(self._received) + 1
        if message[0] != expected:
            self._fail(f"message {message[0]} came where {expected} was due")
        body = message[1:]
        if expected == _HELLO:
            return self._on_hello(message, body)
        if expected == _WRAP:
            return self._on_wrap(message, body)
        if expected == _FINISHED:
            return self._on_finished(message, body)
        return self._fail("a message came after it was done")

    def _begin(self) -> list[bytes]:
        if self._sent:
            self._fail("it was begun twice")
        self._ephemeral = PrivateKey.generate()
        context = self._context
        hello = _Hello(
            exchange_id=context.exchange_id,
            requester_node=context.requester_node,
            provider_node=context.provider_node,
            mode=context.mode,
            policy_digest=context.policy_digest.hex(),
            epoch=context.epoch,
            role=self._role,
            ephemeral_key=self._ephemeral.public.encode(),
        )
        document = sign_document(HELLO_TYPE, msgspec.json.encode(hello), self._identity)
        return self._send(_HELLO, document.encode())

    def _on_hello(self, message: bytes, body: bytes) -> list[bytes]:
        out = [] if self._sent else self._begin()
        try:
            document = SignedDocument.decode(body)
            verify_document(document, HELLO_TYPE, self._peer_identity)
            hello = _decode_hello(document.payload)
            peer_ephemeral = PublicKey.decode(hello.ephemeral_key)
        except SignatureInvalid as problem:
            self._fail(f"the peer's hello is not signed by the key that the directory holds for it ({problem})")
        except (DocumentMalformed, KeyMalformed, msgspec.MsgspecError) as problem:
            self._fail(f"the peer's hello is malformed ({problem})")
        self._check_context(hello)
        self._epoch = max(self._context.epoch, hello.epoch)
        self._received.append(message)
        self._secret = self._random(SECRET_SIZE)
        return out + self._send(_WRAP, wrap(peer_ephemeral, self._secret))

    def _check_context(self, hello: _Hello) -> None:
        mine = self._context
        pairs = (
            ("role", hello.role, self._peer_role),
            ("exchange", hello.exchange_id, mine.exchange_id),
            ("requester", hello.requester_node, mine.requester_node),
            ("provider", hello.provider_node, mine.provider_node),
            ("mode", hello.mode, mine.mode),
            ("policy digest", hello.policy_digest, mine.policy_digest.hex()),
        )
        for name, theirs, ours in pairs:
            if theirs != ours:
                self._fail(f"the peer states {name} {theirs[:64]!r}, here it is {ours!r}")
        if not 0 <= hello.epoch <= MAX_EPOCH:
            self._fail(f"the peer states the impossible epoch {hello.epoch}")

    def _on_wrap(self, message: bytes, body: bytes) -> list[bytes]:
        if self._ephemeral is None or self._secret is None:
            self._fail("a wrap came before the ephemeral keys were made")
        try:
            peer_secret = unwrap(self._ephemeral, body)
        except DecryptionFailed as problem:
            self._fail(f"the peer's wrapped secret does not open ({problem})")
        if len(peer_secret) != SECRET_SIZE:
            self._fail(f"the peer's secret has {len(peer_secret)} bytes, not {SECRET_SIZE}")
        self._received.append(message)
        return self._send(_FINISHED, self._derive(self._secret, peer_secret))

    def _derive(self, secret: bytes, peer_secret: bytes) -> bytes:
        """Derive keys and both `finished` values of secrets and transcript; drop the secrets, return ours."""
        mine, theirs = (secret, *self._sent), (peer_secret, *self._received)
        requester, provider = (mine, theirs) if self._role == "requester" else (theirs, mine)
        transcript = Sm3(_INFO)
        for message in (requester[1], provider[1], requester[2], provider[2]):
            transcript.update(len(message).to_bytes(4, "big") + message)
        digest = transcript.digest()
        self._ephemeral = self._secret = None
        sizes = (KEY_SIZE, SALT_SIZE, KEY_SIZE, SALT_SIZE, HASH_SIZE, HASH_SIZE)
        stream = hkdf_sm3(requester[0] + provider[0], digest, _INFO, sum(sizes))
        parts = [stream[sum(sizes[:at]) : sum(sizes[: at + 1])] for at in range(len(sizes))]
        self._pending = ChannelKeys(
            exchange_id=self._context.exchange_id,
            epoch=self._epoch,
            session_id=digest,
            requester_key=parts[0],
            requester_salt=parts[1],
            provider_key=parts[2],
            provider_salt=parts[3],
        )
        finished = {"requester": hmac_sm3(parts[4], digest), "provider": hmac_sm3(parts[5], digest)}
        self._peer_finished = finished[self._peer_role]
        return finished[self._role]

    def _on_finished(self, message: bytes, body: bytes) -> list[bytes]:
        if self._peer_finished is None or not hmac.compare_digest(self._peer_finished, body):
            self._fail("the peer has other keys: a message was altered on the way")
        self._received.append(message)
        self._keys, self._pending, self._peer_finished = self._pending, None, None
        return []

    def _send(self, kind: int, body: bytes) -> list[bytes]:
        message = bytes((kind,)) + body
        self._sent.append(message)
        return [message]

    def _state(self) -> str:
        return self._failure or f"{len(self._received)} of 3 messages of the peer have come"

    def _fail(self, reason: str) -> NoReturn:
        self._failure = reason
        self._ephemeral = self._secret = self._pending = self._peer_finished = self._keys = None
        raise HandshakeFailed(
            f"the handshake of exchange {self._context.exchange_id} failed: {reason}. Open the exchange "
            "again; "
            "if it recurs, compare both nodes' keys in the directory and their policies"
        )
