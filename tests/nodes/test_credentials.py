"""The files of a node's identity survive a crash in the middle of a renewal."""

from __future__ import annotations

import datetime
from pathlib import Path

import pytest

from nodes.credentials import HubFacts, TlsPair, load_hub, load_tls, replace_tls
from nodes.errors import CredentialsInvalid
from trust.certificates import create_authority, issue, make_csr
from trust.keyfile import write_protected
from trust.sm2 import PrivateKey


def now() -> datetime.datetime:
    return datetime.datetime.now(datetime.UTC)


@pytest.fixture(scope="module")
def authority() -> tuple[bytes, bytes]:
    return create_authority("authority", now)


def make_pair(authority: tuple[bytes, bytes]) -> TlsPair:
    key_pem, csr_pem = make_csr("tax-1")
    certificate = issue(*authority, csr_pem, member_id="tax", node_id="tax-1", now=now())
    return TlsPair(key_pem=key_pem, certificate_pem=certificate)


@pytest.fixture
def home(tmp_path: Path, authority: tuple[bytes, bytes]) -> Path:
    (tmp_path / "keys").mkdir()
    pair = make_pair(authority)
    write_protected(tmp_path / "keys" / "tls.key", pair.key_pem)
    write_protected(tmp_path / "keys" / "tls.crt", pair.certificate_pem)
    return tmp_path


def test_a_renewed_pair_replaces_the_old_one(home: Path, authority: tuple[bytes, bytes]) -> None:
    renewed = make_pair(authority)
    replace_tls(home, renewed)
    assert load_tls(home) == renewed
    assert {path.name for path in (home / "keys").iterdir()} == {"tls.key", "tls.crt"}


@pytest.mark.parametrize("renames_done", [0, 1, 2])
def test_a_crash_between_the_renames_is_mended(
    home: Path, authority: tuple[bytes, bytes], monkeypatch: pytest.MonkeyPatch, renames_done: int
) -> None:
    before, renewed = load_tls(home), make_pair(authority)
    real_replace, done = Path.replace, 0

    def dying_replace(self: Path, target: Path) -> Path:
        nonlocal done
        if done == renames_done:
            raise KeyboardInterrupt
        done += 1
        return real_replace(self, target)

    with monkeypatch.context() as patched:
        patched.setattr(Path, "replace", dying_replace)
        if renames_done < 2:
            with pytest.raises(KeyboardInterrupt):
                replace_tls(home, renewed)
        else:
            replace_tls(home, renewed)
    assert load_tls(home) == (before if renames_done == 0 else renewed)
    replace_tls(home, renewed)  # and the next renewal is not in the way of the leftovers
    assert load_tls(home) == renewed


@pytest.mark.parametrize("damage", ["missing", "foreign", "garbage"])
def test_files_that_do_not_fit_are_refused(home: Path, authority: tuple[bytes, bytes], damage: str) -> None:
    key = home / "keys" / "tls.key"
    key.unlink()
    if damage == "foreign":
        key.write_bytes(make_pair(authority).key_pem)
    elif damage == "garbage":
        key.write_bytes(b"no key")
    with pytest.raises(CredentialsInvalid):
        load_tls(home)


def test_hub_facts_come_back_as_they_were_written(tmp_path: Path, authority: tuple[bytes, bytes]) -> None:
    facts = HubFacts(
        public_address="hub:1", node_address="hub:2", authority_pem=authority[1], hub_key=PrivateKey.generate().public
    )
    (tmp_path / "hub.json").write_bytes(facts.encode())
    assert load_hub(tmp_path) == facts


@pytest.mark.parametrize("content", [None, b"", b"{}", b'{"public_address": 1}', b"\xff"])
def test_damaged_hub_facts_are_refused(tmp_path: Path, content: bytes | None) -> None:
    if content is not None:
        (tmp_path / "hub.json").write_bytes(content)
    with pytest.raises(CredentialsInvalid):
        load_hub(tmp_path)


def test_a_pair_does_not_print_its_key(authority: tuple[bytes, bytes]) -> None:
    assert "PRIVATE" not in repr(make_pair(authority))
