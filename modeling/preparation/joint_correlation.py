"""Pearson correlation between two parties' columns, for finding columns that say the same (protocols.md, 7).

Parties: A with columns float64[n, p], and P with columns float64[n, q], over the same n rows: the active party and a passive, or two
passives. Semi-honest.
Outputs: both the matrix [p, q] of correlations in thousandths, at most one thousandth off. A missing value, or a row without a record,
counts as the column's mean. Each party centres its columns and scales them to the same length: then a correlation is a sum of products.

    A → P     how many rows and columns; A's key
    P → A     how many columns
    A → P     for each column of A: its encryption, 8,192 rows in a ciphertext
    P → A     for each column of P: the products summed over blocks, plus a mask uniform in every slot
    A → P     the sum over the slots of what decrypts, plus a dither of up to half a thousandth
    P → A     the correlations, rounded to thousandths

Leak: what A decrypts is uniform, so A sees the result and nothing else. P takes its mask away and sees the sum with A's dither in it,
which hides what lies below a thousandth; asked for many times, the dithers would average out, so how often is decided elsewhere. Each
correlation is an equation about either's column: a party tells at most a quarter as many of its columns as there are rows, to all
others together, for these may put together what they saw. Each column must know `minimum` values. Each sees how many columns the other
has. Masks and noise: `modeling.bfv`, rule 3.

Both compute in their own process, whatever the executor: a job correlates once, 20 by 20 columns of 100,000 rows in 6 s, of which the
products take a third. A worker would have to encode P's columns anew for each column of A, at five times what it spares.
"""

from __future__ import annotations

import math
import secrets
from typing import Final

import numpy as np
import numpy.typing as npt

from modeling import bfv
from modeling.channel import Channel
from modeling.errors import BudgetExceeded, CohortTooSmall, DataUnusable, ProtocolViolation
from modeling.messages import Message

MINIMUM: Final = 100
"""The fewest values that each column must know."""
START: Final = "correlation-start"
READY: Final = "correlation-ready"
COLUMN: Final = "correlation-column"
PRODUCTS: Final = "correlation-products"
SUMS: Final = "correlation-sums"
RESULT: Final = "correlation-result"

_THOUSAND: Final = 1000
_ROOM_BITS: Final = 53
"""Of a sum: two less than half the plaintext modulus has."""
_MAX_BITS: Final = 16

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]


def correlate(channel: Channel, features: Floats, *, minimum: int = MINIMUM, told: int = 0) -> Floats:
    """A's side: float64[p, q], own columns by P's. `features`: float64[n, p], NaN where missing.

    `told`: how many correlations of this party's columns others know already. Raises DataUnusable and CohortTooSmall (before anything
    is sent), BudgetExceeded, ProtocolViolation, PeerFailed.
    """
    columns = _scaled(features, minimum)
    rows, width = columns.shape
    key = bfv.SecretKey()
    channel.send(Message(kind=START, fields={"rows": rows, "columns": width}, blobs=(key.public,)))
    theirs = channel.receive(READY).number("columns")
    _check_budget(rows, width, theirs, told)
    sums = []
    for column in columns.T:
        blocks = tuple(key.encrypt(block) for block in bfv.blocks_of(column))
        channel.send(Message(kind=COLUMN, blobs=blocks))
        masked = _blobs(channel, PRODUCTS, theirs)
        sums.append([_dithered(bfv.total_mod_t(vector), rows) for vector in key.decrypt(masked)])
    channel.send(Message(kind=SUMS, arrays={"sums": np.array(sums, np.int64)}))
    found = channel.receive(RESULT).array("thousandths", "int16", (width, theirs))
    if np.abs(found.astype(np.int64)).max() > _THOUSAND:
        raise ProtocolViolation(f"{channel.peer} sent a correlation above one")
    return np.asarray(found / _THOUSAND)


def answer(channel: Channel, features: Floats, *, minimum: int = MINIMUM, told: int = 0) -> Floats:
    """P's side: float64[p, q], A's columns by own ones. `features`: float64[n, q], NaN where missing.

    `told`: as in `correlate`, and it raises the same.
    """
    columns = _scaled(features, minimum)
    rows, width = columns.shape
    start = channel.receive(START)
    theirs = start.number("columns")
    if start.number("rows") != rows or len(start.blobs) != 1:
        raise ProtocolViolation(f"{channel.peer} correlates {start.number('rows')} rows, this party has {rows}")
    _check_budget(rows, width, theirs, told)
    key = bfv.PublicKey(start.blobs[0])
    channel.send(Message(kind=READY, fields={"columns": width}))
    plains = [[bfv.encode(block) for block in bfv.blocks_of(column)] for column in columns.T]
    masks = []
    for _ in range(theirs):
        ciphers = [bfv.received(blob) for blob in _blobs(channel, COLUMN, len(plains[0]))]
        masked = [key.masked(bfv.products_of(ciphers, plain)) for plain in plains]
        channel.send(Message(kind=PRODUCTS, blobs=tuple(cipher for cipher, _ in masked)))
        masks.append([bfv.total_mod_t(mask) for _, mask in masked])
    sums = channel.receive(SUMS).array("sums", "int64", (theirs, width))
    found = _thousandths(_opened(sums, masks), rows, channel.peer)
    channel.send(Message(kind=RESULT, arrays={"thousandths": found}))
    return np.asarray(found / _THOUSAND)


def _scaled(features: Floats, minimum: int) -> Ints:
    """Each column centred, of length sqrt(n), in fixed point; zero where missing: int64[n, columns].

    By Cauchy and Schwarz a sum of products of two such columns is below n, whatever outliers they have: it cannot wrap around.
    """
    if features.ndim != 2 or 0 in features.shape or np.isinf(features).any():
        raise DataUnusable(f"columns are float64[rows, columns], finite or NaN, not {features.shape}")
    known = ~np.isnan(features)
    if known.sum(axis=0).min() < minimum:
        raise CohortTooSmall(
            f"a column knows fewer than {minimum} values; its correlations would be about few subjects"
        )
    rows = len(features)
    # Values near the largest double would overflow when they are squared.
    values = np.where(known, features, 0.0) / np.maximum(np.abs(np.where(known, features, 0.0)).max(axis=0), 1e-300)
    centred = np.where(known, values - values.sum(axis=0) / known.sum(axis=0), 0.0)
    length = np.sqrt((centred**2).sum(axis=0))
    if (length < 1e-9 * math.sqrt(rows)).any():
        raise DataUnusable("a column has one value only: it has no correlation")
    scaled: Ints = np.round(centred / length * math.sqrt(rows) * (1 << _bits(rows))).astype(np.int64)
    return scaled


def _bits(rows: int) -> int:
    """Fraction bits of a column."""
    return min(_MAX_BITS, (_ROOM_BITS - math.ceil(math.log2(rows))) // 2)


def _unit(rows: int) -> int:
    """What a correlation of one is in fixed point."""
    return rows << (2 * _bits(rows))


def _check_budget(rows: int, ours: int, theirs: int, told: int) -> None:
    if min(ours, theirs) < 1:
        raise ProtocolViolation("a party without columns has no correlations")
    if 4 * (told + ours * theirs) > rows:
        after = f" after {told} with others" if told else ""
        raise BudgetExceeded(
            f"{ours} by {theirs} correlations{after}; over {rows} rows at most {rows // 4} of a party's columns are told: "
            "fewer columns, or more rows"
        )


def _dithered(total: int, rows: int) -> int:
    half = _unit(rows) // (2 * _THOUSAND)
    return (total + secrets.randbelow(2 * half + 1) - half) % bfv.PLAIN_MODULUS


def _opened(sums: npt.NDArray[np.int64], masks: list[list[int]]) -> list[list[int]]:
    """The masks taken away: sums of products with A's dither."""
    if sums.min() < 0 or sums.max() >= bfv.PLAIN_MODULUS:
        raise ProtocolViolation("a sum is outside the ring")
    return [
        [bfv.centred(int(value) - mask) for value, mask in zip(*pair, strict=True)]
        for pair in zip(sums, masks, strict=True)
    ]


def _thousandths(opened: list[list[int]], rows: int, peer: str) -> npt.NDArray[np.int16]:
    """int16[p, q]. Raises ProtocolViolation where a sum cannot be one of scaled columns."""
    found = np.round(np.array(opened, np.float64) / _unit(rows) * _THOUSAND)
    if np.abs(found).max() > _THOUSAND + 1:
        raise ProtocolViolation(f"{peer} sent what gives a correlation above one")
    return np.clip(found, -_THOUSAND, _THOUSAND).astype(np.int16)


def _blobs(channel: Channel, kind: str, count: int) -> tuple[bytes, ...]:
    found = channel.receive(kind).blobs
    if len(found) != count:
        raise ProtocolViolation(f"{channel.peer} sent {len(found)} ciphertexts in {kind!r} where {count} were due")
    return found
