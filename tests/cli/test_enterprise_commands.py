from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import msgspec
import pytest

from cli.enterprise_home import open_enterprise
from consent.documents import (
    CONSENT_REVOCATION_TYPE,
    CONSENT_TYPE,
    ConsentRevocation,
    ItemMode,
    ItemScope,
    PurposePart,
    encode,
    parse_consent,
    parse_refusal,
)
from consent.documents import Purpose as P
from consent.outside import read_signed, write_to_sign
from consent.registration import SUBJECT_REGISTRATION_TYPE, parse_registration
from tests.cli.conftest import NAME, SubjectWorld
from tests.cli.running import failing, run, run_json
from tests.cli.simulators import BANK_NODE, CONSENT_LOG, PROVIDER_NODE, Refusal
from tests.consent.builders import BANK, OTHER_USCC, PROVIDER, REQUEST, USCC, consent, key, request, signed
from trust.checkpoint import cosign
from trust.document import SignedDocument, sign_document, verify_document

REVOCATION = ConsentRevocation(record_id=REQUEST, provider=PROVIDER, uscc=OTHER_USCC, time_ms=1)


def test_init_makes_a_key_that_only_its_owner_reads(made_enterprise: Path) -> None:
    for name in ("keys/subject.pem", "keys/secret", "enterprise.json", "hub.json"):
        assert (made_enterprise / name).stat().st_mode & 0o777 == 0o600, name
    profile = json.loads((made_enterprise / "enterprise.json").read_bytes())
    assert profile == {"uscc": USCC, "ent_name": NAME, "signatory": "张三"}


def test_init_overwrites_no_key_and_takes_no_wrong_code(made_enterprise: Path, tmp_path: Path) -> None:
    hub = ("--hub", made_enterprise / "hub.json", "--name", NAME)
    assert (
        failing("enterprise", "init", "--home", made_enterprise, "--uscc", USCC, *hub, code=5)["code"]
        == "ALREADY_EXISTS"
    )
    wrong = USCC[:-1] + "A"
    assert (
        failing("enterprise", "init", "--home", tmp_path / "e", "--uscc", wrong, *hub, code=2)["code"] == "USCC_INVALID"
    )
    assert not (tmp_path / "e").exists()
    run("enterprise", "init", "--home", tmp_path / "e", "--uscc", wrong, *hub, "--allow-check-mismatch")


def test_a_folder_that_is_no_enterprises_is_told(tmp_path: Path) -> None:
    assert failing("enterprise", "status", "--home", tmp_path, code=7)["code"] == "CONFIGURATION"


def test_registration_is_signed_by_the_own_key(subject: SubjectWorld) -> None:
    told = run_json("enterprise", "register", "--home", subject.home, "--contact", "a@b").data
    assert told["state"] == "pending"
    entry = parse_registration(subject.hub.registrations[USCC].payload)
    assert (entry.ent_name, entry.contact, entry.public_key) == (NAME, "a@b", subject.key.public.encode())
    assert run_json("enterprise", "status", "--home", subject.home).data["state"] == "pending"
    assert "pending" in run("enterprise", "status", "--home", subject.home).out


def test_who_never_registered_is_not_found(subject: SubjectWorld) -> None:
    assert failing("enterprise", "status", "--home", subject.home, code=5)["code"] == "NOT_FOUND"


def test_a_hub_that_is_away_or_not_the_pinned_one_is_unreachable(subject: SubjectWorld) -> None:
    from tests.cli.simulators import utc_now
    from trust.certificates import create_authority

    facts = subject.hub.facts
    assert facts is not None
    stranger = msgspec.json.decode((subject.home / "hub.json").read_bytes())
    stranger["authority_pem"] = create_authority("another", utc_now)[1].decode()
    (subject.home / "hub.json").write_bytes(msgspec.json.encode(stranger))
    assert failing("enterprise", "status", "--home", subject.home, code=4)["code"] == "UNAVAILABLE"


def ask(subject: SubjectWorld, **changes: Any) -> str:
    document = signed("consent-request", request(**changes), BANK_NODE)
    subject.hub.requests.append(document)
    return REQUEST


def test_requests_are_listed_with_their_terms(subject: SubjectWorld) -> None:
    assert "Nobody waits" in run("enterprise", "requests", "--home", subject.home).out
    ask(subject)
    (found,) = run_json("enterprise", "requests", "--home", subject.home).data["requests"]
    assert (found["request_id"], found["requester"], found["purpose"]) == (REQUEST, BANK, "pre_loan")
    assert "loan application 7" in run("enterprise", "requests", "--home", subject.home).out


# -- granting


def test_a_request_is_granted_as_it_was_asked_and_proved_to_be_in_the_log(subject: SubjectWorld) -> None:
    ask(subject)
    (granted,) = run_json("consent", "grant", REQUEST, "--home", subject.home).data["granted"]
    assert granted["log_index"] == 0
    given = parse_consent(SignedDocument.decode(subject.hub.logs[CONSENT_LOG][0]).payload)
    asked = request()
    assert (given.request_id, given.scope, given.limits) == (REQUEST, asked.scope, asked.limits)
    assert given.recipients.data_users == (BANK,)
    assert (given.subject.signatory_name, given.subject.uscc) == ("张三", USCC)
    listed = run_json("enterprise", "consents", "--home", subject.home).data["consents"]
    assert [(each["consent_id"], each["state"]) for each in listed] == [(granted["consent_id"], "active")]


TERMS = ("--provider", PROVIDER, "--to", BANK, "--item", "tax_registration:Q", "--days", "3", "--max-uses", "2")


def test_a_consent_is_given_by_terms(subject: SubjectWorld) -> None:
    said = run("consent", "grant", "--home", subject.home, *TERMS, "--purpose", "post_loan").out
    given = parse_consent(SignedDocument.decode(subject.hub.logs[CONSENT_LOG][0]).payload)
    assert given.purpose.purpose_code is P.POST_LOAN
    assert given.limits.max_uses == 2
    assert given.limits.valid_to_ms - given.limits.valid_from_ms == 3 * 86_400_000
    assert given.record_id in said


def test_consents_are_given_from_a_file(subject: SubjectWorld, tmp_path: Path) -> None:
    whole = json.loads(encode(consent()))
    short = {name: value for name, value in whole.items() if name not in {"record_id", "subject", "given_ms"}}
    (tmp_path / "c.json").write_text(json.dumps([short, whole]))
    granted = run_json("consent", "grant", "--home", subject.home, "--file", tmp_path / "c.json").data["granted"]
    assert len(granted) == len(subject.hub.logs[CONSENT_LOG]) == 2
    assert granted[1]["consent_id"] == whole["record_id"]


@pytest.mark.parametrize("content", ["{", "[1]", '{"scope":[]}', '{"unknown":1}'])
def test_a_file_that_is_no_consent_is_refused_before_anything_is_sent(
    subject: SubjectWorld, tmp_path: Path, content: str
) -> None:
    (tmp_path / "c.json").write_text(content)
    failing("consent", "grant", "--home", subject.home, "--file", tmp_path / "c.json", code=2)
    assert not subject.hub.logs[CONSENT_LOG]


def test_a_file_of_another_enterprise_is_refused(subject: SubjectWorld, tmp_path: Path) -> None:
    other = json.loads(encode(consent()))
    other["subject"]["uscc"] = OTHER_USCC
    (tmp_path / "c.json").write_text(json.dumps(other))
    failing("consent", "grant", "--home", subject.home, "--file", tmp_path / "c.json", code=2)


def test_grant_takes_exactly_one_way_to_say_the_terms(subject: SubjectWorld) -> None:
    failing("consent", "grant", "--home", subject.home, code=2)
    failing("consent", "grant", REQUEST, "--home", subject.home, *TERMS, code=2)
    failing("consent", "grant", "--home", subject.home, "--provider", PROVIDER, code=2)
    assert failing("consent", "grant", REQUEST, "--home", subject.home, code=5)["code"] == "NOT_FOUND"


def highest_item() -> str:
    from consent.catalogue import load_catalogue

    return next(item.id for item in load_catalogue().items.values() if item.level >= 4 and ItemMode.X not in item.modes)


def test_the_highest_level_needs_a_word_of_its_own(subject: SubjectWorld) -> None:
    from consent.catalogue import load_catalogue

    mode = load_catalogue().item(highest_item()).modes[0]
    ask(
        subject,
        scope=(ItemScope(item_id=highest_item(), mode=mode),),
        purpose=PurposePart(purpose_code=P.PRE_LOAN, separate_consent=True),
    )
    assert "--separate" in failing("consent", "grant", REQUEST, "--home", subject.home, code=2)["message"]
    assert not subject.hub.logs[CONSENT_LOG]
    run("consent", "grant", REQUEST, "--home", subject.home, "--separate")
    given = parse_consent(SignedDocument.decode(subject.hub.logs[CONSENT_LOG][0]).payload)
    assert given.purpose.separate_consent


Bend = Any


def another_entry(reply: Any) -> Any:
    reply.entry = sign_document(CONSENT_TYPE, b"{}", key("hub")).encode()
    return reply


def other_path(reply: Any) -> Any:
    reply.path.append(b"\x00" * 32)
    return reply


def uncovered(reply: Any) -> Any:
    reply.log_index += 5
    return reply


def unsigned(reply: Any) -> Any:
    document = SignedDocument.decode(reply.checkpoint)
    reply.checkpoint = sign_document(document.payload_type, document.payload, key("stranger")).encode()
    return reply


@pytest.mark.parametrize(
    ("method", "bend"),
    [
        ("SubmitConsentEntry", another_entry),
        ("SubmitConsentEntry", other_path),
        ("SubmitConsentEntry", uncovered),
        ("SubmitConsentEntry", unsigned),
    ],
)
def test_a_hub_that_does_not_prove_the_consent_is_caught(subject: SubjectWorld, method: str, bend: Bend) -> None:
    ask(subject)
    subject.service.bend[method] = bend
    failing("consent", "grant", REQUEST, "--home", subject.home, code=6)


def test_a_hub_that_refuses_is_told(subject: SubjectWorld) -> None:
    ask(subject)
    subject.service.refuse["SubmitConsentEntry"] = Refusal("CONSENT_CONFLICT")
    failing("consent", "grant", REQUEST, "--home", subject.home, code=5)


# -- refusing and revoking


def test_a_request_is_refused(subject: SubjectWorld) -> None:
    ask(subject)
    run("consent", "refuse", REQUEST, "--home", subject.home, "--reason", "no need")
    entry = parse_refusal(SignedDocument.decode(subject.hub.logs[CONSENT_LOG][0]).payload)
    assert (entry.request_id, entry.reason) == (REQUEST, "no need")


def granted(subject: SubjectWorld) -> str:
    ask(subject)
    return str(run_json("consent", "grant", REQUEST, "--home", subject.home).data["granted"][0]["consent_id"])


def test_a_consent_is_withdrawn_and_its_acknowledgements_told(subject: SubjectWorld) -> None:
    told = run_json("consent", "revoke", granted(subject), "--home", subject.home).data
    assert told["log_index"] == 1
    assert told["acknowledgements"] == [{"node": PROVIDER_NODE, "after_ms": 12}]


def test_a_node_is_remembered_by_the_key_that_it_had(subject: SubjectWorld) -> None:
    run("consent", "revoke", granted(subject), "--home", subject.home)
    seen = open_enterprise(subject.home, None).seen()
    assert seen.nodes[PROVIDER_NODE] == key(PROVIDER_NODE).public


def test_nodes_that_have_not_seen_it_are_told(subject: SubjectWorld) -> None:
    subject.hub.connected = False
    assert "No node of the provider" in run("consent", "revoke", granted(subject), "--home", subject.home).out


def by_nobody(reply: Any) -> Any:
    reply.acknowledgements[0].checkpoint = reply.checkpoint
    return reply


def by_a_stranger(reply: Any) -> Any:
    document = cosign(SignedDocument.decode(reply.checkpoint), key("stranger"))
    reply.acknowledgements[0].checkpoint = document.encode()
    return reply


def by_nobody_known(reply: Any) -> Any:
    del reply.nodes[:]
    return reply


@pytest.mark.parametrize("bend", [by_nobody, by_a_stranger, by_nobody_known])
def test_a_false_acknowledgement_is_caught(subject: SubjectWorld, bend: Bend) -> None:
    consent_id = granted(subject)
    subject.service.bend["SubmitConsentEntry"] = bend
    failing("consent", "revoke", consent_id, "--home", subject.home, code=6)


def test_a_consent_that_is_not_there_cannot_be_withdrawn(subject: SubjectWorld) -> None:
    assert failing("consent", "revoke", REQUEST, "--home", subject.home, code=5)["code"] == "NOT_FOUND"


def test_the_payload_type_of_a_consent_is_the_documents() -> None:
    assert CONSENT_TYPE.endswith("vnd.xinqiao.consent+json")


def test_a_registration_is_written_for_the_portal_and_not_sent(subject: SubjectWorld, tmp_path: Path) -> None:
    out = tmp_path / "registration.json"
    run("enterprise", "register", "--home", subject.home, "--contact", "a@b", "--out", out)
    (document,) = read_signed(out.read_bytes())
    verify_document(document, SUBJECT_REGISTRATION_TYPE, subject.key.public)
    assert subject.hub.registrations == {}
    again = ("enterprise", "register", "--home", subject.home, "--contact", "a@b", "--out", out)
    assert failing(*again, code=5)["code"] == "ALREADY_EXISTS"


def test_what_the_portal_prepared_is_told_and_signed(subject: SubjectWorld, tmp_path: Path) -> None:
    file, out = tmp_path / "consents.json", tmp_path / "signed.json"
    file.write_bytes(write_to_sign([(CONSENT_TYPE, encode(consent()))]))
    assert f"{BANK} may use tax_registration:Q of {PROVIDER}" in run(
        "enterprise", "sign", file, "--home", subject.home, "--out", out
    ).out.replace("\n", " ")
    (document,) = read_signed(out.read_bytes())
    verify_document(document, CONSENT_TYPE, subject.key.public)


@pytest.mark.parametrize(
    ("content", "code", "exits"),
    [
        (b"{}", "CONSENT_MALFORMED", 2),
        (write_to_sign([("text/plain", b"I owe you")]), "CONSENT_MALFORMED", 2),
        (
            write_to_sign([(CONSENT_REVOCATION_TYPE, encode(REVOCATION))]),
            "INVALID_ARGUMENT",
            2,
        ),
    ],
    ids=["no file of ours", "a text that is never signed so", "of another enterprise"],
)
def test_what_is_not_for_this_enterprise_is_not_signed(
    subject: SubjectWorld, tmp_path: Path, content: bytes, code: str, exits: int
) -> None:
    file, out = tmp_path / "x.json", tmp_path / "signed.json"
    file.write_bytes(content)
    assert failing("enterprise", "sign", file, "--home", subject.home, "--out", out, code=exits)["code"] == code
    assert not out.exists()
