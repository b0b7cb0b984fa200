"""What happened in a demonstration; written to summary.json."""

from __future__ import annotations

from dataclasses import dataclass, field

from cli.demo.models import TrainedModel
from cli.demo.scoring import Scored


@dataclass
class Summary:
    """What happened, step by step."""

    enterprises: int = 0
    consents: int = 0
    sources: dict[str, int] = field(default_factory=dict)
    query_ok: bool = False
    query_p50_ms: float = 0.0
    raw_rows: int = 0
    refusals: dict[str, int] = field(default_factory=dict)
    revocation_ms: int = 0
    models: list[TrainedModel] = field(default_factory=list)
    scoring: Scored | None = None
    audit_verified: bool = False
    audited_uses: int = 0
    tamper_detected: bool = False
    hub_saw_plaintext: bool = True
    seconds: float = 0.0
