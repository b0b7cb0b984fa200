"""The back office in Chromium: an institution is entered and decided, a role narrowed and given, an act found and taken along."""

from __future__ import annotations

import pytest
from playwright.sync_api import Browser

from tests.e2e.portal_site import PICTURES, Person, Site, chromium, joins, site
from tests.e2e.test_portal_products_in_a_browser import invited

pytestmark = [pytest.mark.timeout(180), pytest.mark.slow]
__all__ = ["chromium", "site"]


def test_administrators_enter_decide_narrow_hide_and_audit(site: Site, chromium: Browser) -> None:
    security, system, clerk, audit = (
        Person(chromium, site.url, f"backoffice-{name}", phone=name == "audit", dark=name == "system")
        for name in ("security", "system", "clerk", "audit")
    )
    joins(security, site.invitation, "安全管理员")
    joins(system, invited(security, "system", "system_admin", "hub"), "系统管理员")
    joins(clerk, invited(security, "clerk", "staff", "bank-a"), "周录入")
    joins(audit, invited(security, "audit", "audit_admin", "hub"), "审计管理员")

    system.go("/institutions/bank-a")
    system.fill(name_zh="第一商业银行", name_en="First Commercial Bank", contact="010-5555 0000", reason="按执照登记")
    system.page.select_option("[name=kind]", "bank")
    system.click("提交审批")
    system.sees("等待审批")
    system.picture("institution")
    security.go("/institutions/bank-a")
    security.fill(reason="已核对执照")
    security.picture("decision")
    security.click("批准")
    security.go("/staff?held=staff")
    security.sees("第一商业银行")
    security.picture("users")

    security.go("/roles/new?base=staff")
    security.fill(title="见习客户经理", institution="bank-a", reason="试用期")
    security.page.uncheck("[value='entry products']")
    security.click("创建角色")
    security.fill(login="clerk", why="试用期")
    security.click("授予该账户")
    security.sees("clerk")
    security.picture("role")
    security.go("/roles")
    security.picture("roles")
    clerk.go("/product-versions")
    assert "/login" in clerk.page.url, "its session has ended"

    audit.go("/events?action=role_given")
    audit.sees("clerk")
    audit.picture("events")
    audit.fill(reason="季度审计")
    with audit.page.expect_download() as taken:
        audit.click("下载 CSV 文件")
    text = taken.value.path().read_text(encoding="utf-8-sig")
    assert "by audit at" in text.splitlines()[0] and "role_given" in text and "invited" not in text
    assert all(person.said == [] for person in (security, system, clerk, audit))
    assert (PICTURES / "backoffice-security-roles.png").exists()
