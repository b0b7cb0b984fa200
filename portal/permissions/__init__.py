"""Who may call what: one table from routes to permissions, one from roles to what they are granted.

Rules:
1. A route that is not in `ROUTES` is refused, and the application does not start with one (`require_all_declared`).
2. A permission is an action on an object. A role is granted it for everything, or for its own institution (an enterprise's own is
   the enterprise): then services are given that institution and see nothing else.
3. Staff pass a second factor before any permission counts (`SECOND_FACTOR`).
4. The three administrators are separate: none has a permission that changes what another one watches.
"""

from __future__ import annotations

from collections.abc import Iterable

from portal.permissions.grants import GRANTS
from portal.permissions.kinds import SECOND_FACTOR, TITLES, Action, Need, Open, Reach, Role, Rule, Subject
from portal.permissions.routes import ROUTES

__all__ = [
    "GRANTS",
    "ROUTES",
    "SECOND_FACTOR",
    "TITLES",
    "Action",
    "Need",
    "Open",
    "Reach",
    "Role",
    "Rule",
    "Subject",
    "reach_of",
    "require_all_declared",
    "rule_of",
]


def rule_of(method: str, path: str) -> Rule | None:
    """The rule of a route, None for one that is not declared. HEAD is a GET."""
    return ROUTES.get(f"{'GET' if method == 'HEAD' else method} {path}")


def reach_of(role: Role, need: Need) -> Reach | None:
    """How far a role's permission reaches, None if it has none."""
    return GRANTS[role].get(need)


def require_all_declared(routes: Iterable[str]) -> None:
    """Raise ValueError for a route without a rule, or a rule without a route."""
    found = set(routes)
    if found != set(ROUTES):
        raise ValueError(f"not declared: {sorted(found - set(ROUTES))}; without route: {sorted(set(ROUTES) - found)}")
