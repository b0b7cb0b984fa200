"""Making a key of Okamoto-Uchiyama takes 1 to 40 s, by luck: the jobs of these tests share those of one process."""

from __future__ import annotations

import functools

import pytest

from modeling.additive import SecretKey
from modeling.gbdt import active as boosting
from modeling.jobs import choosing

shared_key = functools.lru_cache(SecretKey)


@pytest.fixture(autouse=True)
def _shared_keys(monkeypatch: pytest.MonkeyPatch) -> None:
    for module in (boosting, choosing):
        monkeypatch.setattr(module, "SecretKey", shared_key)
