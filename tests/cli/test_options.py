from __future__ import annotations

from pathlib import Path

import pytest

from cli.errors import CliError
from cli.hub_file import read_hub_file
from cli.options import items_json, parse_items, user_name
from cli.secret import prepare_secret, read_secret, secret_for_enrolment, secret_path
from consent.documents import ItemMode
from consent.errors import ItemUnknown
from nodes.errors import CredentialsInvalid
from trust.errors import KeyFileError


@pytest.mark.parametrize(
    ("text", "mode", "fields"),
    [
        ("tax_registration", None, ()),
        ("tax_registration:V", ItemMode.V, ()),
        ("tax_registration:V:", ItemMode.V, ()),
        ("tax_registration::", None, ()),
    ],
)
def test_an_item_is_read(text: str, mode: ItemMode | None, fields: tuple[str, ...]) -> None:
    (item,) = parse_items([text])
    assert item.item_id == "tax_registration"
    assert item.fields == fields
    assert mode is None or item.mode is mode


def test_fields_are_read_and_sent_as_json() -> None:
    from consent.catalogue import load_catalogue

    first, second = list(load_catalogue().item("tax_registration").by_name)[:2]
    items = parse_items([f"tax_registration:Q:{first},{second}"])
    assert items[0].fields == (first, second)
    assert items_json(items).startswith(b'[{"item_id":"tax_registration","mode":"Q","fields":["')


@pytest.mark.parametrize("text", ["tax_registration:Z", "tax_registration:q", "tax_registration:Q:nonsense"])
def test_a_malformed_item_is_refused(text: str) -> None:
    with pytest.raises(CliError) as found:
        parse_items([text])
    assert found.value.exit_code == 2


def test_an_unknown_item_and_none_at_all_are_refused() -> None:
    with pytest.raises(ItemUnknown):
        parse_items(["no_such_item"])
    with pytest.raises(CliError):
        parse_items([])


def test_the_user_is_the_account_unless_it_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LOGNAME", "somebody")
    assert user_name("") == "somebody"
    assert user_name("li") == "li"


def test_a_home_makes_its_secret_once_for_its_owner_only(tmp_path: Path) -> None:
    secret, said = prepare_secret(tmp_path, None)
    assert len(secret) == 64
    assert str(secret_path(tmp_path)) in said
    assert secret_path(tmp_path).stat().st_mode & 0o777 == 0o600
    assert prepare_secret(tmp_path, None)[0] == read_secret(tmp_path, None) == secret


def test_a_secret_that_is_given_is_taken_and_none_is_made(tmp_path: Path) -> None:
    file = tmp_path / "mine"
    file.write_bytes(b"0123456789abcdef\n")
    file.chmod(0o600)
    assert prepare_secret(tmp_path / "home", file)[0] == b"0123456789abcdef" == read_secret(tmp_path / "home", file)
    assert not (tmp_path / "home").exists()
    file.chmod(0o644)
    with pytest.raises(KeyFileError, match="chmod 600"):
        read_secret(tmp_path, file)


def test_the_secret_of_an_enrolment_waits_beside_the_keys_and_survives_a_failure(tmp_path: Path) -> None:
    with pytest.raises(RuntimeError), secret_for_enrolment(tmp_path, None) as (first, _):
        assert not secret_path(tmp_path).exists()
        raise RuntimeError("enrolment failed")
    with secret_for_enrolment(tmp_path, None) as (second, _):
        (tmp_path / "keys").mkdir()
    assert first == second == read_secret(tmp_path, None)


def test_a_hub_file_that_is_missing_or_damaged_is_refused(tmp_path: Path) -> None:
    with pytest.raises(CliError) as found:
        read_hub_file(tmp_path / "hub.json")
    assert found.value.exit_code == 7
    (tmp_path / "hub.json").write_bytes(b"{}")
    with pytest.raises(CredentialsInvalid):
        read_hub_file(tmp_path / "hub.json")
