"""What leaves a party and what a key holder decrypts is uniform or fresh, whatever the data; a weakened protocol fails here."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np
import pytest

from modeling import bfv
from modeling.channel import MemoryChannel
from modeling.logistic import own, wire
from modeling.logistic.settings import PREDICTOR_BITS, Settings
from modeling.messages import Message, decode
from tests.modeling.logistic.test_training import Cohort

SETTINGS = Settings(steps=3, tolerance=0.0)
CHI_SQUARE_LIMIT = 60.0
"""Of 15 degrees of freedom: beyond one in ten million."""


@dataclass
class Transcript:
    """Messages in the order in which each party sent them, and what was decrypted where."""

    sent: dict[str, list[Message]] = field(default_factory=dict)
    sizes: dict[str, list[int]] = field(default_factory=dict)
    decrypted: list[np.ndarray] = field(default_factory=list)

    def shares(self, sender: str) -> np.ndarray:
        return np.concatenate([m.arrays["share"] for m in self.sent[sender] if m.kind == wire.PREDICTOR])

    def blobs(self) -> list[bytes]:
        return [blob for messages in self.sent.values() for message in messages for blob in message.blobs]


@pytest.fixture
def transcript(monkeypatch: pytest.MonkeyPatch) -> Iterator[Transcript]:
    found = Transcript()
    put, decrypt = MemoryChannel._put, bfv.SecretKey.decrypt

    def recorded(channel: MemoryChannel, data: bytes) -> None:
        name = threading.current_thread().name
        found.sent.setdefault(name, []).append(decode(data))
        found.sizes.setdefault(name, []).append(len(data))
        put(channel, data)

    def seen(key: bfv.SecretKey, ciphertexts: list[bytes]) -> list[np.ndarray]:
        vectors = decrypt(key, ciphertexts)
        found.decrypted += vectors
        return vectors

    monkeypatch.setattr(MemoryChannel, "_put", recorded)
    monkeypatch.setattr(bfv.SecretKey, "decrypt", seen)
    yield found


def chi_square(values: np.ndarray, modulus: int) -> float:
    counts = np.bincount(np.minimum(values.astype(np.int64) // (modulus // 16), 15), minlength=16)
    expected = len(values) / 16
    return float(((counts - expected) ** 2 / expected).sum())


def period() -> int:
    return SETTINGS.period << PREDICTOR_BITS


def test_shares_of_the_predictor_are_uniform(transcript: Transcript) -> None:
    Cohort(rows=6000).train(SETTINGS)
    for party in ("a", "p1"):
        assert chi_square(transcript.shares(party), period()) < CHI_SQUARE_LIMIT


def test_a_predictor_without_a_random_share_would_be_noticed(
    transcript: Transcript, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(own.secrets, "token_bytes", bytes)
    Cohort(rows=6000).train(SETTINGS)
    assert chi_square(transcript.shares("p1"), period()) > CHI_SQUARE_LIMIT


def test_what_a_key_holder_decrypts_is_uniform(transcript: Transcript) -> None:
    Cohort(rows=6000).train(SETTINGS)
    assert len(transcript.decrypted) == SETTINGS.steps * (1 + 2 + 4)  # residuals at a, p1's gradient at a, a's at p1
    for vector in transcript.decrypted:
        assert chi_square(vector, bfv.PLAIN_MODULUS) < CHI_SQUARE_LIMIT


def test_a_sum_without_its_mask_would_be_noticed(transcript: Transcript, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bfv, "uniform", lambda count: np.zeros(count, np.int64))
    Cohort(rows=6000).train(SETTINGS)
    assert max(chi_square(vector, bfv.PLAIN_MODULUS) for vector in transcript.decrypted) > CHI_SQUARE_LIMIT


def test_no_ciphertext_ever_comes_twice(transcript: Transcript) -> None:
    Cohort(rows=3000).train(SETTINGS)
    blobs = transcript.blobs()
    assert len(blobs) == len(set(blobs)) > 40


def test_kinds_and_sizes_say_nothing_of_the_data(transcript: Transcript) -> None:
    one, other = Cohort(rows=3000), Cohort(rows=3000, seed=2)
    one.train(SETTINGS)
    first = {name: [message.kind for message in messages] for name, messages in transcript.sent.items()}
    sizes = {name: list(told) for name, told in transcript.sizes.items()}
    transcript.sent.clear()
    transcript.sizes.clear()
    other.label = 1 - other.label
    other.parts = [part * 0.5 for part in other.parts]
    other.train(SETTINGS)
    assert first == {name: [message.kind for message in messages] for name, messages in transcript.sent.items()}
    for name, told in transcript.sizes.items():
        # Ciphertexts are compressed by the library, which saves a few bytes by chance.
        np.testing.assert_allclose(told, sizes[name], rtol=0.002, atol=16)


def test_the_same_holds_when_rows_leave(transcript: Transcript) -> None:
    cohort = Cohort(rows=6000)
    asked = iter([(), range(0, 2000)])
    cohort.more = {"p1": {"withdrawn": lambda: next(asked, range(0, 2000))}}
    cohort.train(SETTINGS)
    for party in ("a", "p1"):
        assert chi_square(transcript.shares(party), period()) < CHI_SQUARE_LIMIT
    for vector in transcript.decrypted:
        assert chi_square(vector, bfv.PLAIN_MODULUS) < CHI_SQUARE_LIMIT
    told = {name for messages in transcript.sent.values() for message in messages for name in message.arrays}
    assert told == {"share", "sums", "withdrawn"}
