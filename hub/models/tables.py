"""Rows of the model registry: the documents as they were signed, and what is needed to find them."""

from __future__ import annotations

from typing import Final

from sqlalchemy import Column, Index, Integer, LargeBinary, Table, UniqueConstraint

from hub.schema import Identifier, Int64, metadata

models: Final = Table(
    "models",
    metadata,
    Column("model_id", Identifier, primary_key=True),
    Column("owner", Identifier, nullable=False),
    Column("name", Identifier, nullable=False),
    Column("version", Integer, nullable=False),
    UniqueConstraint("owner", "name", "version"),
)

# Who sees a model: its owner and its providers.
model_parties: Final = Table(
    "model_parties",
    metadata,
    Column("member_id", Identifier, primary_key=True),
    Column("model_id", Identifier, primary_key=True),
)

# `seq` numbers the documents of all models in the order of commits: a node asks for those after the last it has.
model_documents: Final = Table(
    "model_documents",
    metadata,
    Column("seq", Int64, primary_key=True, autoincrement=False),
    Column("model_id", Identifier, nullable=False),
    Column("payload_sm3", Identifier, nullable=False, unique=True),
    Column("document", LargeBinary, nullable=False),
    Index("ix_model_documents_model_id_seq", "model_id", "seq"),
)
