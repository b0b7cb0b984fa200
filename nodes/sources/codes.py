"""Unified social credit codes (GB 32100-2015), a column at a time.

Says yes only where `consent.identifiers.Uscc.parse` does; whoever gets a no asks `Uscc.parse` for the reason.
"""

from __future__ import annotations

from typing import Any, Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from consent.identifiers import USCC_ALPHABET

CODE_LENGTH: Final = 18
_UNKNOWN: Final = 255
_WEIGHTS: Final = np.array([pow(3, place, 31) for place in range(17)], dtype=np.int32)


def _values() -> npt.NDArray[np.uint8]:
    values = np.full(256, _UNKNOWN, dtype=np.uint8)
    for value, char in enumerate(USCC_ALPHABET):
        values[ord(char)] = value
    return values


_VALUES: Final = _values()


def valid_codes(column: Any) -> npt.NDArray[np.bool_]:  # noqa: ANN401 (a pyarrow string array)
    """Which of the texts are codes with the right form and check character; null is none."""
    valid = np.zeros(len(column), dtype=np.bool_)
    long_enough = pc.fill_null(pc.equal(pc.binary_length(column), CODE_LENGTH), False).to_numpy(zero_copy_only=False)
    candidates = column.filter(pa.array(long_enough))
    if len(candidates) == 0:
        return valid
    values = _VALUES[code_bytes(candidates)]
    # A letter that never occurs has value 255: it is masked here, so that the sum below stays meaningless but harmless.
    formed = (values != _UNKNOWN).all(axis=1) & (values[:, 2:8] < 10).all(axis=1)
    total = values[:, :17].astype(np.int32) @ _WEIGHTS
    valid[long_enough] = formed & (values[:, 17] == (31 - total % 31) % 31)
    return valid


def code_bytes(column: Any) -> npt.NDArray[np.uint8]:  # noqa: ANN401 (a pyarrow string array)
    """The bytes of texts that all have 18 (none null), as a matrix of as many rows, without a copy."""
    offsets = np.frombuffer(column.buffers()[1], dtype=np.int32, count=1, offset=column.offset * 4)
    data = np.frombuffer(column.buffers()[2], dtype=np.uint8, count=len(column) * CODE_LENGTH, offset=int(offsets[0]))
    return data.reshape(-1, CODE_LENGTH)


def code_keys(column: Any) -> npt.NDArray[np.bytes_]:  # noqa: ANN401 (a pyarrow string array)
    """The same as sortable keys of 18 bytes, without a copy."""
    if len(column) == 0:
        return np.empty(0, dtype=f"S{CODE_LENGTH}")
    return code_bytes(column).reshape(-1).view(f"S{CODE_LENGTH}")
