"""A boosted model with one provider, scored so that only the sum over the trees opens: no side of any split.

Parties: the active party, with shapes, leaf weights and its own splits; one provider, with its splits by number. Inputs: each its
features float64[n, p] over one order of rows, NaN where missing. Output: the active party each row's margin; the provider nothing.

The paths of a model meet the provider's splits in certain *patterns*, sets of (number, side), each of some leaves. For each row and
pattern the active party encrypts, in a slot of its own, the weight of the leaf of this pattern to which its own splits send the row,
or zero; the provider multiplies each slot by 1 where the row has all sides of the pattern, by 0 elsewhere, and adds masks that are
uniform modulo t but add up to zero over a row. So slots say nothing, and their sum over a row is its margin, exactly as rounded.
Paths that meet no split of the provider stay with the active party.

Leak to the active party: nothing but the margin of each row, where `modeling.gbdt.scoring` tells the side of each split. To the
provider: once for a model, the patterns, that is which of its splits with which sides lie on one path; that it is used, on how many
rows. With several providers their bits would have to be multiplied under encryption: they are scored as in `modeling.gbdt.scoring`.
A row costs as many slots as there are patterns, so 8,192 slots, 197 KB, are 25 rows of a model of 320.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, Final

import msgspec
import numpy as np
import numpy.typing as npt

from modeling import bfv
from modeling.errors import DataUnusable, ProtocolViolation
from modeling.gbdt.features import Flags
from modeling.gbdt.trees import ActivePart, Leaf, OwnNode, PassivePart, Tree
from modeling.scoring.fixed import Floats

FRACTION_BITS: Final = 32
MAX_MARGIN: Final = float(1 << 20)
MAX_SLOTS: Final = 1 << 26
"""Rows times patterns of one request: 1.8 GB of ciphertexts."""

Ints = npt.NDArray[np.int64]
Pattern = tuple[tuple[int, bool], ...]
"""Of the provider's splits on a path: (number, whether the path goes left there), in order of number."""


class _Path(msgspec.Struct, frozen=True):
    """To a leaf: the own splits with their sides, and the provider's."""

    weight: float
    own: tuple[tuple[OwnNode, bool], ...]
    pattern: Pattern


class Owner:
    """The active party; its key lives for one session. `public` and `opening` go to the provider. `error`: bound of a margin's error.

    `opening`: the patterns, as msgpack.
    """

    def __init__(self, model: ActivePart) -> None:
        """Raises DataUnusable if the model has several providers, or margins beyond what fits."""
        if len(model.passives) > 1:
            raise DataUnusable(
                f"this model has {len(model.passives)} providers; it is scored by the sides of their splits"
            )
        paths = [path for tree in model.trees for path in _paths(tree)]
        if sum(abs(path.weight) for path in paths) > MAX_MARGIN:
            raise DataUnusable(f"leaves of this model add up to more than {MAX_MARGIN:.0f}: its numbers do not fit")
        self._model = model
        self._patterns: list[Pattern] = sorted({path.pattern for path in paths if path.pattern})
        place = {pattern: number for number, pattern in enumerate(self._patterns)}
        self._shared = [(place[path.pattern], path) for path in paths if path.pattern]
        self._alone = [path for path in paths if not path.pattern]
        self._key = bfv.SecretKey()
        self.public = self._key.public
        self.opening: bytes = msgspec.msgpack.encode(self._patterns)
        self.error = len(model.trees) * 2.0 ** -(FRACTION_BITS + 1)

    def ask(self, features: Floats) -> tuple[bytes, ...]:
        """float64[n, p] own features: ciphertexts to send; none if no path meets a split of the provider. Raises DataUnusable."""
        self._check(features)
        slots = np.zeros((len(features), len(self._patterns)), np.int64)
        check_slots(slots.shape)
        for place, path in self._shared:
            slots[_reached(path, features), place] += round(path.weight * 2**FRACTION_BITS)
        return tuple(self._key.encrypt(block) for block in bfv.blocks_of(slots.reshape(-1)))

    def open(self, answer: Sequence[bytes], features: Floats, kept: Flags | None = None) -> Floats:
        """float64[n]: margins (log odds) of the rows that were asked about, NaN where not `kept`. Raises ProtocolViolation."""
        self._check(features)
        rows, width = len(features), len(self._patterns)
        margin = np.full(rows, self._model.base)
        for path in self._alone:
            margin[_reached(path, features)] += path.weight
        if len(answer) != -(-rows * width // bfv.SLOTS):
            raise ProtocolViolation(f"{rows} rows of {width} patterns do not fill {len(answer)} answers")
        if kept is not None:
            margin = np.where(kept, margin, np.nan)
        if not answer:
            return margin
        slots = np.concatenate(self._key.decrypt(answer))[: rows * width].reshape(rows, width)
        sums = row_sums(slots)
        whole = np.where(sums > bfv.PLAIN_MODULUS // 2, sums - bfv.PLAIN_MODULUS, sums).astype(np.float64)
        if (np.abs(whole[~np.isnan(margin)]) > MAX_MARGIN * 2.0**FRACTION_BITS).any():
            raise ProtocolViolation("a margin is out of range: the provider sent what is none")
        return np.asarray(margin + whole / 2.0**FRACTION_BITS)

    def _check(self, features: Floats) -> None:
        _check_columns(features, self._model.features)


class Provider:
    """The provider's side, kept for a session."""

    def __init__(self, part: PassivePart, public: bytes, opening: bytes) -> None:
        """Raises ProtocolViolation."""
        try:
            self._patterns = msgspec.msgpack.decode(opening, type=tuple[Pattern, ...])
        except msgspec.DecodeError as error:
            raise ProtocolViolation(f"the patterns of a model do not parse: {error}") from None
        numbers = {number for pattern in self._patterns for number, _ in pattern}
        if not all(self._patterns) or any(not 0 <= number < len(part.splits) for number in numbers):
            raise ProtocolViolation("a pattern is empty, or of splits that this party does not have in this model")
        self._part, self._numbers = part, sorted(numbers)
        self._key = bfv.PublicKey(public)

    def answer(self, features: Floats, asked: Sequence[bytes], *, hidden: Flags | None = None) -> list[bytes]:
        """float64[n, p] features: ciphertexts to send back; `hidden`: bool[n], rows that it refuses.

        Raises DataUnusable, ProtocolViolation.
        """
        _check_columns(features, self._part.features)
        shape = (len(features), len(self._patterns))
        check_slots(shape)
        if len(asked) != -(-shape[0] * shape[1] // bfv.SLOTS):
            raise ProtocolViolation(f"{shape[0]} rows of {shape[1]} patterns do not fill {len(asked)} ciphertexts")
        bits, masks = (
            bfv.blocks_of(self._bits(features).reshape(-1)),
            bfv.blocks_of(row_masks(shape, hidden).reshape(-1)),
        )
        return [self._block(*each) for each in zip(asked, bits, masks, strict=True)]

    def _block(self, cipher: bytes, bits: Ints, mask: Ints) -> bytes:
        products = bfv.products_of([bfv.received(cipher)], [bfv.encode(bits)])
        return self._key.masked_by(mask, products)

    def _bits(self, features: Floats) -> Ints:
        """int64[n, patterns]: 1 where a row has all sides of a pattern."""
        left = {number: self._part.splits[number].split.left(features) for number in self._numbers}
        found = np.ones((len(features), len(self._patterns)), np.bool_)
        for place, pattern in enumerate(self._patterns):
            for number, goes_left in pattern:
                found[:, place] &= left[number] == goes_left
        return found.astype(np.int64)


def row_masks(shape: tuple[int, int], hidden: Flags | None = None) -> Ints:
    """int64[rows, width] uniform modulo t but for a sum of zero over each row that is not hidden."""
    found = bfv.uniform(shape[0] * shape[1]).reshape(shape)
    if found.size:
        last = np.mod(found[:, -1] - row_sums(found), bfv.PLAIN_MODULUS)
        found[:, -1] = last if hidden is None else np.where(hidden, found[:, -1], last)
    return found


def row_sums(slots: Ints) -> Ints:
    """int64[rows] modulo t of int64[rows, width]; exact up to 2^34 slots a row."""
    low, high = (slots & ((1 << 28) - 1)).sum(axis=1), (slots >> 28).sum(axis=1)
    scaled = np.mod(high, bfv.PLAIN_MODULUS)
    for _ in range(4):  # by 2^28 in steps that do not overflow
        scaled = np.mod(scaled << 7, bfv.PLAIN_MODULUS)
    found: Ints = np.mod(low + scaled, bfv.PLAIN_MODULUS)
    return found


def check_slots(shape: tuple[int, int]) -> None:
    """Raises DataUnusable if a request is too large."""
    if shape[0] * shape[1] > MAX_SLOTS:
        raise DataUnusable(f"{shape[0]} rows of {shape[1]} patterns are too many for one request; score in parts")


def _paths(tree: Tree) -> Iterator[_Path]:
    stack: list[tuple[int, _Path]] = [(0, _Path(0.0, (), ()))]
    while stack:
        place, path = stack.pop()
        node = tree[place]
        if isinstance(node, Leaf):
            yield _Path(node.weight, path.own, tuple(sorted(path.pattern)))
            continue
        for child, left in ((2 * place + 1, True), (2 * place + 2, False)):
            if isinstance(node, OwnNode):
                stack.append((child, _Path(0.0, (*path.own, (node, left)), path.pattern)))
            else:
                stack.append((child, _Path(0.0, path.own, (*path.pattern, (node.number, left)))))


def _reached(path: _Path, features: Floats) -> Flags:
    """bool[n]: rows that the own splits of a path send along it."""
    found: Flags = np.ones(len(features), np.bool_)
    for node, left in path.own:
        found = found & (node.split.left(features) == left)
    return found


def _check_columns(features: Any, count: int) -> None:  # noqa: ANN401
    if features.ndim != 2 or features.shape[1] != count or np.isinf(features).any():
        raise DataUnusable(f"the model has {count} columns here, finite or NaN; {features.shape} came")
