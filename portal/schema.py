"""The one MetaData of the portal's own database, which is not the hub's; `portal.tables` imports all that hang on it."""

from __future__ import annotations

from typing import Final

from sqlalchemy import BigInteger, MetaData, Text

from hub.schema import metadata as hubs

metadata: Final = MetaData(naming_convention=hubs.naming_convention)

Int64: Final = BigInteger
Identifier: Final = Text
