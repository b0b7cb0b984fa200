"""The facts of an enterprise, as it told them: where, what, since when, how large. Each may be missing.

The size class (企业划型) is computed, never asked for (`consent.enterprise_size`).
"""

from __future__ import annotations

from datetime import date
from decimal import Decimal

import msgspec

from consent.enterprise_size import EnterpriseSize, load_size_table
from consent.errors import ValueInvalid
from consent.validators import parse_industry


class Facts(msgspec.Struct, frozen=True, kw_only=True):
    """`region`: GB/T 2260; `industry`: GB/T 4754-2017, as `C3921` or `I65`; amounts in CNY 10,000, of the last whole year.

    Text that was not told is empty, a number or date None. `version`: 0 before anything was told.
    """

    region: str = ""
    industry: str = ""
    founded: date | None = None
    employees: int | None = None
    revenue_wan: Decimal | None = None
    assets_wan: Decimal | None = None
    version: int = 0

    @property
    def size(self) -> EnterpriseSize | None:
        """The size class; None while what it depends on is not told."""
        if not self.industry:
            return None
        try:
            return load_size_table().classify(
                parse_industry(self.industry),
                persons=self.employees,
                revenue_wan=self.revenue_wan,
                assets_wan=self.assets_wan,
            )
        except ValueInvalid:
            return None

    @property
    def complete(self) -> bool:
        """Whether everything was told."""
        return bool(self.region and self.industry) and None not in {
            self.founded,
            self.employees,
            self.revenue_wan,
            self.assets_wan,
        }
