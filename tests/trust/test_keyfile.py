"""Key files: what is written, who may read it, and what happens to a file that was altered."""

import base64
import os
import stat
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.kdf.scrypt import Scrypt
from hypothesis import given, settings
from hypothesis import strategies as st

from trust import der
from trust.errors import KeyFileError, KeyMalformed, WrongPassphrase
from trust.keyfile import (
    decode_private_key,
    encode_private_key,
    load_private_key,
    save_private_key,
    secret_from_file,
    secret_from_passphrase,
)
from trust.sm2 import PrivateKey, sign, verify_signature
from trust.suite import open_sealed

KEY = PrivateKey.generate()
SECRET = b"correct horse battery staple"
CHEAP = 2**14
CONTENT = encode_private_key(KEY, SECRET, cost=CHEAP)


def test_a_saved_key_is_loaded_and_signs(tmp_path: Path) -> None:
    path = tmp_path / "node.key"
    save_private_key(path, KEY, SECRET)
    loaded = load_private_key(path, SECRET)
    assert loaded.secret == KEY.secret
    verify_signature(KEY.public, b"m", sign(loaded, b"m"))
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert [found.name for found in tmp_path.iterdir()] == ["node.key"]


def test_a_key_file_holds_no_trace_of_the_key(tmp_path: Path) -> None:
    path = tmp_path / "node.key"
    save_private_key(path, KEY, SECRET, cost=CHEAP)
    encoded = base64.b64decode(b"".join(path.read_bytes().splitlines()[1:-1]))
    assert KEY.secret not in encoded
    assert KEY.public.point not in encoded


def test_the_file_is_pkcs8_with_pbes2_scrypt_and_sm4_gcm() -> None:
    salt, nonce = b"s" * 16, b"n" * 12
    content = encode_private_key(KEY, SECRET, random=lambda size: {16: salt, 12: nonce}[size])
    lines = content.decode().splitlines()
    assert lines[0] == "-----BEGIN ENCRYPTED PRIVATE KEY-----"
    assert lines[-1] == "-----END ENCRYPTED PRIVATE KEY-----"
    outer = der.Reader(base64.b64decode("".join(lines[1:-1]))).sequence()
    algorithm = bytes.fromhex(
        "305b06092a864886f70d01050d304e302d06092b06010401da47040b30200410"
        + salt.hex()
        + "02030080000201080201010201"
        + "10301d06082a811ccf550168083011040c"
        + nonce.hex()
        + "020110"
    )
    outer.expect(algorithm)
    key = Scrypt(salt, 16, 2**15, 8, 1).derive(SECRET)
    inner = open_sealed(key, nonce, outer.element(der.OCTET_STRING), algorithm)
    assert KEY.secret in inner
    assert b"\x00\x04" + KEY.public.point in inner


def test_two_files_of_one_key_share_no_salt() -> None:
    assert encode_private_key(KEY, SECRET, cost=CHEAP) != CONTENT


def test_another_secret_does_not_open_it() -> None:
    with pytest.raises(WrongPassphrase, match="the passphrase is another one"):
        decode_private_key(CONTENT, SECRET + b"!")


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 8 * len(CONTENT) - 1))
def test_any_flipped_bit_of_a_key_file_is_rejected(bit: int) -> None:
    changed = bytearray(CONTENT)
    changed[bit // 8] ^= 1 << bit % 8
    with pytest.raises(KeyFileError):
        decode_private_key(bytes(changed), SECRET)


BODY = base64.b64decode(b"".join(CONTENT.splitlines()[1:-1]))


def pem(encoded: bytes) -> bytes:
    text = base64.b64encode(encoded).decode()
    lines = [text[at : at + 64] for at in range(0, len(text), 64)]
    return "\n".join(
        ["-----BEGIN ENCRYPTED PRIVATE KEY-----", *lines, "-----END ENCRYPTED PRIVATE KEY-----", ""]
    ).encode()


def test_the_helper_of_these_tests_writes_the_one_form() -> None:
    assert pem(BODY) == CONTENT


MALFORMED = {
    "empty": b"",
    "another PEM": CONTENT.replace(b"ENCRYPTED ", b""),
    "no end": CONTENT[:-5],
    "line breaks of another system": CONTENT.replace(b"\n", b"\r\n"),
    "a comment before": b"# my key\n" + CONTENT,
    "a blank line after": CONTENT + b"\n",
    "one long line": pem(BODY)[:38] + base64.b64encode(BODY) + b"\n-----END ENCRYPTED PRIVATE KEY-----\n",
    "not base64": pem(BODY).replace(b"M", b"*", 1),
    "empty body": pem(b""),
    "not DER": pem(b"hello"),
    "trailing DER": pem(BODY + b"\0"),
    "cut DER": pem(BODY[:-1]),
    "cheap scrypt": pem(BODY.replace(der.integer(CHEAP), der.integer(2**13 + 1))),
    "scrypt of 1 TiB": pem(BODY.replace(b"\x02\x02\x40\x00", b"\x02\x02\x7f\xff")),
    "another block size": pem(BODY.replace(b"\x02\x01\x08", b"\x02\x01\x7f")),
    "only zeros": bytes(300),
}


@pytest.mark.parametrize("name", MALFORMED)
def test_a_malformed_key_file_is_refused_by_our_own_error(name: str) -> None:
    with pytest.raises(KeyFileError, match="damaged"):
        decode_private_key(MALFORMED[name], SECRET)


def test_a_file_with_halves_of_two_keys_is_refused() -> None:
    mixed = PrivateKey(KEY.secret, PrivateKey.generate().public)
    with pytest.raises(KeyFileError, match="another one's"):
        decode_private_key(encode_private_key(mixed, SECRET, cost=CHEAP), SECRET)


@pytest.mark.parametrize("cost", [0, 2**13, 2**15 - 1, 2**21])
def test_a_cost_out_of_bounds_is_a_mistake_of_the_caller(cost: int) -> None:
    with pytest.raises(ValueError, match="power of two"):
        encode_private_key(KEY, SECRET, cost=cost)


def test_a_key_file_is_never_overwritten(tmp_path: Path) -> None:
    path = tmp_path / "node.key"
    path.write_bytes(b"precious")
    with pytest.raises(KeyFileError, match="is not overwritten"):
        save_private_key(path, KEY, SECRET, cost=CHEAP)
    assert path.read_bytes() == b"precious"
    assert [found.name for found in tmp_path.iterdir()] == ["node.key"]


def test_nothing_is_left_when_writing_fails(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(_descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(KeyFileError, match="No space left"):
        save_private_key(tmp_path / "node.key", KEY, SECRET, cost=CHEAP)
    assert list(tmp_path.iterdir()) == []


def test_a_key_file_in_a_missing_directory_is_named(tmp_path: Path) -> None:
    with pytest.raises(KeyFileError, match="cannot be written"):
        save_private_key(tmp_path / "missing" / "node.key", KEY, SECRET, cost=CHEAP)


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o620, 0o601, 0o777])
def test_a_key_file_that_others_may_touch_is_refused_with_the_command_that_helps(tmp_path: Path, mode: int) -> None:
    path = tmp_path / "node.key"
    save_private_key(path, KEY, SECRET, cost=CHEAP)
    path.chmod(mode)
    with pytest.raises(KeyFileError, match=f"run: chmod 600 {path}"):
        load_private_key(path, SECRET)


def test_a_missing_or_oversized_key_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(KeyFileError, match="cannot be read"):
        load_private_key(tmp_path / "none.key", SECRET)
    large = tmp_path / "large.key"
    large.write_bytes(bytes(10_000))
    large.chmod(0o600)
    with pytest.raises(KeyFileError, match="no key file"):
        load_private_key(large, SECRET)


def test_a_secret_comes_from_a_passphrase_the_same_on_every_keyboard() -> None:
    assert secret_from_passphrase("Brücke-Ａ123") == secret_from_passphrase("Bru\u0308cke-A123")
    with pytest.raises(KeyFileError, match="fewer than 8"):
        secret_from_passphrase("short")


def test_a_secret_comes_from_a_file_without_its_line_break(tmp_path: Path) -> None:
    path = tmp_path / "secret"
    path.write_bytes(b"0123456789abcdef\n")
    path.chmod(0o600)
    assert secret_from_file(path) == b"0123456789abcdef"
    path.write_bytes(b"0123456789abcde\n")
    with pytest.raises(KeyFileError, match="fewer than 16"):
        secret_from_file(path)
    path.chmod(0o644)
    with pytest.raises(KeyFileError, match="chmod 600"):
        secret_from_file(path)


def test_errors_never_quote_the_secret_or_the_key() -> None:
    for content, secret in ((CONTENT, b"not the secret"), (CONTENT[:-5], SECRET)):
        with pytest.raises((KeyFileError, KeyMalformed)) as caught:
            decode_private_key(content, secret)
        assert secret.decode() not in str(caught.value)
        assert KEY.secret.hex() not in str(caught.value)
