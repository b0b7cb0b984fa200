"""Alarms: what somebody has to look at, from the figures alone (pure). Each says what is so, and what to do.

A node that is away has one alarm for that, not others for what follows from it; one that was cut off has none.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from portal.hub_link import ExchangeStatus, LogHead, Operations
from portal.operations.figures import Node, NodeState, nodes_of
from portal.operations.words import span
from portal.text import Text

SECOND_MS: Final = 1000
MINUTE_MS: Final = 60 * SECOND_MS
DAY_MS: Final = 24 * 60 * MINUTE_MS
WAITING: Final = "waiting_approval"


class Kind(StrEnum):
    """What an alarm is about, the most urgent first."""

    HUB_AWAY = "hub_away"
    LOG_STALLED = "log_stalled"
    NODE_AWAY = "node_away"
    CERTIFICATE_ENDED = "certificate_ended"
    CONSENT_LAG = "consent_lag"
    CHECKPOINT_OLD = "checkpoint_old"
    EXCHANGE_STUCK = "exchange_stuck"
    CERTIFICATE_ENDING = "certificate_ending"
    APPROVAL_WAITS = "approval_waits"


URGENT: Final = frozenset(Kind) - {Kind.CERTIFICATE_ENDING, Kind.APPROVAL_WAITS}


@dataclass(frozen=True, kw_only=True)
class Limits:
    """From when on something is an alarm, in milliseconds.

    A node renews its certificate (30 days by default) after a third of its life: with half of it left it has failed for days. An
    exchange that nobody uses is ended by the hub after 15 minutes. The hub signs checkpoints every two seconds.
    """

    away_ms: int = 5 * MINUTE_MS
    certificate_ms: int = 15 * DAY_MS
    lag_ms: int = 30 * SECOND_MS
    checkpoint_ms: int = MINUTE_MS
    stuck_ms: int = 5 * MINUTE_MS
    approval_ms: int = DAY_MS


@dataclass(frozen=True, kw_only=True)
class Alarm:
    """`about`: a node, log or exchange; empty for the hub."""

    kind: Kind
    about: str
    text: Text
    advice: Text

    @property
    def urgent(self) -> bool:
        """Whether something does not work now, or soon."""
        return self.kind in URGENT


HUB_AWAY: Final = Alarm(
    kind=Kind.HUB_AWAY,
    about="",
    text=Text("The hub does not answer. Nothing below is known."),
    advice=Text("Look whether its process runs, and at the end of its log."),
)


def alarms_of(found: Operations, limits: Limits) -> Sequence[Alarm]:
    """All alarms, the most urgent first."""
    raised = [
        *(alarm for log in found.logs for alarm in _of_log(log, found.time_ms, limits)),
        *(alarm for node in nodes_of(found) for alarm in _of_node(node, limits)),
        *(alarm for exchange in found.exchanges for alarm in _of_exchange(exchange, found.time_ms, limits)),
    ]
    order = list(Kind)
    return sorted(raised, key=lambda alarm: (order.index(alarm.kind), alarm.about))


def _of_log(log: LogHead, now_ms: int, limits: Limits) -> Iterator[Alarm]:
    age_ms = now_ms - log.time_ms
    if age_ms > limits.checkpoint_ms:
        yield Alarm(
            kind=Kind.LOG_STALLED,
            about=log.origin,
            text=Text("The hub has not signed the log {log} for {time}.", log=log.origin, time=span(age_ms))
            if log.time_ms
            else Text("The hub has never signed the log {log}.", log=log.origin),
            advice=Text(
                "Look at the hub's log and at the space of its database; providers stop giving data until then."
            ),
        )


def _of_node(node: Node, limits: Limits) -> Iterator[Alarm]:
    if node.state is NodeState.CUT_OFF:
        return
    yield from _of_certificate(node, limits)
    if node.state is NodeState.AWAY:
        yield from _of_absence(node, limits)
    elif node.lag_ms is not None and node.lag_ms > limits.lag_ms:
        yield Alarm(
            kind=Kind.CONSENT_LAG,
            about=node.node_id,
            text=Text(
                "{node} has not confirmed {count} entries of its consent log for {time}.",
                node=node.node_id,
                count=node.behind,
                time=span(node.lag_ms),
            ),
            advice=Text(
                "Look at the node's disk and log, or run xinqiao node doctor there: it may not know the newest withdrawals."
            ),
        )
    elif node.checkpoint_ms is None or node.checkpoint_ms > limits.checkpoint_ms:
        yield Alarm(
            kind=Kind.CHECKPOINT_OLD,
            about=node.node_id,
            text=Text(
                "{node} is connected but has signed no checkpoint for {time}.",
                node=node.node_id,
                time=span(node.checkpoint_ms),
            ),
            advice=Text("Look at the node's log: it may have raised an alarm of its own against the hub's log."),
        )


def _of_absence(node: Node, limits: Limits) -> Iterator[Alarm]:
    if node.silent_ms is None or node.silent_ms > limits.away_ms:
        yield Alarm(
            kind=Kind.NODE_AWAY,
            about=node.node_id,
            text=Text("{node} has been away for {time}.", node=node.node_id, time=span(node.silent_ms)),
            advice=Text("Ask {member} whether its process runs and reaches the hub.", member=node.member_name),
        )


def _of_certificate(node: Node, limits: Limits) -> Iterator[Alarm]:
    if not node.certificate_ms:
        yield Alarm(
            kind=Kind.CERTIFICATE_ENDED,
            about=node.node_id,
            text=Text("The certificate of {node} has ended.", node=node.node_id),
            advice=Text("It cannot connect any more: {member} enrols a node of another name.", member=node.member_name),
        )
    elif node.certificate_ms < limits.certificate_ms:
        yield Alarm(
            kind=Kind.CERTIFICATE_ENDING,
            about=node.node_id,
            text=Text("The certificate of {node} ends in {time}.", node=node.node_id, time=span(node.certificate_ms)),
            advice=Text("It should have renewed itself: look at the node's log before it ends."),
        )


def _of_exchange(exchange: ExchangeStatus, now_ms: int, limits: Limits) -> Iterator[Alarm]:
    if exchange.ended_ms:
        return
    idle_ms = now_ms - exchange.active_ms
    parties = {"user": exchange.requester_node, "provider": exchange.provider_node, "time": span(idle_ms)}
    if exchange.state == WAITING:
        if idle_ms > limits.approval_ms:
            yield Alarm(
                kind=Kind.APPROVAL_WAITS,
                about=exchange.exchange_id,
                text=Text("An exchange of {user} has waited {time} for a yes at {provider}.", **parties),
                advice=Text("Remind the provider: xinqiao node approvals lists what waits there."),
            )
    elif idle_ms > limits.stuck_ms:
        yield Alarm(
            kind=Kind.EXCHANGE_STUCK,
            about=exchange.exchange_id,
            text=Text("An exchange between {user} and {provider} has not moved for {time}.", **parties),
            advice=Text(
                "Look whether both nodes are up; the hub ends it after a while, and it can be resumed or begun anew."
            ),
        )
