"""Numbers for each row that a party of a logistic training sees, out of the real code: more than the transcript, its own shares."""

from __future__ import annotations

import itertools
import threading
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pytest

from modeling import bfv
from modeling.logistic.active import _First
from modeling.logistic.computing import Computing
from modeling.logistic.passive import _Other, _Second
from modeling.logistic.settings import COORDINATE_BITS


@dataclass
class Views:
    """By party, in order: numbers modulo t of each row, and its shares of all gradients."""

    rows: dict[str, list[np.ndarray]] = field(default_factory=lambda: defaultdict(list))
    gradients: dict[str, list[np.ndarray]] = field(default_factory=lambda: defaultdict(list))

    def opened(self) -> list[np.ndarray]:
        """The gradients of all steps, which nobody sees."""
        return [centred(one + other) for one, other in zip(*self.gradients.values(), strict=True)]


def views(monkeypatch: pytest.MonkeyPatch) -> Views:
    """Note everything from now on."""
    found = Views()

    def noting(kind: Any, name: str, note: Any) -> None:
        original = getattr(kind, name)

        def noted(self: Any, *arguments: Any) -> Any:
            result = original(self, *arguments)
            note(threading.current_thread().name, result)
            return result

        monkeypatch.setattr(kind, name, noted)

    noting(Computing, "_predictor", lambda party, told: found.rows[party].append(told[0]))
    for kind in (_First, _Second):
        noting(kind, "_residuals", lambda party, told: found.rows[party].append(told))
    noting(Computing, "_gradients", lambda party, told: found.gradients[party].append(told))
    noting(_Other, "_answer", lambda party, masks: found.rows[party].extend(masks))
    return found


def everything(found: Views, party: str, rows: int) -> Iterator[Any]:
    """Every number a row, and the sum and difference of every two."""
    vectors = [vector[:rows] for vector in found.rows[party] if len(vector) >= rows]
    yield from map(centred, vectors)
    for one, other in itertools.combinations(vectors, 2):
        yield from (centred(one + other), centred(one - other))


def residuals_of_the_other_in_the_clear(monkeypatch: pytest.MonkeyPatch, found: Views) -> None:
    """The weakened protocol: ciphertexts of the active party's residual shares hide nothing from p1."""
    residuals = _First._residuals

    def told(first: _First, predictor: Any) -> Any:
        share = residuals(first, predictor)
        found.rows["p1"].append(share)
        return share

    monkeypatch.setattr(_First, "_residuals", told)


def predictor(vector: np.ndarray, feature_bits: int) -> np.ndarray:
    """What a number modulo t stands for as a part of the predictor."""
    return centred(vector) / float(1 << (feature_bits + COORDINATE_BITS))


def centred(values: np.ndarray, modulus: int = bfv.PLAIN_MODULUS) -> np.ndarray:
    """The representatives between minus and plus half the modulus, float64."""
    found = np.mod(values, modulus)
    return np.where(found > modulus // 2, found - modulus, found).astype(np.float64)
