"""What stands in the place of the group in psi.memory: an exclusive or with the key commutes too, takes no time, and as much memory.

Imported by worker processes; so it knows no numpy, and loads what the group's own functions load.
"""

from __future__ import annotations

from modeling.psi.group import DIGEST, ELEMENT, TAG


def masked(scalar: bytes, digests: bytes) -> bytes:
    """As `modeling.psi.group.masked`."""
    return _mixed(scalar, b"".join(digests[at : at + ELEMENT] for at in range(0, len(digests), DIGEST)))


def tagged(scalar: bytes, _before: bytes, elements: bytes) -> bytes:
    """As `modeling.psi.group.tagged`: digests are uniform, and so are these tags."""
    mixed = _mixed(scalar, elements)
    return b"".join(mixed[at : at + TAG] for at in range(0, len(mixed), ELEMENT))


def _mixed(scalar: bytes, elements: bytes) -> bytes:
    key = scalar * (len(elements) // ELEMENT)
    return (int.from_bytes(elements, "big") ^ int.from_bytes(key, "big")).to_bytes(len(elements), "big")
