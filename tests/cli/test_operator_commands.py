from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from cli.secret import read_secret
from tests.cli.conftest import AdminWorld
from tests.cli.running import failing, run, run_json
from tests.cli.simulators import Refusal
from trust.keyfile import load_private_key


@pytest.fixture
def carol(admin: AdminWorld, tmp_path: Path) -> dict[str, Any]:
    """A third operator, let in by alice."""
    options = ("--operator", "alice", "--key-file", tmp_path / "carol.pem")
    told: dict[str, Any] = run_json("hub", "add-operator", "carol", "--home", admin.home, *options).data
    return told


def test_a_new_operator_is_let_in_by_the_one_who_signs(admin: AdminWorld, carol: dict[str, Any]) -> None:
    key = load_private_key(Path(carol["operator_key_file"]), read_secret(admin.home, None))
    assert admin.hub.directory.operator_key("carol") == key.public
    assert (carol["key_id"], carol["signer"], carol["replaced_key_id"]) == (key.public.key_id, "alice", None)
    assert carol["directory_index"] == admin.hub.directory.size - 1
    options = ("--operator-key", carol["operator_key_file"], "--name", "N", "--kind", "bank")
    assert run_json("hub", "admit", "newbank", "--home", admin.home, *options).data["operator"] == "carol"


def test_a_name_that_stands_is_not_given_another_key_by_accident(admin: AdminWorld, carol: dict[str, Any]) -> None:
    size = admin.hub.directory.size
    command = ("hub", "add-operator", "carol", "--home", admin.home, "--operator", "alice")
    error = failing(*command, "--key-file", admin.home / "other.pem", code=5)
    assert error["code"] == "ALREADY_EXISTS"
    assert "--replace" in error["message"]
    assert admin.hub.directory.size == size
    assert not (admin.home / "other.pem").exists()


def test_a_key_is_replaced_when_that_is_meant(admin: AdminWorld, carol: dict[str, Any], tmp_path: Path) -> None:
    options = ("--operator", "carol", "--operator-key", carol["operator_key_file"], "--replace")
    command = ("hub", "add-operator", "carol", "--home", admin.home, *options)
    # The same file holds the old key, which is never an operator's again.
    failing(*command, "--key-file", carol["operator_key_file"], code=1)
    told = run_json(*command, "--key-file", tmp_path / "carol-2.pem").data
    assert told["replaced_key_id"] == carol["key_id"]
    key = admin.hub.directory.operator_key("carol")
    assert key is not None
    assert key.key_id == told["key_id"] != carol["key_id"]
    nobody = ("hub", "add-operator", "dave", "--home", admin.home, "--operator", "alice", "--replace")
    assert failing(*nobody, code=5)["code"] == "NOT_FOUND"


def test_an_attempt_that_was_cut_off_goes_on_with_the_key_that_it_made(admin: AdminWorld, tmp_path: Path) -> None:
    options = ("--operator", "alice", "--key-file", tmp_path / "dave.pem")
    command = ("hub", "add-operator", "dave", "--home", admin.home, *options)
    admin.admin.refuse["AddOperator"] = Refusal("UNAVAILABLE")
    failing(*command, code=4)
    made = load_private_key(tmp_path / "dave.pem", read_secret(admin.home, None)).public
    del admin.admin.refuse["AddOperator"]
    assert run_json(*command).data["key_id"] == made.key_id
    assert admin.hub.directory.operator_key("dave") == made


def test_a_revoked_operator_signs_nothing_any_more(admin: AdminWorld, carol: dict[str, Any]) -> None:
    command = ("hub", "revoke-operator", "carol", "--home", admin.home, "--operator", "alice", "--reason", "stolen")
    told = run_json(*command).data
    assert (told["key_id"], told["signer"]) == (carol["key_id"], "alice")
    assert admin.hub.directory.operator_key("carol") is None
    assert failing(*command, code=5)["code"] == "NOT_FOUND"
    options = ("--operator-key", carol["operator_key_file"], "--name", "N", "--kind", "bank")
    size = admin.hub.directory.size
    failing("hub", "admit", "newbank", "--home", admin.home, *options, code=1)  # the simulator has no code for it
    assert admin.hub.directory.size == size


def test_all_operators_are_listed_with_who_let_them_in_and_who_ended_them(
    admin: AdminWorld, carol: dict[str, Any]
) -> None:
    run("hub", "revoke-operator", "carol", "--home", admin.home, "--operator", "alice", "--reason", "left")
    listed = run_json("hub", "operators", "--home", admin.home).data["operators"]
    assert [(each["operator"], each["state"], each["signer"], each["ended_by"]) for each in listed] == [
        ("op", "standing", None, None),
        ("alice", "standing", "op", None),
        ("carol", "ended", "alice", "alice"),
    ]
    shown = run("hub", "operators", "--home", admin.home).out
    assert "the hub" in shown
    assert carol["key_id"] in shown


def test_what_the_hub_refuses_is_told(admin: AdminWorld) -> None:
    admin.admin.refuse["Revoke"] = Refusal("WRONG_STATE", "alice is the last operator that stands")
    command = ("hub", "revoke-operator", "alice", "--home", admin.home, "--operator", "alice", "--reason", "left")
    assert "last operator" in failing(*command, code=5)["message"]
