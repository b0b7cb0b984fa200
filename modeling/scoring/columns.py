"""The heavy part of scoring many rows: blocks of 8,192 rows times encrypted weights, each answer hidden by an encryption of its own.

With columns x, weights' ciphertexts (b, a) and the owner's public key (p0, p1) an answer is

    sum_j x_j (b_j, a_j)  +  u (p0, p1)  +  (e0, e1)  +  (mask q / t, 0)

whose last three terms are BFV's public-key encryption of the mask (Fan, Vercauteren 2012, 3), with u and e drawn afresh for each block
(`ring.ternary`, `ring.errors`). So its product is one column more, and the sum is taken at once (`fourier`): a fresh encryption costs a
thirtieth of the products where alone it costs as much as half of them.

Columns that have names are kept encoded within a limit; room is made by dropping other columns only, so that a table larger than the
limit does not push itself out while it is gone through. Of the latest models the weights are kept as factors.
"""

from __future__ import annotations

import secrets
from collections import OrderedDict
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from types import TracebackType
from typing import Any, Final, Self, TypeVar

import numpy as np

from modeling.errors import ParametersUnsafe
from modeling.executor import cores
from modeling.scoring import fourier, ring
from modeling.scoring.fourier import AT_ONCE, DIGITS, POINTS, SPECTRUM_BYTES, Residues, Spectra, Whole
from modeling.scoring.ring import PRIMES, SIZE, PublicKey, SecretKey, Words

T = TypeVar("T")
Run = Callable[..., list[Any]]
COLUMN_BYTES: Final = 512 << 20
"""Encoded columns that are kept, by default: a million rows of 30 features take 242 MB."""
_WIDTH: Final = 2 * PRIMES * DIGITS
"""Polynomials of digits in a ciphertext."""
_BLOCKS: Final = 16
"""Blocks that are answered at once: the factors come from memory once for all of them."""
_STEP: Final = 256
"""Points of a product of matrices, which so stays in the cache."""
_GROUPS: Final = 4
"""Of 32 factors each, 34 MB, that are kept."""


class Factors:
    """A model's encrypted weights, and before them the key under which they are."""

    def __init__(self, key: PublicKey, weights: Sequence[bytes]) -> None:
        """Raises ProtocolViolation."""
        self.key = key
        self._weights = [ring.checked(each) for each in weights]
        self.starts = range(0, 1 + len(weights), AT_ONCE)

    def group(self, start: int, run: Run) -> Spectra:
        """complex128[4096, n, 16]: at each point the digits of up to 32 factors."""
        places = range(start, min(start + AT_ONCE, 1 + len(self._weights)))
        found = np.empty((POINTS, len(places), _WIDTH), np.complex128)

        def fill(place: int) -> None:
            factor = ring.residues_of(self._weights[place - 1]) if place else self.key.residues
            found[:, place - start] = fourier.table(fourier.digits(factor, ring.primes()).reshape(_WIDTH, -1))

        run(fill, places)
        return found


class Columns:
    """Threads, and what they keep for all sessions of a process. For one caller at a time."""

    def __init__(self, column_bytes: int = COLUMN_BYTES, threads: int | None = None) -> None:
        """`threads`: as many as there are cores if None; 1: the caller's own."""
        count = cores() if threads is None else threads
        self._threads = ThreadPoolExecutor(count) if count > 1 else None
        self._room = column_bytes // SPECTRUM_BYTES
        self._tables: OrderedDict[tuple[int, tuple[str, ...]], Spectra] = OrderedDict()
        self._groups: OrderedDict[tuple[Factors, int], Spectra] = OrderedDict()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._threads is not None:
            self._threads.shutdown()

    def answers(
        self, factors: Factors, block: Callable[[int], Whole], names: tuple[str, ...], masks: Words
    ) -> list[bytes]:
        """A ciphertext for each block, of which `masks` uint64[n, 8192] has a row.

        `block`: a block's columns, int32[p, rows]; not asked for those that are kept under their `names`, which may be none.
        Raises what `block` raises, and ProtocolViolation.
        """
        found: list[bytes] = []
        for start in range(0, len(masks), _BLOCKS):
            places = range(start, min(start + _BLOCKS, len(masks)))
            tables = self._encoded(block, names, places)
            found += self._run(factors.key.finished, self._sums(factors, tables), masks[start : start + _BLOCKS])
        return found

    def _encoded(self, block: Callable[[int], Whole], names: tuple[str, ...], places: range) -> list[Spectra]:
        """complex128[4096, p] of each block."""
        kept = {place: self._kept(place, names) for place in places}
        missing = [place for place in places if kept[place] is None]
        made = dict(zip(missing, self._run(lambda place: fourier.table(block(place)), missing), strict=True))
        for place in missing if names else ():
            self._keep((place, names), made[place])
        return [made[place] if (found := kept[place]) is None else found for place in places]

    def _kept(self, place: int, names: tuple[str, ...]) -> Spectra | None:
        """A block that has these columns, and maybe others."""
        for key, table in self._tables.items() if names else ():
            if key[0] == place and set(names) <= set(key[1]):
                self._tables.move_to_end(key)
                return table if key[1] == names else table[:, [key[1].index(name) for name in names]]
        return None

    def _keep(self, key: tuple[int, tuple[str, ...]], table: Spectra) -> None:
        used = sum(each.shape[1] for each in self._tables.values()) + table.shape[1]
        while self._tables and used > self._room and next(iter(self._tables))[1] != key[1]:
            used -= self._tables.popitem(last=False)[1].shape[1]
        if used <= self._room:
            self._tables[key] = table

    def _sums(self, factors: Factors, tables: list[Spectra]) -> list[Residues]:
        """int64[2, 2, 8192] of each block: fresh small numbers times the key, and columns times weights."""
        fresh = [fourier.table(ring.ternary()[None]) for _ in tables]
        totals: list[Residues] = []
        for start in factors.starts:
            products = self._products(self._group(factors, start), start, fresh, tables)
            found = self._run(lambda each: fourier.sums(each, ring.primes()), products)
            totals = self._run(ring.added, totals, found) if totals else found
        return totals

    def _products(self, group: Spectra, start: int, fresh: list[Spectra], tables: list[Spectra]) -> Spectra:
        """complex128[blocks, 16, 4096] with the factors from `start` on; the first is the key's."""
        found = np.empty((len(tables), _WIDTH, POINTS), np.complex128)
        columns = slice(max(start - 1, 0), start - 1 + group.shape[1])

        def multiply(at: int) -> None:
            points = slice(at, at + _STEP)
            left = np.empty((_STEP, len(tables), group.shape[1]), np.complex128)
            for place, table in enumerate(tables):
                if not start:
                    left[:, place, :1] = fresh[place][points]
                left[:, place, 0 if start else 1 :] = table[points, columns]
            found[..., points] = (left @ group[points]).transpose(1, 2, 0)

        self._run(multiply, range(0, POINTS, _STEP))
        return found

    def _group(self, factors: Factors, start: int) -> Spectra:
        key = (factors, start)
        if key not in self._groups:
            while len(self._groups) >= _GROUPS:
                self._groups.popitem(last=False)
            self._groups[key] = factors.group(start, self._run)
        self._groups.move_to_end(key)
        return self._groups[key]

    def _run(self, work: Callable[..., T], *arguments: Iterable[Any]) -> list[T]:
        """As map, in the threads."""
        return list(map(work, *arguments) if self._threads is None else self._threads.map(work, *arguments))


def self_test() -> None:
    """Products of either kind on random numbers, against plain arithmetic. Raises ParametersUnsafe if anything comes out wrong."""
    ring.self_test()
    owner, random = SecretKey(), np.random.default_rng(secrets.randbits(64))
    weights = random.integers(-(1 << 26), 1 << 26, 8)
    columns = random.integers(-(1 << 22), 1 << 22, (len(weights), SIZE), np.int32)
    factors = Factors(PublicKey(owner.public), [owner.encrypt(weight[None]) for weight in weights])
    mask = ring.uniform(SIZE)
    (answer,) = Columns(threads=1).answers(factors, lambda _: columns, (), mask[None])
    if (ring.residues(owner.decrypt(answer, range(SIZE)) - mask) != ring.residues(weights @ columns)).any():
        raise ParametersUnsafe("sums of many products come out wrong on this machine")
