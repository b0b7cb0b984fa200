"""A new key for an enterprise, on both sides: what the enterprise does, and what the reviewer sees of it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from cli.enterprise_home import open_enterprise
from cli.secret import read_secret
from consent.directory import OperatorKey, SubjectKey, SubjectKeyRevoked
from consent.documents import encode, parse
from consent.registration import SUBJECT_REGISTRATION_TYPE, SubjectRegistration, parse_registration
from tests.cli.admin_simulator import serving_admin
from tests.cli.conftest import NAME, AdminWorld, SubjectWorld
from tests.cli.running import failing, run, run_json
from tests.cli.simulators import Refusal, add_subject, utc_now_ms
from tests.consent.builders import OTHER_USCC, USCC, key, signed
from trust.document import SignedDocument, countersign, sign_document, verify_document
from trust.keyfile import load_private_key
from trust.sm2 import PublicKey

# -- the enterprise


def rotate(subject: SubjectWorld, *options: str) -> Any:
    return run_json("enterprise", "rotate-key", "--home", subject.home, *options).data


def key_at(path: Path, home: Path) -> PublicKey:
    return load_private_key(path, read_secret(home, None)).public


def approve(subject: SubjectWorld) -> PublicKey:
    """What the operator does: the next version, naming the one before."""
    entry = parse_registration(subject.hub.registrations[USCC].payload)
    last = subject.hub.directory.subject(USCC)
    assert last is not None
    approved = SubjectKey(
        uscc=USCC,
        ent_name=NAME,
        public_key=entry.public_key,
        version=last.version + 1,
        prev_key_id=last.key.key_id,
        time_ms=utc_now_ms(),
        operator="op",
    )
    subject.hub.enter(signed("subject-key", approved, "operator", hub=None))
    subject.hub.states[USCC] = "approved"
    return PublicKey.decode(entry.public_key)


def test_the_request_is_signed_by_the_new_key_and_by_the_old_one(subject: SubjectWorld) -> None:
    told = rotate(subject, "--contact", "a@b")
    document = subject.hub.registrations[USCC]
    new = PublicKey.decode(parse_registration(document.payload).public_key)
    verify_document(document, SUBJECT_REGISTRATION_TYPE, new)
    verify_document(document, SUBJECT_REGISTRATION_TYPE, subject.key.public)
    assert (told["state"], told["new_key_id"], told["old_key_id"]) == (
        "pending",
        new.key_id,
        subject.key.public.key_id,
    )
    assert Path(told["new_key_file"]).stat().st_mode & 0o777 == 0o600
    assert key_at(Path(told["new_key_file"]), subject.home) == new
    # Until it is approved the old key signs.
    assert open_enterprise(subject.home, None).key.public == subject.key.public
    run("enterprise", "requests", "--home", subject.home)


def test_running_it_again_while_it_waits_changes_nothing(subject: SubjectWorld) -> None:
    first = rotate(subject, "--contact", "a@b")
    document = subject.hub.registrations[USCC]
    assert rotate(subject) == first
    assert rotate(subject, "--contact", "c@d") == first
    assert subject.hub.registrations[USCC] == document
    assert "waits for approval" in run("enterprise", "rotate-key", "--home", subject.home).out
    told = run_json("enterprise", "status", "--home", subject.home).data
    assert (told["rotating"], told["registered_key_id"]) == (True, first["new_key_id"])
    assert "rotate-key" in run("enterprise", "status", "--home", subject.home).out


def test_an_approved_key_signs_and_the_old_one_is_kept(subject: SubjectWorld) -> None:
    rotate(subject, "--contact", "a@b")
    new = approve(subject)
    told = rotate(subject)
    assert told["state"] == "approved"
    assert open_enterprise(subject.home, None).key.public == new
    assert key_at(Path(told["new_key_file"]), subject.home) == new
    assert key_at(Path(told["old_key_file"]), subject.home) == subject.key.public
    assert not (subject.home / "keys" / "subject.new.pem").exists()
    run("enterprise", "requests", "--home", subject.home)  # a call that the new key signs
    assert run_json("enterprise", "status", "--home", subject.home).data["rotating"] is False


def test_a_change_of_files_that_was_cut_off_is_finished_by_the_next_run(subject: SubjectWorld) -> None:
    told = rotate(subject, "--contact", "a@b")
    new = approve(subject)
    keys = subject.home / "keys"
    copy = keys / f"subject-{subject.key.public.key_id.removeprefix('sm2:')}.pem"
    copy.write_bytes((keys / "subject.pem").read_bytes())  # the first of two steps was done
    copy.chmod(0o600)
    assert rotate(subject)["old_key_file"] == str(copy)
    assert open_enterprise(subject.home, None).key.public == new
    assert told["new_key_id"] == new.key_id


def test_a_second_rotation_keeps_both_old_keys(subject: SubjectWorld) -> None:
    for _ in range(2):
        rotate(subject, "--contact", "a@b")
        approve(subject)
        rotate(subject)
    assert len(list((subject.home / "keys").glob("subject-*.pem"))) == 2
    last = subject.hub.directory.subject(USCC)
    assert last is not None
    assert (last.version, last.key) == (3, open_enterprise(subject.home, None).key.public)


def test_a_rejected_key_is_asked_for_again_only_when_told_to(subject: SubjectWorld) -> None:
    first = rotate(subject, "--contact", "a@b")
    subject.hub.states[USCC] = "rejected"
    told = rotate(subject)
    assert (told["state"], told["reason"]) == ("rejected", "name differs")
    assert "name differs" in run("enterprise", "rotate-key", "--home", subject.home).out
    assert open_enterprise(subject.home, None).key.public == subject.key.public
    assert rotate(subject, "--contact", "a@b") == first


def test_without_a_contact_nothing_is_made(subject: SubjectWorld) -> None:
    error = failing("enterprise", "rotate-key", "--home", subject.home, code=2)
    assert (error["code"], "--contact" in error["message"]) == ("INVALID_ARGUMENT", True)
    assert not (subject.home / "keys" / "subject.new.pem").exists()


def test_a_hub_that_is_away_or_refuses_leaves_the_new_key_for_the_next_attempt(subject: SubjectWorld) -> None:
    command = ("enterprise", "rotate-key", "--home", subject.home)
    subject.service.refuse["Register"] = Refusal("ALREADY_EXISTS", "another key waits for approval")
    assert failing(*command, "--contact", "a@b", code=5)["code"] == "ALREADY_EXISTS"
    made = key_at(subject.home / "keys" / "subject.new.pem", subject.home)
    subject.service.refuse["GetRegistration"] = Refusal("UNAVAILABLE")
    failing(*command, code=4)
    subject.service.refuse.clear()
    assert rotate(subject)["state"] == "unregistered"
    assert rotate(subject, "--contact", "a@b")["new_key_id"] == made.key_id


# -- the reviewer


@pytest.fixture
def reviewed(admin: AdminWorld) -> AdminWorld:
    """An enterprise has the key of its code's name."""
    add_subject(admin.hub, USCC, NAME, key(USCC).public)
    return admin


def register(admin: AdminWorld, new: str, *others: str, uscc: str = USCC) -> None:
    entry = SubjectRegistration(
        uscc=uscc, ent_name=NAME, contact="a@b", public_key=key(new).public.encode(), time_ms=utc_now_ms()
    )
    document = sign_document(SUBJECT_REGISTRATION_TYPE, encode(entry), key(new))
    for other in others:
        document = countersign(document, key(other))
    admin.hub.registrations[uscc] = document
    admin.hub.states[uscc] = "pending"


def revoke(admin: AdminWorld) -> Any:
    return run_json("hub", "revoke-subject-key", USCC, "--home", admin.home, "--reason", "lost").data


def first(admin: AdminWorld) -> None:
    register(admin, OTHER_USCC, uscc=OTHER_USCC)


def continued(admin: AdminWorld) -> None:
    register(admin, "next", USCC)


def lost(admin: AdminWorld) -> None:
    revoke(admin)
    register(admin, "next")


def stolen_and_revoked_while_it_waited(admin: AdminWorld) -> None:
    register(admin, "thief", USCC)
    revoke(admin)


def signed_by_a_stranger(admin: AdminWorld) -> None:
    register(admin, "next", "stranger")


@pytest.mark.parametrize(
    ("prepare", "continuity", "sentence", "version"),
    [
        (first, "first", "its first key", 1),
        (continued, "old-key", "signed by the old key", 2),
        (lost, "without-old-key", "WITHOUT the old key", 2),
        (stolen_and_revoked_while_it_waited, "without-old-key", "WITHOUT the old key", 2),
        (signed_by_a_stranger, "without-old-key", "WITHOUT the old key", 2),
    ],
)
def test_the_reviewer_sees_whether_the_old_key_signed(
    reviewed: AdminWorld, prepare: Callable[[AdminWorld], None], continuity: str, sentence: str, version: int
) -> None:
    prepare(reviewed)
    (listed,) = run_json("hub", "registrations", "--home", reviewed.home).data["registrations"]
    assert (listed["continuity"], listed["version"]) == (continuity, version)
    assert listed["prev_key_id"] == (None if version == 1 else key(USCC).public.key_id)
    assert sentence in run("hub", "registrations", "--home", reviewed.home).out


def test_a_forged_signature_in_the_old_keys_name_is_caught(reviewed: AdminWorld) -> None:
    register(reviewed, "next", "stranger")
    honest = reviewed.hub.registrations[USCC]
    own, strangers = honest.signatures
    forged = (own, type(strangers)(key(USCC).public.key_id, strangers.suite, strangers.value))
    reviewed.hub.registrations[USCC] = SignedDocument(honest.payload_type, honest.payload, forged)
    assert failing("hub", "registrations", "--home", reviewed.home, code=6)["code"] == "SIGNATURE_INVALID"


def test_all_approves_the_continued_and_leaves_out_the_one_without_its_old_key(reviewed: AdminWorld) -> None:
    lost(reviewed)
    first(reviewed)
    ran = run_json("hub", "approve-enterprise", "--all", "--home", reviewed.home).data
    assert [each["uscc"] for each in ran["approved"]] == [OTHER_USCC]
    assert ran["left_out"] == [USCC]
    assert reviewed.hub.directory.subject_key(USCC) is None
    assert "Left out" in run("hub", "approve-enterprise", "--all", "--home", reviewed.home).out
    (approved,) = run_json("hub", "approve-enterprise", USCC, "--home", reviewed.home).data["approved"]
    assert (approved["version"], approved["continuity"]) == (2, "without-old-key")
    assert reviewed.hub.directory.subject_key(USCC) == key("next").public


def test_a_continued_key_is_approved_as_the_next_version(reviewed: AdminWorld) -> None:
    continued(reviewed)
    (approved,) = run_json("hub", "approve-enterprise", "--all", "--home", reviewed.home).data["approved"]
    assert (approved["version"], approved["continuity"]) == (2, "old-key")
    assert reviewed.hub.directory.subject_key(USCC) == key("next").public


def test_a_lost_key_is_revoked_by_its_id(reviewed: AdminWorld) -> None:
    told = revoke(reviewed)
    assert (told["key_id"], told["operator"]) == (key(USCC).public.key_id, "alice")
    entry = parse(SignedDocument.decode(reviewed.hub.logs["directory"][-1]).payload, SubjectKeyRevoked)
    assert (entry.key_id, entry.reason) == (key(USCC).public.key_id, "lost")
    assert reviewed.hub.directory.subject_key(USCC) is None
    for uscc in (USCC, OTHER_USCC):  # twice, and one who never had a key
        command = ("hub", "revoke-subject-key", uscc, "--home", reviewed.home, "--reason", "lost")
        assert failing(*command, code=5)["code"] == "NOT_FOUND"


@pytest.fixture
def both(subject: SubjectWorld, made_hub: Path) -> Iterator[SubjectWorld]:
    """An enterprise and an operator of the same hub."""
    with serving_admin(subject.hub, made_hub / "admin.sock"):
        yield subject


def test_the_whole_way_from_the_old_key_to_the_new(both: SubjectWorld, made_hub: Path) -> None:
    secret = read_secret(made_hub, None)
    alice = load_private_key(made_hub / "operators" / "alice.pem", secret)
    entry = OperatorKey(operator="alice", public_key=alice.public.encode(), time_ms=2, signer="op")
    both.hub.enter(signed("operator-key", entry, "operator", hub=None))
    new_id = rotate(both, "--contact", "a@b")["new_key_id"]
    (listed,) = run_json("hub", "registrations", "--home", made_hub).data["registrations"]
    assert (listed["key_id"], listed["continuity"]) == (new_id, "old-key")
    run("hub", "approve-enterprise", USCC, "--home", made_hub)
    assert rotate(both)["state"] == "approved"
    assert open_enterprise(both.home, None).key.public == both.hub.directory.subject_key(USCC)
