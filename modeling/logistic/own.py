"""What a party does with its own columns: its share of the predictor, its part of the gradient, its steps. No messages."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

import msgspec
import numpy as np
import numpy.typing as npt

from modeling import bfv
from modeling.errors import DataUnusable
from modeling.logistic.settings import PREDICTOR_BITS, Ring, Settings

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]

_LIMB_BITS: Final = 19
_LIMBS: Final = 3


@dataclass(frozen=True, kw_only=True, eq=False)
class Columns:
    """A party's side of the cohort: features float64[n, p], standardised; weights float64[n] in [0, 1], 0 for a row that it lacks."""

    features: Floats
    weights: Floats
    intercept: bool = False

    def __post_init__(self) -> None:
        """Raises DataUnusable."""
        if self.features.ndim != 2 or self.weights.shape != self.features.shape[:1]:
            raise DataUnusable(
                f"features {self.features.shape} and weights {self.weights.shape} are not of the same rows"
            )
        if not (np.isfinite(self.features).all() and np.isfinite(self.weights).all()):
            raise DataUnusable("a feature or weight is missing or infinite; prepare the columns first")
        if self.weights.min(initial=0) < 0 or self.weights.max(initial=0) > 1:
            raise DataUnusable("weights lie between 0 and 1")


@dataclass(frozen=True, kw_only=True, eq=False)
class LogisticPart:
    """A party's own part of a trained model: coefficients of its standardised columns, for the active party the intercept first.

    `clipped_rows`: rows whose own predictor was cut to its share of the period in the last step.
    """

    coefficients: Floats
    steps: int
    settled: bool
    clipped_rows: int


class State(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Where a party stands after `done` steps; coefficients and velocity as float64, little-endian."""

    done: int
    coefficients: bytes
    velocity: bytes


class Checkpoint(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A party's last two states: a party may be one step ahead of the one that begins again."""

    run: str
    width: int
    settings: Settings
    now: State
    before: State | None

    @property
    def done(self) -> int:
        """Steps."""
        return self.now.done


Keep = Callable[[Checkpoint], None]
Withdrawn = Callable[[], Sequence[int]]
"""Rows of the common order whose subjects have withdrawn by now."""


def nobody() -> Sequence[int]:
    """No subject withdraws."""
    return ()


@dataclass
class OwnPart:
    """A party's coefficients and what it needs to improve them."""

    columns: Columns
    settings: Settings
    ring: Ring
    parties: int
    coefficients: Floats = field(init=False)
    _velocity: Floats = field(init=False)
    clipped_rows: int = 0
    done: int = 0

    def __post_init__(self) -> None:
        settings, given = self.settings, self.columns
        clipped = np.clip(given.features, -settings.clip, settings.clip) * (given.weights > 0)[:, None]
        self._x = np.hstack([np.ones((len(clipped), 1)), clipped]) if given.intercept else clipped
        self._integers: Ints = np.round(self._x * (1 << self.ring.feature_bits)).astype(np.int64)
        self._encoded = [[bfv.encode(block) for block in bfv.blocks_of(column)] for column in self._integers.T]
        rows, width = self._x.shape
        self._l2 = np.full(width, settings.l2)
        if given.intercept:
            self._l2[0] = 0.0
        curvature = 0.25 * (self._x * given.weights[:, None]).T @ self._x / rows
        # The ridge keeps nearly collinear columns from exploding; the intercept's stays small.
        self._preconditioner = np.linalg.inv(curvature + max(settings.l2, 1e-6) * np.eye(width))
        self.coefficients = np.zeros(width)
        self._velocity = np.zeros(width)
        self._gone = np.zeros(rows, np.bool_)

    def state(self) -> State:
        """Where the party stands."""
        return State(
            done=self.done,
            coefficients=self.coefficients.astype("<f8").tobytes(),
            velocity=self._velocity.astype("<f8").tobytes(),
        )

    def restore(self, checkpoint: Checkpoint, run: str, done: int) -> None:
        """Go on after step `done` of this run. Raises DataUnusable for a checkpoint that does not have it."""
        states = [each for each in (checkpoint.now, checkpoint.before) if each is not None and each.done == done]
        same = (checkpoint.run, checkpoint.width, checkpoint.settings) == (run, self.width, self.settings)
        if not states or not same:
            raise DataUnusable("the checkpoint is of another training, of other columns, or of another step")
        self.done = done
        self.coefficients = np.frombuffer(states[0].coefficients, "<f8").astype(np.float64)
        self._velocity = np.frombuffer(states[0].velocity, "<f8").astype(np.float64)
        if not len(self.coefficients) == len(self._velocity) == self.width:
            raise DataUnusable("the checkpoint is of other columns")

    def drop(self, rows: Ints) -> bool:
        """From now on these rows have no record here: features of zero. Whether there were new ones."""
        new = np.unique(rows[~self._gone[rows]])
        if not len(new):
            return False
        self._gone[new] = True
        self._x[new] = 0.0
        self._integers[new] = 0
        for block in np.unique(new // bfv.SLOTS).tolist():
            span = slice(block * bfv.SLOTS, (block + 1) * bfv.SLOTS)
            for column, encoded in zip(self._integers.T, self._encoded, strict=True):
                encoded[block] = bfv.encode(bfv.blocks_of(column[span])[0])
        return True

    @property
    def gone(self) -> npt.NDArray[np.bool_]:
        """bool[n]: the rows that were dropped."""
        return self._gone

    @property
    def width(self) -> int:
        """Columns, the intercept included."""
        return int(self._x.shape[1])

    @property
    def rows(self) -> int:
        """Rows of the cohort."""
        return int(self._x.shape[0])

    def predictor_shares(self) -> tuple[Ints, Ints]:
        """The party's linear predictor in fixed point, as two shares, each alone uniform modulo the period."""
        bound = self.settings.period / (2 * self.parties)
        z = self._x @ self.coefficients
        self.clipped_rows = int((np.abs(z) > bound).sum())
        fixed = np.round(np.clip(z, -bound, bound) * (1 << PREDICTOR_BITS)).astype(np.int64)
        modulus = self.settings.period << PREDICTOR_BITS
        # 64 uniform bits modulo 2^25: a bias below 2^-38.
        drawn = np.frombuffer(secrets.token_bytes(8 * self.rows), np.uint64) % np.uint64(modulus)
        share = drawn.astype(np.int64)
        return np.mod(fixed - share, modulus), share

    def gradient_of_own_share(self, residuals: Ints) -> list[int]:
        """Sum over rows of column times residual share, modulo t, exact: by limbs that doubles carry without rounding."""
        mask = (1 << _LIMB_BITS) - 1
        limbs = np.stack([(residuals[: self.rows] >> (_LIMB_BITS * place)) & mask for place in range(_LIMBS)], axis=1)
        sums = self._integers.T.astype(np.float64) @ limbs.astype(np.float64)
        return [
            sum(int(value) << (_LIMB_BITS * place) for place, value in enumerate(row)) % bfv.PLAIN_MODULUS
            for row in sums
        ]

    def gradient_of_foreign_share(self, ciphers: Sequence[Any], owner: bfv.PublicKey) -> tuple[list[bytes], list[int]]:
        """For each column the masked ciphertext for the key's owner, and what to take away from its answer."""
        answers, masks = [], []
        for column in self._encoded:
            cipher, mask = owner.masked(bfv.products_of(ciphers, column))
            answers.append(cipher)
            masks.append(bfv.total_mod_t(mask))
        return answers, masks

    def step(self, sums: Sequence[int]) -> bool:
        """One preconditioned heavy-ball step by the gradient's sums modulo t; whether the party has settled."""
        gradient = np.array([bfv.centred(value) for value in sums], np.float64) / self.ring.gradient_scale / self.rows
        gradient += self._l2 * self.coefficients
        # With m blocks at once the curvature may be m times that of a block: the rate is for two.
        rate = self.settings.rate * 2 / self.parties
        self._velocity = self.settings.momentum * self._velocity + rate * (self._preconditioner @ gradient)
        self.coefficients = self.coefficients - self._velocity
        self.done += 1
        return bool(np.abs(self._velocity).max() <= self.settings.tolerance)
