"""Invitations: whether this node takes part in an exchange, and serving the ones that it joined.

For each invitation, in this order: the documents are checked (`terms`); the product must be published by this member and cover what
is asked; a rule of `node.toml` may make it wait for an operator; then the node joins, and the mode's own module serves. Whatever ends
it is told to the requester through the channel and to the hub as a code and a sentence.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress

from consent.decision import ItemUse
from consent.directory import ProductItem
from consent.documents import ExchangeMode, ItemMode
from nodes.approvals import Approval, Approvals
from nodes.errors import ExchangeFailed, NodeError
from nodes.exchanges.context import ExchangeContext
from nodes.exchanges.frames import Failure
from nodes.exchanges.session import Session, SessionClosed
from nodes.exchanges.terms import ExchangeTerms, InvitationRefused, terms_for_provider

log = logging.getLogger(__name__)

Server = Callable[[Session, ExchangeTerms], Awaitable[int]]
"""Serves one exchange until it ends; returns a count for the log."""

_MODES_OF: dict[ExchangeMode, frozenset[ItemMode]] = {
    ExchangeMode.QUERY: frozenset({ItemMode.P, ItemMode.Q, ItemMode.V}),
    ExchangeMode.RAW: frozenset({ItemMode.P, ItemMode.R}),
    ExchangeMode.JOINT: frozenset({ItemMode.J}),
    ExchangeMode.SCORE: frozenset({ItemMode.J}),
}


def _offers(item: ProductItem, use: ItemUse, mode: ExchangeMode) -> bool:
    """Whether a product's item may be used so. A comparison of sets shows nothing of it."""
    if mode.compares_sets:
        return use.mode is ItemMode.X and not use.fields
    fields_ok = not item.fields or (bool(use.fields) and set(use.fields) <= set(item.fields))
    return use.mode in item.modes and use.mode in _MODES_OF[mode] and fields_ok


class ProviderExchanges:
    """The exchanges that this node gives data in."""

    def __init__(self, context: ExchangeContext, approvals: Approvals, servers: Mapping[ExchangeMode, Server]) -> None:
        self._context = context
        self._approvals = approvals
        self._servers = servers
        self._running: dict[str, tuple[Session, asyncio.Task[None]]] = {}
        self._considered: set[str] = set()
        self._tasks: set[asyncio.Task[None]] = set()

    @property
    def open_count(self) -> int:
        """Exchanges that are being served."""
        return len(self._running)

    def invited(self, request: bytes, ticket: bytes) -> None:
        """Begin to consider an invitation; never raises."""
        task = asyncio.get_running_loop().create_task(self._consider(request, ticket))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def approved(self, approval: Approval) -> None:
        """An operator said yes or no to an exchange that waited. Raises NodeError if it is over by now."""
        if approval.state == "declined":
            await self._context.calls.answer(
                approval.exchange_id, "decline", "APPROVAL_REQUIRED: the provider's operator declined"
            )
            return
        ticket = await self._context.calls.resume(approval.exchange_id)
        await self._consider(approval.request, ticket)

    async def ended(self, exchange_id: str, failure: NodeError) -> None:
        """The hub says that an exchange is over."""
        running = self._running.get(exchange_id)
        if running is not None:
            await running[0].abort(failure)

    async def stop(self, exchange_id: str, reason: str) -> None:
        """End an exchange for good, as this node's operator says."""
        running = self._running.get(exchange_id)
        if running is None:
            await self._context.calls.end(exchange_id, "cancelled", f"JOB_STOPPED: {reason}")
            return
        # Through the channel first: the hub's word would come after the end of the connection.
        await running[0].close(Failure(code="JOB_STOPPED", message=f"its operator stopped the job: {reason}"))
        await self._context.calls.end(exchange_id, "cancelled", f"JOB_STOPPED: {reason}")
        await running[0].abort(ExchangeFailed(f"This node's operator stopped it: {reason}", code="JOB_STOPPED"))

    async def close(self) -> None:
        """End all; requesters may resume them later."""
        for _, task in list(self._running.values()):
            task.cancel()
        await asyncio.gather(*(task for _, task in self._running.values()), *self._tasks, return_exceptions=True)

    async def _consider(self, request: bytes, ticket: bytes) -> None:
        context = self._context
        try:
            terms = terms_for_provider(
                ticket,
                request,
                node_id=context.settings.node_id,
                member_id=context.settings.member_id,
                directory=context.replica.directory,
                hub_key=context.replica.hub_key,
                now_ms=context.clock(),
            )
        except InvitationRefused as error:
            log.warning("invitation_refused", extra={"code": error.code, "detail": error.message})
            return
        context.calls.keep_ticket(terms.exchange_id, ticket)
        # The hub tells of an exchange more than once (it is opened, resumed, told again after a reconnection): it is served once.
        if terms.exchange_id in self._running or terms.exchange_id in self._considered:
            return
        self._considered.add(terms.exchange_id)
        try:
            await self._decide_and_join(terms)
        except NodeError as error:
            log.warning("exchange_declined", extra={"exchange": terms.exchange_id, "code": error.code})
            with suppress(NodeError):
                await context.calls.answer(terms.exchange_id, "decline", f"{error.code}: {error.message}")
        finally:
            self._considered.discard(terms.exchange_id)

    async def _decide_and_join(self, terms: ExchangeTerms) -> None:
        context = self._context
        server = self._servers.get(terms.request.mode)
        if server is None:
            raise NodeError(f"This node does not serve mode {terms.request.mode.value}.", code="INVALID_ARGUMENT")
        self._check_product(terms)
        if self._approvals.required(terms):
            state = await self._approvals.state(terms)
            if state == "declined":
                raise NodeError("The provider's operator declined this exchange.", code="APPROVAL_REQUIRED")
            if state == "waiting":
                await context.calls.answer(terms.exchange_id, "wait_approval")
                return
        await context.calls.answer(terms.exchange_id, "join")
        session = context.session(terms)
        task = asyncio.get_running_loop().create_task(self._serve(session, terms, server))
        self._running[terms.exchange_id] = (session, task)

    def _check_product(self, terms: ExchangeTerms) -> None:
        asked = terms.request
        product = self._context.replica.directory.product(asked.product_id)
        if product is None or product.withdrawn_ms is not None or product.published.provider != asked.provider:
            raise NodeError(
                f"Product {asked.product_id} is not on offer by {asked.provider}.", code="PRODUCT_UNAVAILABLE"
            )
        offered = {item.item_id: item for item in product.published.items}
        for use in asked.items:
            item = offered.get(use.item_id)
            if item is None or not _offers(item, use, asked.mode):
                raise NodeError(
                    f"Product {asked.product_id} does not offer item {use.item_id} in mode {use.mode.value} with these fields.",
                    code="PRODUCT_UNAVAILABLE",
                )

    async def _serve(self, session: Session, terms: ExchangeTerms, server: Server) -> None:
        exchange_id = terms.exchange_id
        connection = asyncio.get_running_loop().create_task(session.run())
        try:
            count = await server(session, terms)
            log.info(
                "exchange_served", extra={"exchange": exchange_id, "mode": terms.request.mode.value, "count": count}
            )
        except SessionClosed:
            pass
        except NodeError as error:
            log.warning("exchange_failed", extra={"exchange": exchange_id, "code": error.code})
            await session.close(Failure(code=error.code, message=error.message, reason=error.reason))
            # A requester that went away may come back and go on; a refusal or a fault is the end.
            if error.code != "PEER_OFFLINE":
                await self._context.calls.end(exchange_id, "failed", f"{error.code}: {error.message}")
        except Exception:
            log.exception("exchange_failed_unforeseen", extra={"exchange": exchange_id})
            await session.close(Failure(code="INTERNAL", message="The provider's node failed; ask its operator."))
            await self._context.calls.end(exchange_id, "failed", "INTERNAL: the provider's node failed")
        finally:
            self._running.pop(exchange_id, None)
            connection.cancel()
            await asyncio.gather(connection, return_exceptions=True)
