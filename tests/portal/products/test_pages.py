from __future__ import annotations

import re

from portal.permissions import Role
from portal.products import fields
from portal.products.tables import versions
from tests.portal.products.offer import ANSWERS, offer, person, product, published
from tests.portal.world import USCC, Browser, World

NASTY = "<script>alert(1)</script>'); DROP TABLE product_offers; --"
SLUGS = {
    "basics": ("product_name", "branch", "summary", "product_type", "purposes"),
    "money": ("amount_min", "amount_max", "amount_step", "term_min", "term_max", "term_unit", "revolving"),
    "price": ("rate_min", "rate_max", "rate_basis", "spread_bp", "guarantee_types", "repayment_methods"),
    "who": ("regions", "industries_outside", "target_sizes", "founded_months", "revenue_min"),
    "data": ("item_registration_basic", "item_tax_payment_summary", "item_si_headcount_trend", "item_payment_flow"),
    "time": ("documents", "processing_days", "valid_from", "valid_to"),
}


async def draft(browser: Browser) -> str:
    """A new draft's address."""
    await browser.get("/product-versions")
    begun = await browser.post("/product-versions")
    return begun.headers["location"].removesuffix("/sections/basics")


async def fill_in(browser: Browser, path: str) -> None:
    for slug, names in SLUGS.items():
        await browser.get(f"{path}/sections/{slug}")
        answer = await browser.post(f"{path}/sections/{slug}", **{name: ANSWERS[name] for name in names})
        assert answer.status_code == 303, answer.text


async def test_staff_enter_a_product_a_reviewer_publishes_it_and_everybody_finds_it(world: World) -> None:
    staff = await world.logged_in("staff-a", Role.STAFF, "bank-a")
    path = await draft(staff)
    await fill_in(staff, path)
    page = (await staff.get(path)).text
    assert "联合计算：您的数值始终以加密形式留在保管机构" in page and "fault" not in page
    assert (await staff.post(f"{path}/entry", act="submit")).status_code == 303
    reviewer = await world.logged_in("reviewer", Role.REVIEWER)
    await reviewer.get("/product-versions?state=pending_review")
    assert path in reviewer.page.text  # type: ignore[union-attr]
    await reviewer.get(path)
    assert (await reviewer.post(f"{path}/decision", act="approve", reason="")).status_code == 422
    assert (await reviewer.post(f"{path}/decision", act="approve", reason="条款清楚")).status_code == 303
    anybody = world.browser()
    listed = (await anybody.get("/products?rate=4&region=110108&words=纳税")).text
    code = path.split("/")[2]
    assert f'href="/products/{code}"' in listed and 'value="4"' in listed
    shown = (await anybody.get(f"/products/{code}")).text
    assert "借 10 万元用满一年，利息约 3,450 至 4,350 元。" in shown
    assert f'href="/login?next=/products/{code}"' in shown
    assert "公开：任何人都可以查到，无须授权。" in shown


async def test_an_enterprise_sees_whether_it_may_have_it_and_why(world: World) -> None:
    offer(world, product())
    published(world.portal, person(world, "s", Role.STAFF, "bank-a"), person(world, "r", Role.REVIEWER))
    code = world.portal.db.read_now(lambda c: c.execute(versions.select()).one()).product_code
    browser = await world.logged_in(USCC, Role.ENTERPRISE, USCC)
    unknown = (await browser.get(f"/products/{code}")).text
    assert "还有情况尚未填写" in unknown and f'href="/facts?next=/products/{code}"' in unknown
    told = {"region": "110108", "industry": "I65", "founded": "2019-05-01", "employees": "42", "revenue_wan": "860"}
    await browser.get(f"/facts?next=/products/{code}")
    back = (await browser.post("/facts", **told)).headers["location"]
    assert "条件全部符合" in (await browser.get(back)).text
    await browser.get(f"/facts?next=/products/{code}")
    await browser.post("/facts", **told | {"founded": "2026-01-01", "region": "310000"})
    refused = (await browser.get(back)).text
    assert "有条件不符合" in refused and refused.count('class="no"') == 2 and "贵企业：成立于 2026-01-01" in refused
    find = (await browser.get("/products")).text
    assert "/products?region=310000&amp;industry=I65" in find


async def test_bank_staff_and_reviewers_are_offered_no_application(world: World) -> None:
    published(world.portal, person(world, "s", Role.STAFF, "bank-a"), person(world, "r", Role.REVIEWER))
    code = world.portal.db.read_now(lambda c: c.execute(versions.select()).one()).product_code
    staff = await world.logged_in("staff-b", Role.STAFF, "bank-b")
    assert 'action="/applications"' not in (await staff.get(f"/products/{code}")).text


async def test_a_product_that_is_over_or_not_begun_says_so(world: World) -> None:
    staff, reviewer = person(world, "s", Role.STAFF, "bank-a"), person(world, "r", Role.REVIEWER)
    later = published(world.portal, staff, reviewer, valid_from="2027-01-01")
    over = published(world.portal, staff, reviewer, valid_to="2026-02-01")
    browser = world.browser()
    assert "自 2027-01-01 起受理申请" in (await browser.get(f"/products/{later.product_code}")).text
    page = (await browser.get(f"/products/{over.product_code}")).text
    assert "该产品已下线" in page and "登录后申请" not in page
    assert (await browser.get("/products/nothing")).status_code == 404


async def test_a_section_that_makes_no_sense_comes_back_with_all_that_was_typed(world: World) -> None:
    staff = await world.logged_in("staff-a", Role.STAFF, "bank-a")
    path = await draft(staff)
    for slug in SLUGS:
        page = (await staff.get(f"{path}/sections/{slug}")).text
        names = set(re.findall(r'<(?:input|select|textarea)[^>]* name="(\w+)"', page)) - {"csrf", "once", "edition"}
        answer = await staff.post(f"{path}/sections/{slug}", **dict.fromkeys(names, NASTY * 30))
        assert answer.status_code == 422 and "<script>alert" not in answer.text
        for one in fields.BY_SLUG[slug].fields:
            if one.kind != "tick":
                assert f'href="#{one.name}"' in answer.text, "each fault is linked from the summary"
            if one.kind in {"text", "area", "digits"}:
                assert answer.text.count("&lt;script&gt;alert(1)") >= 30
        for kind in ("", "\x00", "x" * 9000):
            answer = await staff.post(f"{path}/sections/{slug}", **dict.fromkeys(names, kind))
            assert answer.status_code in {303, 422}


async def test_a_half_filled_section_can_be_kept_for_later(world: World) -> None:
    staff = await world.logged_in("staff-a", Role.STAFF, "bank-a")
    path = await draft(staff)
    await staff.get(f"{path}/sections/money")
    kept = await staff.post(f"{path}/sections/money", amount_min=NASTY, later="yes")
    assert (kept.status_code, kept.headers["location"]) == (303, path)
    shown = await staff.get(path)
    assert "最低额度" in shown.text and "<script>alert" not in shown.text
    assert "&lt;script&gt;alert" in (await staff.get(f"{path}/sections/money")).text
    await staff.get(path)
    refused = await staff.post(f"{path}/entry", act="submit")
    assert refused.status_code == 422 and 'id="faults"' in refused.text


async def test_a_reviewer_sees_what_a_new_version_says_otherwise(world: World) -> None:
    found = published(world.portal, person(world, "s", Role.STAFF, "bank-a"), person(world, "r", Role.REVIEWER))
    staff = await world.logged_in("staff-a", Role.STAFF, "bank-a")
    await staff.get(found.path)
    path = (await staff.post(f"{found.path}/next")).headers["location"]
    assert path == f"/product-versions/{found.product_code}/2"
    await staff.get(f"{path}/sections/price")
    typed = {name: ANSWERS[name] for name in SLUGS["price"]} | {"rate_max": "5", "guarantee_types": "pledge,credit"}
    await staff.post(f"{path}/sections/price", **typed)
    await staff.get(path)
    await staff.post(f"{path}/entry", act="submit")
    reviewer = await world.logged_in("reviewer", Role.REVIEWER)
    page = (await reviewer.get(path)).text
    rows = re.findall(r'<th scope="row">(.*?)</th><td>(.*?)</td><td>(.*?)</td>', page)
    assert rows == [("最高年利率（%）", "4.35", "5"), ("担保方式", "信用", "信用、质押")]


async def test_a_form_that_is_sent_twice_does_its_thing_once(world: World) -> None:
    staff = await world.logged_in("staff-a", Role.STAFF, "bank-a")
    await staff.get("/product-versions")
    first, again = await staff.post("/product-versions"), await staff.post("/product-versions")
    assert first.headers["location"] == again.headers["location"]
    path = first.headers["location"].removesuffix("/sections/basics")
    await fill_in(staff, path)
    await staff.get(path)
    assert [(await staff.post(f"{path}/entry", act="submit")).status_code for _ in range(2)] == [303, 303]


async def test_a_stale_section_is_refused_with_what_was_typed_and_can_be_sent_again(world: World) -> None:
    staff, other = await world.logged_in("staff-a", Role.STAFF, "bank-a"), world.browser()
    other.client.cookies = staff.client.cookies
    path = await draft(staff)
    for browser in (staff, other):
        await browser.get(f"{path}/sections/basics")
    mine = {name: ANSWERS[name] for name in SLUGS["basics"]}
    assert (await other.post(f"{path}/sections/basics", **mine)).status_code == 303
    stale = await staff.post(f"{path}/sections/basics", **mine | {"branch": "另一支行"})
    assert stale.status_code == 409 and 'value="另一支行"' in stale.text
    assert (await staff.post(f"{path}/sections/basics", **mine | {"branch": "另一支行"})).status_code == 303


async def test_another_banks_products_are_not_there(world: World) -> None:
    staff, stranger = await world.logged_in("a", Role.STAFF, "bank-a"), await world.logged_in("b", Role.STAFF, "bank-b")
    path = await draft(staff)
    await fill_in(staff, path)
    await stranger.get("/product-versions")
    assert path not in stranger.page.text  # type: ignore[union-attr]
    tried = [
        await stranger.client.get(path),
        await stranger.client.get(f"{path}/sections/money"),
        await stranger.post(f"{path}/sections/money", **{name: ANSWERS[name] for name in SLUGS["money"]}),
        await stranger.post(f"{path}/entry", act="submit", edition="7"),
        await stranger.post(f"{path}/next"),
        await stranger.client.get("/product-versions/P1/999999999999"),
        await stranger.client.get("/product-versions/P1/x"),
    ]
    assert [answer.status_code for answer in tried] == [404] * 7
    chief = await world.logged_in("chief", Role.APPROVER, "bank-b")
    await chief.get("/product-versions")
    assert (await chief.post(f"{path}/withdrawal", reason="x", edition="7")).status_code == 404


async def test_an_approver_takes_a_product_off_the_market_with_a_reason(world: World) -> None:
    found = published(world.portal, person(world, "s", Role.STAFF, "bank-a"), person(world, "r", Role.REVIEWER))
    chief = await world.logged_in("chief", Role.APPROVER, "bank-a")
    await chief.get(found.path)
    assert (await chief.post(f"{found.path}/withdrawal", reason=" ")).status_code == 422
    assert (await chief.post(f"{found.path}/withdrawal", reason="停办")).status_code == 303
    assert found.product_name not in (await world.browser().get("/products")).text


NONSENSE = ("amount=viel", "months=0", "rate=99", "guarantee=none", "region=1", "industry=Z", "words=" + "x" * 5000)


async def test_a_search_that_makes_no_sense_is_told_beside_the_field_and_shows_the_rest(world: World) -> None:
    published(world.portal, person(world, "s", Role.STAFF, "bank-a"), person(world, "r", Role.REVIEWER))
    for query in NONSENSE:
        answer = await world.browser().get(f"/products?{query}")
        assert answer.status_code == 200 and 'class="fault"' in answer.text and "税易贷" in answer.text, query
    answer = await world.browser().get(f"/products?words={NASTY}&sort=x&after=@@")
    assert "&lt;script&gt;alert" in answer.text and "<script>alert" not in answer.text and "税易贷" not in answer.text
