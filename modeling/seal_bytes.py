"""The objects of SEAL as bytes. The library writes to a path and reads from one only: an anonymous file in memory is one.

What another party sent is loaded with the library's validity checks. Numbers go into objects, and come out of them, by the library's
own format (version 4), which spares a call for each number.
"""

from __future__ import annotations

import os
import struct
import threading
from collections.abc import Sequence
from functools import cache
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import tenseal.sealapi as seal

from modeling.errors import ProtocolViolation

_HEADER: Final = struct.Struct("<HBBBBHQ")
"""Magic, header's size, version, compression (0: none), reserved, size of all (SEAL's serialization.h)."""
_COUNT: Final = struct.Struct("<Q")
_MAGIC: Final = 0xA15E
_VERSION_AT: Final = slice(3, 5)
_PLAIN: Final = struct.Struct("<4QQd")
"""Level, coefficients, scale (plaintext.cpp)."""
_CIPHER: Final = struct.Struct("<4Q?QQQdQ")
"""Level, whether it is in the form of products, parts, coefficients, primes, scale, correction (ciphertext.cpp)."""

Words = npt.NDArray[np.uint64]


def saved(thing: Any) -> bytes:  # noqa: ANN401 - the library's classes are not typed
    """An object's bytes, compressed as the library does by default."""
    file = _memory_file("out")
    thing.save(f"/proc/self/fd/{file}")
    return os.pread(file, os.fstat(file).st_size, 0)


def load_into(context: Any, thing: Any, *parts: bytes | memoryview) -> None:  # noqa: ANN401
    """Read an object of a context, from its parts one after the other. Raises ProtocolViolation."""
    file = _memory_file("in")
    size = os.pwritev(file, parts, 0)
    os.ftruncate(file, size)  # keeps what memory it can, and nothing of a longer one
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


def plaintext(context: Any, coefficients: Words) -> Any:  # noqa: ANN401
    """A plaintext polynomial, lowest coefficient first, each below the plain modulus."""
    found = seal.Plaintext()
    _load_numbers(context, found, _PLAIN.pack(0, 0, 0, 0, len(coefficients), 1.0), coefficients.data)
    return found


def coefficients(plain: Any) -> Words:  # noqa: ANN401
    """A plaintext's numbers, lowest first, up to the highest that is not zero."""
    return _numbers(plain, _PLAIN.size)


def ciphertext(context: Any, level: Sequence[int], residues: Words, *, as_factor: bool = False) -> Any:  # noqa: ANN401
    """A ciphertext of residues uint64[parts, primes, coefficients], each below its prime. `as_factor`: in the form of products."""
    parts, primes, size = residues.shape
    found = seal.Ciphertext()
    what = _CIPHER.pack(*level, as_factor, parts, size, primes, 1.0, 1)
    _load_numbers(context, found, what, np.ascontiguousarray(residues).data)
    return found


def noise(context: Any, polynomial: Words) -> Any:  # noqa: ANN401
    """A ciphertext of nothing but noise, at the first level: the polynomial, uint64[primes, coefficients], is its first half."""
    primes, size = polynomial.shape
    found = seal.Ciphertext()
    what = _CIPHER.pack(*context.first_parms_id(), False, 2, size, primes, 1.0, 1)
    _load_numbers(context, found, what, polynomial.data, _zeros(polynomial.nbytes))
    return found


def residues(cipher: Any) -> Words:  # noqa: ANN401
    """uint64[parts, primes, coefficients] of a ciphertext."""
    return _numbers(cipher, _CIPHER.size).reshape(cipher.size(), cipher.coeff_modulus_size(), -1)


def _load_numbers(context: Any, thing: Any, what: bytes, *numbers: memoryview) -> None:  # noqa: ANN401
    """An object that says what it is, and then has an array of 8-byte numbers, which are not copied before."""
    size = sum(each.nbytes for each in numbers)
    array = _header(_COUNT.size + size) + _COUNT.pack(size // 8)
    load_into(context, thing, _header(len(what) + len(array) + size) + what + array, *numbers)


def _header(size: int) -> bytes:
    """Before so many bytes."""
    return _HEADER.pack(_MAGIC, _HEADER.size, *_version(), 0, 0, _HEADER.size + size)


def _numbers(thing: Any, head: int) -> Words:  # noqa: ANN401
    """The array that stands behind an object's head, a header of its own and its length, at the end of the object's bytes."""
    import pyarrow as pa  # for zstd; 27 MB, which those need not have who read no numbers

    packed = pa.BufferReader(memoryview(saved(thing))[_HEADER.size :])
    body = pa.CompressedInputStream(packed, "zstd").read()
    return np.frombuffer(body, "<u8", offset=head + _HEADER.size + 8).astype(np.uint64, copy=False)


@cache
def _version() -> bytes:
    return saved(seal.Plaintext(1))[_VERSION_AT]


@cache
def _zeros(count: int) -> memoryview:
    return memoryview(bytes(count))


_files = threading.local()


def _memory_file(name: str) -> int:
    """An anonymous file of the calling thread, closed with it. What is read has one of its own, which so keeps its pages."""
    held = getattr(_files, name, None)
    if held is None or held.owner != os.getpid():
        held = _MemoryFile()
        setattr(_files, name, held)
    return held.number


class _MemoryFile:
    def __init__(self) -> None:
        self.number = os.memfd_create("xinqiao-seal")
        self.owner = os.getpid()

    def __del__(self) -> None:
        os.close(self.number)
