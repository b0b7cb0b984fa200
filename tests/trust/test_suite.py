"""The suite against the standards' examples, and OpenSSL, GmSSL and a pure-Python implementation against each other."""

import hmac
import json
from pathlib import Path

import gmssl_pyx
import pytest
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from gmssl import sm3 as pure_sm3
from gmssl import sm4 as pure_sm4
from hypothesis import given
from hypothesis import strategies as st

from trust import suite
from trust.errors import DecryptionFailed, SuiteUnavailable, SuiteUnknown
from trust.suite import SUITE, Sm3, check_suite, hkdf_sm3, hmac_sm3, open_sealed, seal, sm3

VECTORS = Path(__file__).parent / "vectors"
SM3_CASES = json.loads((VECTORS / "sm3.json").read_text())["cases"]
SM4 = json.loads((VECTORS / "sm4.json").read_text())
GCM = {name: bytes.fromhex(value) for name, value in SM4["gcm"].items() if name != "source"}

keys = st.binary(min_size=16, max_size=16)
nonces = st.binary(min_size=12, max_size=12)


@pytest.mark.parametrize("case", SM3_CASES, ids=lambda case: f"{len(case['message']) // 2}-bytes")
def test_sm3_gives_the_digests_of_the_standard_on_every_path(case: dict[str, str]) -> None:
    message = bytes.fromhex(case["message"])
    assert sm3(message).hex() == case["digest"]
    assert Sm3(message).digest().hex() == case["digest"]
    assert suite._sm3_openssl(message).hex() == case["digest"]


@given(st.binary(max_size=300))
def test_three_implementations_of_sm3_agree(message: bytes) -> None:
    assert sm3(message) == suite._sm3_openssl(message)
    assert sm3(message).hex() == pure_sm3.sm3_hash(list(message))


@given(st.lists(st.binary(max_size=100), max_size=6))
def test_sm3_in_parts_equals_sm3_of_the_whole(parts: list[bytes]) -> None:
    digest = Sm3()
    for part in parts:
        digest.update(part)
        digest.digest()  # asking in between changes nothing
    assert digest.digest() == sm3(b"".join(parts))


@given(st.binary(min_size=1, max_size=100), st.binary(max_size=200))
def test_hmac_of_two_libraries_agrees(key: bytes, data: bytes) -> None:
    assert hmac_sm3(key, data) == gmssl_pyx.sm3_hmac(key, data)


def rfc5869(secret: bytes, salt: bytes, info: bytes, length: int) -> bytes:
    """The text of RFC 5869, sections 2.2 and 2.3, over HMAC from the standard library and our SM3."""

    def mac(key: bytes, data: bytes) -> bytes:
        block = (sm3(key) if len(key) > 64 else key).ljust(64, b"\0")
        return sm3(bytes(b ^ 0x5C for b in block) + sm3(bytes(b ^ 0x36 for b in block) + data))

    extracted, out, last = mac(salt or bytes(32), secret), b"", b""
    for counter in range(1, 256):
        last = mac(extracted, last + info + bytes([counter]))
        out += last
    return out[:length]


@given(st.binary(min_size=1, max_size=80), st.binary(max_size=80), st.binary(max_size=40), st.integers(1, 8160))
def test_hkdf_is_that_of_the_rfc(secret: bytes, salt: bytes, info: bytes, length: int) -> None:
    derived = hkdf_sm3(secret, salt, info, length)
    assert hmac.compare_digest(derived, rfc5869(secret, salt, info, 8160)[:length])
    assert len(derived) == length


def test_sm4_gives_the_block_of_the_standard_in_two_libraries() -> None:
    case = {name: bytes.fromhex(value) for name, value in SM4["block"].items() if name != "source"}
    encryptor = Cipher(algorithms.SM4(case["key"]), modes.ECB()).encryptor()  # noqa: S305 (one block, a vector)
    assert encryptor.update(case["plaintext"]) + encryptor.finalize() == case["ciphertext"]
    pure = pure_sm4.CryptSM4(padding_mode=None)
    pure.set_key(case["key"], pure_sm4.SM4_ENCRYPT)
    assert bytes(pure.one_round(pure.sk, list(case["plaintext"]))) == case["ciphertext"]


def test_sm4_gcm_gives_the_example_of_rfc_8998() -> None:
    sealed = seal(GCM["key"], GCM["nonce"], GCM["plaintext"], GCM["aad"])
    assert sealed == GCM["ciphertext"] + GCM["tag"]
    assert open_sealed(GCM["key"], GCM["nonce"], sealed, GCM["aad"]) == GCM["plaintext"]


@given(keys, nonces, st.binary(min_size=1, max_size=200), st.binary(max_size=40))
def test_sm4_gcm_of_two_libraries_agrees(key: bytes, nonce: bytes, plaintext: bytes, aad: bytes) -> None:
    assert seal(key, nonce, plaintext, aad) == b"".join(gmssl_pyx.sm4_gcm_encrypt(key, nonce, aad, plaintext))


@given(keys, nonces, st.binary(max_size=60), st.binary(max_size=20), st.data())
def test_a_flipped_bit_in_anything_keeps_a_sealed_object_shut(
    key: bytes, nonce: bytes, plaintext: bytes, aad: bytes, data: st.DataObject
) -> None:
    parts = [key, nonce, seal(key, nonce, plaintext, aad), aad]
    which = data.draw(st.sampled_from([at for at, part in enumerate(parts) if part]))
    bit = data.draw(st.integers(0, 8 * len(parts[which]) - 1))
    changed = bytearray(parts[which])
    changed[bit // 8] ^= 1 << bit % 8
    parts[which] = bytes(changed)
    with pytest.raises(DecryptionFailed):
        open_sealed(*parts)


@pytest.mark.parametrize("length", [0, 1, 15, 16, 31])
def test_a_cut_sealed_object_does_not_open(length: int) -> None:
    sealed = seal(GCM["key"], GCM["nonce"], b"sixteen bytes...", b"")
    with pytest.raises(DecryptionFailed):
        open_sealed(GCM["key"], GCM["nonce"], sealed[:length], b"")


@pytest.mark.parametrize("name", ["", "sm2-sm3-sm4gcm", "SM2-SM3-SM4GCM ", "ED25519-SHA256-AESGCM"])
def test_an_unknown_suite_is_refused(name: str) -> None:
    with pytest.raises(SuiteUnknown, match=SUITE):
        check_suite(name)


def test_our_suite_is_accepted() -> None:
    check_suite("SM2-SM3-SM4GCM")


def test_without_its_library_sm2_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(suite, "_gmssl", None)
    with pytest.raises(SuiteUnavailable, match="gmssl-pyx"):
        suite.gmssl()


@pytest.mark.parametrize("standard_library", [True, False], ids=["as-installed", "cryptography"])
def test_long_messages_have_one_digest_whichever_openssl_hashes(
    standard_library: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    if not standard_library:
        monkeypatch.setattr(suite, "_hashlib", None)
    message = bytes(range(256)) * 4096
    digest = Sm3(memoryview(message))
    assert gmssl_pyx.sm3_hash(message) == sm3(message) == digest.digest() == digest.digest()
