"""The one MetaData that every subject's tables.py hangs its tables on; `hub.tables` imports them all."""

from __future__ import annotations

from typing import Final

from sqlalchemy import BigInteger, MetaData, Text

metadata: Final = MetaData(
    naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "fk": "fk_%(table_name)s_%(column_0_N_name)s_%(referred_table_name)s",
        "pk": "pk_%(table_name)s",
    }
)

# Times (milliseconds since the epoch, UTC), log indexes and sizes are 64 bits wide; identifiers are text.
Int64: Final = BigInteger
Identifier: Final = Text
