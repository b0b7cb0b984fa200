from __future__ import annotations

import base64
from collections.abc import Callable
from typing import Any

import msgspec
import pytest

from consent.audit import AuditFailed
from consent.documents import Purpose, PurposePart, SubjectPart
from consent.errors import ConsentError, DocumentMalformed
from consent.my_data import ConsentEvidence, Evidence, make_my_data, page_evidence, verify_my_data
from tests.consent.builders import NOW, OTHER_USCC, USCC, consent, key, record_id, signed
from tests.consent.test_audit_uses import Shown
from tests.consent.usage_builders import HUB
from trust.errors import TrustError


def evidence(**changes: Any) -> Evidence:
    entries = [signed("consent", consent(), USCC), signed("consent", consent(record_id=record_id(2)), "old key")]
    consents = tuple(
        ConsentEvidence(entry=entry.encode(), log_index=index, state="active", ended_ms=0)
        for index, entry in enumerate(entries)
    )
    made = Evidence(consents=consents, pages=(page_evidence(Shown().page()),))
    return msgspec.structs.replace(made, **changes)


def file() -> bytes:
    return make_my_data(USCC, evidence(), key(USCC), HUB, NOW)


def test_a_file_proves_consents_and_uses_to_whoever_knows_the_hub() -> None:
    found = verify_my_data(file(), HUB)
    assert (found.statement.uscc, found.statement.time_ms, found.key) == (USCC, NOW, key(USCC).public)
    assert [use.log_index for use in found.uses] == [0, 4, 5, 8]
    assert (len(found.consents), found.vouched) == (2, 1)
    readable = msgspec.json.decode(file())["readable"]
    assert readable["uses"][0]["receipt"]["user"] == "li" and readable["logs"][0]["size"] == 10


def bent(change: Callable[[dict[str, Any]], None]) -> bytes:
    content = msgspec.json.decode(file())
    change(content)
    return msgspec.json.encode(content)


BENT: dict[str, Callable[[], bytes]] = {
    "a readable word": lambda: bent(lambda f: f["readable"]["uses"][0]["receipt"].update(user="wu")),
    "a readable state": lambda: bent(lambda f: f["readable"]["consents"][0].update(state="withdrawn")),
    "a state in the evidence": lambda: bent(lambda f: f["evidence"]["consents"][0].update(state="withdrawn")),
    "a use left out": lambda: bent(lambda f: f["evidence"]["pages"][0]["uses"].pop()),
    "a consent left out": lambda: bent(lambda f: f["evidence"]["consents"].pop()),
    "no statement": lambda: bent(lambda f: f.update(statement="")),
    "another format": lambda: bent(lambda f: f.update(format="xinqiao-my-data-2")),
    "a field more": lambda: bent(lambda f: f.update(more=1)),
    "no JSON": lambda: b"{",
}


@pytest.mark.parametrize("name", BENT)
def test_whatever_was_changed_afterwards_is_found_out(name: str) -> None:
    with pytest.raises((ConsentError, TrustError)):
        verify_my_data(BENT[name](), HUB)


def test_another_hubs_word_counts_for_nothing() -> None:
    with pytest.raises(AuditFailed):
        verify_my_data(file(), key("other hub").public)


FALSE: dict[str, Callable[[], Evidence]] = {
    "a consent that the hub did not countersign": lambda: evidence(
        consents=(
            ConsentEvidence(
                entry=signed("consent", consent(), USCC, hub=None).encode(), log_index=0, state="active", ended_ms=0
            ),
        )
    ),
    "a consent of another enterprise": lambda: evidence(
        consents=(
            ConsentEvidence(
                entry=signed("consent", consent(subject=_other()), USCC).encode(),
                log_index=0,
                state="active",
                ended_ms=0,
            ),
        )
    ),
    "a use twice": lambda: evidence(pages=(page_evidence(Shown().page()),) * 2),
    "another checkpoint": lambda: evidence(
        pages=(
            msgspec.structs.replace(
                page_evidence(Shown().page()), checkpoint=page_evidence(Shown(Shown().leaves[:9]).page()).checkpoint
            ),
        )
    ),
}


def _other() -> SubjectPart:
    return SubjectPart(uscc=OTHER_USCC, ent_name="x", signatory_name="y", signatory_role="agent")


@pytest.mark.parametrize("name", FALSE)
def test_what_does_not_hold_is_not_even_signed(name: str) -> None:
    with pytest.raises(AuditFailed):
        make_my_data(USCC, FALSE[name](), key(USCC), HUB, NOW)


def test_a_file_without_anything_is_one_too() -> None:
    made = make_my_data(USCC, Evidence(consents=(), pages=()), key(USCC), HUB, NOW)
    assert verify_my_data(made, HUB).vouched == 0


def test_the_largest_file_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("consent.my_data.LARGEST", 10)
    with pytest.raises(DocumentMalformed, match="over the limit"):
        verify_my_data(file(), HUB)


def test_a_consents_purpose_is_part_of_the_evidence() -> None:
    wider = signed("consent", consent(purpose=PurposePart(purpose_code=Purpose.SHARING)), USCC).encode()
    content = msgspec.json.decode(file())
    content["evidence"]["consents"][0]["entry"] = base64.b64encode(wider).decode()
    with pytest.raises(AuditFailed, match="not the one that the enterprise signed"):
        verify_my_data(msgspec.json.encode(content), HUB)
