"""Rows about products: every version as it was entered and reviewed, and what of them is on offer, as it is searched."""

from __future__ import annotations

from typing import Final

from sqlalchemy import Column, Index, Integer, Table, Text, UniqueConstraint

from portal.schema import Identifier, Int64, metadata

# version_id: code and version, as P2345/1. state: `portal.states.PRODUCT`. answers: the forms as typed (JSON); terms: the `Product`
# (JSON), empty before it was submitted. edition: counts changes of the row, so that a form that is older is found.
versions: Final = Table(
    "product_versions",
    metadata,
    Column("version_id", Identifier, primary_key=True),
    Column("product_code", Identifier, nullable=False),
    Column("version", Integer, nullable=False),
    Column("institution", Identifier, nullable=False),
    Column("product_name", Text, nullable=False),
    Column("state", Identifier, nullable=False),
    Column("answers", Text, nullable=False),
    Column("terms", Text, nullable=False),
    Column("edition", Integer, nullable=False),
    Column("entered_by", Identifier, nullable=False),
    Column("submitted_by", Identifier, nullable=False),
    Column("reviewed_by", Identifier, nullable=False),
    Column("reason", Text, nullable=False),
    Column("changed_ms", Int64, nullable=False),
    UniqueConstraint("product_code", "version"),
    Index("ix_product_versions_changed_ms", "changed_ms", "version_id"),
    Index("ix_product_versions_state_changed_ms", "state", "changed_ms", "version_id"),
    Index("ix_product_versions_institution_changed_ms", "institution", "changed_ms", "version_id"),
    Index("ix_product_versions_institution_state_changed_ms", "institution", "state", "changed_ms", "version_id"),
)

# The published version of each product. Amounts in fen, rates in hundredths of a basis point, terms in days (a month has 30). Lists
# as `|a|b|`, empty for "any"; searched: what free text looks at, without case. valid_to: 9999-12-31 for no end.
offers: Final = Table(
    "product_offers",
    metadata,
    Column("product_code", Identifier, primary_key=True),
    Column("version", Integer, nullable=False),
    Column("institution", Identifier, nullable=False),
    Column("branch", Text, nullable=False),
    Column("product_name", Text, nullable=False),
    Column("summary", Text, nullable=False),
    Column("amount_min_fen", Int64, nullable=False),
    Column("amount_max_fen", Int64, nullable=False),
    Column("term_min", Integer, nullable=False),
    Column("term_max", Integer, nullable=False),
    Column("term_unit", Identifier, nullable=False),
    Column("term_min_days", Integer, nullable=False),
    Column("term_max_days", Integer, nullable=False),
    Column("rate_min_e4", Int64, nullable=False),
    Column("rate_max_e4", Int64, nullable=False),
    Column("guarantee_types", Text, nullable=False),
    Column("industries", Text, nullable=False),
    Column("regions", Text, nullable=False),
    Column("processing_days", Integer, nullable=False),
    Column("valid_from", Identifier, nullable=False),
    Column("valid_to", Identifier, nullable=False),
    Column("searched", Text, nullable=False),
    Column("published_ms", Int64, nullable=False),
    Index("ix_product_offers_rate_min_e4", "rate_min_e4", "product_code"),
    Index("ix_product_offers_amount_max_fen", "amount_max_fen", "product_code"),
    Index("ix_product_offers_term_max_days", "term_max_days", "product_code"),
    Index("ix_product_offers_processing_days", "processing_days", "product_code"),
    Index("ix_product_offers_published_ms", "published_ms", "product_code"),
    Index("ix_product_offers_institution", "institution", "product_code"),
)
