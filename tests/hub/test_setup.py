from __future__ import annotations

from pathlib import Path

import pytest

from consent.errors import DirectoryRule
from hub.keys import create_operator_key, load_keys, make_server_certificate, utc
from hub.members.setup import add_first_operator, init_hub, open_parts
from hub.settings import Settings
from trust.certificates import verify_issued_by
from trust.errors import KeyFileError, WrongPassphrase
from trust.sm2 import PrivateKey

SECRET = b"a secret of the hub that is long"
NOW_MS = 1_900_000_000_000


def test_a_new_hub_has_keys_of_its_own_and_an_operator_in_its_directory(tmp_path: Path) -> None:
    settings = Settings(home=tmp_path / "hub")
    made = init_hub(settings, SECRET)
    operator = create_operator_key(tmp_path / "operators" / "alice.pem", b"the operator's own passphrase")
    assert add_first_operator(settings, SECRET, "alice", operator.public) == 0
    with pytest.raises(DirectoryRule, match="signed by an operator that stands"):
        add_first_operator(settings, SECRET, "mallory", PrivateKey.generate().public)
    keys = load_keys(settings.keys, SECRET)
    assert keys.public == made.public
    db, directory = open_parts(settings, keys)
    assert directory.current.operator_key("alice") == operator.public
    db.close()


def test_a_hub_is_never_made_over_another(tmp_path: Path) -> None:
    settings = Settings(home=tmp_path)
    before = init_hub(settings, SECRET)
    with pytest.raises(KeyFileError, match="not overwritten"):
        init_hub(settings, SECRET)
    assert load_keys(settings.keys, SECRET).public == before.public


def test_the_wrong_secret_opens_nothing(tmp_path: Path) -> None:
    init_hub(Settings(home=tmp_path), SECRET)
    with pytest.raises(WrongPassphrase):
        load_keys(tmp_path / "keys", b"another secret of the same length")


def test_keys_are_for_the_owners_eyes_only(tmp_path: Path) -> None:
    init_hub(Settings(home=tmp_path), SECRET)
    files = list((tmp_path / "keys").iterdir())
    assert len(files) == 3
    assert {file.stat().st_mode & 0o077 for file in files} == {0}
    (tmp_path / "keys" / "authority.key").chmod(0o644)
    with pytest.raises(KeyFileError, match="chmod 600"):
        load_keys(tmp_path / "keys", SECRET)


def test_the_server_certificate_is_of_the_authority(tmp_path: Path) -> None:
    keys = init_hub(Settings(home=tmp_path), SECRET, clock=lambda: NOW_MS)
    _, certificate = make_server_certificate(keys, ["hub.example:7443", "[::1]:7444"], now=utc(NOW_MS))
    verify_issued_by(certificate, keys.authority_cert)


def test_no_secret_shows_in_a_printed_object(tmp_path: Path) -> None:
    keys = init_hub(Settings(home=tmp_path), SECRET)
    assert keys.log_key.secret.hex() not in repr(keys)
    assert "PRIVATE" not in repr(keys)
