from __future__ import annotations

import sqlite3
from pathlib import Path

import pytest

from cli.secret import read_secret
from consent.directory import PRODUCT_PUBLISHED_TYPE, ProductItem, ProductPublished, SubjectKey
from consent.documents import ItemMode, encode, parse
from consent.registration import SUBJECT_REGISTRATION_TYPE, SubjectRegistration
from hub.keys import load_keys
from nodes.credentials import load_hub
from tests.cli.conftest import AdminWorld
from tests.cli.running import failing, run, run_json
from tests.cli.simulators import PROVIDER_NODE, Refusal
from tests.consent.builders import NOW, OTHER_USCC, PROVIDER, USCC, key
from tests.consent.usage_builders import usage_leaves
from trust.document import SignedDocument, sign_document
from trust.keyfile import load_private_key
from trust.sm2 import PublicKey


def test_init_makes_a_hub_with_keys_database_and_operator(made_hub: Path) -> None:
    secret = read_secret(made_hub, None)
    assert load_keys(made_hub / "keys", secret).public
    assert load_private_key(made_hub / "operators" / "alice.pem", secret)
    assert (made_hub / "hub.toml").stat().st_mode & 0o777 == 0o600
    with sqlite3.connect(made_hub / "hub.db") as database:
        origins = {row[0] for row in database.execute("SELECT origin FROM logs")}
    database.close()
    assert {"directory", "usage"} <= origins


def test_init_overwrites_nothing(made_hub: Path) -> None:
    before = (made_hub / "hub.toml").read_bytes()
    options = ("--public", "a:1", "--node", "a:2", "--operator", "bob")
    assert failing("hub", "init", "--home", made_hub, *options, code=5)["code"] == "ALREADY_EXISTS"
    assert (made_hub / "hub.toml").read_bytes() == before


def test_init_with_a_wrong_address_leaves_nothing_that_stops_the_next_attempt(tmp_path: Path) -> None:
    home = tmp_path / "h"
    options = ("--node", "a:2", "--operator", "bob")
    assert (
        failing("hub", "init", "--home", home, "--public", "no address", *options, code=7)["code"] == "SETTINGS_INVALID"
    )
    assert not (home / "hub.toml").exists()


def test_info_writes_what_enterprises_pin(made_hub: Path, tmp_path: Path) -> None:
    run("hub", "info", "--home", made_hub, "--out", tmp_path / "hub.json")
    facts = load_hub(tmp_path)
    assert facts.public_address == "127.0.0.1:7"
    assert facts.hub_key == load_keys(made_hub / "keys", read_secret(made_hub, None)).public


def test_commands_say_so_when_there_is_no_hub_or_it_does_not_run(made_hub: Path, tmp_path: Path) -> None:
    assert failing("hub", "status", "--home", tmp_path, code=7)["code"] == "CONFIGURATION"
    (made_hub / "admin.sock").unlink(missing_ok=True)
    assert failing("hub", "status", "--home", made_hub, code=4)["code"] == "UNAVAILABLE"


def test_a_socket_that_nobody_listens_to_is_unreachable(made_hub: Path) -> None:
    (made_hub / "admin.sock").touch()
    try:
        assert "does not answer" in failing("hub", "status", "--home", made_hub, code=4)["message"]
    finally:
        (made_hub / "admin.sock").unlink()


def test_status_and_members_are_shown(admin: AdminWorld) -> None:
    told = run_json("hub", "status", "--home", admin.home).data
    assert told["connected_nodes"] == [PROVIDER_NODE]
    assert {log["origin"] for log in told["logs"]} == {"directory", "usage", f"consent/{PROVIDER}"}
    assert PROVIDER_NODE in run("hub", "status", "--home", admin.home).out
    members = run_json("hub", "members", "--home", admin.home).data["members"]
    assert members[0]["nodes"][0]["node"] == PROVIDER_NODE
    assert f"{PROVIDER_NODE} (connected)" in run("hub", "members", "--home", admin.home).out


def test_admit_is_signed_by_the_operator_in_the_command(admin: AdminWorld) -> None:
    ran = run_json("hub", "admit", "newbank", "--home", admin.home, "--name", "New Bank", "--kind", "bank")
    member = admin.hub.directory.member("newbank")
    assert member is not None
    assert (member.name, member.kind) == ("New Bank", "bank")
    assert ran.data["directory_index"] == admin.hub.directory.size - 1
    assert ran.data["operator"] == "alice"


@pytest.mark.parametrize(("member", "kind", "code"), [("newbank", "casino", 2), ("New Bank", "bank", 2)])
def test_a_malformed_member_is_refused_before_anything_is_sent(
    admin: AdminWorld, member: str, kind: str, code: int
) -> None:
    size = admin.hub.directory.size
    failing("hub", "admit", member, "--home", admin.home, "--name", "N", "--kind", kind, code=code)
    assert admin.hub.directory.size == size


def test_another_key_than_the_operators_is_refused(admin: AdminWorld, tmp_path: Path) -> None:
    from hub.keys import create_operator_key

    create_operator_key(tmp_path / "mallory.pem", read_secret(admin.home, None))
    options = ("--operator", "alice", "--operator-key", tmp_path / "mallory.pem")
    command = ("hub", "admit", "newbank", "--home", admin.home, "--name", "N", "--kind", "bank", *options)
    # The simulator's directory raises what it has no error detail for: the plain status must do then.
    error = failing(*command, code=1)
    assert (error["code"], "UNKNOWN" in error["message"]) == ("INTERNAL", True)
    assert admin.hub.directory.member("newbank") is None


def test_a_wrong_secret_is_named(admin: AdminWorld, tmp_path: Path) -> None:
    (tmp_path / "s").write_text("f" * 64)
    (tmp_path / "s").chmod(0o600)
    options = ("--name", "N", "--kind", "bank", "--secret-file", tmp_path / "s")
    assert failing("hub", "admit", "newbank", "--home", admin.home, *options, code=7)["code"] == "WRONG_PASSPHRASE"


def test_invite_prints_the_token(admin: AdminWorld) -> None:
    assert run("hub", "invite", PROVIDER, "--home", admin.home, "--node", "taxoffice-2").out.startswith("dG9rZW4\n")
    assert failing("hub", "invite", "nobody", "--home", admin.home, "--node", "n-1", code=5)["code"] == "NOT_FOUND"


def test_revoke_and_suspend(admin: AdminWorld) -> None:
    run("hub", "revoke-node", PROVIDER_NODE, "--home", admin.home, "--reason", "lost")
    node = admin.hub.directory.node(PROVIDER_NODE)
    assert node is not None
    assert node.revoked
    run("hub", "suspend", PROVIDER, "--home", admin.home, "--reason", "left")
    member = admin.hub.directory.member(PROVIDER)
    assert member is not None
    assert member.suspended_ms is not None


REFUSALS = [
    ("INTERNAL", 1),
    ("INVALID_ARGUMENT", 2),
    ("PERMISSION_DENIED", 3),
    ("RATE_LIMITED", 4),
    ("WRONG_STATE", 5),
    ("SIGNATURE_INVALID", 6),
    ("CLOCK_SKEW", 7),
]


@pytest.mark.parametrize(("code", "exit_code"), REFUSALS)
def test_what_the_hub_refuses_is_told_with_its_code(admin: AdminWorld, code: str, exit_code: int) -> None:
    admin.admin.refuse["GetStatus"] = Refusal(code, "because of the test")
    error = failing("hub", "status", "--home", admin.home, code=exit_code)
    assert (error["code"], error["message"], error["incident"]) == (code, "because of the test", "i-1")


# -- enterprises


def register(admin: AdminWorld, uscc: str, name: str = "企业", signer: str | None = None) -> None:
    own = key(f"own-{uscc}")
    entry = SubjectRegistration(uscc=uscc, ent_name=name, contact="a@b", public_key=own.public.encode(), time_ms=NOW)
    document = sign_document(SUBJECT_REGISTRATION_TYPE, encode(entry), key(signer) if signer else own)
    admin.hub.registrations[uscc] = document
    admin.hub.states[uscc] = "pending"


def test_registrations_are_listed_and_approved_with_what_they_say(admin: AdminWorld) -> None:
    register(admin, USCC)
    register(admin, OTHER_USCC)
    listed = run_json("hub", "registrations", "--home", admin.home).data["registrations"]
    assert {each["uscc"] for each in listed} == {USCC, OTHER_USCC}
    assert USCC in run("hub", "registrations", "--home", admin.home).out
    approved = run_json("hub", "approve-enterprise", USCC, "--home", admin.home).data["approved"]
    assert [(each["uscc"], each["version"]) for each in approved] == [(USCC, 1)]
    assert admin.hub.directory.subject_key(USCC) == key(f"own-{USCC}").public
    assert admin.hub.directory.subject_key(OTHER_USCC) is None
    run("hub", "approve-enterprise", "--all", "--home", admin.home)
    assert admin.hub.directory.subject_key(OTHER_USCC) is not None
    assert "Nobody waits" in run("hub", "registrations", "--home", admin.home).out


def test_a_new_key_is_approved_as_the_next_version_naming_the_one_before(admin: AdminWorld) -> None:
    register(admin, USCC)
    run("hub", "approve-enterprise", USCC, "--home", admin.home)
    entry = SubjectRegistration(
        uscc=USCC, ent_name="企业", contact="a@b", public_key=key("next").public.encode(), time_ms=NOW
    )
    admin.hub.registrations[USCC] = sign_document(SUBJECT_REGISTRATION_TYPE, encode(entry), key("next"))
    admin.hub.states[USCC] = "pending"
    assert run_json("hub", "approve-enterprise", USCC, "--home", admin.home).data["approved"][0]["version"] == 2
    last = parse(SignedDocument.decode(admin.hub.logs["directory"][-1]).payload, SubjectKey)
    assert last.prev_key_id == key(f"own-{USCC}").public.key_id
    assert admin.hub.directory.subject_key(USCC) == key("next").public


def test_a_registration_that_its_key_did_not_sign_is_never_approved(admin: AdminWorld) -> None:
    register(admin, USCC, signer="thief")
    assert failing("hub", "approve-enterprise", "--all", "--home", admin.home, code=6)["code"] == "SIGNATURE_INVALID"
    assert admin.hub.directory.subject_key(USCC) is None


def test_approve_needs_somebody_who_waits(admin: AdminWorld) -> None:
    assert failing("hub", "approve-enterprise", USCC, "--home", admin.home, code=5)["code"] == "NOT_FOUND"
    assert failing("hub", "approve-enterprise", "--home", admin.home, code=2)["code"] == "INVALID_ARGUMENT"
    assert "nothing was changed" in run("hub", "approve-enterprise", "--all", "--home", admin.home).out


def test_reject_tells_why(admin: AdminWorld) -> None:
    register(admin, USCC)
    run("hub", "reject-enterprise", USCC, "--home", admin.home, "--reason", "name differs")
    assert admin.hub.states[USCC] == "rejected"
    failing("hub", "reject-enterprise", USCC, "--home", admin.home, "--reason", "again", code=5)


# -- products and receipts


def test_products_are_listed_and_reviewed(admin: AdminWorld) -> None:
    assert "No product" in run("hub", "products", "--home", admin.home).out
    entry = ProductPublished(
        product_id="tax-basic",
        provider=PROVIDER,
        title="Tax",
        items=(ProductItem(item_id="tax_registration", modes=(ItemMode.Q,)),),
        time_ms=NOW,
    )
    admin.admin.products.append(sign_document(PRODUCT_PUBLISHED_TYPE, encode(entry), key(PROVIDER_NODE)).encode())
    (listed,) = run_json("hub", "products", "--home", admin.home).data["products"]
    assert (listed["product"], listed["items"][0]["modes"]) == ("tax-basic", ["Q"])
    assert "tax-basic" in run("hub", "products", "--home", admin.home).out
    run("hub", "review-product", "tax-basic", "--home", admin.home, "--approve")
    assert failing("hub", "review-product", "tax-basic", "--home", admin.home, "--reject", code=2)
    run("hub", "review-product", "tax-basic", "--home", admin.home, "--reject", "--reason", "unclear")
    assert [(one.approve, one.reason, one.operator) for one in admin.admin.reviewed] == [
        (True, "", "alice"),
        (False, "unclear", "alice"),
    ]


def test_unmatched_receipts_are_listed(admin: AdminWorld) -> None:
    assert "has its twin" in run("hub", "unmatched", "--home", admin.home).out
    admin.admin.unmatched.append(usage_leaves()[0])
    (found,) = run_json("hub", "unmatched", "--home", admin.home, "--older-than", "5").data["unmatched"]
    assert (found["side"], found["node"]) == ("requester", "firstbank-1")
    assert "firstbank-1" in run("hub", "unmatched", "--home", admin.home).out


# -- backup


def test_backup_copies_and_checks_the_database(made_hub: Path, tmp_path: Path) -> None:
    out = tmp_path / "copy.db"
    told = run_json("hub", "backup", "--home", made_hub, "--out", out).data
    assert told["bytes"] == out.stat().st_size > 0
    assert out.stat().st_mode & 0o777 == 0o600
    copy = sqlite3.connect(out)
    assert copy.execute("SELECT size FROM logs WHERE origin = 'directory'").fetchone() == (1,)
    copy.close()
    assert failing("hub", "backup", "--home", made_hub, "--out", out, code=5)["code"] == "ALREADY_EXISTS"


def test_backup_of_postgresql_says_what_to_use_instead(
    made_hub: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("XINQIAO_HUB_DATABASE_URL", "postgresql://nowhere/x")
    assert "pg_dump" in failing("hub", "backup", "--home", made_hub, "--out", tmp_path / "b", code=7)["message"]


def test_the_keys_of_the_made_hub_are_in_its_own_directory(made_hub: Path) -> None:
    database = sqlite3.connect(made_hub / "hub.db")
    (leaf,) = database.execute("SELECT leaf FROM log_entries WHERE origin = 'directory' AND idx = 0").fetchone()
    database.close()
    secret = read_secret(made_hub, None)
    alice = load_private_key(made_hub / "operators" / "alice.pem", secret).public
    from consent.directory import OperatorKey

    entry = parse(SignedDocument.decode(bytes(leaf)).payload, OperatorKey)
    assert PublicKey.decode(entry.public_key) == alice
