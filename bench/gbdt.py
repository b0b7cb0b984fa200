"""gbdt.train_*: vertical boosting on default of credit, 10 trees of depth 3 with 32 bins, two parties as processes of their own.

With Okamoto-Uchiyama against the plain trial beside it on one core (its library has threads: on all cores it is told too), on the
trial's own split; with Paillier against a limit in seconds. Making the key is not counted, here and in the trial: it is done once for
a job, and takes 1 to 40 seconds by luck.

Each tells two more figures. `peak_mb`: the most memory that both parties held, libraries and all; at most 1,000. `overhead`: seconds of
processor time of both parties, by what their ciphertext operations alone cost: encryptions, additions in bucket sums and decryptions,
as many as there were, each at the price of one in a long vector in the same process; at most 1.3.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, TypeVar

import numpy as np
import numpy.typing as npt

from bench.credit import OWN_COLUMNS, Matrix, Rows, read, there, trial_seconds
from modeling.additive import PublicKey, SchemeName, SecretKey, take
from modeling.channel import Channel
from modeling.gbdt import active, passive, scoring
from modeling.gbdt.features import Flags
from modeling.gbdt.gradients import Target
from modeling.gbdt.settings import Settings
from modeling.local import run_in_processes
from modeling.metrics import auc

TRIAL: Final = "vertical_gbdt.py"
ROUNDS: Final = 3
PAILLIER_LIMIT_S: Final = 120.0
MEMORY_LIMIT_MB: Final = 1000.0
OVERHEAD_LIMIT: Final = 1.3
AUC_DUE: Final = 0.766

_BOTH: Final = f"peak_mb at most {MEMORY_LIMIT_MB:.0f}, overhead at most {OVERHEAD_LIMIT}, AUC at least {AUC_DUE}"
_SAMPLE: Final = 2048
_T = TypeVar("_T")


def train_ou2048() -> Iterator[dict[str, object]]:
    """One figure."""
    yield from _against_trial(2048)


def train_ou3072() -> Iterator[dict[str, object]]:
    """One figure."""
    yield from _against_trial(3072)


def train_paillier3072() -> Iterator[dict[str, object]]:
    """One figure, of one training."""
    if not there("gbdt.train_paillier3072", TRIAL):
        return
    seconds, told = _train("paillier", 3072)
    yield {
        "bench": "gbdt.train_paillier3072",
        "value": round(seconds, 2),
        "unit": "s",
        "reference": PAILLIER_LIMIT_S,
        "reference_of": f"limit; {_BOTH}",
        "ratio": round(seconds / PAILLIER_LIMIT_S, 3),
        **told,
    }


def _against_trial(bits: int) -> Iterator[dict[str, object]]:
    """The best of three, taken in turns with the trial."""
    if not there(f"gbdt.train_ou{bits}", TRIAL):
        return
    ours: list[tuple[float, dict[str, Any]]] = []
    theirs, on_all = [], []
    for _ in range(ROUNDS):
        theirs.append(trial_seconds(TRIAL, "OU", str(bits), cores=1))
        on_all.append(trial_seconds(TRIAL, "OU", str(bits)))
        ours.append(_train("okamoto-uchiyama", bits))
    (value, told), reference = min(ours, key=lambda each: each[0]), min(theirs)
    yield {
        "bench": f"gbdt.train_ou{bits}",
        "value": round(value, 2),
        "unit": "s",
        "reference": reference,
        "reference_of": f"the plain trial on one core, same run; at most 0.75 of it; {_BOTH}",
        "ratio": round(value / reference, 3),
        "reference_all_cores": min(on_all),
        "ratio_all_cores": round(value / min(on_all), 3),
        **told,
    }


@dataclass(frozen=True)
class _Spent:
    """What a party's training took: by the clock, of the processor, in memory, and what its operations alone cost."""

    seconds: float
    core_seconds: float
    peak_mb: float
    pure_s: float


def _train(scheme: SchemeName, bits: int) -> tuple[float, dict[str, Any]]:
    """Seconds until the bank has its part of the model; what else is told."""
    x, label = read()
    learn, look = _split(label)
    settings = Settings(trees=10, depth=3, rate=0.3, bins=32, scheme=scheme, key_bits=bits)

    def bank(channels: Mapping[str, Channel]) -> tuple[_Spent, Matrix, int]:
        own, rows = x[:, :OWN_COLUMNS], len(learn)
        target = Target(label=label[learn], weights=np.ones(rows), validation=np.zeros(rows, np.bool_))
        key = SecretKey(scheme, bits)  # not before the fork: heu's threads do not live on in a child
        with _watched(SecretKey, "decrypt", lambda _key, ciphers: ciphers.rows) as decrypted:
            part, spent = _timed(lambda: active.train(own[learn], target, channels, settings, key=key))
        pure_s = rows * settings.trees * _encryption_s(key) + sum(decrypted) * _decryption_s(key)
        traffic = channels["tax"].traffic
        return (
            _Spent(*spent, pure_s),
            scoring.score(part, own[look], channels),
            traffic.sent_bytes + traffic.received_bytes,
        )

    def tax(channels: Mapping[str, Channel]) -> _Spent:
        own = x[:, OWN_COLUMNS:]
        with _watched(PublicKey, "bucket_sums", lambda key, _ciphers, *which: (key, which)) as sums:
            part, spent = _timed(lambda: passive.train(own[learn], channels["bank"]))
        pure_s = sum(_additions(*which) for _, which in sums) * _addition_s(sums[0][0])
        scoring.answer(part, own[look], channels["bank"])
        return _Spent(*spent, pure_s)

    ended = run_in_processes({"bank": bank, "tax": tax})
    (one, probabilities, sent), other = ended["bank"], ended["tax"]
    core_seconds = one.core_seconds + other.core_seconds
    return one.seconds, {
        "auc": round(auc(label[look], probabilities), 4),
        "megabytes": round(sent / 1e6, 1),
        "peak_mb": round(one.peak_mb + other.peak_mb, 1),
        "core_seconds": round(core_seconds, 1),
        "overhead": round(core_seconds / (one.pure_s + other.pure_s), 3),
    }


def _split(label: Matrix) -> tuple[Rows, Rows]:
    """The trial's: rows to learn from, and to look at."""
    from sklearn.model_selection import train_test_split  # may be missing, which `there` tells

    learn, look = train_test_split(np.arange(len(label)), test_size=0.3, random_state=42, stratify=label)
    return learn, look


@contextmanager
def _watched(owner: type, name: str, kept: Callable[..., _T]) -> Iterator[list[_T]]:
    """What `kept` makes of the arguments of each call of a method."""
    method, calls = getattr(owner, name), []

    def watched(*arguments: object) -> object:
        calls.append(kept(*arguments))
        return method(*arguments)

    setattr(owner, name, watched)
    try:
        yield calls
    finally:
        setattr(owner, name, method)


def _timed(work: Callable[[], _T]) -> tuple[_T, tuple[float, float, float]]:
    """The result, seconds by the clock, seconds of the processor, and the most MB that this process has held."""
    began, core = time.perf_counter(), time.process_time()
    done = work()
    seconds, core_seconds = time.perf_counter() - began, time.process_time() - core
    status = Path("/proc/self/status").read_text(encoding="ascii")
    peak = next(line for line in status.splitlines() if line.startswith("VmHWM"))
    return done, (seconds, core_seconds, float(peak.split()[1]) / 1000)


def _additions(chosen: Flags, codes: npt.NDArray[np.int8], count: int) -> int:
    """In one call of bucket_sums: a row into each column's bucket, rows alike once, and each bucket onto the one before."""
    rows, columns = int(chosen.sum()), codes.shape[1]
    alike = len(np.unique(codes[chosen], axis=0))
    return int(min(rows * columns, rows + alike * columns) + count * columns)


def _encryption_s(key: SecretKey) -> float:
    values = np.random.default_rng(1).integers(-(1 << 59), 1 << 59, _SAMPLE)
    return _price_s(lambda: key.public.encrypt(values), len(values))


def _decryption_s(key: SecretKey) -> float:
    ciphers = key.public.encrypt(np.arange(_SAMPLE // 64))
    return _price_s(lambda: key.decrypt(ciphers), ciphers.rows)


def _addition_s(key: PublicKey) -> float:
    ciphers = take(key.zeros(64), (np.arange(_SAMPLE) % 64).tolist())
    codes = np.random.default_rng(1).integers(0, 32, (_SAMPLE, 1)).astype(np.int8)
    return _price_s(lambda: key.bucket_sums(ciphers, np.full(_SAMPLE, True), codes, 32), _SAMPLE)


def _price_s(work: Callable[[], object], count: int) -> float:
    """Seconds of the processor for one of so many operations; the mean of five times, as a training has no best."""
    return sum(_timed(work)[1][1] for _ in range(5)) / 5 / count
