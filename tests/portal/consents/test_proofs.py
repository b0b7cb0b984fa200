"""The record of use: each proof step by step, the models that the data went into, and all of it as files."""

from __future__ import annotations

import uuid
from dataclasses import replace

import msgspec
import pytest

from consent.audit_uses import VerifiedUse, verify_uses
from consent.documents import ExchangeMode, Purpose
from consent.models import ModelPart, ModelVersion
from consent.my_data import verify_my_data
from portal.consents.lineage import lineage
from portal.consents.uses_pages import PAGE
from portal.hub_link import KnownModel, Standing
from portal.permissions import Role
from tests.consent.builders import USCC as CODE
from tests.consent.builders import consent as of_enterprise
from tests.consent.builders import signed
from tests.consent.test_audit_uses import Shown
from tests.consent.usage_builders import HUB, receipt
from tests.portal.world import Browser, World


@pytest.fixture
async def firm(world: World) -> Browser:
    world.hub.page, world.hub.hub_key = Shown().page(), HUB
    world.hub.verified = verify_uses(CODE, world.hub.page, HUB)
    return await world.logged_in(CODE, Role.ENTERPRISE, CODE)


async def test_a_proof_is_shown_step_by_step(world: World, firm: Browser) -> None:
    assert 'href="/uses/4"' in (await firm.get("/uses")).text
    page = (await firm.get("/uses/4")).text
    assert world.hub.verified is not None and world.hub.page is not None
    assert world.hub.verified.head.root.hex() in page and HUB.key_id in page
    assert all(sibling.hex() in page for sibling in world.hub.page.uses[1].path)
    assert "loan application 7" in page and "<script" not in page


async def test_many_uses_come_in_pages(world: World, firm: Browser) -> None:
    assert world.hub.verified is not None
    many = tuple(use(index, request_no=index, time_ms=index) for index in range(PAGE + 1))
    world.hub.verified = replace(world.hub.verified, uses=many)
    newest = (await firm.get("/uses")).text
    assert f'href="/uses/{PAGE}"' in newest and 'href="/uses/0"' not in newest and 'href="/uses?page=2"' in newest
    oldest = (await firm.get("/uses?page=2")).text
    assert 'href="/uses/0"' in oldest and f'href="/uses/{PAGE}"' not in oldest and 'href="/uses?page=3"' not in oldest
    assert (await firm.get("/uses?page=0")).status_code == 422


async def test_the_own_part_of_a_transfer_is_shown_too(firm: Browser) -> None:
    assert "传输中属于您的部分" in (await firm.get("/uses/8")).text
    assert "传输中属于您的部分" not in (await firm.get("/uses/4")).text


async def test_what_is_not_ones_own_has_no_page(firm: Browser) -> None:
    assert (await firm.get("/uses/3")).status_code == 404
    assert (await firm.get("/uses/x")).status_code == 422


async def test_a_proof_that_fails_meanwhile_is_not_shown(world: World, firm: Browser) -> None:
    assert world.hub.page is not None
    first, *rest = world.hub.page.uses
    world.hub.page = replace(world.hub.page, uses=(replace(first, path=rest[0].path), *rest))
    answer = await firm.get("/uses/0")
    assert answer.status_code == 502 and "未通过核验" in answer.text


async def test_the_signed_file_is_checked_by_anybody(world: World, firm: Browser) -> None:
    entry = signed("consent", of_enterprise(), CODE)
    standing = Standing(consent=of_enterprise(), state="active", ended_ms=0, log_index=3, entry=entry.encode())
    world.hub.consents = lambda who: [standing]  # type: ignore[method-assign]
    answer = await firm.get("/my-data.json")
    assert answer.headers["content-disposition"] == f'attachment; filename="my-data-{CODE}.json"'
    found = verify_my_data(answer.content, HUB)
    assert (found.statement.uscc, len(found.uses), len(found.consents)) == (CODE, 4, 1)
    assert found.key.key_id == msgspec.json.decode(answer.content)["readable"]["signed_by"]
    auditor = await world.logged_in("audit", Role.AUDIT_ADMIN)
    assert "my_data_exported" in (await auditor.get("/events")).text


async def test_the_print_is_a_pdf_in_either_language(world: World, firm: Browser) -> None:
    world.hub.standing, made = [(of_enterprise(), "active")], set()
    for language in ("zh", "en"):
        await firm.get(f"/language/{language}?next=/")
        answer = await firm.get("/my-data.pdf")
        assert answer.headers["content-type"] == "application/pdf"
        assert answer.content.startswith(b"%PDF-") and b"STSong-Light" in answer.content
        made.add(answer.content)
    assert len(made) == 2


JOB, OTHER_JOB, MODEL = str(uuid.UUID(int=71)), str(uuid.UUID(int=72)), "cd" * 32


def use(index: int, **changes: object) -> VerifiedUse:
    told = receipt(index, **({"purpose": Purpose.JOINT_MODELLING} | changes))
    return VerifiedUse(log_index=index, receipt=told, part=None, signed_by="n", twin_present=True, leaf_sm3="")


def registered() -> KnownModel:
    part = ModelPart(provider="p", product_id="x", items=(), features=1, nonzero=None, leverage=None, commitment="")
    version = ModelVersion(
        model_id=str(uuid.UUID(int=5)),
        name="sme-risk",
        version=2,
        kind="joint_logistic",
        mode="joint",
        owner="firstbank",
        owner_node="n",
        purpose=Purpose.SCORING,
        parts=(part,),
        own_features=1,
        own_commitment="",
        commitment=MODEL,
        created_ms=1,
    )
    return KnownModel(version=version, state="in_service")


def test_lineage_joins_training_and_scores_of_a_model_and_leaves_refusals_out() -> None:
    joint = {"mode": ExchangeMode.JOINT}
    uses = [
        use(1, exchange_id=JOB, request_no=0, **joint),
        use(2, exchange_id=JOB, request_no=1, digest=MODEL, **joint),
        use(3, exchange_id=OTHER_JOB, request_no=0, **joint),
        use(4, mode=ExchangeMode.SCORE, digest=MODEL, request_no=4),
        use(5, mode=ExchangeMode.SCORE, digest=MODEL, request_no=4, side="provider"),
        use(6, mode=ExchangeMode.SCORE, digest="ef" * 32, decision="NO_CONSENT"),
        use(7),
    ]
    scored, alone = lineage(uses, [registered()])
    assert scored.model is not None and scored.model.version.name == "sme-risk"
    assert (scored.commitment, scored.jobs, scored.scores, scored.entries) == (MODEL, (JOB,), 1, (1, 2, 4, 5))
    assert (alone.commitment, alone.model, alone.jobs, alone.entries) == ("", None, (OTHER_JOB,), (3,))


async def test_the_page_and_the_api_name_the_models(world: World, firm: Browser) -> None:
    world.hub.known_models = [registered()]
    assert world.hub.verified is not None
    one = use(4, mode=ExchangeMode.SCORE, digest=MODEL)
    world.hub.verified = replace(world.hub.verified, uses=(one,))
    assert "sme-risk 2" in (await firm.get("/uses")).text
    (told,) = (await firm.client.get("/api/v1/lineage")).json()
    assert (told["commitment"], told["scores"]) == (MODEL, 1)
