"""What can be done with a line by a form or a call, as two tables: the name, its form, the service's function."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from sqlalchemy import Connection

from portal.applications.application import WAN
from portal.applications.moving import By
from portal.credit import deciding, fields, service
from portal.credit.line import Contract
from portal.errors import not_found
from portal.forms import Field
from portal.state import Portal

Given = Mapping[str, Any]
Do = Callable[[Portal, Connection, By, str, int, Given], None]


@dataclass(frozen=True, kw_only=True)
class Act:
    """One form, and what it does to the line of an application as `version` was read."""

    asks: Sequence[Field]
    do: Do


def _contract(portal: Portal, connection: Connection, mover: By, number: str, version: int, given: Given) -> None:
    contract = Contract(
        contract_no=given["contract_no"],
        branch=given["branch"],
        amount_fen=_fen(given["amount"]),
        signed_on=given["signed_on"],
        begins_on=given["begins_on"],
        ends_on=given["ends_on"],
        first_loan=given["first_loan"] == "1",
    )
    service.enter_contract(portal, connection, mover, number, version, contract)


def _drawdown(portal: Portal, connection: Connection, mover: By, number: str, version: int, given: Given) -> None:
    service.enter_drawdown(portal, connection, mover, number, version, **_paid(given))


def _repayment(portal: Portal, connection: Connection, mover: By, number: str, version: int, given: Given) -> None:
    service.enter_repayment(portal, connection, mover, number, version, **_paid(given))


def _overdue(portal: Portal, connection: Connection, mover: By, number: str, version: int, given: Given) -> None:
    amount_fen, day = _fen(given["amount"]), given["day"]
    service.mark_overdue(portal, connection, mover, number, version, amount_fen=amount_fen, day=day)


def _class5(portal: Portal, connection: Connection, mover: By, number: str, version: int, given: Given) -> None:
    class5, reason = given["class5"], given["reason"]
    service.classify(portal, connection, mover, number, version, class5=class5, reason=reason)


def _settle(portal: Portal, connection: Connection, mover: By, number: str, version: int, _given: Given) -> None:
    service.settle(portal, connection, mover, number, version)


def _because(what: Callable[[Portal, Connection, By, str, int, str], None]) -> Act:
    def do(portal: Portal, connection: Connection, mover: By, number: str, version: int, given: Given) -> None:
        what(portal, connection, mover, number, version, given["reason"])

    return Act(asks=fields.BECAUSE, do=do)


ENTERED: Final[Mapping[str, Act]] = {
    "contract": Act(asks=fields.CONTRACT, do=_contract),
    "drawdown": Act(asks=fields.DRAWDOWN, do=_drawdown),
    "repayment": Act(asks=fields.REPAYMENT, do=_repayment),
    "overdue": Act(asks=fields.OVERDUE, do=_overdue),
    "class5": Act(asks=fields.CLASS5, do=_class5),
    "settlement": Act(asks=(), do=_settle),
    "write-off": _because(service.propose_write_off),
}
DECIDED: Final[Mapping[str, Act]] = {
    "confirm": _because(deciding.confirm),
    "send-back": _because(deciding.send_back),
    "terminate": _because(deciding.terminate),
}


def act_of(acts: Mapping[str, Act], name: str) -> Act:
    """The act of a name. Raises PortalError NOT_FOUND."""
    found = acts.get(name)
    if found is None:
        raise not_found()
    return found


def _paid(given: Given) -> dict[str, Any]:
    due = given["due_amount"]
    return {
        "amount_fen": _fen(given["amount"]),
        "day": given["day"],
        "due_on": given["due_on"],
        "due_fen": None if due is None else _fen(due),
    }


def _fen(amount_wan: Any) -> int:  # noqa: ANN401 (a form's)
    return int(amount_wan * WAN)
