"""WOE and IV of a passive party's bins against the active party's label (protocols.md, 7). Semi-honest.

Parties: the active party A (labels, row weights) and one passive party P (bins of its own columns), on the same n rows.
Inputs: A's label in {0, 1}[n] and weight[n]; P's bin of each row for each of its columns, negative where it has no record.
Outputs: to P, positives and negatives of each of its bins, so WOE and IV by `woe.evidence`. To A: nothing that it is meant to use.
Leak: A sees for each column-and-bin slot, in an order that P drew at random, how many rows with weight and how many positives it
has; it sees no edges, no columns, and no bin's place. P sees the label counts of its bins, and hence what A's rows with weight and
positives are in all. Rows whose weight is zero, or that P has no record of, count nowhere; P does not learn which rows have weight
zero.

    A -> P  public key (Okamoto-Uchiyama); Enc(weight is not 0 ? 2^32 + y : 0) for each row, a chunk of rows in a message
    P -> A  for each slot the sum over its rows, with a fresh Enc(0) in it, in a random order of slots
    A -> P  counts of each slot, if each covers enough rows; else a refusal, at both

A bin of few rows would tell labels, and so would as many sums as there are rows (each is a linear equation): A refuses a bin that
holds fewer than `minimum` rows with weight, and more slots than a quarter of its rows. P leaves out bins in which it has no rows,
so that a refusal is about rows that are there. Runs over slightly different bins can be subtracted from one another: how often P
may ask is decided elsewhere.

Decryption must never be an oracle: an Okamoto-Uchiyama plaintext that is encrypted above the secret prime p and returned reduced
modulo p gives p away. What A decrypts is therefore told as counts of rows, or as the one error that it is none.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any, Final

import msgspec
import numpy as np
import numpy.typing as npt

from modeling.additive import Bytes2, Ciphers, PublicKey, SchemeName, SecretKey
from modeling.additive_rows import Named, encrypted, key_of, named
from modeling.channel import Channel
from modeling.errors import BudgetExceeded, CohortTooSmall, DataUnusable, ProtocolViolation
from modeling.executor import Executor
from modeling.messages import Message
from modeling.preparation.woe import Evidence, evidence
from modeling.psi.store import shuffled_order

SCHEME: Final[SchemeName] = "okamoto-uchiyama"
MINIMUM: Final = 20
"""The fewest rows with weight in a bin that is answered for."""
CHUNK: Final = 8192
"""Rows in a message: 3 MiB of ciphertexts. Below 2^16, as places within it travel to workers."""
MAX_ROWS: Final = 1 << 31
_ONE_ROW: Final = 1 << 32
"""A row is this, plus 1 if its label is 1: both counts in one plaintext. Sums of up to 2^31 rows do not run into one another."""

Places = npt.NDArray[np.int32]


def count_for_passive(
    channel: Channel,
    key: SecretKey,
    label: npt.NDArray[Any],
    weight: npt.NDArray[Any] | None = None,
    *,
    minimum: int = MINIMUM,
    executor: Executor | None = None,
) -> None:
    """The active party's part. `label`: {0, 1}[n]; `weight`: number[n], all 1 if None; `key`: of `SCHEME`, for one job.

    `executor`: where rows are encrypted; without one in this process, by HEU's threads.
    Raises DataUnusable (before anything is sent), CohortTooSmall, BudgetExceeded, ProtocolViolation, PeerFailed, WorkersFailed.
    """
    rows = _encoded(label, weight)
    if key.public.scheme != SCHEME:
        raise DataUnusable(f"labels are counted with a key of {SCHEME}, not of {key.public.scheme}")
    told = {"rows": len(rows), "chunk": CHUNK, "bits": key.public.bits}
    channel.send(Message(kind="bins.key", fields=told, blobs=(key.public.data,)))
    for ciphers in _wire_of(key.public, rows, executor):
        channel.send(Message(kind="bins.labels", arrays={"ciphers": ciphers}))
    totals, positives = _decrypted(channel, key, len(rows))
    enough = bool(totals.min() >= minimum)
    counts = {"positives": positives, "totals": totals} if enough else {}
    channel.send(Message(kind="bins.counts", fields={"enough": int(enough)}, arrays=counts))
    if not enough:
        raise CohortTooSmall(f"a bin of {channel.peer} holds fewer than {minimum} rows; nothing was told about any")


def count_bins(
    channel: Channel,
    places: Mapping[str, Places],
    bins: Mapping[str, int],
    *,
    smoothing: float = 0.5,
    executor: Executor | None = None,
) -> dict[str, Evidence]:
    """The passive party's part: WOE and IV of each column.

    `places`: for each column the bin of each row, int32[n] in 0 .. bins[column]-1 (as `binning.assign` gives), negative where there
    is no record. `executor`: where rows are summed; without one in this process, by HEU's threads.
    Raises DataUnusable, CohortTooSmall, ParametersUnsafe (A's key is too short), ProtocolViolation, PeerFailed, WorkersFailed.
    """
    table = _slots(places, bins)
    key = _key(channel, table.rows)
    sums = _summed(channel, key, table, executor)
    channel.send(Message(kind="bins.sums", arrays={"ciphers": key.to_wire(sums)}))
    positives, totals = _counts(channel, table)
    return {name: evidence(*table.of(name, positives, totals), smoothing) for name in places}


@dataclass(frozen=True, eq=False)
class _Slots:
    """Which rows are in which slot: a slot is one bin of one column that holds rows."""

    places: Mapping[str, Places]
    bins: Mapping[str, int]
    rows: int
    order: tuple[tuple[str, int], ...]
    """(column, bin) of each slot, in the order in which the active party sees them."""
    own: npt.NDArray[np.int64]
    """How many rows each slot has here."""

    def groups(self, first: int, last: int) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
        """Rows first .. last-1 slot by slot, counted from `first`, and how many each slot has of them."""
        found: dict[tuple[str, int], npt.NDArray[np.int64]] = {}
        for name, places in self.places.items():
            part = places[first:last]
            ranked = np.argsort(part, kind="stable")
            values, starts = np.unique(part[ranked], return_index=True)
            for value, members in zip(values.tolist(), np.split(ranked, starts[1:]), strict=True):
                found[name, value] = members
        none = np.zeros(0, np.int64)
        members_of = [found.get(slot, none) for slot in self.order]
        return np.concatenate(members_of), np.array([len(each) for each in members_of])

    def of(
        self, column: str, positives: npt.NDArray[np.int64], totals: npt.NDArray[np.int64]
    ) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
        """Positives and negatives of a column's bins, int64[bins]; 0 where it has no rows."""
        counts = np.zeros((2, self.bins[column]), np.int64)
        for at, (name, place) in enumerate(self.order):
            if name == column:
                counts[:, place] = positives[at], totals[at] - positives[at]
        return counts[0], counts[1]


def _wire_of(key: PublicKey, rows: npt.NDArray[np.int64], executor: Executor | None) -> Iterator[Bytes2]:
    if executor is not None:
        return encrypted(key, rows, CHUNK, executor)
    return (key.to_wire(key.encrypt(rows[at : at + CHUNK])) for at in range(0, len(rows), CHUNK))


def _summed(channel: Channel, key: PublicKey, table: _Slots, executor: Executor | None) -> Ciphers:
    """The sum over each slot's rows, with a fresh encryption of zero in it. Raises ProtocolViolation, PeerFailed."""
    sums = key.zeros(len(table.order))
    if executor is None:
        for ciphers, places, sizes in _pieces(channel, key, table):
            sums = key.add_groups(sums, key.from_wire(ciphers), places, sizes)
        return sums
    tasks = (
        msgspec.msgpack.encode((ciphers.tobytes(), places.astype("<u2").tobytes(), sizes.astype("<u2").tobytes()))
        for ciphers, places, sizes in _pieces(channel, key, table)
    )
    for found in executor.map(partial(_piece_summed, named(key)), tasks):
        sums = key.add(sums, key.from_wire(_rows(found, key)))
    return sums


def _pieces(
    channel: Channel, key: PublicKey, table: _Slots
) -> Iterator[tuple[Bytes2, npt.NDArray[np.int64], npt.NDArray[np.int64]]]:
    """What the active party sent of some rows, and where each slot's are among them."""
    for at in range(0, table.rows, CHUNK):
        due = min(CHUNK, table.rows - at)
        ciphers = channel.receive("bins.labels").array("ciphers", "uint8", (due, key.width))
        yield ciphers, *table.groups(at, at + due)


def _piece_summed(told: Named, task: bytes) -> bytes:
    key = key_of(told)
    ciphers, *parts = msgspec.msgpack.decode(task, type=tuple[bytes, bytes, bytes])
    places, sizes = (np.frombuffer(part, "<u2").astype(np.int64) for part in parts)
    return key.to_wire(
        key.add_groups(key.zeros(len(sizes)), key.from_wire(_rows(ciphers, key)), places, sizes)
    ).tobytes()


def _rows(wire: bytes, key: PublicKey) -> Bytes2:
    return np.frombuffer(wire, np.uint8).reshape(-1, key.width)


def _encoded(label: npt.NDArray[Any], weight: npt.NDArray[Any] | None) -> npt.NDArray[np.int64]:
    if label.ndim != 1 or not 0 < len(label) <= MAX_ROWS:
        raise DataUnusable("a label is a column with at least one row")
    counted = np.ones(len(label), bool) if weight is None else weight != 0
    if counted.shape != label.shape or not np.isin(label[counted], (0, 1)).all():
        raise DataUnusable("a label is 0 or 1 in each row with weight, and each row has a weight")
    if len(np.unique(label[counted])) != 2:
        raise DataUnusable("a label needs rows of both classes")
    return np.where(counted, _ONE_ROW + (label == 1), 0).astype(np.int64)


def _slots(places: Mapping[str, Places], bins: Mapping[str, int]) -> _Slots:
    if not places or len({each.shape for each in places.values()}) != 1:
        raise DataUnusable("bins need at least one column, and the same rows for each")
    named: list[tuple[str, int]] = []
    own: list[int] = []
    for name, column in places.items():
        if column.ndim != 1 or not len(column) or not np.issubdtype(column.dtype, np.integer):
            raise DataUnusable(f"column {name!r} should be the bin of each row, as whole numbers")
        if name not in bins or column.max() >= bins[name]:
            raise DataUnusable(f"column {name!r} has rows in a bin that it does not have")
        counts = np.bincount(column[column >= 0], minlength=bins[name])
        named += [(name, int(place)) for place in np.flatnonzero(counts)]
        own += counts[counts > 0].tolist()
    if not named:
        raise DataUnusable("no row has a record")
    order = shuffled_order(len(named))
    rows = len(next(iter(places.values())))
    return _Slots(places, bins, rows, tuple(named[at] for at in order), np.array(own, np.int64)[order])


def _key(channel: Channel, rows: int) -> PublicKey:
    told = channel.receive("bins.key")
    if told.number("rows") != rows or told.number("chunk") != CHUNK or len(told.blobs) != 1:
        raise ProtocolViolation(f"{channel.peer} counts labels of other rows than the {rows} that were agreed")
    return PublicKey(SCHEME, told.number("bits"), told.blobs[0])


def _decrypted(channel: Channel, key: SecretKey, rows: int) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """Rows with weight and positives of each slot that the passive party sent. Raises BudgetExceeded, ProtocolViolation."""
    came = channel.receive("bins.sums").array("ciphers", "uint8", (None, key.public.width))
    if 4 * len(came) > rows:
        raise BudgetExceeded(
            f"{channel.peer} asks for {len(came)} bins over {rows} rows; at most a quarter as many are told"
        )
    counts = [divmod(value, _ONE_ROW) for value in key.decrypt(key.public.from_wire(came))]
    if any(not 0 <= positives <= total <= rows for total, positives in counts):
        raise ProtocolViolation(f"{channel.peer} sent a sum that counts no rows")
    totals, positives = np.array(counts, np.int64).T
    return totals, positives


def _counts(channel: Channel, table: _Slots) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    told = channel.receive("bins.counts")
    if told.number("enough") != 1:
        raise CohortTooSmall(
            f"a bin holds too few rows for {channel.peer} to tell their labels: use fewer, larger bins"
        )
    positives, totals = (told.array(name, "int64", (len(table.order),)) for name in ("positives", "totals"))
    if positives.min() < 0 or (positives > totals).any() or (totals > table.own).any():
        raise ProtocolViolation(f"{channel.peer} counts labels of rows that a bin does not hold")
    return positives, totals
