import dataclasses

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from trust.checkpoint import (
    PAYLOAD_TYPE,
    Checkpoint,
    cosign,
    extends,
    make_checkpoint,
    open_checkpoint,
    verify_fresh,
    verify_witness,
)
from trust.document import SignedDocument, sign_document
from trust.errors import CheckpointStale, DocumentMalformed, LogInconsistent, SignatureInvalid
from trust.merkle import EMPTY_ROOT, MAX_SIZE, consistency_path, leaf_hash, root_of
from trust.sm2 import PrivateKey

HUB, NODE, STRANGER = PrivateKey.generate(), PrivateKey.generate(), PrivateKey.generate()
LEAVES = [leaf_hash(b"consent %d" % number) for number in range(40)]
NOW = 1_760_000_000_000
ORIGIN = "xinqiao/consent/provider-7"


def head(size: int, *, time_ms: int = NOW, origin: str = ORIGIN, root: bytes | None = None) -> Checkpoint:
    return Checkpoint(origin=origin, size=size, root=root_of(LEAVES[:size]) if root is None else root, time_ms=time_ms)


def test_the_signed_payload_is_pinned_byte_for_byte() -> None:
    checkpoint = Checkpoint(origin="log", size=0, root=EMPTY_ROOT, time_ms=1)
    assert checkpoint.encode() == (
        b'{"origin":"log","size":0,'
        b'"root":"1ab21d8355cfa17f8e61194831e81a8f22bec8c728fefb747ed035eb5082aa2b","time_ms":1}'
    )
    assert PAYLOAD_TYPE == "application/vnd.xinqiao.checkpoint+json"


@given(
    origin=st.text(st.characters(categories=["L", "N", "P"]), min_size=1, max_size=255),
    size=st.integers(1, MAX_SIZE),
    root=st.binary(min_size=32, max_size=32),
    time_ms=st.integers(0, 2**53 - 1),
)
def test_any_checkpoint_survives_its_encoding(origin: str, size: int, root: bytes, time_ms: int) -> None:
    checkpoint = Checkpoint(origin=origin, size=size, root=root, time_ms=time_ms)
    assert Checkpoint.decode(checkpoint.encode()) == checkpoint


def test_a_checkpoint_opens_under_the_key_of_the_hub_after_the_wire() -> None:
    document = make_checkpoint(head(12), HUB)
    assert open_checkpoint(SignedDocument.decode(document.encode()), HUB.public) == head(12)


def test_a_checkpoint_of_another_signer_does_not_open() -> None:
    with pytest.raises(SignatureInvalid):
        open_checkpoint(make_checkpoint(head(12), STRANGER), HUB.public)


def test_a_document_of_another_type_is_no_checkpoint_even_if_the_hub_signed_it() -> None:
    document = sign_document("application/vnd.xinqiao.other+json", head(12).encode(), HUB)
    with pytest.raises(SignatureInvalid):
        open_checkpoint(document, HUB.public)
    with pytest.raises(DocumentMalformed, match="a witness signs checkpoints only"):
        cosign(document, NODE)


@given(bit=st.integers(0, 8 * len(head(12).encode()) - 1))
@settings(max_examples=50)
def test_a_flipped_bit_of_the_payload_is_rejected(bit: int) -> None:
    document = make_checkpoint(head(12), HUB)
    payload = bytearray(document.payload)
    payload[bit // 8] ^= 1 << (bit % 8)
    with pytest.raises(SignatureInvalid):
        open_checkpoint(dataclasses.replace(document, payload=bytes(payload)), HUB.public)


GOOD = head(12).encode()
ROOT_HEX = head(12).root.hex().encode()


@pytest.mark.parametrize(
    "payload",
    [
        b"",
        b"null",
        b"[]",
        b"{}",
        b"\xff" + GOOD,
        GOOD[:-1],
        GOOD + b"\n",
        GOOD.replace(b",", b", "),
        GOOD.replace(b"}", b',"extra":1}'),
        GOOD.replace(b'"size":12', b'"size":12,"size":12'),
        GOOD.replace(b'"size":12', b'"size":12.0'),
        GOOD.replace(b'"size":12', b'"size":"12"'),
        GOOD.replace(b'"size":12', b'"size":-12'),
        GOOD.replace(b'"size":12', b'"size":true'),
        GOOD.replace(b'"size":12', b'"size":9223372036854775808'),
        GOOD.replace(b'"size":12', b'"size":1' + b"0" * 5000),
        GOOD.replace(b'"size":12', b'"size":0'),
        GOOD.replace(ROOT_HEX, ROOT_HEX[:-2]),
        GOOD.replace(ROOT_HEX, ROOT_HEX[:-1]),
        GOOD.replace(ROOT_HEX, ROOT_HEX.upper()),
        GOOD.replace(ROOT_HEX, b" " + ROOT_HEX),
        GOOD.replace(ROOT_HEX, b"g" * 64),
        GOOD.replace(ROOT_HEX, "\uff10".encode() * 64),
        GOOD.replace(b'"time_ms":1760000000000', b'"time_ms":-1'),
        GOOD.replace(b'"time_ms":1760000000000', b'"time_ms":9007199254740992'),
        GOOD.replace(ORIGIN.encode(), b""),
        GOOD.replace(ORIGIN.encode(), b"o" * 256),
        GOOD.replace(ORIGIN.encode(), b"two words"),
        GOOD.replace(ORIGIN.encode(), b"line\\nbreak"),
        GOOD.replace(ORIGIN.encode(), b"\\u0061"),
        GOOD.replace(ORIGIN.encode(), b"\\ud800"),
        GOOD.replace(b'"origin"', b'"Origin"'),
    ],
)
def test_a_malformed_payload_is_rejected_even_when_the_hub_signed_it(payload: bytes) -> None:
    assert payload != GOOD
    with pytest.raises(DocumentMalformed, match="a checkpoint was rejected"):
        open_checkpoint(sign_document(PAYLOAD_TYPE, payload, HUB), HUB.public)


@pytest.mark.parametrize(
    "changes",
    [{"size": -1}, {"size": MAX_SIZE + 1}, {"root": b""}, {"time_ms": -1}, {"origin": ""}, {"size": 0}],
)
def test_an_impossible_checkpoint_cannot_be_made(changes: dict[str, object]) -> None:
    with pytest.raises(DocumentMalformed):
        dataclasses.replace(head(12), **changes)


def test_a_witness_adds_its_signature_and_keeps_that_of_the_hub() -> None:
    document = make_checkpoint(head(12), HUB)
    with pytest.raises(SignatureInvalid):
        verify_witness(document, NODE.public)
    witnessed = SignedDocument.decode(cosign(document, NODE).encode())
    verify_witness(witnessed, NODE.public)
    assert open_checkpoint(witnessed, HUB.public) == head(12)
    with pytest.raises(SignatureInvalid):
        verify_witness(witnessed, STRANGER.public)


def test_the_signature_of_a_witness_does_not_stand_for_that_of_the_hub() -> None:
    forged = cosign(make_checkpoint(head(12), STRANGER), NODE)
    verify_witness(forged, NODE.public)
    with pytest.raises(SignatureInvalid):
        open_checkpoint(forged, HUB.public)


def test_the_signature_of_a_witness_holds_for_no_other_head() -> None:
    seen, shown = cosign(make_checkpoint(head(12), HUB), NODE), make_checkpoint(head(13), HUB)
    moved = dataclasses.replace(shown, signatures=(*shown.signatures, seen.signatures[1]))
    with pytest.raises(SignatureInvalid):
        verify_witness(moved, NODE.public)


@given(old=st.integers(0, 40), grown=st.integers(0, 40), later=st.integers(0, 10**9))
def test_every_later_head_of_an_honest_log_extends_every_earlier_one(old: int, grown: int, later: int) -> None:
    new = min(old + grown, 40)
    extends(head(old), head(new, time_ms=NOW + later), consistency_path(LEAVES, old, new))


REWRITTEN = [*LEAVES[:5], leaf_hash(b"another consent"), *LEAVES[6:]]


@pytest.mark.parametrize(
    ("old", "new", "path", "reason"),
    [
        (head(12), head(20, origin="xinqiao/usage"), consistency_path(LEAVES, 12, 20), "was presented as"),
        (head(12), head(11), (), "entries are being hidden"),
        (head(12), head(0, root=EMPTY_ROOT), (), "entries are being hidden"),
        (head(12), head(20, time_ms=NOW - 1), consistency_path(LEAVES, 12, 20), "an old checkpoint"),
        (head(12), head(12, time_ms=NOW - 1), (), "an old checkpoint"),
        (head(12), head(12, root=root_of(REWRITTEN[:12])), (), "forked"),
        (head(12), head(20, root=root_of(REWRITTEN[:20])), consistency_path(REWRITTEN, 12, 20), "not proved"),
        (head(12), head(20, root=root_of(REWRITTEN[:20])), consistency_path(LEAVES, 12, 20), "not proved"),
        (head(12), head(20), (), "not proved"),
        (head(12), head(20), consistency_path(LEAVES, 11, 20), "not proved"),
    ],
)
def test_a_head_that_does_not_extend_the_last_one_is_an_alarm(
    old: Checkpoint, new: Checkpoint, path: tuple[bytes, ...], reason: str
) -> None:
    with pytest.raises(LogInconsistent, match=reason):
        extends(old, new, path)


@pytest.mark.parametrize(
    ("age_ms", "fresh"),
    [(0, True), (60_000, True), (60_001, False), (10**12, False), (-5_000, True), (-5_001, False)],
)
def test_a_checkpoint_is_fresh_for_its_time_and_not_from_the_future(age_ms: int, fresh: bool) -> None:
    def ask() -> None:
        verify_fresh(head(12), now_ms=NOW + age_ms, max_age_ms=60_000)

    if fresh:
        ask()
    else:
        with pytest.raises(CheckpointStale, match=f"{abs(age_ms)} ms"):
            ask()
