"""Sums of products of polynomials by floating-point Fourier transforms, exact: many columns times a few ciphertexts.

In Z[X] / (X^8192 + 1) a column has integers of 23 bits, and a ciphertext's residues, of 60 bits, are cut into four digits of 15. A
transform takes a polynomial to its values at 4,096 of the ring's roots (the other half are their conjugates); there products are number
by number, and a sum over columns is one product of matrices: blocks x columns by columns x digits. What comes back are integers below
2^47.5 with an error below 0.1, so rounding finds them, and digits go together again modulo each prime.

Both bounds rest on digits that are spread as at random, which those of a ciphertext are: a sum of 32 columns at their largest has a
standard deviation of 2^44.2, and its error one of 0.01. They are looked at for each number: one further than 1/4 from an integer, or
beyond 2^47.5, is refused. (Ciphertexts that are made up so as to be refused tell whoever made them a bit about sizes of columns' sums:
docs/scoring.md.) So what is found is what the library's exact arithmetic finds (a test holds both against each other), at a
tenth of the time for 30 columns; and a column takes 64 KB instead of 128.

Sources: Crandall, Fagin 1994 (the right-angle convolution); Percival 2003 (its errors).
"""

from __future__ import annotations

from typing import Final

import numpy as np
import numpy.typing as npt

from modeling.errors import ProtocolViolation

Spectra = npt.NDArray[np.complex128]
Residues = npt.NDArray[np.int64]
Whole = npt.NDArray[np.int32]

SIZE: Final = 8192
"""Coefficients of a polynomial."""
POINTS: Final = SIZE // 2
"""Values that a transform has."""
SPECTRUM_BYTES: Final = 16 * POINTS
PRIME_BITS: Final = 60
DIGITS: Final = 4
DIGIT_BITS: Final = PRIME_BITS // DIGITS
AT_ONCE: Final = 32
"""Factors of one sum at most: more would bring the error near what is refused."""
LARGEST_TAIL: Final = 1 << 25
"""A prime is 2^60 less a number below this, or what is put together would not fit 64 bits."""
_MOST_OFF: Final = 0.25
_LARGEST_SUM: Final = 2.0**47.5
_TWIST: Final = np.exp(-1j * np.pi * np.arange(POINTS) / SIZE)
_BACK: Final = np.conj(_TWIST)


def table(columns: Whole) -> Spectra:
    """complex128[4096, k]: the spectra of polynomials int32[k, n] with n <= 8192, lowest coefficient first."""
    rows = columns.T  # in this order the numbers of a table lie in memory
    low, high = rows[:POINTS], rows[POINTS:]
    found = np.zeros((POINTS, rows.shape[1]), np.complex128)
    found.real[: len(low)] = low
    np.negative(high, out=found.imag[: len(high)])
    found *= _TWIST[:, None]
    return np.fft.fft(found, axis=0, out=found)


def digits(residues: Residues, primes: tuple[int, ...]) -> Whole:
    """int32[parts, primes, 4, 8192] of int64[parts, primes, 8192]: from -2^14 to 2^14, lowest first."""
    modulus = np.array(primes, np.int64)[:, None]
    half = 1 << (DIGIT_BITS - 1)
    shifted = residues - np.where(residues > modulus // 2, modulus, 0)
    shifted += sum(half << (DIGIT_BITS * place) for place in range(DIGITS - 1))  # so that no digit carries
    found = np.empty((*residues.shape[:-1], DIGITS, SIZE), np.int32)
    for place in range(DIGITS - 1):
        found[..., place, :] = (shifted >> (DIGIT_BITS * place) & (2 * half - 1)) - half
    found[..., DIGITS - 1, :] = shifted >> (DIGIT_BITS * (DIGITS - 1))
    return found


def sums(products: Spectra, primes: tuple[int, ...]) -> Residues:
    """int64[parts, primes, 8192]: sums of products, of the spectra of their digits [parts x primes x 4, 4096], which are used up.

    Each is some number of the right residue, below 2^63 - 2^57 in size. Raises ProtocolViolation where a sum is not as near to an
    integer as it should be.
    """
    np.fft.ifft(products, out=products)
    products *= _BACK
    numbers = products.view(np.float64)  # real and imaginary parts side by side
    whole = np.rint(numbers)
    numbers -= whole
    if not max(numbers.max(), -numbers.min()) < _MOST_OFF or not max(whole.max(), -whole.min()) < _LARGEST_SUM:
        raise ProtocolViolation("what came as encrypted numbers is not spread as ciphertexts are")
    found = _together(whole.astype(np.int64).reshape(-1, len(primes), DIGITS, SIZE), primes)
    return np.concatenate([found[..., ::2], -found[..., 1::2]], axis=-1)


def _together(parts: Residues, primes: tuple[int, ...]) -> Residues:
    """Digits to one number, for which 2^60 is a small number modulo each prime."""
    unit, middle = np.int64(DIGIT_BITS), np.int64(2 * DIGIT_BITS)
    found = parts[..., 0, :] + (parts[..., 1, :] << unit)
    high = parts[..., 2, :] + (parts[..., 3, :] << unit)
    over = high >> middle
    found += (high - (over << middle)) << middle
    found += over * np.array([(1 << PRIME_BITS) - prime for prime in primes], np.int64)[:, None]
    return found


def reduced(numbers: Residues, primes: tuple[int, ...]) -> Residues:
    """int64[.., primes, 8192] modulo the primes, from 0 on."""
    modulus = np.array(primes, np.int64)[:, None]
    return numbers - (numbers // modulus) * modulus
