"""What the workers of an executor do with a public key of `additive`: encrypt rows, and whatever else a caller maps over rows.

A task is a piece of rows. The key goes with the work as bytes (HEU's own do not pass between processes), and a worker makes the key of
them once, with every check, and so checks what another party sent exactly as this process would. The decryption key stays here.
"""

from __future__ import annotations

import functools
from collections.abc import Iterator
from typing import Final

import numpy as np
import numpy.typing as npt

from modeling.additive import Bytes2, PublicKey, SchemeName
from modeling.executor import Executor

_KEYS: Final = 4
"""Keys that a worker keeps: one with a table may take 130 MB."""

Named = tuple[SchemeName, int, bytes]
"""A public key as it goes to a worker: scheme, bits, HEU's form."""


def named(key: PublicKey) -> Named:
    """The key for a worker."""
    return key.scheme, key.bits, key.data


@functools.lru_cache(maxsize=_KEYS)
def key_of(told: Named) -> PublicKey:
    """The key, in a worker."""
    return PublicKey(*told)


def encrypted(key: PublicKey, values: npt.NDArray[np.int64], piece: int, executor: Executor) -> Iterator[Bytes2]:
    """The wire form of int64[n], so many rows at a time, by the workers of an executor."""
    chunks = (values[begin : begin + piece].astype("<i8").tobytes() for begin in range(0, len(values), piece))
    for found in executor.map(functools.partial(_encrypted, named(key)), chunks):
        yield np.frombuffer(found, np.uint8).reshape(-1, key.width)


def _encrypted(told: Named, chunk: bytes) -> bytes:
    key = key_of(told)
    return key.to_wire(key.encrypt(np.frombuffer(chunk, "<i8").astype(np.int64))).tobytes()
