"""What a node's process of scoring is told to do, and what it says: one frame of msgpack for each, between processes of one release.

Sessions live in that process alone: keys, encrypted weights that are loaded, seeds of masks. When it is lost they are lost with it, and
the other node opens a new session.
"""

from __future__ import annotations

import struct
import sys
from typing import Any, Final

import msgspec

from nodes.scoring.messages import Layout

WORKER: Final = (sys.executable, "-m", "nodes.scoring.worker")
HEAD: Final = struct.Struct(">Q")


class _Task(msgspec.Struct, frozen=True, kw_only=True, tag_field="do"):
    """A piece of work. `session`: whose."""

    session: str


class Load(_Task, frozen=True, kw_only=True, tag="load"):
    """Provider: keep the other node's key and encrypted weights warm. `seeds`: of the masks with each other provider, by place."""

    place: int
    seeds: dict[int, bytes]
    public: bytes
    weights: bytes


class LoadLogistic(_Task, frozen=True, kw_only=True, tag="load_logistic"):
    """Provider: this party's coefficients of a joint logistic model."""

    place: int
    seeds: dict[int, bytes]
    coefficients: bytes


class LoadBoosting(_Task, frozen=True, kw_only=True, tag="load_boosting"):
    """Provider: this party's part (JSON) of a boosted model, the owner's key, and which splits share a path."""

    part: bytes
    public: bytes
    opening: bytes


class LoadSides(_Task, frozen=True, kw_only=True, tag="load_sides"):
    """Provider: this party's part (JSON) of a boosted model with several providers."""

    part: bytes


class LoadOwner(_Task, frozen=True, kw_only=True, tag="load_owner"):
    """Owner of a model that others' data comes to: its document, and the asker's public key."""

    model: bytes
    public: bytes


class Compute(_Task, frozen=True, kw_only=True, tag="compute"):
    """Provider: this party's part of the scores. `features`: float64[rows, p]; `hidden`: bool[rows], rows that nobody may learn.

    `subjects`: who each row is, bound into the masks: providers that were asked about different enterprises open nothing.
    """

    layout: Layout
    request_no: int
    rows: int
    features: bytes
    hidden: bytes
    subjects: tuple[bytes, ...]
    asked: tuple[bytes, ...]
    """What the question brought."""


class MakeKey(_Task, frozen=True, kw_only=True, tag="make_key"):
    """Owner: a key for the session, of this seed, and the weights of each provider encrypted under it. float64[p] each."""

    seed: bytes
    weights: tuple[bytes, ...]
    bounds: tuple[bytes, ...]


class OpenScores(_Task, frozen=True, kw_only=True, tag="open_scores"):
    """Owner: decrypt the sum over the providers. `answers`: of each provider its ciphertexts; `kept`: bool[rows]."""

    layout: Layout
    rows: int
    answers: tuple[tuple[bytes, ...], ...]
    kept: bytes


class MakeBoosting(_Task, frozen=True, kw_only=True, tag="make_boosting"):
    """Owner: a key for the session, and its part (JSON) of a boosted model with one provider."""

    part: bytes


class AskBoosting(_Task, frozen=True, kw_only=True, tag="ask_boosting"):
    """Owner: what a question brings. `features`: float64[rows, p], its own."""

    rows: int
    features: bytes


class OpenBoosting(_Task, frozen=True, kw_only=True, tag="open_boosting"):
    """Owner: the margins. `answers`: the provider's ciphertexts; `kept`: bool[rows]."""

    rows: int
    features: bytes
    answers: tuple[bytes, ...]
    kept: bytes


class MakeRequester(_Task, frozen=True, kw_only=True, tag="make_requester"):
    """Asker: a key for the session. `bounds`: float64[p], of the columns that it sends."""

    bounds: bytes
    weight_bits: int


class EncryptRows(_Task, frozen=True, kw_only=True, tag="encrypt_rows"):
    """Asker: what a question brings. `features`: float64[rows, p]."""

    rows: int
    features: bytes


class OpenRows(_Task, frozen=True, kw_only=True, tag="open_rows"):
    """Asker: the scores. `answers`: the owner's ciphertexts; `kept`: bool[rows]."""

    rows: int
    answers: tuple[bytes, ...]
    kept: bytes


class Drop(_Task, frozen=True, kw_only=True, tag="drop"):
    """Forget a session."""


Task = (
    Load
    | LoadLogistic
    | LoadBoosting
    | LoadSides
    | LoadOwner
    | Compute
    | MakeKey
    | OpenScores
    | MakeBoosting
    | AskBoosting
    | OpenBoosting
    | MakeRequester
    | EncryptRows
    | OpenRows
    | Drop
)


class Call(msgspec.Struct, frozen=True, kw_only=True):
    """A task with its number."""

    number: int
    task: Task


class Done(msgspec.Struct, frozen=True, kw_only=True):
    """How a task ended. `failed`: an error's code; `unknown`: this process has no such session.

    `parts`: ciphertexts, masked numbers, scores float64[rows], or of a key: the public key, then each provider's encrypted weights (of
    boosting: which splits share a path).
    """

    number: int
    failed: str = ""
    message: str = ""
    unknown: bool = False
    parts: tuple[bytes, ...] = ()
    rows: int = 0
    """Of a key: how many rows one tiled answer holds."""
    error: float = 0.0
    """Of a key: the proved bound of a score's error."""


def framed(message: Any) -> bytes:  # noqa: ANN401 - Call or Done
    """A message as it travels."""
    data = msgspec.msgpack.encode(message)
    return HEAD.pack(len(data)) + data
