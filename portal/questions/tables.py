"""Rows about experts' seats and questions. What is said is sealed (`portal.keys`); a seat is public, as its expert filled it in."""

from __future__ import annotations

from typing import Final

from sqlalchemy import Column, ForeignKey, Index, Integer, LargeBinary, Table, Text

from portal.schema import Identifier, Int64, metadata

# taking: whether the expert takes questions. ratings, stars: how many enterprises rated, and the sum of what they gave.
seats: Final = Table(
    "expert_seats",
    metadata,
    Column("account_id", Identifier, ForeignKey("accounts.account_id"), primary_key=True),
    Column("name", Text, nullable=False),
    Column("title", Text, nullable=False),
    Column("fields", Text, nullable=False),
    Column("hours", Text, nullable=False),
    Column("taking", Integer, nullable=False),
    Column("ratings", Integer, nullable=False),
    Column("stars", Integer, nullable=False),
    Column("revision", Integer, nullable=False),
)

# enterprise_id, expert_id: accounts. state: `portal.states.QUESTION`. stars: 1 to 5, 0 for not rated.
questions: Final = Table(
    "questions",
    metadata,
    Column("question_id", Identifier, primary_key=True),
    Column("enterprise_id", Identifier, ForeignKey("accounts.account_id"), nullable=False),
    Column("expert_id", Identifier, ForeignKey("accounts.account_id"), nullable=False),
    Column("state", Identifier, nullable=False),
    Column("subject_sealed", LargeBinary, nullable=False),
    Column("stars", Integer, nullable=False),
    Column("asked_ms", Int64, nullable=False),
    Column("changed_ms", Int64, nullable=False),
    Index("ix_questions_enterprise_id_changed_ms", "enterprise_id", "changed_ms", "question_id"),
    Index("ix_questions_enterprise_id_state", "enterprise_id", "state", "changed_ms", "question_id"),
    Index("ix_questions_expert_id_changed_ms", "expert_id", "changed_ms", "question_id"),
    Index("ix_questions_expert_id_state", "expert_id", "state", "changed_ms", "question_id"),
    Index("ix_questions_changed_ms", "changed_ms", "question_id"),
    Index("ix_questions_state_changed_ms", "state", "changed_ms", "question_id"),
)

# place: of the message in its question, from 1. by_expert: else it is the enterprise's.
messages: Final = Table(
    "question_messages",
    metadata,
    Column("question_id", Identifier, ForeignKey("questions.question_id"), primary_key=True),
    Column("place", Integer, primary_key=True, autoincrement=False),
    Column("by_expert", Integer, nullable=False),
    Column("text_sealed", LargeBinary, nullable=False),
    Column("time_ms", Int64, nullable=False),
)
