"""How scores of a model come about at its owner: what a session begins with, what each question brings, how the answers open.

| kind           | a session begins with                        | an answer is                  | opened as                            |
|----------------|----------------------------------------------|-------------------------------|--------------------------------------|
| linear         | a key and the encrypted weights              | encrypted sums under masks    | decrypted sum + own part             |
| joint_logistic | nothing: each party has its coefficients     | sums under masks              | sum + own part                       |
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

import msgspec
import numpy as np
import numpy.typing as npt

from consent.models import Model
from modeling.jobs.active import ActivePartOfJob
from modeling.jobs.table import Flags
from modeling.scoring.fixed import Floats
from modeling.scoring.inputs import OWN
from modeling.scoring.joint import ERROR, logistic_total
from modeling.scoring.meaning import Meaning, Outcome
from modeling.scoring.model import LinearModel, canonical, parse_model
from modeling.scoring.reasons import outcome
from nodes.errors import NodeError
from nodes.models.registry import Registry
from nodes.scoring.computer import Computer
from nodes.scoring.messages import Layout
from nodes.scoring.own import OwnColumn, OwnRows, columns_of, columns_of_job
from nodes.scoring.work import MakeKey, OpenScores

FEW_ROWS = 256
"""A small answer of a model whose answers are all of one form."""


@dataclass(frozen=True, kw_only=True)
class Begun:
    """`blobs`: what the opening brings each provider. `error`: proved bound of a score's error. `few`: most rows of a small answer."""

    blobs: Mapping[str, tuple[bytes, ...]]
    error: float
    few: int


@dataclass(frozen=True, kw_only=True)
class Answers:
    """The providers' parts of one question, by member; all of one session."""

    session: str
    layout: Layout
    rows: int
    parts: Mapping[str, tuple[bytes, ...]]


class Recipe(Protocol):
    """One model of this node's own."""

    own: tuple[OwnColumn, ...]
    """What the bank brings itself."""

    def layout(self, rows: int, few: int) -> Layout:
        """In which form so many rows are answered."""
        ...

    async def begin(self, session: str) -> Begun:
        """Raises NodeError, ModelingError, SessionLost."""
        ...

    async def open(self, answers: Answers, kept: Flags, own: OwnRows) -> Floats:
        """float64[rows]: scores, NaN where not `kept`. Raises SessionLost, NodeError, ModelingError."""
        ...

    def read(self, score: Floats, own: OwnRows) -> Outcome:
        """What scores, all finite, mean."""
        ...


class LinearRecipe:
    """Model to data."""

    def __init__(self, model: LinearModel, providers: tuple[str, ...], computer: Computer) -> None:
        self._model, self._providers, self._computer = model, providers, computer
        self._parts = {member: model.part_for(member) for member in providers}
        self.own = columns_of(model.preparation_for(OWN))

    def layout(self, rows: int, few: int) -> Layout:
        """As in Recipe."""
        return "tiled" if rows <= few else "columns"

    async def begin(self, session: str) -> Begun:
        """As in Recipe."""
        made = await self._computer.do(
            MakeKey(
                session=session,
                weights=tuple(np.array(each.weights, np.float64).tobytes() for each in self._parts.values()),
                bounds=tuple(each.preparation.bounds.astype(np.float64).tobytes() for each in self._parts.values()),
            )
        )
        public, *encrypted = made.parts
        blobs = {
            member: (canonical(part.preparation), public, weights)
            for (member, part), weights in zip(self._parts.items(), encrypted, strict=True)
        }
        return Begun(blobs=blobs, error=made.error, few=made.rows)

    async def open(self, answers: Answers, kept: Flags, own: OwnRows) -> Floats:
        """As in Recipe."""
        done = await self._computer.do(
            OpenScores(
                session=answers.session,
                layout=answers.layout,
                rows=answers.rows,
                answers=tuple(answers.parts[member] for member in self._providers),
                kept=kept.tobytes(),
            )
        )
        return np.frombuffer(done.parts[0], np.float64) + self._model.own_predictor(own.table, own.present)

    def read(self, score: Floats, own: OwnRows) -> Outcome:
        """As in Recipe."""
        return outcome(self._model, score, own.table, own.present)


class LogisticRecipe:
    """A joint logistic model."""

    def __init__(self, part: ActivePartOfJob, providers: tuple[str, ...]) -> None:
        self._prepared, self._providers = part.prepared, providers
        self._coefficients = np.array(part.coefficients, np.float64)
        self.own = columns_of_job(part.prepared)

    def layout(self, rows: int, few: int) -> Layout:
        """As in Recipe."""
        return "plain"

    async def begin(self, session: str) -> Begun:
        """As in Recipe."""
        return Begun(blobs=dict.fromkeys(self._providers, ()), error=ERROR * len(self._providers), few=FEW_ROWS)

    async def open(self, answers: Answers, kept: Flags, own: OwnRows) -> Floats:
        """As in Recipe."""
        words: list[npt.NDArray[np.uint64]] = []
        for member in self._providers:
            (data,) = answers.parts[member]
            if len(data) != 8 * answers.rows:
                raise NodeError(f"{member} sent parts of other rows than were asked.", code="PROTOCOL_VIOLATION")
            words.append(np.frombuffer(data, "<u8").astype(np.uint64))
        features = self._prepared.matrix(own.table, own.present)
        return logistic_total(self._coefficients, features, words, kept)

    def read(self, score: Floats, own: OwnRows) -> Outcome:
        """As in Recipe."""
        return Meaning().read(score)


def recipe_of(model: Model, registry: Registry, computer: Computer) -> Recipe:
    """Raises NodeError NOT_FOUND, MODEL_INVALID; ModelInvalid."""
    version = model.version
    if version.kind == "linear" and version.mode == "model_to_data":
        return LinearRecipe(parse_model(registry.linear(version.model_id).model), version.providers, computer)
    if version.kind == "joint_logistic":
        part = msgspec.json.decode(registry.own_part(version.model_id).part, type=ActivePartOfJob)
        return LogisticRecipe(part, version.providers)
    raise NodeError(
        f"Model {version.name} is {version.kind} in mode {version.mode}, which this node does not score.",
        code="MODEL_INVALID",
    )
