"""What one portal process holds: passed down, never imported."""

from __future__ import annotations

import ipaddress
from collections.abc import Callable
from dataclasses import dataclass, field

from hub.database import Database
from hub.errors import HubError
from hub.limits import RateLimit
from portal.backoffice.policy import Policy, load
from portal.errors import PortalError
from portal.hub_link import HubLink
from portal.keyring import KeyRing
from portal.keys import PortalKeys
from portal.settings import Settings
from portal.text import Text

ATTEMPT_BURST_S = 30.0
CALL_BURST_S = 20.0
POLICY_MS = 10_000


@dataclass(kw_only=True)
class Portal:
    """`clock`: milliseconds since the epoch. `ended`: sessions that are over although their access token is still valid."""

    settings: Settings
    db: Database
    keys: PortalKeys
    link: HubLink
    clock: Callable[[], int]
    ended: dict[str, int] = field(default_factory=dict)
    calls: RateLimit = field(init=False)
    attempts: RateLimit = field(init=False)
    ring: KeyRing = field(init=False)
    policy: Policy = field(default_factory=Policy)
    _policy_until_ms: int = 0

    def __post_init__(self) -> None:
        """Start with full buckets and no open key."""
        self.ring = KeyRing(self.clock)
        self.calls = RateLimit(self.settings.calls_per_minute / 60, burst_s=CALL_BURST_S)
        self.attempts = RateLimit(self.settings.attempts_per_minute / 60, burst_s=ATTEMPT_BURST_S)

    def attempt(self, address: str) -> None:
        """Count a try at a password, code or registration. Raises PortalError RATE_LIMITED."""
        try:
            self.attempts.take(household(address))
        except HubError as error:
            wait_s = max(1, -(-error.retry_after_ms // 1000))
            raise PortalError(
                "RATE_LIMITED",
                Text("Too many tries from your network. Try again in {seconds} seconds.", seconds=wait_s),
                retry_after_s=wait_s,
            ) from error

    async def in_force(self) -> Policy:
        """The policy, read anew after a change here, and every `POLICY_MS` for changes of other processes. Raises HubError."""
        now_ms = self.clock()
        if now_ms >= self._policy_until_ms:
            self.policy = await self.db.read(load)
            self._policy_until_ms = now_ms + POLICY_MS
        return self.policy

    def policy_changed(self) -> None:
        """Read the policy before the next request is let through. Called after the change is written."""
        self._policy_until_ms = 0

    def end_session(self, session_id: str) -> None:
        """Refuse a session's access token from now on; forget those that have expired by themselves."""
        now_ms = self.clock()
        self.ring.drop(session_id)
        self.ended = {one: until for one, until in self.ended.items() if until > now_ms}
        self.ended[session_id] = now_ms + 1000 * self.settings.access_s


def household(address: str) -> str:
    """Whose limit an address counts against: a subscriber has a whole /64 of IPv6."""
    try:
        parsed = ipaddress.ip_address(address)
    except ValueError:
        return ""
    return address if parsed.version == 4 else str(ipaddress.ip_network(f"{parsed}/64", strict=False))
