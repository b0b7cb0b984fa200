"""Looking for values that were exchanged in everything that the hub had: the relay's captured bytes and its database."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Final

from cli.demo.network import DemoFailed

CAPTURE: Final = "relay.capture"
_LEAST_CAPTURED: Final = 10_000


def needles_of(rows: Iterable[Mapping[str, str]]) -> list[bytes]:
    """Values of single subjects as they stand in answers: long enough not to occur by chance."""
    return [
        needle
        for row in rows
        for name in ("total_bal_il", "total_il_high_credit_limit")
        if len(row[name]) >= 6  # as text in an answer, and as the decimal of an Arrow column
        for needle in (f'"{name}":"{row[name]}.00"'.encode(), (int(row[name]) * 100).to_bytes(16, "little"))
    ]


def search(home: Path, hub_home: Path, needles: Sequence[bytes], control: bytes) -> int:
    """How many bytes the relay carried. `control`: where every needle stands.

    Raises DemoFailed if one is found at the hub, or if the search could not find it where it stands.
    """
    if not needles or not all(needle in control for needle in needles):
        raise DemoFailed("The search for plaintext cannot find a value where it stands; it would prove nothing.")
    captured = (home / CAPTURE).stat().st_size
    if captured < _LEAST_CAPTURED:
        raise DemoFailed(f"The relay's capture holds {captured} bytes only; the search would prove nothing.")
    haystacks = [path for path in hub_home.rglob("*") if path.is_file() and "keys" not in path.parts]
    found = []
    for path in (*haystacks, home / CAPTURE):
        if path.exists():
            content = path.read_bytes()
            found += [path.name] if any(needle in content for needle in needles) else []
    if found:
        raise DemoFailed(f"Plaintext was found at the hub: {', '.join(found)}.")
    return captured
