"""A job file for the tests of what reads one."""

from __future__ import annotations

from typing import Any

import yaml

from nodes.joint.job_file import JobFile, parse_job
from tests.nodes.exchanges.parties import ITEM
from tests.nodes.hub_simulator import PROVIDER


def document(**changes: Any) -> dict[str, Any]:
    """What a job file says, with some of its parts replaced; None leaves a part out."""
    said: dict[str, Any] = {
        "name": "default-risk",
        "reason": "loans",
        "purpose": "pre_loan",
        "algorithm": "boosting",
        "parameters": {"trees": 3},
        "own": {"file": "own.csv", "label": "bad", "features": ["income"]},
        "providers": [provider(PROVIDER)],
        "cohort": {"minimum": 20},
    }
    return {name: part for name, part in (said | changes).items() if part is not None}


def provider(member: str, features: Any = ("delinq_2yrs", "inq_fi"), item: str = ITEM) -> dict[str, Any]:
    """A provider of one item."""
    return {"member": member, "product": "p", "items": [{"item": item, "features": as_plain(features)}]}


def as_plain(features: Any) -> Any:
    """A tuple is a list in YAML."""
    return list(features) if isinstance(features, tuple) else features


def text_of(said: Any) -> str:
    """As YAML."""
    return yaml.safe_dump(said, allow_unicode=True, sort_keys=False)


def job(**changes: Any) -> JobFile:
    """A job that was read."""
    return parse_job(text_of(document(**changes)))
