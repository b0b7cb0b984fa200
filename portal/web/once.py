"""A form that is sent twice does its thing once: every form carries a random number, kept with where its first sending led to."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from sqlalchemy import Column, Connection, Table, Text, delete, insert, select

from portal.schema import Identifier, Int64, metadata

KEEP_MS: Final = 24 * 3600 * 1000

sent_forms: Final = Table(
    "sent_forms",
    metadata,
    Column("form_id", Identifier, primary_key=True),
    Column("location", Text, nullable=False),
    Column("time_ms", Int64, nullable=False, index=True),
)


def once(connection: Connection, form_id: str, now_ms: int, act: Callable[[], str]) -> str:
    """Do something that returns the page to go to, unless this form did so before. Only inside `Database.write`.

    `form_id` names the visitor, too, so that nobody meets another's. What raises is not kept, and can be sent again.
    """
    found = connection.execute(select(sent_forms.c.location).where(sent_forms.c.form_id == form_id)).scalar()
    if found is not None:
        return str(found)
    location = act()
    connection.execute(delete(sent_forms).where(sent_forms.c.time_ms < now_ms - KEEP_MS))
    connection.execute(insert(sent_forms), {"form_id": form_id, "location": location, "time_ms": now_ms})
    return location


def was_sent(connection: Connection, form_id: str) -> bool:
    """Whether this form did its thing already."""
    return connection.execute(select(sent_forms.c.form_id).where(sent_forms.c.form_id == form_id)).first() is not None
