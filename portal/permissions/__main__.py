"""The permissions of each role as the documents have them: `python -m portal.permissions`."""

from __future__ import annotations

import sys

from portal.permissions.grants import GRANTS
from portal.permissions.kinds import TITLES, Need, Reach, Role, Subject


def table() -> str:
    """A row for each role."""
    rows = [f"| {TITLES[role]} | {_granted(role)} |" for role in Role]
    return "\n".join(["| role | permissions |", "|---|---|", *rows])


def _granted(role: Role) -> str:
    others = [_told(need, reach) for need, reach in GRANTS[role].items() if need.subject is not Subject.OWN_ACCOUNT]
    return ", ".join(["own account", *others])


def _told(need: Need, reach: Reach) -> str:
    whose = " of all" if reach is Reach.ALL else ""
    return f"{need.action.value} {need.subject.value.replace('_', ' ')}{whose}"


if __name__ == "__main__":
    sys.stdout.write(table() + "\n")
