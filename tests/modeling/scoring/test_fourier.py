"""Products by floating-point transforms against the library's own, number by number, at sizes that are as large as can be."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from modeling.errors import ProtocolViolation
from modeling.scoring import fourier, ring
from modeling.scoring.fourier import AT_ONCE, POINTS, SIZE

PRIMES = ring.primes()
LARGEST = 1 << 22


def columns_of(kind: str, count: int, rng: Any) -> Any:
    shape = (count, SIZE)
    return {
        "uniform": lambda: rng.integers(-LARGEST, LARGEST + 1, shape),
        "all at their bound": lambda: np.full(shape, LARGEST),
        "of changing sign": lambda: rng.choice([-LARGEST, LARGEST], shape),
        "zero": lambda: np.zeros(shape),
    }[kind]().astype(np.int32)


def product(columns: Any, factors: Any) -> Any:
    """int64[2, 2, 8192], as in `columns`: of int32[k, 8192] and int64[k, 2, 2, 8192]."""
    digits = np.array([fourier.table(fourier.digits(each, PRIMES).reshape(16, SIZE)) for each in factors])
    spectra = np.einsum("pk,kpd->dp", fourier.table(columns), digits)
    return fourier.reduced(fourier.sums(np.ascontiguousarray(spectra), PRIMES), PRIMES)


@pytest.mark.parametrize("kind", ["uniform", "all at their bound", "of changing sign"])
def test_a_sum_of_products_is_the_librarys_in_every_residue(kind: str) -> None:
    owner, rng = ring.SecretKey(), np.random.default_rng(3)
    columns = columns_of(kind, AT_ONCE, rng)
    ciphers = [owner.encrypt(rng.integers(-(1 << 49), 1 << 49, 1)) for _ in columns]
    library, total = ring._library(), ring.Sum()
    for cipher, column in zip(ciphers, columns, strict=True):
        total.add(ring.received(cipher), ring.plain(column.astype(np.int64)))
    library.evaluator.transform_from_ntt_inplace(total._total)
    found = product(columns, np.array([ring.residues_of(ring.checked(each)) for each in ciphers]))
    np.testing.assert_array_equal(found, ring.residues_of(total._total))


@settings(max_examples=30, deadline=None)
@given(
    st.integers(0, SIZE - 1), st.integers(0, SIZE - 1), st.integers(0, PRIMES[1] - 1), st.integers(-LARGEST, LARGEST)
)
def test_powers_multiply_as_in_the_ring(first: int, second: int, value: int, factor: int) -> None:
    column, polynomial = np.zeros((1, SIZE), np.int32), np.zeros((1, 2, 2, SIZE), np.int64)
    column[0, first], polynomial[..., second] = factor, value
    found = product(column, polynomial)
    sign = -1 if first + second >= SIZE else 1
    for place, prime in enumerate(PRIMES):
        assert found[0, place, (first + second) % SIZE] == sign * factor * value % prime
    assert (found != 0).sum() == (4 if factor and value else 0)


def test_a_short_column_is_filled_with_zeros() -> None:
    column = np.arange(1, 10, dtype=np.int32)[None]
    padded = np.pad(column, ((0, 0), (0, SIZE - 9)))
    np.testing.assert_array_equal(fourier.table(column), fourier.table(padded))


@pytest.mark.parametrize("prime", PRIMES)
def test_digits_give_their_number_again_and_are_small(prime: int) -> None:
    edges = [0, 1, (1 << 14) - 1, 1 << 14, prime // 2, prime // 2 + 1, prime - (1 << 14), prime - 1]
    numbers = np.resize(np.array(edges, np.int64), (1, 1, SIZE))
    digits = fourier.digits(numbers, (prime,))
    assert np.abs(digits).max() <= 1 << 14
    again = sum(digits[0, 0, place].astype(object) << (15 * place) for place in range(4))
    assert (again % prime == numbers[0, 0]).all()


@pytest.mark.parametrize("spoiled", ["between two integers", "beyond what fits", "not a number"])
def test_what_is_no_integer_in_reach_is_refused(spoiled: str) -> None:
    """So does a ciphertext whose numbers are not spread at random: its sums are larger than rounding is exact for."""
    products = np.zeros((16, POINTS), np.complex128)
    products[5] = {"between two integers": 0.3, "beyond what fits": 2.0**48, "not a number": np.nan}[spoiled]
    products[5] = np.fft.fft(products[5])
    with pytest.raises(ProtocolViolation, match="spread"):
        fourier.sums(products, PRIMES)


def test_columns_at_their_largest_stay_far_from_what_is_refused() -> None:
    rng = np.random.default_rng(5)
    factors = np.array([rng.integers(0, PRIMES[1], (1, 2, SIZE)) for _ in range(AT_ONCE)])
    digits = np.array([fourier.table(fourier.digits(each, PRIMES).reshape(8, SIZE)) for each in factors])
    spectra = np.einsum("pk,kpd->dp", fourier.table(columns_of("of changing sign", AT_ONCE, rng)), digits)
    numbers = (np.fft.ifft(np.ascontiguousarray(spectra)) * fourier._BACK).view(np.float64)
    assert np.abs(numbers - np.rint(numbers)).max() < fourier._MOST_OFF / 3
    assert np.abs(numbers).max() < fourier._LARGEST_SUM / 2
