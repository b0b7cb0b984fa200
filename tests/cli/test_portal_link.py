"""The hub for the portal, over a hub that answers on a real port: by a key that is here, and by questions signed elsewhere."""

from __future__ import annotations

import secrets
from pathlib import Path

import pytest

from cli.portal_link import HubLinkByCall
from consent.audit_uses import model_of
from consent.documents import encode
from consent.usage import ACCESS_TYPE, AccessRequest
from nodes.credentials import load_hub
from portal.errors import PortalError
from portal.hub_link import Presigned, Signer
from tests.cli.conftest import SubjectWorld
from tests.cli.test_audit_commands import use
from tests.consent.builders import USCC
from tests.consent.usage_builders import usage_leaves
from trust.document import sign_document
from trust.suite import sm3


@pytest.fixture
def link(subject: SubjectWorld) -> HubLinkByCall:
    subject.hub.logs["usage"] = list(usage_leaves())
    subject.hub.uses = [use(index) for index in (0, 4, 5, 8)]
    return HubLinkByCall(load_hub(subject.home), Path("/nowhere"))


def presigned(subject: SubjectWorld, action: str, seen: bytes = b"") -> Presigned:
    asked = AccessRequest(uscc=USCC, action=action, body_sm3=sm3(b"").hex(), time_ms=1, nonce=secrets.token_hex(16))
    return Presigned(uscc=USCC, question=sign_document(ACCESS_TYPE, encode(asked), subject.key), seen=seen)


def test_uses_are_the_same_by_a_key_and_by_a_signed_question(subject: SubjectWorld, link: HubLinkByCall) -> None:
    here = link.uses(Signer(uscc=USCC, key=subject.key))
    there = link.uses(presigned(subject, "list-uses"))
    assert here.uses == there.uses and len(here.uses) == 4 and model_of(here.uses[0]) == ""
    assert [use.log_index for page in there.pages for use in page.uses] == [0, 4, 5, 8]
    assert there.hub_key == load_hub(subject.home).hub_key
    again = link.uses(presigned(subject, "list-uses", there.seen))
    assert again.size == there.size


def test_more_than_one_question_lists_is_told(
    subject: SubjectWorld, link: HubLinkByCall, monkeypatch: pytest.MonkeyPatch
) -> None:
    from cli.enterprise_client import EnterpriseClient

    whole = EnterpriseClient.audit
    monkeypatch.setattr(EnterpriseClient, "audit", lambda self: whole(self, page_size=2))
    with pytest.raises(PortalError, match="more uses than one signed question"):
        link.uses(presigned(subject, "list-uses"))


def test_a_hub_without_its_socket_is_away(link: HubLinkByCall) -> None:
    for call in (link.members, link.models):
        with pytest.raises(PortalError, match="UNAVAILABLE"):
            call()
    assert not link.alive()
