"""The objects of SEAL as bytes. The library writes to a path and reads from one only: an anonymous file in memory is one.

What another party sent is loaded with the library's validity checks. Plaintexts whose numbers stand in the coefficients are written in
the library's own format, which spares a call for each number.
"""

from __future__ import annotations

import os
import struct
import threading
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import tenseal.sealapi as seal

from modeling.errors import ProtocolViolation

_HEADER: Final = struct.Struct("<HBBBBHQ")
"""Magic, header's size, version, compression (0: none), reserved, size of all (SEAL's serialization.h)."""
_MAGIC: Final = 0xA15E
_VERSION_AT: Final = slice(3, 5)


def saved(thing: Any) -> bytes:  # noqa: ANN401 - the library's classes are not typed
    """An object's bytes, compressed as the library does by default."""
    file = _memory_file()
    thing.save(f"/proc/self/fd/{file}")
    return os.pread(file, os.fstat(file).st_size, 0)


def load_into(context: Any, thing: Any, data: bytes) -> None:  # noqa: ANN401
    """Read an object of a context. Raises ProtocolViolation."""
    file = _memory_file()
    os.pwrite(file, data, 0)
    try:
        thing.load(context, f"/proc/self/fd/{file}")
    except (RuntimeError, ValueError) as error:
        raise ProtocolViolation(f"what should be a BFV object of the agreed parameters is none: {error}") from None


def loaded_cipher(context: Any, data: bytes) -> Any:  # noqa: ANN401
    """A ciphertext of two parts that encrypts something. Raises ProtocolViolation."""
    cipher = seal.Ciphertext()
    load_into(context, cipher, data)
    if cipher.size() != 2 or cipher.is_transparent():
        raise ProtocolViolation("a ciphertext came that encrypts nothing, or has another size than was agreed")
    return cipher


def plaintext(context: Any, coefficients: npt.NDArray[np.uint64]) -> Any:  # noqa: ANN401
    """A plaintext polynomial, lowest coefficient first, each below the plain modulus."""
    version = saved(seal.Plaintext(1))[_VERSION_AT]
    count = len(coefficients)
    numbers = _framed(version, struct.pack("<Q", count) + coefficients.astype("<u8").tobytes())
    found = seal.Plaintext()
    load_into(context, found, _framed(version, bytes(32) + struct.pack("<Qd", count, 1.0) + numbers))
    return found


def _framed(version: bytes, body: bytes) -> bytes:
    return _HEADER.pack(_MAGIC, _HEADER.size, version[0], version[1], 0, 0, _HEADER.size + len(body)) + body


_files = threading.local()


def _memory_file() -> int:
    """An anonymous file of the calling thread, emptied; closed with the thread."""
    held = getattr(_files, "held", None)
    if held is None or held.owner != os.getpid():
        held = _files.held = _MemoryFile()
    os.ftruncate(held.number, 0)
    return held.number


class _MemoryFile:
    def __init__(self) -> None:
        self.number = os.memfd_create("xinqiao-seal")
        self.owner = os.getpid()

    def __del__(self) -> None:
        os.close(self.number)
