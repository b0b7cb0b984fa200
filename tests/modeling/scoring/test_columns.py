"""Blocks of many rows: what hides them is fresh and drawn as it should be, and what is kept is kept within its limit."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

from modeling.errors import DataUnusable, ParametersUnsafe, ProtocolViolation
from modeling.scoring import columns, fourier, ring
from modeling.scoring.columns import Columns, Factors
from modeling.scoring.fourier import AT_ONCE, SIZE, SPECTRUM_BYTES
from modeling.scoring.linear import BLOCK, Provider
from modeling.scoring.masks import PairMasks
from modeling.seal_bytes import ciphertext, loaded_cipher
from tests.modeling.scoring.parties import CHI_SQUARE_LIMIT, Parties, chi_square
from tests.modeling.scoring.test_transcript import halves_of


@pytest.fixture
def threads() -> Iterator[Columns]:
    with Columns(threads=2) as made:
        yield made


def scores(parties: Parties, provider: Provider, features: Any, request: int, **given: Any) -> Any:
    answer = provider.answer_columns(features, PairMasks(0, {}), request, **given)
    return parties.key.open_columns([answer], len(features), parties.scales)


def test_columns_are_kept_for_the_next_model(threads: Columns) -> None:
    first, second = Parties((3,), rows=2 * BLOCK + 9), Parties((3,), rows=2 * BLOCK + 9, size=1.0)
    features, names = first.features[0], ["a", "b", "c"]
    for parties in (first, second):
        provider = Provider(parties.key.public, parties.encrypted[0], threads)
        for request, given in enumerate(
            [features, np.full_like(features, np.nan)]
        ):  # kept ones are not looked at again
            found = scores(parties, provider, given if parties is first or request else features, request, names=names)
            np.testing.assert_allclose(found, features @ parties.weights[0], atol=1e-4)


def test_a_model_of_some_of_them_in_another_order_finds_them() -> None:
    wide, narrow, kept = Parties((3,), rows=BLOCK + 5), Parties((2,), rows=BLOCK + 5, seed=2), Columns(threads=1)
    features = wide.features[0]
    scores(wide, Provider(wide.key.public, wide.encrypted[0], kept), features, 0, names=["a", "b", "c"])
    provider = Provider(narrow.key.public, narrow.encrypted[0], kept)
    found = scores(narrow, provider, np.full((BLOCK + 5, 2), np.nan), 0, names=["c", "a"])
    np.testing.assert_allclose(found, features[:, [2, 0]] @ narrow.weights[0], atol=1e-4)
    with pytest.raises(DataUnusable):
        scores(narrow, provider, np.full((BLOCK + 5, 2), np.nan), 1, names=["c", "another"])


def test_columns_are_kept_within_their_limit_and_make_room_for_others() -> None:
    parties = Parties((2,), rows=3 * BLOCK)
    kept = Columns(column_bytes=4 * SPECTRUM_BYTES, threads=1)
    provider = Provider(parties.key.public, parties.encrypted[0], kept)

    def held(request: int, names: list[str]) -> set[tuple[int, str]]:
        found = scores(parties, provider, parties.features[0], request, names=names)
        np.testing.assert_allclose(found, parties.plain(), atol=1e-4)
        return {(place, "".join(name.split()[0] for name in of)) for place, of in kept._tables}

    assert held(0, ["a", "b"]) == {(0, "ab"), (1, "ab")} == held(1, ["a", "b"])
    assert held(2, ["c", "d"]) == {(0, "cd"), (1, "cd")}


def test_a_model_of_more_columns_than_are_added_up_at_once_is_exact() -> None:
    parties = Parties((2 * AT_ONCE + 3,), rows=300, size=0.05)
    kept = Columns(threads=1)
    provider = Provider(parties.key.public, parties.encrypted[0], kept)
    found = scores(parties, provider, parties.features[0], 0)
    np.testing.assert_allclose(found, parties.plain(), atol=parties.scales.error)
    assert len(kept._groups) == 3


def test_factors_of_older_models_make_room(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(columns, "_GROUPS", 1)
    parties, kept = Parties((2, 2), rows=5), Columns(threads=1)
    parties.providers = [Provider(parties.key.public, each, kept) for each in parties.encrypted]
    for _ in range(2):
        np.testing.assert_allclose(parties.opened("columns"), parties.plain(), atol=1e-4)
        assert len(kept._groups) == 1


def test_one_block_whose_features_are_refused_refuses_all(threads: Columns) -> None:
    parties = Parties((2,), rows=2 * BLOCK)
    parties.features[0][BLOCK + 3, 1] = 6.0
    provider = Provider(parties.key.public, parties.encrypted[0], threads)
    with pytest.raises(DataUnusable, match=f"feature 1 of row {BLOCK + 3}"):
        scores(parties, provider, parties.features[0], 0)


# -- the encryption that hides


def test_what_hides_is_drawn_as_the_library_draws_it() -> None:
    """Uniform in -1, 0, 1; and centred binomial of 42 bits: variance 10.5, at most 21. Six standard deviations of 400,000 draws."""
    ternary = np.concatenate([ring.ternary() for _ in range(50)])
    errors = np.concatenate([ring.errors().reshape(-1) for _ in range(25)])
    counts = np.array([(ternary == each).mean() for each in (-1, 0, 1)])
    assert (np.abs(counts - 1 / 3) < 0.005).all() and counts.sum() == pytest.approx(1)
    assert abs(errors.mean()) < 0.03 and errors.var() == pytest.approx(10.5, abs=0.15) and np.abs(errors).max() <= 21
    both = ring.errors()
    assert abs(np.corrcoef(both)[0, 1]) < 0.07 and abs(np.corrcoef(both[0, 1:], both[0, :-1])[0, 1]) < 0.07


def test_the_same_block_has_another_answer_each_time() -> None:
    """By its own encryption of zero: of no columns that count, nothing else is left."""
    parties = Parties((2,), rows=2 * BLOCK)
    parties.features[0][:] = 0.0
    blocks = [block for _ in range(2) for block in parties.columns()[0]]
    halves = np.array([halves_of(block).astype(np.uint64) for block in blocks])
    for one in range(4):
        assert chi_square(halves[one, 1], 60) < CHI_SQUARE_LIMIT
        for other in range(one):
            assert (halves[one] != halves[other]).mean() > 0.999


def test_noise_before_the_last_prime_is_divided_away_is_2_to_30_times_less_than_that_rounding() -> None:
    """Rule 3 of `ring`, with columns and weights at their largest."""
    owner, count = ring.SecretKey(), AT_ONCE - 1
    factors = Factors(ring.PublicKey(owner.public), [owner.encrypt(np.array([1 << 22])) for _ in range(count)])
    table = fourier.table(np.full((count, SIZE), 1 << 22, np.int32))
    (sums,) = Columns(threads=1)._sums(factors, [table])
    library = ring._library()
    numbers = fourier.reduced(sums + ring.errors()[:, None], library.primes).astype(np.uint64)
    before = 120 - ring.MODULUS_BITS - 1 - owner._decryptor.invariant_noise_budget(cipher_of(numbers))
    answer = loaded_cipher(library.context, factors.key.finished(sums, np.zeros(SIZE, np.uint64)))
    rounding = 60 - ring.MODULUS_BITS - 1 - owner._decryptor.invariant_noise_budget(answer)
    assert before - 60 < rounding - 20


def cipher_of(numbers: Any) -> Any:
    library = ring._library()
    return ciphertext(library.context, library.first, numbers)


def test_the_key_as_a_factor_encrypts_zero() -> None:
    owner = ring.SecretKey()
    key = ring.PublicKey(owner.public)
    products = fourier.table(ring.ternary()[None]) * fourier.table(
        fourier.digits(key.residues, ring.primes()).reshape(16, SIZE)
    )
    sums = fourier.sums(np.ascontiguousarray(products.T), ring.primes())
    mask = ring.uniform(SIZE)
    assert (owner.decrypt(key.finished(sums, mask), range(SIZE)) == mask).all()


def test_errors_are_added_to_both_halves(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is left of them when the last prime is divided away shows only if they are as large as it is."""
    key = ring.PublicKey(ring.SecretKey().public)
    large = np.arange(2, dtype=np.int64)[:, None] + np.ones(SIZE, np.int64)
    monkeypatch.setattr(ring, "errors", lambda: large * ring.primes()[1])
    answer = key.finished(np.zeros((2, 2, SIZE), np.int64), np.zeros(SIZE, np.uint64))
    np.testing.assert_array_equal(halves_of(answer), large)


def test_a_ciphertext_whose_numbers_are_not_spread_is_refused() -> None:
    """It could be none that a key has made, and its sums would be beyond what is exact."""
    parties = Parties((AT_ONCE - 1,), rows=BLOCK, size=0.1)
    parties.features[0][:] = 5.0
    factors = parties.providers[0]._factors
    flat = cipher_of(np.full((2, 2, SIZE), (1 << 59) - 1, np.uint64))
    factors._weights = [flat] * len(factors._weights)
    with pytest.raises(ProtocolViolation, match="spread"):
        parties.columns()


def test_a_machine_that_computes_wrongly_does_not_start(monkeypatch: pytest.MonkeyPatch) -> None:
    columns.self_test()
    honest = fourier.table
    monkeypatch.setattr(fourier, "table", lambda numbers: honest(numbers) * (1 + 1e-9))
    with pytest.raises((ParametersUnsafe, ProtocolViolation)):
        columns.self_test()
