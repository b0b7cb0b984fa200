"""How scores of a model come about at whoever asks: what a session begins with, what a question brings, how the answers open.

| kind           | a session begins with                        | an answer is                  | opened as                            |
|----------------|----------------------------------------------|-------------------------------|--------------------------------------|
| linear         | a key of a seed and the encrypted weights    | encrypted sums under masks    | decrypted sum + own part             |
| joint_logistic | nothing: each party has its coefficients     | sums under masks              | sum + own part                       |
| data to model  | the asker's key                              | encrypted scores              | decrypted                            |
| joint_boosting | one provider: a key, which splits share paths| encrypted leaves under masks  | decrypted sum over the leaves        |
|                | several: nothing                             | the side of each split        | the trees are walked                 |
"""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

import msgspec
import numpy as np
import numpy.typing as npt

from consent.model_state import Model
from modeling.gbdt.trees import ActivePart, PassiveNode, tree_margin
from modeling.jobs.active import ActivePartOfJob
from modeling.jobs.table import Flags
from modeling.scoring.fixed import ROUNDED_BY, Floats
from modeling.scoring.inputs import OWN
from modeling.scoring.joint import ERROR, logistic_total
from modeling.scoring.meaning import Meaning, Outcome
from modeling.scoring.model import LinearModel, canonical, parse_model
from modeling.scoring.reasons import outcome
from modeling.scoring.told import Told, parse_told
from nodes.errors import NodeError
from nodes.models.registry import Registry
from nodes.models.sessions import SEED_BYTES
from nodes.scoring.computer import Computer
from nodes.scoring.messages import Layout
from nodes.scoring.own import OwnColumn, OwnRows, columns_of, columns_of_job
from nodes.scoring.work import (
    AskBoosting,
    EncryptRows,
    MakeBoosting,
    MakeKey,
    MakeRequester,
    OpenBoosting,
    OpenRows,
    OpenScores,
)

FEW_ROWS = 256
"""A small answer of a model whose answers are all of one form."""


@dataclass(frozen=True, kw_only=True)
class Begun:
    """What an opening brings each provider (`blobs`), and what is known with it.

    `error`: proved bound of the error of an opened score. `few`: most rows of a small answer.
    `sent`: ciphertexts that a question about many rows brings for each 8,192 of them. `seed`: what the key and the encrypted weights
    follow from, for an auditor; empty where no weights are sent.
    """

    blobs: Mapping[str, tuple[bytes, ...]]
    error: float
    few: int
    sent: int = 0
    seed: bytes = b""

    @property
    def bound(self) -> float:
        """Of the error of a score as it is told: rounded."""
        return self.error + ROUNDED_BY


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

    async def question(self, session: str, own: OwnRows) -> tuple[bytes, ...]:
        """What a question brings beside the rows. Raises as `begin`."""
        ...

    async def open(self, answers: Answers, kept: Flags, own: OwnRows) -> Floats:
        """float64[rows]: scores, NaN where not `kept`. Raises SessionLost, NodeError, ModelingError."""
        ...

    def read(self, score: Floats, own: OwnRows) -> Outcome:
        """What scores, all finite, mean."""
        ...


class _Plain:
    """What most kinds have in common."""

    def layout(self, rows: int, few: int) -> Layout:
        """As in Recipe."""
        return "plain"

    async def question(self, session: str, own: OwnRows) -> tuple[bytes, ...]:
        """As in Recipe."""
        return ()

    def read(self, score: Floats, own: OwnRows) -> Outcome:
        """As in Recipe."""
        return Meaning().read(score)


class LinearRecipe(_Plain):
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
        seed = secrets.token_bytes(SEED_BYTES)
        made = await self._computer.do(
            MakeKey(
                session=session,
                seed=seed,
                weights=tuple(np.array(each.weights, np.float64).tobytes() for each in self._parts.values()),
                bounds=tuple(each.preparation.bounds.astype(np.float64).tobytes() for each in self._parts.values()),
            )
        )
        public, *encrypted = made.parts
        blobs = {
            member: (canonical(part.preparation), public, weights)
            for (member, part), weights in zip(self._parts.items(), encrypted, strict=True)
        }
        return Begun(blobs=blobs, error=made.error, few=made.rows, seed=seed)

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


class LogisticRecipe(_Plain):
    """A joint logistic model."""

    def __init__(self, part: ActivePartOfJob, providers: tuple[str, ...]) -> None:
        self._prepared, self._providers = part.prepared, providers
        self._coefficients = np.array(part.coefficients, np.float64)
        self.own = columns_of_job(part.prepared)

    async def begin(self, session: str) -> Begun:
        """As in Recipe."""
        return Begun(blobs=dict.fromkeys(self._providers, ()), error=ERROR * len(self._providers), few=FEW_ROWS)

    async def open(self, answers: Answers, kept: Flags, own: OwnRows) -> Floats:
        """As in Recipe."""
        words: list[npt.NDArray[np.uint64]] = []
        for member in self._providers:
            (data,) = answers.parts[member]
            if len(data) != 8 * answers.rows:
                raise _of_other_rows(member)
            words.append(np.frombuffer(data, "<u8").astype(np.uint64))
        features = self._prepared.matrix(own.table, own.present)
        return logistic_total(self._coefficients, features, words, kept)


class BoostingRecipe(_Plain):
    """A boosted model with one provider: only the sum over the leaves opens."""

    def __init__(self, part: ActivePartOfJob, trees: ActivePart, provider: str, computer: Computer) -> None:
        self._prepared, self._provider, self._computer = part.prepared, provider, computer
        self._part = msgspec.json.encode(trees)
        self.own = columns_of_job(part.prepared)

    async def begin(self, session: str) -> Begun:
        """As in Recipe."""
        made = await self._computer.do(MakeBoosting(session=session, part=self._part))
        return Begun(blobs={self._provider: made.parts}, error=made.error, few=FEW_ROWS)

    async def question(self, session: str, own: OwnRows) -> tuple[bytes, ...]:
        """As in Recipe."""
        features = self._features(own)
        done = await self._computer.do(AskBoosting(session=session, rows=len(own.present), features=features))
        return done.parts

    async def open(self, answers: Answers, kept: Flags, own: OwnRows) -> Floats:
        """As in Recipe."""
        done = await self._computer.do(
            OpenBoosting(
                session=answers.session,
                rows=answers.rows,
                features=self._features(own),
                answers=answers.parts[self._provider],
                kept=kept.tobytes(),
            )
        )
        return np.frombuffer(done.parts[0], np.float64)

    def _features(self, own: OwnRows) -> bytes:
        return self._prepared.matrix(own.table, own.present).tobytes()


class SidesRecipe(_Plain):
    """A boosted model with several providers, with the leak of `modeling.gbdt.scoring`: a bit for each row and split."""

    def __init__(self, part: ActivePartOfJob, trees: ActivePart, providers: tuple[str, ...]) -> None:
        self._prepared, self._trees = part.prepared, trees
        self._providers = dict(zip(trees.passives, providers, strict=True))
        self.own = columns_of_job(part.prepared)

    async def begin(self, session: str) -> Begun:
        """As in Recipe."""
        return Begun(blobs=dict.fromkeys(self._providers.values(), ()), error=0.0, few=FEW_ROWS)

    async def open(self, answers: Answers, kept: Flags, own: OwnRows) -> Floats:
        """As in Recipe."""
        sides = {
            party: self._sides(party, answers.parts[member], member, answers.rows)
            for party, member in self._providers.items()
        }

        def side(node: PassiveNode) -> Flags:
            left: Flags = sides[node.party][node.number]
            return left

        features = self._prepared.matrix(own.table, own.present)
        margin = np.full(answers.rows, self._trees.base)
        for tree in self._trees.trees:
            margin += tree_margin(tree, features, side)
        return np.where(kept, margin, np.nan)

    def _sides(self, party: str, parts: tuple[bytes, ...], member: str, rows: int) -> Flags:
        """bool[splits, rows]."""
        nodes = [node for tree in self._trees.trees for node in tree.values()]
        splits = sum(isinstance(node, PassiveNode) and node.party == party for node in nodes)
        (data,) = parts
        if len(data) != -(-splits * rows // 8):
            raise _of_other_rows(member)
        bits = np.unpackbits(np.frombuffer(data, np.uint8), bitorder="little")[: splits * rows]
        return bits.astype(np.bool_).reshape(splits, rows)


class MirroredRecipe(_Plain):
    """Data to model: another member's model, to which the own columns travel encrypted."""

    def __init__(self, told: Told, owner: str, computer: Computer) -> None:
        self._told, self._owner, self._computer = told, owner, computer
        self.own = columns_of(told.preparation)

    async def begin(self, session: str) -> Begun:
        """As in Recipe."""
        bounds = self._told.preparation.bounds.astype(np.float64).tobytes()
        made = await self._computer.do(
            MakeRequester(session=session, bounds=bounds, weight_bits=self._told.weight_bits)
        )
        columns = len(self._told.preparation.names)
        return Begun(blobs={self._owner: made.parts}, error=self._told.error, few=made.rows, sent=columns)

    async def question(self, session: str, own: OwnRows) -> tuple[bytes, ...]:
        """As in Recipe."""
        features = self._told.preparation.apply(own.table, own.present).tobytes()
        done = await self._computer.do(EncryptRows(session=session, rows=len(own.present), features=features))
        return done.parts

    async def open(self, answers: Answers, kept: Flags, own: OwnRows) -> Floats:
        """As in Recipe."""
        parts = answers.parts[self._owner]
        done = await self._computer.do(
            OpenRows(session=answers.session, rows=answers.rows, answers=parts, kept=kept.tobytes())
        )
        return np.frombuffer(done.parts[0], np.float64)

    def read(self, score: Floats, own: OwnRows) -> Outcome:
        """As in Recipe."""
        return self._told.meaning.read(score)


def recipe_of(model: Model, registry: Registry, computer: Computer) -> Recipe:
    """Raises NodeError NOT_FOUND, MODEL_INVALID; ModelInvalid."""
    version = model.version
    if version.mode == "model_to_data":
        return LinearRecipe(parse_model(registry.linear(version.model_id).model), version.providers, computer)
    if version.mode == "joint":
        part = msgspec.json.decode(registry.own_part(version.model_id).part, type=ActivePartOfJob)
        if part.boosting is None:
            return LogisticRecipe(part, version.providers)
        if len(version.providers) == 1:
            return BoostingRecipe(part, part.boosting, version.providers[0], computer)
        return SidesRecipe(part, part.boosting, version.providers)
    return MirroredRecipe(parse_told(version.told), version.owner, computer)


def _of_other_rows(member: str) -> NodeError:
    return NodeError(f"{member} sent parts of other rows than were asked.", code="PROTOCOL_VIOLATION")
