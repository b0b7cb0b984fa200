"""Alerts: raised by a round, seen and closed by people, with a reason.

Rules:
1. One alert at a time is live of an institution, a kind and a subject; while it is, only what was measured changes.
2. Who closes one says why; the same risk is not raised again for `QUIET_MS`.
3. An institution sees and closes its own; the supervisor sees all, and closes the hub's.
4. A threshold is within its rule's bounds; a change is recorded.
"""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from typing import Any, Final

from sqlalchemy import Connection, Row, insert, select, update

from portal import events
from portal.accounts.notices import holders, notify
from portal.applications.moving import stale
from portal.errors import form_fault, not_found
from portal.permissions import Role
from portal.principal import Principal
from portal.state import Portal
from portal.states import ALERT
from portal.statistics.rules import HUB, RULES, Rule, Setting, setting, settings_of
from portal.statistics.tables import alerts, thresholds
from portal.statistics.watching import Risk, risks
from portal.text import Text

QUIET_MS: Final = 30 * 24 * 3600 * 1000
BATCH: Final = 200
OPEN, CLOSED = ALERT.initial, "closed"


async def tick(portal: Portal) -> int:
    """Measure, and raise what is new, a batch a transaction; how many alerts were raised. A round of the portal."""
    now_ms, raised = portal.clock(), 0

    def measure(connection: Connection) -> Sequence[Risk]:
        return risks(connection, now_ms, settings_of(connection))

    found = await portal.db.read(measure)
    for first in range(0, len(found), BATCH):
        batch = found[first : first + BATCH]
        raised += await portal.db.write(lambda c, batch=batch: sum(_raise(c, each, now_ms) for each in batch))  # type: ignore[misc]
    return raised


def act_on(
    portal: Portal, connection: Connection, who: Principal, alert_id: str, version: int, act: str, reason: str
) -> None:
    """See or close one's own (rules 2, 3). Only inside `Database.write`. Raises PortalError NOT_FOUND, WRONG_STATE, STALE."""
    row, now_ms = alert_of(connection, alert_id, who.institution), portal.clock()
    state = ALERT.after(row.state, act)
    own = (alerts.c.alert_id == alert_id) & (alerts.c.version == version)
    changed = {"state": state, "reason": reason, "changed_by": who.login, "changed_ms": now_ms, "version": version + 1}
    if connection.execute(update(alerts).where(own).values(changed)).rowcount != 1:
        raise stale()
    events.record(connection, now_ms, who.login, f"alert_{act}", alert_id, reason)


def alert_of(connection: Connection, alert_id: str, institution: str | None) -> Row[Any]:
    """One alert of an institution, of all for None. Raises PortalError NOT_FOUND."""
    wanted = select(alerts).where(alerts.c.alert_id == alert_id)
    if institution is not None:
        wanted = wanted.where(alerts.c.institution == institution)
    row = connection.execute(wanted).first()
    if row is None:
        raise not_found()
    return row


def rules_for(connection: Connection, institution: str) -> Sequence[tuple[Rule, Setting]]:
    """The rules that an institution may set, with what counts for it now."""
    given = settings_of(connection)
    return [
        (rule, setting(rule, institution, given)) for rule in RULES.values() if institution == HUB or not rule.hub_only
    ]


def set_threshold(
    portal: Portal,
    connection: Connection,
    who: Principal,
    kind: str,
    version: int,
    *,
    threshold: int,
    enabled: bool,
) -> None:
    """Set one's own threshold, or switch a rule off (rule 4). Only inside `Database.write`.

    Raises PortalError NOT_FOUND, STALE, INVALID_ARGUMENT.
    """
    found = [(rule, now) for rule, now in rules_for(connection, who.institution) if rule.kind == kind]
    if not found:
        raise not_found()
    (rule, before), now_ms = found[0], portal.clock()
    if not rule.least <= threshold <= rule.most:
        text = Text("Give a number from {least} to {most}.", least=rule.least, most=rule.most)
        raise form_fault("threshold", text)
    if before.version != version:
        raise stale()
    values = {"threshold": threshold, "enabled": int(enabled), "changed_by": who.login, "changed_ms": now_ms}
    key = {"institution": who.institution, "kind": kind}
    if version:
        own = (thresholds.c.institution == who.institution) & (thresholds.c.kind == kind)
        connection.execute(update(thresholds).where(own).values(values | {"version": version + 1}))
    else:
        connection.execute(insert(thresholds), key | values | {"version": 1})
    told = f"{threshold}" if enabled else "off"
    events.record(connection, now_ms, who.login, "alert_rule_set", f"{who.institution}/{kind}", told)


def _raise(connection: Connection, risk: Risk, now_ms: int) -> int:
    """Raise an alert, unless one is live or was closed lately (rules 1, 2); 1 if it was raised."""
    own = (alerts.c.institution == risk.institution) & (alerts.c.kind == risk.kind) & (alerts.c.subject == risk.subject)
    before = connection.execute(select(alerts).where(own).order_by(alerts.c.opened_ms.desc()).limit(1)).first()
    if before is not None and before.state != CLOSED:
        if before.measured != risk.measured:
            mine = alerts.c.alert_id == before.alert_id
            connection.execute(update(alerts).where(mine).values(measured=risk.measured))
        return 0
    if before is not None and before.changed_ms > now_ms - QUIET_MS:
        return 0
    row = {
        "alert_id": str(uuid.uuid4()),
        "institution": risk.institution,
        "kind": risk.kind,
        "phase": RULES[risk.kind].phase.value,
        "subject": risk.subject,
        "label": risk.label,
        "measured": risk.measured,
        "threshold": risk.threshold,
        "state": OPEN,
        "opened_ms": now_ms,
        "changed_ms": now_ms,
        "version": 1,
    }
    connection.execute(insert(alerts), row | {"reason": "", "changed_by": ""})
    roles = (Role.SUPERVISOR,) if risk.institution == HUB else (Role.STAFF, Role.APPROVER)
    for role in roles:
        for account_id in holders(connection, role, risk.institution):
            notify(connection, account_id, "alert_raised", risk.label or risk.subject, now_ms)
    return 1
