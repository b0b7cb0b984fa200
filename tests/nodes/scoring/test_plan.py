"""The leak statement that a plan shows is that of the model's mode, kind and number of providers."""

from __future__ import annotations

from typing import Any

import pytest

from consent.model_state import Model
from consent.models import MODEL_VERSION_TYPE
from nodes.scoring.plan import leaks_of
from tests.consent.model_builders import OTHER, OWNER, PROVIDER, part, version
from trust.document import sign_document
from trust.sm2 import PrivateKey

TWO = (part(), part(OTHER))
KEY = PrivateKey.generate()


def told(**changes: Any) -> dict[str, str]:
    made = Model(version=version(**changes), sm3="0" * 64, document=sign_document(MODEL_VERSION_TYPE, b"{}", KEY))
    return {each.to: each.what for each in leaks_of(made)}


@pytest.mark.parametrize(
    ("kind", "parts", "learns"),
    [
        ("linear", TWO[:1], "what the provider's columns count for in all"),
        ("linear", TWO, "and no part of it"),
        ("joint_logistic", TWO, "and no part of it"),
        ("joint_boosting", TWO[:1], "no side of any split"),
        ("joint_boosting", TWO, "on which side of each split of each provider"),
    ],
)
def test_the_owner_is_told_what_it_learns(kind: str, parts: Any, learns: str) -> None:
    found = told(kind=kind, parts=parts)
    assert learns in found[OWNER]
    assert set(found) == {OWNER, "hub", *(each.provider for each in parts)}
    assert ("share a path" in found[PROVIDER]) == (kind == "joint_boosting" and len(parts) == 1)
