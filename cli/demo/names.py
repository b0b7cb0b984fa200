"""Invented enterprises: what they are called, and what they tell of themselves. The same number is always the same enterprise."""

from __future__ import annotations

import random
from datetime import date, timedelta
from decimal import Decimal
from typing import Final

from portal.facts.facts import Facts

MARK: Final = "（演示）"
"""Ends every invented name, so that nobody takes one for an enterprise that there is."""

_FIRST: Final = "云瀚嘉启泓锦澄旭沐翎朗岚煦芮骁禾"
_SECOND: Final = "辰川屿澜铭桥舟砚麓汀筑芯野茗岳霖"
_TRADES: Final = (
    ("精密机械", "C35"),
    ("电子科技", "C39"),
    ("软件技术", "I65"),
    ("餐饮管理", "H62"),
    ("食品", "C14"),
    ("服装", "C18"),
    ("建筑工程", "E47"),
    ("物流", "G54"),
    ("商贸", "F51"),
    ("百货零售", "F52"),
    ("广告传媒", "L72"),
    ("农业科技", "A01"),
    ("医疗器械", "C35"),
    ("环保科技", "N77"),
    ("印刷包装", "C23"),
)
_DISTRICTS: Final = (
    *("110105", "110108", "110106", "110115", "110112", "110114", "110101", "110102"),
    *("110111", "110113", "110107", "110116"),
)
_ELSEWHERE: Final = ("130000", "120000", "310000", "440000")
_WEIGHTS: Final = (18, 20, 10, 10, 9, 9, 5, 6, 5, 5, 3, 2)
_OUT_OF_TOWN: Final = 0.06
"""So many tell a region other than their code's, which reviewers see."""


def name_of(number: int) -> str:
    """What an enterprise is called."""
    brand = number % (len(_FIRST) * len(_SECOND))
    first, second = _FIRST[brand % len(_FIRST)], _SECOND[brand // len(_FIRST)]
    return f"北京{first}{second}{_TRADES[number % len(_TRADES)][0]}有限公司{MARK}"


def facts_of(number: int, today: date) -> Facts:
    """What an enterprise tells of itself: most are small or micro, in the city of their code."""
    chance = random.Random(f"facts {number}")  # noqa: S311 (invented data, always the same)
    elsewhere = chance.random() < _OUT_OF_TOWN
    region = chance.choice(_ELSEWHERE) if elsewhere else chance.choices(_DISTRICTS, _WEIGHTS)[0]
    employees = max(2, min(900, round(chance.lognormvariate(3.1, 1.0))))
    revenue = Decimal(max(20, round(employees * chance.lognormvariate(3.4, 0.6))))
    return Facts(
        region=region,
        industry=_TRADES[number % len(_TRADES)][1],
        founded=today - timedelta(days=chance.randint(300, 7_000)),
        employees=employees,
        revenue_wan=revenue,
        assets_wan=Decimal(max(10, round(float(revenue) * chance.uniform(0.3, 1.6)))),
    )
