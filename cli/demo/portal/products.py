"""What the two banks offer: invented products, entered by a bank's staff and decided on by a reviewer of the hub."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from sqlalchemy import Connection

from cli.demo.cohort import BANK, GOVERNMENT_ITEM, OTHER_BANK, PLATFORM_ITEM
from cli.demo.portal.people import FIRST, STAFF, Staff
from portal.products import publishing
from portal.products.fields import ITEM
from portal.products.publishing import Version
from portal.state import Portal

Answers = Mapping[str, str]
BRANCHES: Final = {BANK: "演示第一银行 北京分行", OTHER_BANK: "演示第二银行 中关村支行"}
_PAPERS: Final = "营业执照\n近两年财务报表\n法定代表人身份证件"
_SCALE: Final = ("amount_min", "amount_max", "amount_step", "term_min", "term_max", "rate_min", "rate_max")


def _answers(name: str, summary: str, kind: str, figures: str, guarantee: str, repayment: str, **more: str) -> Answers:
    """`figures`: smallest and largest amount and step (CNY 10,000), shortest and longest term (months), rates (% a year)."""
    usual = {"term_unit": "M", "rate_basis": "fixed", "documents": _PAPERS, "processing_days": "5"}
    own = {"product_name": f"{name}（演示）", "summary": summary, "product_type": kind}
    terms = {"guarantee_types": guarantee, "repayment_methods": repayment, "valid_from": "2026-01-01"}
    return usual | own | dict(zip(_SCALE, figures.split(), strict=True)) | terms | more


WITH_DATA: Final = "税易贷（演示）"
"""The product of the demonstration's bank that wants data, for which the enterprises' consents stand."""

OFFERED: Final[tuple[tuple[str, Answers], ...]] = (
    (
        BANK,
        _answers(
            "税易贷",
            "凭授权查询的信用记录申请的信用贷款：不需抵押，查询前须经企业本人授权，每次查询都有记录。",
            "working_capital",
            "10 300 5 3 24 3.65 5.20",
            "credit",
            "equal_instalments,interest_first",
            revolving="yes",
            **{f"{ITEM}{GOVERNMENT_ITEM}": "Q"},
        ),
    ),
    (
        BANK,
        _answers(
            "流水贷",
            "按账户往来与余额核定额度，随借随还，适合进货频繁的商户。",
            "working_capital",
            "5 200 5 1 12 4.10 6.00",
            "credit,guarantor",
            "at_will",
            revolving="yes",
            purposes="turnover,materials,orders",
            **{f"{ITEM}{GOVERNMENT_ITEM}": "Q", f"{ITEM}{PLATFORM_ITEM}": "Q"},
        ),
    ),
    (
        BANK,
        _answers(
            "经营快贷",
            "日常周转用的小额贷款，材料齐全后五个工作日内答复。",
            "working_capital",
            "10 200 10 3 24 4.20 6.50",
            "credit,guarantor",
            "equal_instalments,bullet",
            target_sizes="small,micro",
        ),
    ),
    (
        BANK,
        _answers(
            "设备更新贷",
            "购置或更新生产设备，期限最长五年，可用所购设备抵押。",
            "fixed_asset",
            "50 1000 50 12 60 3.45 4.95",
            "mortgage,guarantor",
            "equal_principal,equal_instalments",
            purposes="equipment",
            rate_basis="lpr_1y",
            spread_bp="45",
            processing_days="10",
        ),
    ),
    (
        BANK,
        _answers(
            "抵押经营贷",
            "以厂房或商铺抵押的经营贷款，额度较高，利率较低。",
            "working_capital",
            "100 2000 100 12 120 3.20 4.35",
            "mortgage",
            "equal_instalments,interest_first",
            processing_days="15",
            founded_months="24",
        ),
    ),
    (
        OTHER_BANK,
        _answers(
            "科创信用贷",
            "面向科技企业的研发与人员支出，纯信用。",
            "working_capital",
            "20 500 10 6 36 3.55 5.00",
            "credit",
            "interest_first,equal_instalments",
            purposes="research,wages,turnover",
            industries="C35,C39,I65,N77",
        ),
    ),
    (
        OTHER_BANK,
        _answers(
            "订单融资",
            "凭已签订的订单备货，回款后归还。",
            "supply_chain",
            "10 300 10 1 9 4.00 5.80",
            "pledge,guarantor",
            "bullet",
            purposes="orders,materials",
            processing_days="7",
        ),
    ),
    (
        OTHER_BANK,
        _answers(
            "商户贷",
            "餐饮、零售等商户的进货、装修与工资支出。",
            "working_capital",
            "5 100 5 3 18 4.60 7.20",
            "credit,guarantor",
            "equal_instalments",
            target_sizes="small,micro",
            regions="110000",
        ),
    ),
)
"""What can be applied for, the bank that offers it first."""

_GONE: Final = _answers(
    "应急周转贷", "已停办的应急周转贷款。", "other", "5 50 5 1 6 5.00 8.00", "credit", "bullet", processing_days="3"
)
_WAITS: Final = _answers(
    "专精特新贷", "面向专精特新企业的中期贷款。", "working_capital", "50 800 50 6 36 3.30 4.60", "credit", "bullet"
)
_REFUSED: Final = _answers("即时贷", "三分钟放款。", "other", "1 30 1 1 12 12.00 24.00", "credit", "equal_instalments")


def publish(portal: Portal, connection: Connection, staff: Staff, bank: str, answers: Answers) -> str:
    """Put a product on offer; its code."""
    return _published(portal, connection, staff, bank, answers).product_code


def leave_others(portal: Portal, connection: Connection, staff: Staff) -> None:
    """Leave a version in each state that is not on offer."""
    gone = _published(portal, connection, staff, OTHER_BANK, _GONE)
    publishing.withdraw(portal, connection, staff[STAFF[OTHER_BANK]], gone, gone.edition, "该产品停办")
    _submitted(portal, connection, staff, BANK, _WAITS)
    refused = _submitted(portal, connection, staff, OTHER_BANK, _REFUSED)
    reason = "宣传用语与利率不符合要求，请修改"
    publishing.decide(portal, connection, staff[FIRST], refused, refused.edition, "reject", reason)
    begun = {"product_name": "冷链物流贷（演示）", "branch": BRANCHES[BANK]}
    publishing.begin(portal, connection, staff[STAFF[BANK]], begun)


def _published(portal: Portal, connection: Connection, staff: Staff, bank: str, answers: Answers) -> Version:
    waits = _submitted(portal, connection, staff, bank, answers)
    return publishing.decide(portal, connection, staff[FIRST], waits, waits.edition, "approve", "要素完整，同意发布")


def _submitted(portal: Portal, connection: Connection, staff: Staff, bank: str, answers: Answers) -> Version:
    who = staff[STAFF[bank]]
    draft = publishing.begin(portal, connection, who, {**answers, "branch": BRANCHES[bank]})
    return publishing.enter(portal, connection, who, draft, draft.edition, "submit")
