"""Evidence of what was sent in sessions of model to data, at both ends, for as long as receipts are kept.

The owner keeps the seed of each session, from which key and ciphertexts can be made again; a provider the owner's signed word on what
it sent (`consent.sent_weights`). Both are written before anything of the session is computed. A seed opens the scores of its session to
whoever has the providers' answers too: it is shown to an auditor and to nobody else.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Mapping, Sequence
from typing import Annotated

import msgspec
import numpy as np

from consent.models import ModelVersion
from consent.sent_weights import SentWeights, SessionId, sent_digest
from modeling.scoring.linear import ModelKey, sealed
from modeling.scoring.model import LinearModel

SEED_BYTES = 32


class SessionSeed(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A session's seed, as its owner shows it."""

    session: SessionId
    seed: Annotated[bytes, msgspec.Meta(min_length=SEED_BYTES, max_length=SEED_BYTES)]


def keep_seed(connection: sqlite3.Connection, model_id: str, seed: SessionSeed, now_ms: int) -> None:
    """At the owner, before anything is sent."""
    connection.execute(
        "INSERT INTO score_seeds (session, model_id, seed, at_ms) VALUES (?, ?, ?, ?)",
        (seed.session, model_id, seed.seed, now_ms),
    )


def keep_sent(connection: sqlite3.Connection, sent: SentWeights, document: bytes) -> None:
    """At a provider, before it computes."""
    connection.execute(
        "INSERT INTO score_sent (model_id, document, at_ms) VALUES (?, ?, ?)", (sent.model_id, document, sent.time_ms)
    )


def seeds_of(connection: sqlite3.Connection, model_id: str) -> tuple[SessionSeed, ...]:
    """Of a model's sessions, oldest first."""
    rows = connection.execute("SELECT session, seed FROM score_seeds WHERE model_id = ? ORDER BY at_ms", (model_id,))
    return tuple(SessionSeed(session=session, seed=seed) for session, seed in rows)


def sent_of(connection: sqlite3.Connection, model_id: str) -> tuple[bytes, ...]:
    """The signed words on a model's sessions, oldest first."""
    rows = connection.execute("SELECT document FROM score_sent WHERE model_id = ? ORDER BY at_ms", (model_id,))
    return tuple(document for (document,) in rows)


def forget_sessions(connection: sqlite3.Connection, before_ms: int) -> None:
    """Evidence from before that time."""
    connection.execute("DELETE FROM score_seeds WHERE at_ms < ?", (before_ms,))
    connection.execute("DELETE FROM score_sent WHERE at_ms < ?", (before_ms,))


def check_sessions(
    version: ModelVersion, whole: LinearModel, seeds: Iterable[SessionSeed], said: Sequence[SentWeights]
) -> tuple[str, ...]:
    """What is not as the owner said about the sessions of this model, in words; none if in each the registered weights were sent.

    Raises DataUnusable if the model cannot be encrypted at all.
    """
    known, made = {each.session: each.seed for each in seeds}, dict[str, Mapping[str, str]]()
    findings = []
    for sent in said:
        if sent.session not in known:
            findings.append(f"{sent.owner} does not show the seed of session {sent.session} with {sent.provider}.")
            continue
        if sent.session not in made:
            made[sent.session] = _digests(version, whole, known[sent.session])
        if made[sent.session].get(sent.provider) != sent.sent_sm3:
            findings.append(
                f"In session {sent.session} {sent.owner} sent {sent.provider} other weights than those of the model, or shows another "
                "seed."
            )
    return tuple(findings)


def _digests(version: ModelVersion, whole: LinearModel, seed: bytes) -> dict[str, str]:
    """By provider, what the registered weights are under this seed."""
    parts = [whole.part_for(provider) for provider in version.providers]
    key = ModelKey(seed)
    _, encrypted = sealed(
        key,
        [(np.array(each.weights, np.float64), each.preparation.bounds.astype(np.float64)) for each in parts],
    )
    return {
        provider: sent_digest(key.public, msgspec.msgpack.encode(each))
        for provider, each in zip(version.providers, encrypted, strict=True)
    }
