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
from modeling.leavers import Leavers
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

    `clipped_rows`: rows whose own predictor was cut to its share of the period in the last step. `left`: rows whose subjects had
    withdrawn when the training ended.
    """

    coefficients: Floats
    steps: int
    settled: bool
    clipped_rows: int
    left: int


class State(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Where a party stands after `done` steps; coefficients and velocity as float64, little-endian."""

    done: int
    coefficients: bytes
    velocity: bytes


class Checkpoint(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A party's last two states: a passive may be one step ahead of the active party, which keeps its own after all others have.

    `gone`: rows that have left, int32, little-endian; `data`: fingerprint of the data of those that stay.
    """

    run: str
    settings: Settings
    data: str
    gone: bytes
    now: State
    before: State

    @property
    def done(self) -> int:
        """Steps."""
        return self.now.done


Keep = Callable[[Checkpoint], None]


@dataclass
class OwnPart:
    """A party's coefficients and what it needs to improve them.

    `label`: of the active party, float64[n], zero where there is none; here it only tells one training from another.
    """

    columns: Columns
    settings: Settings
    ring: Ring
    parties: int
    label: Floats | None = None
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
        self._l2 = np.full(self.width, settings.l2)
        if given.intercept:
            self._l2[0] = 0.0
        self.weights = given.weights.copy()
        self.coefficients = np.zeros(self.width)
        self._velocity = np.zeros(self.width)
        self.leavers = Leavers(self._x, given.weights, *([] if self.label is None else [self.label]))
        self._precondition()

    def _precondition(self) -> None:
        curvature = 0.25 * (self._x * self.weights[:, None]).T @ self._x / self.rows
        # The ridge keeps nearly collinear columns from exploding; the intercept's stays small.
        self._preconditioner = np.linalg.inv(curvature + max(self.settings.l2, 1e-6) * np.eye(self.width))

    def state(self) -> State:
        """Where the party stands."""
        return State(
            done=self.done,
            coefficients=self.coefficients.astype("<f8").tobytes(),
            velocity=self._velocity.astype("<f8").tobytes(),
        )

    def checkpoint(self, run: str, before: State) -> Checkpoint:
        """What the party keeps after a step of this run."""
        return Checkpoint(
            run=run,
            settings=self.settings,
            data=self.leavers.fingerprint,
            gone=self.leavers.packed,
            now=self.state(),
            before=before,
        )

    def restore(self, checkpoint: Checkpoint, run: str, done: int) -> None:
        """Go on after step `done` of this run. Raises DataUnusable for a checkpoint that does not have it."""
        if (checkpoint.run, checkpoint.settings) != (run, self.settings):
            raise DataUnusable("the checkpoint is of another training, or of one with other settings")
        states = [each for each in (checkpoint.now, checkpoint.before) if each.done == done]
        if not states:
            raise DataUnusable(f"the checkpoint is of step {checkpoint.done}; the training goes on after step {done}")
        self._forget(self.leavers.restore(checkpoint.gone, checkpoint.data))
        state = states[0]
        if not len(state.coefficients) == len(state.velocity) == 8 * self.width:
            raise DataUnusable("the checkpoint is damaged")
        self.done = done
        self.coefficients = np.frombuffer(state.coefficients, "<f8").astype(np.float64)
        self._velocity = np.frombuffer(state.velocity, "<f8").astype(np.float64)

    def drop(self, rows: Sequence[int] | Ints) -> bool:
        """From now on these rows have no record here: features and weight zero. Whether there were new ones. Raises DataUnusable."""
        new = self.leavers.add(rows)
        self._forget(new)
        return bool(len(new))

    def _forget(self, new: Ints) -> None:
        if not len(new):
            return
        self.weights[new] = 0.0
        self._x[new] = 0.0
        self._integers[new] = 0
        for block in np.unique(new // bfv.SLOTS).tolist():
            span = slice(block * bfv.SLOTS, (block + 1) * bfv.SLOTS)
            for column, encoded in zip(self._integers.T, self._encoded, strict=True):
                encoded[block] = bfv.encode(bfv.blocks_of(column[span])[0])
        self._precondition()

    def part(self, *, settled: bool) -> LogisticPart:
        """The party's part of the model."""
        return LogisticPart(
            coefficients=self.coefficients,
            steps=self.done,
            settled=settled,
            clipped_rows=self.clipped_rows,
            left=len(self.leavers.rows),
        )

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
