"""Data at rest: sealed for its place, opened under any configured key, rotated without a rewrite."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trust.errors import DecryptionFailed, KeyFileError
from trust.suite import KEY_SIZE
from trust.vault import EnvironmentKek, FileKek, KeyEncryptionKey, Vault, key_id_of, rewrap


def kek(fill: str) -> EnvironmentKek:
    return EnvironmentKek({"KEK": fill * 32}, "KEK")


OLD, NEW, FOREIGN = kek("a"), kek("b"), kek("c")
VAULT = Vault(OLD)


class Token:
    """A key-encryption key that lives elsewhere: only references leave this object."""

    key_id = "pkcs11:token-1"

    def __init__(self) -> None:
        self._held: list[bytes] = []

    def wrap(self, data_key: bytes) -> bytes:
        self._held.append(data_key)
        return b"%d" % (len(self._held) - 1)

    def unwrap(self, blob: bytes) -> bytes:
        return self._held[int(blob)]


@given(st.binary(max_size=200), st.binary(max_size=40))
def test_what_was_sealed_opens_in_its_place_and_nowhere_else(plaintext: bytes, context: bytes) -> None:
    blob = VAULT.seal_at_rest(plaintext, context)
    assert VAULT.open_at_rest(blob, context) == plaintext
    with pytest.raises(DecryptionFailed):
        VAULT.open_at_rest(blob, context + b"x")


def test_every_flipped_bit_of_a_blob_is_rejected() -> None:
    blob = VAULT.seal_at_rest(b"secret", b"table/row")
    for bit in range(8 * len(blob)):
        changed = bytearray(blob)
        changed[bit // 8] ^= 1 << bit % 8
        with pytest.raises(DecryptionFailed):
            VAULT.open_at_rest(bytes(changed), b"table/row")


def test_every_truncation_of_a_blob_is_rejected() -> None:
    blob = VAULT.seal_at_rest(b"secret", b"")
    for length in range(len(blob)):
        with pytest.raises(DecryptionFailed):
            VAULT.open_at_rest(blob[:length], b"")


@given(st.binary(max_size=120))
def test_any_bytes_are_refused_by_our_own_error(blob: bytes) -> None:
    for data in (blob, b"XQV1" + blob):
        with pytest.raises(DecryptionFailed):
            VAULT.open_at_rest(data, b"")


def test_the_same_plaintext_is_sealed_differently_each_time() -> None:
    assert VAULT.seal_at_rest(b"x", b"") != VAULT.seal_at_rest(b"x", b"")


def test_the_key_id_stands_beside_the_ciphertext_and_the_plaintext_does_not() -> None:
    blob = VAULT.seal_at_rest(b"plain words", b"")
    assert key_id_of(blob) == OLD.key_id
    assert OLD.key_id.encode() in blob
    assert b"plain words" not in blob


def test_a_vault_opens_under_older_keys_and_seals_under_the_first() -> None:
    blob = VAULT.seal_at_rest(b"x", b"c")
    rotated = Vault(NEW, OLD)
    assert rotated.open_at_rest(blob, b"c") == b"x"
    assert key_id_of(rotated.seal_at_rest(b"x", b"c")) == NEW.key_id
    with pytest.raises(DecryptionFailed, match=f"{OLD.key_id}, which is not configured"):
        Vault(NEW).open_at_rest(blob, b"c")


def test_rewrapping_changes_the_key_and_leaves_the_data() -> None:
    blob = VAULT.seal_at_rest(b"large data" * 100, b"c")
    moved = rewrap(blob, OLD, NEW)
    assert Vault(NEW).open_at_rest(moved, b"c") == b"large data" * 100
    assert moved[-1000:] == blob[-1000:]
    assert key_id_of(moved) == NEW.key_id


def test_rewrapping_twice_changes_nothing_more() -> None:
    moved = rewrap(VAULT.seal_at_rest(b"x", b""), OLD, NEW)
    assert rewrap(moved, OLD, NEW) == moved


def test_rewrapping_from_a_key_that_is_not_its_own_is_refused() -> None:
    with pytest.raises(DecryptionFailed, match=OLD.key_id):
        rewrap(VAULT.seal_at_rest(b"x", b""), FOREIGN, NEW)


def test_a_key_of_a_token_serves_through_the_protocol() -> None:
    token: KeyEncryptionKey = Token()
    blob = Vault(token).seal_at_rest(b"x", b"c")
    assert Vault(NEW, token).open_at_rest(blob, b"c") == b"x"
    assert Vault(NEW).open_at_rest(rewrap(blob, token, NEW), b"c") == b"x"


def test_a_service_that_returns_something_else_than_a_data_key_is_named() -> None:
    token = Token()
    blob = Vault(token).seal_at_rest(b"x", b"")
    token._held[0] = bytes(KEY_SIZE - 1)
    with pytest.raises(DecryptionFailed, match="no data key"):
        Vault(token).open_at_rest(blob, b"")


@pytest.mark.parametrize("name", ["", "a b", "x" * 129, "键"])
def test_a_key_id_that_cannot_be_stored_is_refused(name: str) -> None:
    token = Token()
    token.key_id = name
    with pytest.raises(KeyFileError, match="cannot be stored"):
        Vault(token)


@pytest.mark.parametrize("value", [None, "", "zz" * 32, "ab" * 15])
def test_a_variable_without_a_key_is_named(value: str | None) -> None:
    with pytest.raises(KeyFileError, match="XINQIAO_KEK"):
        EnvironmentKek({} if value is None else {"XINQIAO_KEK": value}, "XINQIAO_KEK")


def test_a_file_gives_the_same_key_each_time_and_must_be_private(tmp_path: Path) -> None:
    path = tmp_path / "kek"
    path.write_bytes(b"0123456789abcdef0123456789abcdef\n")
    path.chmod(0o600)
    blob = Vault(FileKek(path)).seal_at_rest(b"x", b"")
    assert Vault(FileKek(path)).open_at_rest(blob, b"") == b"x"
    path.chmod(0o640)
    with pytest.raises(KeyFileError, match="chmod 600"):
        FileKek(path)


def test_the_key_id_does_not_give_the_key_away() -> None:
    assert OLD.key_id.startswith("kek:")
    assert OLD._key.hex()[:16] not in OLD.key_id
    assert ("a" * 16) not in OLD.key_id
