"""Which models a provider's node approves by itself: those that a rule of `node.toml` (`[[model_approval]]`) matches."""

from __future__ import annotations

from collections.abc import Sequence
from fnmatch import fnmatchcase

from consent.models import ModelPart, ModelVersion
from nodes.settings import ModelRule


def approved_by(rules: Sequence[ModelRule], version: ModelVersion, provider: str) -> int | None:
    """The number, from 1, of the first rule that lets this provider's data be used; None: an operator decides."""
    part = version.part_of(provider)
    if part is None:
        return None
    return next((number for number, rule in enumerate(rules, start=1) if _matches(rule, version, part)), None)


def _matches(rule: ModelRule, version: ModelVersion, part: ModelPart) -> bool:
    named = (
        rule.owner == version.owner
        and fnmatchcase(part.product_id, rule.product)
        and fnmatchcase(version.kind, rule.kind)
    )
    if part.leverage is None or part.nonzero is None:
        return named
    return named and part.leverage <= rule.maximum_leverage and part.nonzero >= rule.minimum_nonzero
