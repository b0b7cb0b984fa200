"""An enterprise's key is replaced while the hub runs: over the wire, with consents before and after."""

from __future__ import annotations

from xinqiao.v1 import public_pb2

from consent.directory import SUBJECT_KEY_TYPE, SubjectKey
from consent.documents import encode, parse_consent
from consent.registration import SUBJECT_REGISTRATION_TYPE, SubjectRegistration
from hub.subjects import service
from tests.hub.live import OPERATOR, USCC, LiveHub, consent, now_ms, refused_with
from trust.document import SignedDocument, countersign, sign_document
from trust.sm2 import PrivateKey


async def rotate(live: LiveHub) -> tuple[PrivateKey, PrivateKey]:
    """Register over the wire and approve; returns the old and the new key."""
    old, new = live.subject_keys[USCC], PrivateKey.generate()
    statement = SubjectRegistration(
        uscc=USCC, ent_name="测试企业", contact="a@b", public_key=new.public.encode(), time_ms=now_ms()
    )
    document = countersign(sign_document(SUBJECT_REGISTRATION_TYPE, encode(statement), new), old)
    reply = await live.subjects.Register(public_pb2.RegisterRequest(registration=document.encode()))
    assert (reply.state, reply.key_id) == ("pending", new.public.key_id)
    entry = SubjectKey(
        uscc=USCC,
        ent_name="测试企业",
        public_key=new.public.encode(),
        version=2,
        prev_key_id=old.public.key_id,
        time_ms=now_ms(),
        operator=OPERATOR,
    )
    approval = sign_document(SUBJECT_KEY_TYPE, encode(entry), live.operator)
    await live.hub.db.write(lambda write: service.approve(live.hub, write, approval))
    found = await live.subjects.GetRegistration(public_pb2.GetRegistrationRequest(uscc=USCC))
    assert (found.state, found.key_id) == ("approved", new.public.key_id)
    return old, new


async def test_consents_of_the_old_key_stay_and_only_the_new_key_gives_and_withdraws(live: LiveHub) -> None:
    kept, withdrawn = await live.give_consent(), await live.give_consent()
    _, new = await rotate(live)
    for document in (live.sign_consent(consent()), live.sign_revocation(withdrawn)):  # by the old key, after its end
        async with refused_with("SIGNATURE_INVALID"):
            await live.submit(document)
    live.subject_keys[USCC] = new
    given = await live.give_consent()
    await live.submit(live.sign_revocation(withdrawn))
    call = public_pb2.SubjectCall(access_request=live.access(USCC, "list-consents"))
    reply = await live.subjects.ListConsents(call)
    states = {parse_consent(SignedDocument.decode(one.document).payload).record_id: one.state for one in reply.consents}
    assert states == {kept.record_id: "active", withdrawn.record_id: "withdrawn", given.record_id: "active"}
