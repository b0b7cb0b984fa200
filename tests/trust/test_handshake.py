"""The set-up between two honest nodes, and a relay that swaps, repeats, reflects and forges its messages."""

from collections.abc import Callable
from dataclasses import replace

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from trust.channel import ChannelKeys, SecureChannel
from trust.document import SignedDocument, sign_document
from trust.errors import HandshakeFailed
from trust.handshake import HELLO_TYPE, ChannelContext, Handshake
from trust.sm2 import PrivateKey, PublicKey, wrap

BANK, TAX, EVE = PrivateKey.generate(), PrivateKey.generate(), PrivateKey.generate()
CONTEXT = ChannelContext(
    exchange_id="exchange-1",
    requester_node="bank-1",
    provider_node="tax-1",
    mode="raw",
    policy_digest=b"p" * 32,
    epoch=1,
)

Relay = Callable[[str, bytes], list[bytes]]


def pair(requester: ChannelContext = CONTEXT, provider: ChannelContext = CONTEXT) -> tuple[Handshake, Handshake]:
    return Handshake(requester, "requester", BANK, TAX.public), Handshake(provider, "provider", TAX, BANK.public)


def honest(_sender: str, message: bytes) -> list[bytes]:
    return [message]


def run(requester: Handshake, provider: Handshake, relay: Relay = honest, *, both_begin: bool = True) -> None:
    """Carry messages until nobody has anything to say; `relay` decides what arrives in place of each."""
    wire = [("requester", message) for message in requester.step()]
    if both_begin:
        wire += [("provider", message) for message in provider.step()]
    while wire:
        sender, message = wire.pop(0)
        receiver, name = (provider, "provider") if sender == "requester" else (requester, "requester")
        for arriving in relay(sender, message):
            wire += [(name, reply) for reply in receiver.step(arriving)]


def secrets_of(keys: ChannelKeys) -> tuple[object, ...]:
    return keys.requester_key, keys.requester_salt, keys.provider_key, keys.provider_salt, keys.session_id, keys.epoch


@pytest.mark.parametrize("both_begin", [True, False])
def test_two_honest_nodes_agree_on_keys_that_carry_frames(both_begin: bool) -> None:
    requester, provider = pair()
    run(requester, provider, both_begin=both_begin)
    assert requester.done
    assert provider.done
    assert secrets_of(requester.keys) == secrets_of(provider.keys)
    assert requester.keys.requester_key != requester.keys.provider_key
    one, other = SecureChannel(requester.keys, "requester"), SecureChannel(provider.keys, "provider")
    assert other.open(one.seal(1, b"hello")) == (1, b"hello")
    assert one.open(other.seal(2, b"hello yourself")) == (2, b"hello yourself")


def test_two_set_ups_of_one_exchange_share_no_key() -> None:
    seen = set()
    for _ in range(2):
        requester, provider = pair()
        run(requester, provider)
        seen.update(secrets_of(requester.keys)[:5])
    assert len(seen) == 10


@pytest.mark.parametrize(("mine", "theirs", "agreed"), [(1, 1, 1), (1, 7, 7), (2**32 - 1, 0, 2**32 - 1)])
def test_the_higher_epoch_wins(mine: int, theirs: int, agreed: int) -> None:
    requester, provider = pair(replace(CONTEXT, epoch=mine), replace(CONTEXT, epoch=theirs))
    run(requester, provider)
    assert requester.keys.epoch == provider.keys.epoch == agreed


@pytest.mark.parametrize(
    ("change", "match"),
    [
        ({"exchange_id": "exchange-2"}, "states exchange"),
        ({"requester_node": "bank-2"}, "states requester"),
        ({"provider_node": "tax-2"}, "states provider"),
        ({"mode": "query"}, "states mode"),
        ({"policy_digest": b"q" * 32}, "states policy digest"),
    ],
)
def test_nodes_that_differ_in_what_they_are_about_do_not_talk(change: dict[str, object], match: str) -> None:
    requester, provider = pair(CONTEXT, replace(CONTEXT, **change))
    with pytest.raises(HandshakeFailed, match=match):
        run(requester, provider)
    assert not requester.done
    assert not provider.done


def test_a_hello_of_another_key_is_refused() -> None:
    eve = Handshake(CONTEXT, "requester", EVE, TAX.public)
    provider = pair()[1]
    with pytest.raises(HandshakeFailed, match="not signed by the key that the directory holds"):
        provider.step(eve.step()[0])


def test_a_reflected_hello_is_refused_even_between_nodes_of_one_key() -> None:
    requester = Handshake(CONTEXT, "requester", BANK, BANK.public)
    with pytest.raises(HandshakeFailed, match="states role"):
        requester.step(requester.step()[0])


def tampering(kind: int, change: Callable[[bytes], bytes]) -> Relay:
    def relay(sender: str, message: bytes) -> list[bytes]:
        return [change(message) if sender == "requester" and message[0] == kind else message]

    return relay


@settings(max_examples=60)
@given(st.integers(1, 3), st.integers(0, 10**6))
def test_a_flipped_bit_in_any_message_ends_the_handshake(kind: int, seed: int) -> None:
    def flip(message: bytes) -> bytes:
        changed = bytearray(message)
        bit = seed % (8 * len(message))
        changed[bit // 8] ^= 1 << bit % 8
        return bytes(changed)

    requester, provider = pair()
    with pytest.raises(HandshakeFailed):
        run(requester, provider, tampering(kind, flip))
    assert not provider.done
    with pytest.raises(HandshakeFailed):
        provider.keys  # noqa: B018 (asking is the test)


def hello_of(message: bytes) -> dict[str, object]:
    fields: dict[str, object] = msgspec.json.decode(SignedDocument.decode(message[1:]).payload)
    return fields


def signed_hello(fields: dict[str, object], key: PrivateKey, payload_type: str = HELLO_TYPE) -> bytes:
    return b"\x01" + sign_document(payload_type, msgspec.json.encode(fields), key).encode()


BAD_HELLOS = {
    "unknown field": {"extra": 1},
    "negative epoch": {"epoch": -1},
    "epoch beyond 32 bits": {"epoch": 2**32},
    "epoch as text": {"epoch": "1"},
    "a third role": {"role": "hub"},
    "key off the curve": {"ephemeral_key": "04" + "00" * 64},
    "key compressed": {"ephemeral_key": "02" + "00" * 32},
    "key not hex": {"ephemeral_key": "x" * 130},
}


@pytest.mark.parametrize("name", BAD_HELLOS)
def test_a_malformed_hello_is_refused_though_it_is_well_signed(name: str) -> None:
    requester, provider = pair()
    fields = hello_of(requester.step()[0]) | BAD_HELLOS[name]
    with pytest.raises(HandshakeFailed):
        provider.step(signed_hello(fields, BANK))


def test_a_signature_made_for_another_type_is_no_hello() -> None:
    requester, provider = pair()
    fields = hello_of(requester.step()[0])
    with pytest.raises(HandshakeFailed):
        provider.step(signed_hello(fields, BANK, "application/vnd.xinqiao.receipt+json"))
    requester, provider = pair()
    provider.step(signed_hello(hello_of(requester.step()[0]), BANK))


def test_a_relay_that_swaps_a_wrap_learns_nothing_and_is_noticed() -> None:
    requester, provider = pair()
    ephemeral: dict[str, PublicKey] = {}

    def relay(sender: str, message: bytes) -> list[bytes]:
        if message[0] == 1:
            ephemeral[sender] = PublicKey.decode(str(hello_of(message)["ephemeral_key"]))
        if message[0] == 2 and sender == "requester":
            return [b"\x02" + wrap(ephemeral["provider"], b"e" * 32)]
        return [message]

    with pytest.raises(HandshakeFailed, match="other keys"):
        run(requester, provider, relay)


def test_a_secret_of_another_length_is_refused() -> None:
    requester, provider = pair()
    hello = requester.step()[0]
    ours = provider.step(hello)
    key = PublicKey.decode(str(hello_of(ours[0])["ephemeral_key"]))
    with pytest.raises(HandshakeFailed, match="31 bytes"):
        provider.step(b"\x02" + wrap(key, b"e" * 31))


def test_a_hello_recorded_from_an_earlier_set_up_leads_nowhere() -> None:
    recorded: list[bytes] = []
    requester, provider = pair()
    run(requester, provider, lambda sender, message: recorded.append(message) or [message])
    of_bank = [message for message in recorded if message[0] == 1 and hello_of(message)["role"] == "requester"]
    _, victim = pair()
    victim.step(of_bank[0])
    for message in [message for message in recorded if message[0] != 1][:1]:
        with pytest.raises(HandshakeFailed):
            victim.step(message)
    assert not victim.done


@pytest.mark.parametrize("message", [b"", b"\x01", b"\x00{}", b"\x02abc", b"\x03" + bytes(32), b"\x04ab", bytes(9000)])
def test_bytes_that_are_no_hello_end_the_handshake_for_good(message: bytes) -> None:
    requester, provider = pair()
    with pytest.raises(HandshakeFailed):
        provider.step(message)
    with pytest.raises(HandshakeFailed, match="is over"):
        provider.step(requester.step()[0])


@given(st.binary(max_size=60))
def test_any_bytes_end_it_with_our_own_error(message: bytes) -> None:
    with pytest.raises(HandshakeFailed):
        pair()[1].step(message)


def test_messages_out_of_order_repeated_or_late_are_refused() -> None:
    requester, provider = pair()
    sent: list[bytes] = []
    run(
        requester,
        provider,
        lambda sender, message: (sent.append(message) if sender == "requester" else None) or [message],
    )
    hello, wrapped, finished = sent
    for order in ([wrapped], [finished], [hello, hello], [hello, finished]):
        _, fresh = pair()
        for message in order[:-1]:
            fresh.step(message)
        with pytest.raises(HandshakeFailed, match="where"):
            fresh.step(order[-1])
    for late in sent:
        requester, provider = pair()
        run(requester, provider)
        with pytest.raises(HandshakeFailed):
            provider.step(late)
        assert not provider.done


def test_beginning_twice_is_refused() -> None:
    requester, _ = pair()
    requester.step()
    with pytest.raises(HandshakeFailed, match="twice"):
        requester.step()


def test_keys_are_not_given_before_the_peer_has_confirmed_them() -> None:
    requester, provider = pair()
    held: list[bytes] = []

    def hold_the_finished(sender: str, message: bytes) -> list[bytes]:
        if sender == "requester" and message[0] == 3:
            held.append(message)
            return []
        return [message]

    run(requester, provider, hold_the_finished)
    assert requester.done
    assert not provider.done
    with pytest.raises(HandshakeFailed, match="2 of 3"):
        provider.keys  # noqa: B018 (asking is the test)
    provider.step(held[0])
    assert secrets_of(provider.keys) == secrets_of(requester.keys)


def test_secrets_are_dropped_when_it_is_done_and_when_it_has_failed() -> None:
    requester, provider = pair()
    run(requester, provider)
    assert requester._ephemeral is requester._secret is requester._pending is requester._peer_finished is None
    failed = pair()[0]
    failed.step()
    with pytest.raises(HandshakeFailed):
        failed.step(b"\x01{}")
    assert failed._ephemeral is failed._secret is failed._keys is None


def test_random_bytes_come_from_the_parameter() -> None:
    asked: list[int] = []
    requester = Handshake(CONTEXT, "requester", BANK, TAX.public, random=lambda size: asked.append(size) or b"r" * size)
    run(requester, pair()[1])
    assert asked == [32]


@pytest.mark.parametrize(
    "change",
    [
        {"exchange_id": ""},
        {"mode": "a b"},
        {"requester_node": "x" * 129},
        {"provider_node": "信桥"},
        {"policy_digest": b""},
        {"epoch": -1},
        {"epoch": 2**32},
    ],
)
def test_a_context_that_cannot_be_stated_is_a_mistake_of_the_caller(change: dict[str, object]) -> None:
    with pytest.raises(ValueError, match=r"cannot name|32 bytes"):
        replace(CONTEXT, **change)
