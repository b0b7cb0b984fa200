"""What a party does with its own columns: its basis, its parts of predictor and gradient. No messages.

A basis T makes the party's columns X orthonormal for the optimiser: with n rows and weights w,

    X' = X T,   X'^T w X' / 4n + S = 1,   S = T^T ridge T

so a step by the plain gradient is a step preconditioned by the party's own curvature (the bound of the logistic loss: Böhning, 1992).
T ends in a random rotation that nobody else knows: what others learn of X' as numbers over its columns says nothing of a column.
Coordinates u are the coefficients in the basis: w = T u. Below the n rows of X' stand the rows of S: the product with u has the
predictor in its first n numbers and the ridge's part of the gradient in the others.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

import msgspec
import numpy as np
import numpy.typing as npt

from modeling import bfv
from modeling.errors import DataUnusable, RangeExceeded
from modeling.executor import Executor
from modeling.leavers import Leavers
from modeling.logistic.grid_sums import gradient_sums, predictor_sums
from modeling.logistic.layout import Layout
from modeling.logistic.settings import COLUMN_BOUND, RIDGE_BITS, Period, Ring, Settings

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]

_LIMB_BITS: Final = 19
_LIMBS: Final = 3
_LEAST_RIDGE: Final = 1e-6
"""For columns that depend on each other, and the intercept."""


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

    `sizes`: of the active party, by how much each step changed the log odds (`Settings.tolerance`). `left`: rows whose subjects had
    withdrawn when the training ended.
    """

    coefficients: Floats
    steps: int
    settled: bool
    left: int
    sizes: tuple[float, ...] = ()


class State(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Where a party stands after `done` steps. `over`: none follows. `period` and what comes after it: of computing parties."""

    done: int
    settled: bool = False
    over: bool = False
    period: Period
    age: int = 0
    shares: bytes = b""
    sizes: tuple[float, ...] = ()
    since: int = 0


class Checkpoint(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A party's last two states: a passive may be one step ahead of the active party, which keeps its own after all others have.

    Before correlations are told it is kept for the first time, with no step done. `openings`: how often they were told.
    `basis`: float64[p, p], little-endian. `inverse`: of a computing party, int64[all columns squared]. `gone`: rows that have left,
    int32; `data`: fingerprint of the data of those that stay.
    """

    run: str
    openings: int
    settings: Settings
    data: str
    gone: bytes
    basis: bytes
    inverse: bytes
    now: State
    before: State

    @property
    def done(self) -> int:
        """Steps."""
        return self.now.done

    def after(self, run: str, settings: Settings, done: int) -> State:
        """The state after step `done` of this run. Raises DataUnusable for a checkpoint that does not have it."""
        if (self.run, self.settings) != (run, settings):
            raise DataUnusable("the checkpoint is of another training, or of one with other settings")
        states = [each for each in (self.now, self.before) if each.done == done]
        if not states:
            raise DataUnusable(f"the checkpoint is of step {self.done}; the training goes on after step {done}")
        return states[0]


Keep = Callable[[Checkpoint], None]


@dataclass
class OwnPart:
    """A party's columns in its basis.

    `label`: of the active party, float64[n], zero where there is none; here it only tells one training from another. `resume`: whose
    basis and leavers are taken over. `executor`: where columns meet ciphertexts; without one in this process.
    """

    columns: Columns
    settings: Settings
    ring: Ring
    label: Floats | None = None
    resume: Checkpoint | None = None
    executor: Executor | None = None
    weights: Floats = field(init=False)
    leavers: Leavers = field(init=False)

    def __post_init__(self) -> None:
        settings, given = self.settings, self.columns
        clipped = np.clip(given.features, -settings.clip, settings.clip) * (given.weights > 0)[:, None]
        x = np.hstack([np.ones((len(clipped), 1)), clipped]) if given.intercept else clipped
        self.rows, self.width = x.shape
        self.weights = given.weights.copy()
        self.leavers = Leavers(x, given.weights, *([] if self.label is None else [self.label]))
        gone = np.empty(0, np.int64)
        if self.resume is not None:
            gone = self.leavers.restore(self.resume.gone, self.resume.data)
        ridge = np.full(self.width, settings.l2)
        ridge[: int(given.intercept)] = 0.0
        self._basis = _basis_of(x, self.weights, ridge) if self.resume is None else _kept(self.resume, self.width)
        below = self._basis.T @ (ridge[:, None] * self._basis)
        scaled = np.vstack([x @ self._basis, below * (1 << RIDGE_BITS)]) * (1 << self.ring.feature_bits)
        self._integers: Ints = np.round(scaled).astype(np.int64)
        self._integers[gone] = 0
        self.weights[gone] = 0.0
        self._check_range()
        self._encoded: list[list[Any]] = []

    def lay_out(self, layout: Layout) -> None:
        """Encode the columns, unless workers do."""
        self._layout, height = layout, layout.row_blocks(self.rows + self.width)
        if self.executor is not None:
            return
        self._encoded = [
            [bfv.encode(layout.cell(self._integers, columns, rows)) for rows in range(height)]
            for columns in range(layout.column_blocks(self.width))
        ]

    def _check_range(self) -> None:
        sums = np.abs(self._integers[: self.rows] * np.sqrt(self.weights)[:, None]).sum(axis=0)
        if sums.max(initial=0.0) > COLUMN_BOUND * self.rows * (1 << self.ring.feature_bits):
            raise RangeExceeded("a column in its basis is beyond its bound: is the checkpoint of these columns?")

    def checkpoint(self, run: str, openings: int, now: State, before: State, inverse: bytes = b"") -> Checkpoint:
        """What the party keeps of this run: before its first step, and after each."""
        return Checkpoint(
            run=run,
            openings=openings,
            settings=self.settings,
            data=self.leavers.fingerprint,
            gone=self.leavers.packed,
            basis=self._basis.astype("<f8").tobytes(),
            inverse=inverse,
            now=now,
            before=before,
        )

    def drop(self, rows: Sequence[int] | Ints) -> bool:
        """From now on these rows have no record here: features and weight zero. Whether there were new ones. Raises DataUnusable.

        The basis stays: without a row the curvature is smaller, and a bound of it all the more.
        """
        new = self.leavers.add(rows)
        self.weights[new] = 0.0
        self._integers[new] = 0
        if self._encoded:
            for block in np.unique(new // self._layout.size).tolist():
                for place, cells in enumerate(self._encoded):
                    cells[block] = bfv.encode(self._layout.cell(self._integers, place, block))
        return bool(len(new))

    def coefficients(self, coordinates: Floats) -> Floats:
        """Of the party's columns as they were given."""
        found: Floats = self._basis @ coordinates
        return found

    def weighted(self, rows: Ints) -> Floats:
        """float64[rows, p]: columns in the basis, times the weights."""
        scale = float(1 << self.ring.feature_bits)
        found: Floats = self._integers[rows] / scale * self.weights[rows, None]
        return found

    # -- predictor: a share of the own coordinates, in the clear or encrypted by its holder ------------------------------

    def predictor_of_own_share(self, coordinates: Ints) -> Ints:
        """int64[n + p] modulo t; `coordinates` int64[p] in [0, t)."""
        parts = _limbs(coordinates) @ self._integers.T
        total = np.zeros(len(self._integers), np.int64)
        for part in parts[::-1]:
            total = np.mod(_shifted(total) + part, bfv.PLAIN_MODULUS)
        return total

    def predictor_of_foreign_share(self, blobs: Sequence[bytes], holder: bfv.PublicKey) -> tuple[list[bytes], Ints]:
        """The same for a share that came encrypted: masked ciphertexts, and the masks, int64[n + p]. Raises ProtocolViolation."""
        masked = [holder.masked(products) for products in self._predictors(blobs)]
        masks = self._layout.over_groups([mask for _, mask in masked], self.rows + self.width)
        return [cipher for cipher, _ in masked], masks

    def _predictors(self, blobs: Sequence[bytes]) -> Iterable[bfv.Sum]:
        if self.executor is not None:
            return predictor_sums(blobs, self._integers, self._layout, self.executor)
        ciphers = [bfv.received(blob) for blob in blobs]
        return (bfv.products_of(ciphers, cells) for cells in zip(*self._encoded, strict=True))

    # -- gradient: a share of the residual, likewise ---------------------------------------------------------------------

    def gradient_of_own_share(self, residuals: Ints) -> Ints:
        """int64[p]: sum over rows of column times residual share, modulo t, exact: by limbs, whose sums fit into 63 bits."""
        sums = self._integers[: self.rows].T @ _limbs(residuals[: self.rows]).T
        totals = (sum(int(value) << (_LIMB_BITS * place) for place, value in enumerate(row)) for row in sums)
        return np.array([total % bfv.PLAIN_MODULUS for total in totals], np.int64)

    def gradient_of_foreign_share(self, blobs: Sequence[bytes], holder: bfv.PublicKey) -> tuple[list[bytes], Ints]:
        """The same for a share that came encrypted: masked ciphertexts, and the masks, int64[p]. Raises ProtocolViolation."""
        masked = [holder.masked(products) for products in self._gradients(blobs)]
        return [cipher for cipher, _ in masked], self._layout.within_groups([mask for _, mask in masked], self.width)

    def _gradients(self, blobs: Sequence[bytes]) -> Iterable[bfv.Sum]:
        if self.executor is not None:
            return gradient_sums(blobs, self._integers, self._layout, self.executor)
        ciphers = [bfv.received(blob) for blob in blobs]
        return (bfv.products_of(ciphers, cells[: len(ciphers)]) for cells in self._encoded)


def _basis_of(x: Floats, weights: Floats, ridge: Floats) -> Floats:
    curvature = 0.25 * (x * weights[:, None]).T @ x / len(x) + np.diag(np.maximum(ridge, _LEAST_RIDGE))
    values, vectors = np.linalg.eigh(curvature)
    # Eigenvalues are above the least ridge but for rounding.
    found: Floats = vectors / np.sqrt(np.maximum(values, _LEAST_RIDGE / 2)) @ _rotation(len(values))
    return found


def _rotation(size: int) -> Floats:
    """Uniform among all (Mezzadri 2007)."""
    uniform = np.frombuffer(secrets.token_bytes(16 * size * size), np.uint64).reshape(2, size, size)
    u, v = (uniform + 0.5) / 2.0**64
    q, r = np.linalg.qr(np.sqrt(-2 * np.log(u)) * np.cos(2 * np.pi * v))
    found: Floats = q * np.sign(np.diag(r))
    return found


def _kept(checkpoint: Checkpoint, width: int) -> Floats:
    if len(checkpoint.basis) != 8 * width * width:
        raise DataUnusable("the checkpoint is damaged")
    return np.frombuffer(checkpoint.basis, "<f8").reshape(width, width).astype(np.float64)


def _limbs(residues: Ints) -> Ints:
    """int64[3, m] of 19 bits, the lowest first. They meet columns as integers: BLAS would start threads on the other parties' cores."""
    mask = (1 << _LIMB_BITS) - 1
    return np.stack([(residues >> (_LIMB_BITS * place)) & mask for place in range(_LIMBS)])


def _shifted(residues: Ints) -> Ints:
    """Times 2^19 modulo t, seven bits at a time: more would not fit into 63."""
    for bits in (7, 7, _LIMB_BITS - 14):
        residues = np.mod(residues << bits, bfv.PLAIN_MODULUS)
    return residues
