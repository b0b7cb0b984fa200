"""Rows about content. A row is one version of a text; what was published once stays as it was."""

from __future__ import annotations

from typing import Final

from sqlalchemy import Column, Index, Integer, Table, Text, UniqueConstraint

from portal.schema import Identifier, Int64, metadata

# number: of the version, the newest the highest; the search index knows texts by it. state: `portal.states.CONTENT`. example: made
# up for the demonstration, and shown as such. plain, plain_en: what is read of the body, for search. province: first two digits
# of the region, "00" for national, empty for what is no policy. effective: date (ISO 8601), empty for none. entered_by: logins of all
# who edited this version; editor: account that sent it for review. revision: counts every change, against stale forms.
contents: Final = Table(
    "contents",
    metadata,
    Column("number", Integer, primary_key=True, autoincrement=False),
    Column("content_id", Identifier, nullable=False),
    Column("version", Integer, nullable=False),
    Column("kind", Identifier, nullable=False),
    Column("state", Identifier, nullable=False),
    Column("example", Integer, nullable=False),
    Column("title", Text, nullable=False),
    Column("body", Text, nullable=False),
    Column("title_en", Text, nullable=False),
    Column("body_en", Text, nullable=False),
    Column("plain", Text, nullable=False),
    Column("plain_en", Text, nullable=False),
    Column("province", Identifier, nullable=False),
    Column("region", Identifier, nullable=False),
    Column("authority", Text, nullable=False),
    Column("document_no", Text, nullable=False),
    Column("effective", Identifier, nullable=False),
    Column("source", Text, nullable=False),
    Column("entered_by", Text, nullable=False),
    Column("editor", Identifier, nullable=False),
    Column("reviewer", Identifier, nullable=False),
    Column("reason", Text, nullable=False),
    Column("revision", Integer, nullable=False),
    Column("changed_ms", Int64, nullable=False),
    Column("published_ms", Int64, nullable=False),
    UniqueConstraint("content_id", "version"),
    Index("ix_contents_content_id_state", "content_id", "state"),
    Index("ix_contents_state_kind_published_ms", "state", "kind", "published_ms", "number"),
    Index("ix_contents_state_kind_effective", "state", "kind", "effective", "number"),
    Index("ix_contents_state_kind_province_effective", "state", "kind", "province", "effective", "number"),
    Index("ix_contents_changed_ms", "changed_ms", "number"),
    Index("ix_contents_state_changed_ms", "state", "changed_ms", "number"),
    Index("ix_contents_kind_changed_ms", "kind", "changed_ms", "number"),
)
