"""SM2 against the standard's examples, against a second implementation, and against whoever alters a bit."""

import copy
import json
import os
import pickle
from pathlib import Path

import pytest
from gmssl import sm2 as pure_sm2
from hypothesis import given, settings
from hypothesis import strategies as st

from trust import der, sm2
from trust.errors import DecryptionFailed, KeyMalformed, SignatureInvalid
from trust.sm2 import PrivateKey, PublicKey, sign, unwrap, verify_pair, verify_signature, wrap
from trust.suite import sm3

VECTOR = json.loads((Path(__file__).parent / "vectors" / "sm2.json").read_text())
N = 0xFFFFFFFEFFFFFFFFFFFFFFFFFFFFFFFF7203DF6B21C6052B53BBF40939D54123
P = 0xFFFFFFFEFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFF00000000FFFFFFFFFFFFFFFF
STANDARD = PrivateKey(bytes.fromhex(VECTOR["private"]), PublicKey(bytes.fromhex(VECTOR["x"] + VECTOR["y"])))
KEY = PrivateKey.generate()
OTHER = PrivateKey.generate()


def signature_der(r: int, s: int) -> bytes:
    return der.element(der.SEQUENCE, der.integer(r), der.integer(s))


def flipped(data: bytes, bit: int) -> bytes:
    changed = bytearray(data)
    changed[bit // 8] ^= 1 << bit % 8
    return bytes(changed)


def test_the_signature_of_the_standard_verifies() -> None:
    case = VECTOR["signature"]
    message = case["message"].encode()
    verify_signature(STANDARD.public, message, signature_der(int(case["r"], 16), int(case["s"], 16)))
    assert sm2._z(STANDARD.public.point).hex() == case["z"]
    assert sm3(bytes.fromhex(case["z"]) + message).hex() == case["e"]


def test_the_ciphertext_of_the_standard_opens() -> None:
    case = {name: bytes.fromhex(value) for name, value in VECTOR["encryption"].items() if name != "message"}
    point = (der.integer(int.from_bytes(case["x1"])), der.integer(int.from_bytes(case["y1"])))
    octets = (der.element(der.OCTET_STRING, case["c3"]), der.element(der.OCTET_STRING, case["c2"]))
    assert unwrap(STANDARD, der.element(der.SEQUENCE, *point, *octets)) == VECTOR["encryption"]["message"].encode()


def test_the_key_of_the_standard_signs_and_is_a_pair() -> None:
    verify_pair(STANDARD)
    verify_signature(STANDARD.public, b"m", sign(STANDARD, b"m"))


@settings(max_examples=10)
@given(st.binary(max_size=200))
def test_a_second_implementation_accepts_our_signatures(message: bytes) -> None:
    reader = der.Reader(sign(KEY, message)).sequence()
    raw = f"{reader.integer():064x}{reader.integer():064x}"
    # The pure-Python library verifies the digest it is given; Z and the digest are computed by its own hash.
    pure = pure_sm2.CryptSM2(private_key="", public_key=KEY.public.point.hex(), mode=1, asn1=False)
    assert pure.verify_with_sm3(raw, message)


@given(st.binary(max_size=200))
def test_what_a_key_signed_verifies_and_nothing_else_does(message: bytes) -> None:
    signature = sign(KEY, message)
    verify_signature(KEY.public, message, signature)
    with pytest.raises(SignatureInvalid):
        verify_signature(OTHER.public, message, signature)
    with pytest.raises(SignatureInvalid):
        verify_signature(KEY.public, message + b"\0", signature)


def test_every_flipped_bit_of_a_signature_is_rejected() -> None:
    signature = sign(KEY, b"message")
    for bit in range(8 * len(signature)):
        with pytest.raises(SignatureInvalid):
            verify_signature(KEY.public, b"message", flipped(signature, bit))


def test_every_flipped_bit_of_a_message_is_rejected() -> None:
    signature = sign(KEY, b"message")
    for bit in range(8 * len(b"message")):
        with pytest.raises(SignatureInvalid):
            verify_signature(KEY.public, flipped(b"message", bit), signature)


GOOD = sign(KEY, b"m")
BODY = der.Reader(GOOD).sequence()
R, S = BODY.integer(), BODY.integer()
PADDED_R = der.element(der.INTEGER, b"\x00" + der.integer(R)[2:])
MALFORMED_SIGNATURES = {
    "empty": b"",
    "one byte": b"\x30",
    "zeros": bytes(72),
    "trailing byte": GOOD + b"\0",
    "cut": GOOD[:-1],
    "raw r and s": R.to_bytes(32) + S.to_bytes(32),
    "long form of a short length": b"\x30\x81" + GOOD[1:],
    "indefinite length": b"\x30\x80" + GOOD[2:] + b"\0\0",
    "padded r": der.element(der.SEQUENCE, PADDED_R, der.integer(S)),
    "empty r": der.element(der.SEQUENCE, der.element(der.INTEGER), der.integer(S)),
    "third integer": der.element(der.SEQUENCE, der.integer(R), der.integer(S), der.integer(1)),
    "r is zero": signature_der(0, S),
    "s is zero": signature_der(R, 0),
    "r is n": signature_der(N, S),
    "r plus n": signature_der(R + N, S),
    "s plus n": signature_der(R, S + N),
    "r and s add up to n": signature_der(R, N - R),
    "negative r": der.element(der.SEQUENCE, der.element(der.INTEGER, b"\xff" + bytes(31)), der.integer(S)),
    "exchanged": signature_der(S, R),
}


@pytest.mark.parametrize("name", MALFORMED_SIGNATURES)
def test_a_malformed_signature_is_refused_by_our_own_error(name: str) -> None:
    with pytest.raises(SignatureInvalid):
        verify_signature(KEY.public, b"m", MALFORMED_SIGNATURES[name])


@pytest.mark.parametrize("name", ["r is zero", "s is zero", "r is n", "r plus n", "s plus n", "r and s add up to n"])
def test_numbers_out_of_range_are_refused_before_the_library_sees_them(name: str) -> None:
    with pytest.raises(SignatureInvalid, match="outside"):
        verify_signature(KEY.public, b"m", MALFORMED_SIGNATURES[name])


@given(st.binary(max_size=90))
def test_no_bytes_make_the_verifier_fail_otherwise(signature: bytes) -> None:
    with pytest.raises(SignatureInvalid):
        verify_signature(KEY.public, b"m", signature)


@given(st.binary(min_size=1, max_size=255))
def test_a_wrapped_secret_opens_for_its_key_only(secret: bytes) -> None:
    blob = wrap(KEY.public, secret)
    assert unwrap(KEY, blob) == secret
    with pytest.raises(DecryptionFailed):
        unwrap(OTHER, blob)


def test_every_flipped_bit_of_a_wrapped_secret_is_rejected() -> None:
    blob = wrap(KEY.public, b"0123456789abcdef")
    for bit in range(8 * len(blob)):
        with pytest.raises(DecryptionFailed):
            unwrap(KEY, flipped(blob, bit))


def test_other_wire_forms_of_a_ciphertext_are_refused() -> None:
    blob = wrap(KEY.public, b"0123456789abcdef")
    body = der.Reader(blob).sequence()
    x, y = body.integer(), body.integer()
    c3, c2 = body.element(der.OCTET_STRING), body.element(der.OCTET_STRING)
    c1 = x.to_bytes(32) + y.to_bytes(32)
    swapped = (der.element(der.OCTET_STRING, c2), der.element(der.OCTET_STRING, c3))
    off_curve = (der.integer(x), der.integer((y + 1) % P))
    octets = (der.element(der.OCTET_STRING, c3), der.element(der.OCTET_STRING, c2))
    forms = {
        "raw C1C3C2": c1 + c3 + c2,
        "raw with 04": b"\x04" + c1 + c3 + c2,
        "raw C1C2C3": c1 + c2 + c3,
        "DER C1C2C3": der.element(der.SEQUENCE, der.integer(x), der.integer(y), *swapped),
        "off the curve": der.element(der.SEQUENCE, *off_curve, *octets),
        "x beyond p": der.element(der.SEQUENCE, der.integer(x + P), der.integer(y), *octets),
        "nothing in it": der.element(der.SEQUENCE, der.integer(x), der.integer(y), octets[0], b"\x04\x00"),
        "trailing": blob + b"\0",
        "cut": blob[:-1],
        "empty": b"",
    }
    for name, form in forms.items():
        with pytest.raises(DecryptionFailed, match="not DER C1C3C2"):
            unwrap(KEY, form)
            pytest.fail(f"opened {name}")


@pytest.mark.parametrize("size", [0, 256])
def test_a_secret_that_cannot_be_wrapped_is_a_mistake_of_the_caller(size: int) -> None:
    with pytest.raises(ValueError, match="1 to 255"):
        wrap(KEY.public, bytes(size))


def test_a_public_key_has_one_text_form() -> None:
    text = KEY.public.encode()
    assert len(text) == 130
    assert PublicKey.decode(text) == KEY.public
    others = [
        text.upper(),
        text[2:],
        " " + text,
        text + "\n",
        text[:2] + " " + text[2:],
        "03" + text[2:66],
        "",
        "04",
        "zz",
    ]
    others += [text[:-1], text[:-2] + "é" * 2, "06" + text[2:]]
    for other in others:
        if other != text:
            with pytest.raises(KeyMalformed):
                PublicKey.decode(other)


def test_a_public_key_that_is_made_of_zeros_before_its_digits_survives() -> None:
    # gmssl strips leading "04" characters and damages such keys; ours is exact.
    point = next(key.public.point for key in iter(PrivateKey.generate, None) if key.public.point[0] >> 4 == 0)
    assert PublicKey.decode("04" + point.hex()).point == point


@pytest.mark.parametrize(
    "point",
    [bytes(64), b"\xff" * 64, KEY.public.point[:63], KEY.public.point + b"\0", flipped(KEY.public.point, 9), b""],
    ids=["zeros", "beyond p", "short", "long", "off the curve", "empty"],
)
def test_a_point_that_is_not_on_the_curve_is_no_key(point: bytes) -> None:
    with pytest.raises(KeyMalformed):
        PublicKey(point)


@pytest.mark.parametrize("secret", [0, N - 1, N, 2**256 - 1])
def test_a_private_key_outside_its_range_is_refused(secret: int) -> None:
    with pytest.raises(KeyMalformed):
        PrivateKey(secret.to_bytes(32), KEY.public)


def test_two_halves_of_different_keys_are_no_pair() -> None:
    with pytest.raises(KeyMalformed, match=OTHER.public.key_id):
        verify_pair(PrivateKey(KEY.secret, OTHER.public))


def test_a_private_key_shows_its_secret_nowhere() -> None:
    shown = repr(KEY) + str(KEY) + f"{KEY}"
    assert KEY.secret.hex() not in shown
    assert repr(KEY.secret) not in shown
    for escape in (pickle.dumps, copy.copy, copy.deepcopy):
        with pytest.raises(TypeError, match="private key"):
            escape(KEY)


def test_the_key_id_is_the_start_of_the_digest_of_the_encoded_point() -> None:
    assert STANDARD.public.key_id == "sm2:" + sm3(bytes.fromhex(STANDARD.public.encode())).hex()[:16]


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork on this system")
def test_two_children_of_one_process_never_share_a_signature_nonce() -> None:
    # With a shared nonce r would repeat, and two signatures would give the private key away.
    sign(KEY, b"warm up")
    seen = set()
    for _ in range(3):
        reading, writing = os.pipe()
        child = os.fork()
        if child == 0:
            os.write(writing, sign(KEY, b"same message"))
            os._exit(0)
        os.close(writing)
        seen.add(os.read(reading, 100))
        os.close(reading)
        os.waitpid(child, 0)
    assert len(seen) == 3
