"""What leaves a party and what a key holder decrypts is uniform or fresh, whatever the data; a weakened protocol fails here."""

from __future__ import annotations

import numpy as np
import pytest

from modeling import bfv
from modeling.logistic import fixed, wire
from modeling.logistic.layout import layout_for
from modeling.logistic.settings import Settings
from tests.modeling.logistic.test_training import Cohort
from tests.modeling.transcripts import Sent, Transcript, recorded

SETTINGS = Settings(steps=3, tolerance=0.0)
CHI_SQUARE_LIMIT = 60.0
"""Of 15 degrees of freedom: beyond one in ten million."""


@pytest.fixture
def transcript(monkeypatch: pytest.MonkeyPatch) -> Transcript:
    return recorded(monkeypatch)


def by_sender(transcript: Transcript) -> dict[str, list[Sent]]:
    return {name: [each for each in transcript.sent if each.sender == name] for name in ("a", "p1")}


def chi_square(values: np.ndarray, modulus: int) -> float:
    counts = np.bincount(np.minimum(values.astype(np.int64) // (modulus // 16), 15), minlength=16)
    expected = len(values) / 16
    return float(((counts - expected) ** 2 / expected).sum())


def test_shares_that_are_told_are_uniform(transcript: Transcript) -> None:
    """What a party without shares adds to the second's, and what opens as the curvature."""
    Cohort(rows=3000, widths=(15, 16, 16)).train(Settings(steps=2, tolerance=0.0))
    masks = [message.arrays["masks"] for message in transcript.of_kind(wire.MASKS, sender="p2", receiver="p1")]
    assert [len(each) for each in masks] == [16, 3016, 16]  # gradient of the first step; predictor and gradient
    told = [array for each in transcript.of_kind(wire.CURVATURE) for array in each.arrays.values()]
    assert {each.shape for each in told} == {(16, 16)} and len(told) == 8
    for values in (np.concatenate(masks), *(each.ravel() for each in told)):
        assert chi_square(values, bfv.PLAIN_MODULUS) < CHI_SQUARE_LIMIT


def test_without_masks_they_would_not_be(transcript: Transcript, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bfv, "uniform", lambda count: np.zeros(count, np.int64))
    Cohort(rows=3000, widths=(15, 16, 16)).train(Settings(steps=1, tolerance=0.0))
    told = [array.ravel() for each in transcript.of_kind(wire.CURVATURE) for array in each.arrays.values()]
    assert all(chi_square(values, bfv.PLAIN_MODULUS) > CHI_SQUARE_LIMIT for values in told)


def told_at_the_end(transcript: Transcript) -> list[int]:
    """The numbers that A sends to p2: its share of p2's coordinates, shared anew."""
    (message,) = transcript.of_kind(wire.OPENED, sender="a", receiver="p2")
    return fixed.unpacked(message.blobs[0], 1).tolist()


def test_coordinates_are_shared_anew_before_they_are_opened(
    transcript: Transcript, monkeypatch: pytest.MonkeyPatch
) -> None:
    cohort = Cohort(rows=300, widths=(1, 1, 1))
    cohort.train(SETTINGS)
    assert abs(told_at_the_end(transcript)[0]).bit_length() > 300
    transcript.sent.clear()
    monkeypatch.setattr(fixed, "fresh", fixed.zeros)
    cohort.train(SETTINGS)
    assert abs(told_at_the_end(transcript)[0]).bit_length() < 200


def test_what_a_key_holder_decrypts_is_uniform(transcript: Transcript) -> None:
    Cohort(rows=6000).train(SETTINGS)
    # a has 4 columns, p1 2. At a products of columns, then residuals, lifted bits and sizes in each step; at both gradients in each
    # step, and predictors in each but the first.
    layout = layout_for(6000, 4)
    columns, rows = layout.column_blocks(4) + layout.column_blocks(2), layout.row_blocks(6000 + 4)
    assert len(transcript.opened()) == 2 + 3 * (1 + 1 + 1) + 3 * columns + 2 * 2 * rows
    for vector in transcript.opened():
        assert chi_square(vector, bfv.PLAIN_MODULUS) < CHI_SQUARE_LIMIT


def test_a_sum_without_its_mask_would_be_noticed(transcript: Transcript, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bfv, "uniform", lambda count: np.zeros(count, np.int64))
    Cohort(rows=6000).train(SETTINGS)
    assert max(chi_square(vector, bfv.PLAIN_MODULUS) for vector in transcript.opened()) > CHI_SQUARE_LIMIT


def test_no_ciphertext_ever_comes_twice(transcript: Transcript) -> None:
    Cohort(rows=3000).train(SETTINGS)
    blobs = [blob for each in transcript.sent for blob in each.message.blobs]
    assert len(blobs) == len(set(blobs)) > 40


def test_kinds_and_sizes_say_nothing_of_the_data(transcript: Transcript) -> None:
    one, other = Cohort(rows=3000), Cohort(rows=3000, seed=2)
    one.train(SETTINGS)
    first = by_sender(transcript)
    transcript.sent.clear()
    other.label = 1 - other.label
    other.parts = [part * 0.5 for part in other.parts]
    other.train(SETTINGS)
    for name, told in by_sender(transcript).items():
        assert [each.message.kind for each in told] == [each.message.kind for each in first[name]]
        # Ciphertexts are compressed by the library, which saves a few bytes by chance.
        np.testing.assert_allclose(
            [each.size for each in told], [each.size for each in first[name]], rtol=0.002, atol=16
        )


def test_the_same_holds_when_rows_leave(transcript: Transcript) -> None:
    cohort = Cohort(rows=6000)
    asked = iter([(), range(0, 2000)])
    cohort.more = {"p1": {"withdrawn": lambda: next(asked, range(0, 2000))}}
    cohort.train(SETTINGS)
    for vector in transcript.opened():
        assert chi_square(vector, bfv.PLAIN_MODULUS) < CHI_SQUARE_LIMIT
    told = {name for each in transcript.sent for name in each.message.arrays}
    assert told == {"0/1", "inverse", "withdrawn"}
