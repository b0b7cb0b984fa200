"""A model of this node's own, open with all of its providers: exchanges, a key, the encrypted weights at each; then questions.

What is open is kept warm. When a provider's node or a process of scoring was replaced, a new session is opened over the same exchanges
and what was under way is asked again under its request keys, which count once.
"""

from __future__ import annotations

import asyncio
import itertools
import logging
import secrets
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, Final, TypeVar

from consent.documents import ExchangeMode
from consent.model_state import Model
from modeling.errors import ModelingError
from nodes.errors import ExchangeFailed, NodeError
from nodes.exchanges.context import ExchangeContext
from nodes.exchanges.requester import RequesterExchanges, Wanted
from nodes.exchanges.session import PeerRestarted, Session
from nodes.exchanges.terms import ExchangeTerms
from nodes.models.sessions import SessionSeed, keep_seed
from nodes.scoring.computer import Computer, SessionLost
from nodes.scoring.evidence import sent_word
from nodes.scoring.link import ScoreLink
from nodes.scoring.messages import Answer, Ask, Declined, Leave, Open, Opened, Said, Sealed
from nodes.scoring.question import Asking, Part, Question, Replies, not_in_time, part_of
from nodes.scoring.recipe import Begun, Recipe
from nodes.scoring.work import Drop

log = logging.getLogger(__name__)

T = TypeVar("T")

SCORE_LIFE_MS: Final = 24 * 3_600_000
OPEN_S: Final = 60.0
ANSWER_S: Final = 300.0
"""How long a question waits for its last answer; one on line has its own, shorter patience."""
MAX_ATTEMPTS: Final = 5
_BETWEEN_S: Final = 0.2
_LAST_WORD_S: Final = 1.0


@dataclass
class _Partner:
    """A provider of the model."""

    member: str
    place: int
    terms: ExchangeTerms
    session: Session
    link: ScoreLink
    tasks: list[asyncio.Task[None]] = field(default_factory=list)


@dataclass
class _Sitting:
    """One session. `opened`: by member; `pending`: by request number and member."""

    session: str
    opened: dict[str, asyncio.Future[None]]
    pending: dict[int, dict[str, asyncio.Future[Part]]] = field(default_factory=dict)
    begun: Begun | None = None
    ready: bool = False

    def fail(self, error: Exception) -> None:
        """Nobody waits for it any longer."""
        waiting: list[asyncio.Future[Any]] = [*self.opened.values()]
        waiting += [each for of in self.pending.values() for each in of.values()]
        for future in waiting:
            if not future.done():
                future.set_exception(error)
                future.exception()  # seen: whoever waits gets it, and nobody has to


class Panel:
    """See the module. `open` first, `close` at the end; `failure` is set once it is of no more use."""

    def __init__(
        self,
        context: ExchangeContext,
        requester: RequesterExchanges,
        computer: Computer,
        model: Model,
        recipe: Recipe,
        asking: Asking,
    ) -> None:
        self._context, self._requester, self._computer = context, requester, computer
        self.model, self.recipe = model, recipe
        self._asking = asking
        self._partners: dict[int, _Partner] = {}
        self._sitting: _Sitting | None = None
        self._sitting_down = asyncio.Lock()
        self._order = asyncio.Lock()
        self._numbers = itertools.count(1)
        self.failure: NodeError | None = None
        self.silent: tuple[str, ...] = ()
        """The providers that were still waited for when a wait was last broken off."""

    async def open(self, exchanges: Mapping[str, tuple[str, bytes]] | None = None) -> None:
        """Open the exchanges and the first session. `exchanges`: to go on with, by provider. Raises NodeError."""
        for place, part in enumerate(self.model.version.parts, start=1):
            known = (exchanges or {}).get(part.provider)
            if known is not None:
                terms = await self._requester.resume(*known)
            else:
                wanted = Wanted(
                    provider=part.provider,
                    product_id=part.product_id,
                    items=part.items,
                    purpose=self.model.version.purpose,
                    reason=self._asking.reason,
                    user=self._asking.user,
                    application_no=self._asking.application_no,
                )
                terms = await self._requester.open(wanted, ExchangeMode.SCORE, SCORE_LIFE_MS)
            session = self._context.session(terms)
            partner = _Partner(part.provider, place, terms, session, ScoreLink(session))
            self._partners[place] = partner
            loop = asyncio.get_running_loop()
            partner.tasks = [loop.create_task(session.run()), loop.create_task(self._listen(partner))]

    @property
    def exchanges(self) -> dict[str, tuple[str, bytes]]:
        """By provider its exchange and the signed request: what `open` goes on with."""
        return {each.member: (each.terms.exchange_id, each.terms.request_document) for each in self._partners.values()}

    @property
    def traffic(self) -> int:
        """Bytes of blobs, both ways, since it was opened."""
        return sum(each.link.sent_bytes + each.link.received_bytes for each in self._partners.values())

    def terms_of(self, member: str) -> ExchangeTerms:
        """Of the exchange with a provider."""
        return next(each.terms for each in self._partners.values() if each.member == member)

    def session_of(self, exchange_id: str) -> Session | None:
        """The session of an exchange of this panel."""
        return next((each.session for each in self._partners.values() if each.terms.exchange_id == exchange_id), None)

    async def ready(self) -> Begun:
        """Until a session is open. Raises NodeError."""
        for attempt in itertools.count(1):
            try:
                sitting = await self._sit()
                if sitting.begun is not None:
                    return sitting.begun
            except SessionLost:
                if attempt == MAX_ATTEMPTS:
                    raise
                await asyncio.sleep(_BETWEEN_S * attempt)
        raise AssertionError

    async def ask(self, question: Question) -> Replies:
        """Ask every provider about the same rows. Raises NodeError, ModelingError."""
        for attempt in itertools.count(1):
            sitting = None
            try:
                sitting = await self._sit()
                async with asyncio.timeout(ANSWER_S):
                    return await self._ask(sitting, question)
            except TimeoutError as error:
                self._leave(sitting)
                raise not_in_time(self.silent, ANSWER_S) from error
            except (SessionLost, PeerRestarted) as error:
                self._leave(sitting)
                if attempt == MAX_ATTEMPTS:
                    raise SessionLost from error
                await asyncio.sleep(_BETWEEN_S * attempt)
        raise AssertionError

    async def close(self) -> None:
        """Leave the providers and end the exchanges."""
        await self._stop()
        for partner in self._partners.values():
            with suppress(NodeError):
                await self._context.calls.end(partner.terms.exchange_id, "finished", "")

    async def suspend(self) -> None:
        """Stop here; the exchanges stay, to be gone on with."""
        await self._stop()

    # -- the session

    async def _sit(self) -> _Sitting:
        """The open session, or a new one."""
        async with self._sitting_down:
            if self.failure is not None:
                raise self.failure
            if self._sitting is not None and self._sitting.ready:
                return self._sitting
            session = secrets.token_hex(16)
            loop = asyncio.get_running_loop()
            sitting = _Sitting(session, {each.member: loop.create_future() for each in self._partners.values()})
            self._sitting = sitting
            try:
                # As long as the session is patient: a provider's operator may have to approve the exchange first.
                await self._all(
                    {each.member: loop.create_task(each.session.wait_ready()) for each in self._partners.values()}
                )
                async with asyncio.timeout(OPEN_S):
                    await self._sit_down(sitting)
            except (PeerRestarted, SessionLost) as error:
                self._leave(sitting)
                raise SessionLost from error
            except TimeoutError as error:
                self._leave(sitting)
                raise not_in_time(self.silent, OPEN_S) from error
            except (NodeError, ModelingError):
                self._leave(sitting)
                raise
            return sitting

    async def _sit_down(self, sitting: _Sitting) -> None:
        partners = list(self._partners.values())
        sitting.begun = begun = await self.recipe.begin(sitting.session)
        blobs = await self._stated(sitting.session, begun)
        for partner in partners:
            said = Open(
                session=sitting.session,
                model_id=self.model.version.model_id,
                model_sm3=self.model.sm3,
                place=partner.place,
                others={each.place: each.terms.provider_node for each in partners if each is not partner},
            )
            await partner.link.say(said, blobs[partner.member])
        await self._all(sitting.opened)
        sitting.ready = True

    async def _stated(self, session: str, begun: Begun) -> Mapping[str, tuple[bytes, ...]]:
        """What each provider is sent, with this node's signed word on the weights where there are any; the seed is kept before."""
        if not begun.seed:
            return begun.blobs
        context, seed = self._context, SessionSeed(session=session, seed=begun.seed)
        model_id, now_ms = self.model.version.model_id, context.clock()
        await context.store.write(lambda connection: keep_seed(connection, model_id, seed, now_ms))
        return {
            each.member: (
                *begun.blobs[each.member],
                sent_word(self.model, each.terms, session, begun.blobs[each.member], context.identity, now_ms),
            )
            for each in self._partners.values()
        }

    def _leave(self, sitting: _Sitting | None) -> None:
        """The session is over; whoever waits in it is told."""
        if sitting is None:
            return
        if self._sitting is sitting:
            self._sitting = None
        sitting.fail(SessionLost())

    async def _ask(self, sitting: _Sitting, question: Question) -> Replies:
        if sitting.begun is None:
            raise AssertionError
        layout = self.recipe.layout(question.rows, sitting.begun.few)
        brings = await self.recipe.question(sitting.session, question.own)
        loop = asyncio.get_running_loop()
        async with self._order:  # at every provider the numbers ascend
            number = next(self._numbers)
            waiting = {each.member: loop.create_future() for each in self._partners.values()}
            sitting.pending[number] = waiting
            for partner in self._partners.values():
                said = Ask(
                    session=sitting.session,
                    layout=layout,
                    request_no=number,
                    request_key=question.request_key,
                    rows=question.rows,
                    single=question.single,
                )
                await partner.link.say(said, (question.consents[partner.member], *brings))
        try:
            found = await self._all(waiting)
        finally:
            sitting.pending.pop(number, None)
        return Replies(
            session=sitting.session,
            layout=layout,
            request_no=number,
            rows=question.rows,
            of=dict(zip(waiting, found, strict=True)),
        )

    async def _all(self, waiting: Mapping[str, asyncio.Future[T]]) -> list[T]:
        """What every provider gives."""
        try:
            return await asyncio.gather(*waiting.values())
        finally:
            self.silent = tuple(member for member, each in waiting.items() if each.cancelled() or not each.done())

    # -- what the providers say

    async def _listen(self, partner: _Partner) -> None:
        while True:
            try:
                said, blobs = await partner.link.hear()
                await self._heard(partner, said, blobs)
            except PeerRestarted:
                self._leave(self._sitting)
            except NodeError as error:
                self.failure = self.failure or error
                if self._sitting is not None:
                    self._sitting.fail(error)
                return

    async def _heard(self, partner: _Partner, said: Said, blobs: Sequence[bytes]) -> None:
        sitting = self._sitting
        if sitting is None or said.session != sitting.session:
            return  # of a session that is over
        match said:
            case Sealed():
                to = self._partners.get(said.place)
                if to is None or to is partner:
                    raise ExchangeFailed(f"{partner.member} speaks to a provider that there is not.")
                await to.link.say(Sealed(session=said.session, place=partner.place), blobs)
            case Opened():
                _settle(sitting.opened[partner.member], None)
            case Answer():
                waiting = sitting.pending.get(said.request_no, {}).get(partner.member)
                if waiting is not None:
                    _settle(waiting, part_of(partner.member, said, blobs))
            case Declined():
                self._declined(sitting, partner, said)
            case _:
                raise ExchangeFailed(f"{partner.member} said {type(said).__name__}, which a bank says.")

    def _declined(self, sitting: _Sitting, partner: _Partner, said: Declined) -> None:
        error: NodeError = SessionLost()
        if not said.again:
            error = NodeError(f"{partner.member}: {said.message}", code=said.code, reason=said.reason)
        waiting: asyncio.Future[Part] | asyncio.Future[None] | None = sitting.opened[partner.member]
        if said.request_no:
            waiting = sitting.pending.get(said.request_no, {}).get(partner.member)
        if waiting is not None and not waiting.done():
            waiting.set_exception(error)

    async def _stop(self) -> None:
        sitting, self._sitting = self._sitting, None
        await asyncio.gather(*(_part_from(partner, sitting) for partner in self._partners.values()))
        if sitting is not None:
            sitting.fail(SessionLost())
            with suppress(NodeError):
                await self._computer.do(Drop(session=sitting.session))


async def _part_from(partner: _Partner, sitting: _Sitting | None) -> None:
    """Say good-bye and let go."""
    if sitting is not None:
        with suppress(NodeError, PeerRestarted, TimeoutError):
            async with asyncio.timeout(_LAST_WORD_S):
                await partner.link.say(Leave(session=sitting.session))
    await partner.session.close()
    for task in partner.tasks:
        task.cancel()
    await asyncio.gather(*partner.tasks, return_exceptions=True)


def _settle(future: asyncio.Future[Part] | asyncio.Future[None], value: Part | None) -> None:
    if not future.done():
        future.set_result(value)  # type: ignore[arg-type]
