"""An enterprise whose key is kept outside: what is to be signed is downloaded, and taken back signed, or refused with the reason."""

from __future__ import annotations

import re

import httpx
import msgspec
import pytest
from sqlalchemy import Connection, update

from consent.audit_uses import verify_uses
from consent.documents import CONSENT_REFUSAL_TYPE, CONSENT_TYPE, encode, parse_consent, parse_refusal, parse_revocation
from consent.outside import read_signed, read_to_sign, sign_all, write_signed
from consent.registration import SUBJECT_REGISTRATION_TYPE, SubjectRegistration
from portal.accounts.tables import accounts
from portal.consents.outside import LARGEST
from portal.hub_link import Presigned
from portal.keyring import IDLE_MS
from portal.permissions import Role
from portal.registration.tables import registrations
from tests.consent.builders import OTHER_USCC, key
from tests.consent.builders import USCC as CODE
from tests.consent.builders import consent as of_enterprise
from tests.consent.test_audit_uses import Shown
from tests.consent.usage_builders import HUB
from tests.portal.consents.test_granting import TAX, asked, offer, path
from tests.portal.world import NOW_MS, ORIGIN, PASSWORD, Browser, World
from trust.document import SignedDocument, sign_document, verify_document

SIGNATORY = "&signatory=张三&role=agent"


def statement(signer: str = CODE, **changes: object) -> bytes:
    told = {"uscc": CODE, "ent_name": "北京样例科技有限公司", "contact": "c", "time_ms": NOW_MS}
    told |= {"public_key": key(CODE).public.encode()}
    entry = SubjectRegistration(**(told | changes))  # type: ignore[arg-type]
    return write_signed([sign_document(SUBJECT_REGISTRATION_TYPE, encode(entry), key(signer))])


@pytest.fixture
async def firm(world: World) -> Browser:
    world.hub.offered = [offer("taxoffice", TAX)]
    world.hub.page, world.hub.hub_key = Shown().page(), HUB
    world.hub.verified = verify_uses(CODE, world.hub.page, HUB)
    account_id = world.account(CODE, Role.ENTERPRISE, CODE)
    (document,) = read_signed(statement())

    def outside(connection: Connection) -> None:
        connection.execute(update(accounts).where(accounts.c.account_id == account_id).values(key_pem=b""))
        connection.execute(update(registrations).values(document=document.encode()))

    world.portal.db.write_now(outside)
    browser = world.browser()
    await browser.get("/login")
    assert (await browser.post("/login", login=CODE, password=PASSWORD)).status_code == 303
    return browser


async def upload(browser: Browser, file: bytes, then: str = "/consents") -> httpx.Response:
    page = (await browser.get("/outside")).text
    found = re.search(r'name="csrf" value="([^"]+)"', page)
    assert found is not None
    sent = {"csrf": found[1], "next": then}
    return await browser.client.post("/outside", data=sent, files={"file": file}, headers={"Origin": ORIGIN})


async def asks(browser: Browser) -> httpx.Response:
    """Sign and upload the questions."""
    file = (await browser.get("/outside/questions")).content
    return await upload(browser, sign_all(read_to_sign(file), key(CODE)), "/uses")


async def test_pages_ask_for_a_signature_and_then_show_what_the_hub_answered(world: World, firm: Browser) -> None:
    assert (await firm.get("/uses")).headers["location"] == "/outside?next=/uses"
    assert (await firm.client.get("/api/v1/uses")).json()["title"] == "WRONG_STATE"
    assert (await asks(firm)).headers["location"] == "/uses"
    assert isinstance(world.hub.signed[-1], Presigned)
    for shown in ("/uses", "/uses/4", "/consents", "/consents/requests", "/my-data.pdf"):
        assert (await firm.get(shown)).status_code == 200, shown
    assert (await firm.get("/my-data.json")).status_code == 409, "what needs the key is made where the key is"
    world.later(IDLE_MS / 1000 + 1)
    assert (await firm.get("/uses")).headers["location"] == "/outside?next=/uses"


async def test_a_consent_is_downloaded_and_entered_signed(world: World, firm: Browser) -> None:
    await asks(firm)
    page = (await firm.get(path(TAX))).text
    assert 'action="/outside/consents"' in page and 'enctype="multipart/form-data"' in page
    query = path(TAX).partition("?")[2]
    faulty = await firm.get(f"/outside/consents?{query}")
    assert faulty.status_code == 422 and "signatory-fault" in faulty.text
    file = await firm.get(f"/outside/consents?{query}{SIGNATORY}")
    assert "attachment" in file.headers["content-disposition"]
    done = await upload(firm, sign_all(read_to_sign(file.content), key(CODE)), "/applications/A1")
    assert "已核验" in done.text and 'href="/applications/A1"' in done.text
    consent = parse_consent(world.hub.entries[0].payload)
    assert (consent.subject.signatory_name, consent.purpose.application_no) == ("张三", "A1")
    assert (await firm.get("/consents")).headers["location"] == "/outside?next=/consents", "the answer is old now"
    await asks(firm)
    assert (await firm.get(f"/outside/consents?{query}{SIGNATORY}")).status_code == 409


async def test_what_posts_for_a_key_that_is_here_leads_to_the_page_too(world: World, firm: Browser) -> None:
    await asks(firm)
    await firm.get(path(TAX))
    answer = await firm.client.post(
        "/consents/grant",
        data=dict(re.findall(r'<input type="hidden" name="(\w+)" value="([^"]*)"', firm.page.text))  # type: ignore[union-attr]
        | {"signatory": "张三", "role": "agent"},
        headers={"Origin": ORIGIN},
    )
    assert answer.headers["location"] == "/outside?next=/consents" and world.hub.entries == []


async def test_a_withdrawal_and_a_refusal_are_signed_outside_too(world: World, firm: Browser) -> None:
    given, request = of_enterprise(), asked(uscc=CODE)
    world.hub.standing, world.hub.asked = [(given, "active")], [request]
    await asks(firm)
    file = (await firm.get(f"/outside/requests/{request.request_id}/refusal?reason=no")).content
    await upload(firm, sign_all(read_to_sign(file), key(CODE)))
    assert world.hub.entries[0].payload_type == CONSENT_REFUSAL_TYPE
    assert parse_refusal(world.hub.entries[0].payload).reason == "no"
    await asks(firm)
    assert "/outside/withdrawals/" in (await firm.get(f"/consents/{given.record_id}")).text
    file = (await firm.get(f"/outside/withdrawals/{given.record_id}?reason=")).content
    answer = await upload(firm, sign_all(read_to_sign(file), key(CODE)))
    assert answer.headers["location"] == f"/consents/{given.record_id}/withdrawal"
    assert parse_revocation(world.hub.entries[1].payload).record_id == given.record_id
    assert "tax-1 在" in (await firm.get(answer.headers["location"])).text
    again = await upload(firm, sign_all(read_to_sign(file), key(CODE)))
    assert again.headers["location"] == answer.headers["location"] and len(world.hub.entries) == 2
    assert (await firm.get("/outside?next=/uses")).status_code == 200


async def test_a_request_is_granted_by_a_signature_from_outside(world: World, firm: Browser) -> None:
    world.hub.asked = [asked(uscc=CODE)]
    await asks(firm)
    request_id = world.hub.asked[0].request_id
    assert f'action="/outside/requests/{request_id}"' in (await firm.get(f"/consents/requests/{request_id}")).text
    file = (await firm.get(f"/outside/requests/{request_id}?x=1{SIGNATORY}")).content
    await upload(firm, sign_all(read_to_sign(file), key(CODE)))
    assert parse_consent(world.hub.entries[0].payload).request_id == request_id


def _consent(signer: str = CODE, **changes: object) -> bytes:
    return write_signed([sign_document(CONSENT_TYPE, encode(of_enterprise(**changes)), key(signer))])


OTHERS = msgspec.structs.replace(of_enterprise().subject, uscc=OTHER_USCC)
WRONG = {
    "nothing": (b"", "请选择"),
    "no JSON": (b"\x89PNG", "不是签名文件"),
    "too large": (b" " * (LARGEST + 1), "文件过大"),
    "another key": (_consent("other"), "不是用您登记的密钥"),
    "another enterprise": (_consent(subject=OTHERS), "另一家企业"),
    "another kind": (statement(), "不属于这里"),
    "what is no consent": (write_signed([sign_document(CONSENT_TYPE, b"{}", key(CODE))]), "格式不正确"),
}


async def test_a_file_that_is_wrong_is_told_beside_the_field_and_nothing_of_it_is_sent(
    world: World, firm: Browser
) -> None:
    for name, (file, told) in WRONG.items():
        answer = await upload(firm, file)
        assert answer.status_code == 422 and told in answer.text and 'id="file-fault"' in answer.text, name
        assert world.hub.entries == [], name


async def test_one_wrong_document_stops_the_whole_file(world: World, firm: Browser) -> None:
    good, bad = (sign_document(CONSENT_TYPE, encode(of_enterprise()), key(name)) for name in (CODE, "other"))
    assert (await upload(firm, write_signed([good, bad]))).status_code == 422
    assert world.hub.entries == []


async def register(world: World, file: bytes) -> httpx.Response:
    browser = world.browser()
    await browser.get("/register/code")
    for step, answers in (
        ("code", {"uscc": CODE, "mismatch": "yes"}),
        ("name", {"ent_name": "北京样例科技有限公司"}),
        ("contact", {"contact": "张三", "phone": "13800138000"}),
    ):
        assert (await browser.post(f"/register/{step}", **answers)).status_code == 303, step
    page = (await browser.get("/register-send")).text
    hidden = dict(re.findall(r'<input type="hidden" name="(\w+)" value="([^"]*)"', page))
    sent = hidden | {"password": PASSWORD}
    headers = {"Origin": ORIGIN}
    return await browser.client.post("/register-send", data=sent, files={"file": file}, headers=headers)


async def test_an_enterprise_registers_with_a_key_that_stays_outside(world: World) -> None:
    assert (await register(world, statement())).headers["location"] == "/registered"
    rows = world.portal.db.read_now(lambda c: c.execute(accounts.select()).all())
    assert [bytes(row.key_pem) for row in rows] == [b""]
    kept = world.portal.db.read_now(lambda c: c.execute(registrations.select()).one())
    document = SignedDocument.decode(bytes(kept.document))
    verify_document(document, SUBJECT_REGISTRATION_TYPE, key(CODE).public)


async def test_a_registration_that_says_something_else_is_refused(world: World) -> None:
    wrong = {
        "signed by another key": (statement("other"), "不是已签名的注册文件"),
        "no file of ours": (b"{}", "不是已签名的注册文件"),
        "another name": (statement(ent_name="别的公司"), "与您填写的不一致"),
        "another code": (statement(uscc=OTHER_USCC), "与您填写的不一致"),
    }
    for name, (file, told) in wrong.items():
        answer = await register(world, file)
        assert answer.status_code == 422 and told in answer.text and 'id="file-fault"' in answer.text, name
    assert world.portal.db.read_now(lambda c: c.execute(accounts.select()).all()) == []
