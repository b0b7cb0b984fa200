"""Who makes a call: an account in a session, as its access token says."""

from __future__ import annotations

from dataclasses import dataclass

from portal.permissions import SECOND_FACTOR, Need, Reach, Role, reach_of


@dataclass(frozen=True, kw_only=True)
class Principal:
    """`institution`: "hub", a member's id, or an enterprise's code.

    `withheld`: permissions of the role that this account has not (`portal.backoffice.policy`).
    """

    account_id: str
    session_id: str
    login: str
    role: Role
    institution: str
    second_factor: bool
    withheld: frozenset[Need] = frozenset()

    @property
    def full(self) -> bool:
        """Whether permissions count: the second factor was given, or the role needs none."""
        return self.second_factor or self.role not in SECOND_FACTOR

    def may(self, need: Need) -> bool:
        """Whether this account has the permission now."""
        return self.full and need not in self.withheld and reach_of(self.role, need) is not None

    def only(self, need: Need) -> str | None:
        """The institution that services must keep to, None for all. Raises KeyError without the permission."""
        reach = reach_of(self.role, need)
        if reach is None or not self.may(need):
            raise KeyError(need)
        return self.institution if reach is Reach.OWN else None
