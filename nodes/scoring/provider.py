"""The provider's side of an exchange of scoring: open sessions, judge rows, answer the parts of their scores.

Questions are judged as they come, many at once, and computed in the order of their numbers: each number's masks are used once. An
approval that is withdrawn refuses the next question. A session lasts until the bank leaves it, opens another, or the exchange ends.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Final

from consent.model_state import Model
from consent.models import ModelPart
from modeling.errors import ModelingError
from nodes.errors import ExchangeFailed, NodeError
from nodes.exchanges.session import PeerRestarted, Session
from nodes.exchanges.terms import ExchangeTerms
from nodes.models.sessions import keep_sent
from nodes.scoring import spent
from nodes.scoring.columns import read_columns
from nodes.scoring.computer import Computer, SessionLost
from nodes.scoring.evidence import checked_word
from nodes.scoring.kit import Kit, kit_of
from nodes.scoring.limits import Flag, ScoreLimitReached, check_part
from nodes.scoring.link import ScoreLink
from nodes.scoring.messages import Answer, Ask, Declined, Leave, Open, Opened, Said, Sealed
from nodes.scoring.node import ScoringNode
from nodes.scoring.pairs import Pairs
from nodes.scoring.verdict import Verdict, judge
from nodes.scoring.work import Compute, Drop
from trust.suite import sm3

log = logging.getLogger(__name__)

ENOUGH_ROWS: Final = 200
"""Rows over which it can be seen how a column is spread."""
MAX_CONCURRENT: Final = 64
"""Questions that are worked on at once in one exchange; more wait in the channel."""


@dataclass
class _Session:
    """An opened session. `turn`: set once the question before the next has been computed, or will never be.

    `brought`: digest of the key and the weights that it was opened with.
    """

    opened: Open
    brought: bytes
    model: Model
    part: ModelPart
    kit: Kit
    counted: spent.Model
    last_no: int = 0
    turn: asyncio.Event = field(default_factory=asyncio.Event)

    def __post_init__(self) -> None:
        self.turn.set()


class ScoringProvider:
    """Serves exchanges of mode score."""

    def __init__(self, node: ScoringNode) -> None:
        self._node = node
        self._computer = Computer(node.column_bytes)
        self.suspected = ""
        """What looked like probing last, with who did it."""

    async def close(self) -> None:
        """End the process that computes."""
        await self._computer.close()

    async def serve(self, session: Session, terms: ExchangeTerms) -> int:
        """Answer until the exchange ends; the number of questions that were answered. Raises what ended it."""
        serving = _Serving(self._node, self._computer, ScoreLink(session), terms, self._suspect)
        try:
            return await serving.run()
        except BaseExceptionGroup as group:  # of the tasks, or of the exchange itself: what was first ended it
            raise group.exceptions[0] from None
        finally:
            await serving.forget()

    def _suspect(self, requester: str, sentence: str) -> None:
        self.suspected = f"{requester} may be probing: {sentence} See `xinqiao score limits`."


class _Serving:
    """One exchange. `suspect`: told who does what looks like probing."""

    def __init__(
        self,
        node: ScoringNode,
        computer: Computer,
        link: ScoreLink,
        terms: ExchangeTerms,
        suspect: Callable[[str, str], None],
    ) -> None:
        self._node, self._computer, self._link, self._terms = node, computer, link, terms
        self._session: _Session | None = None
        self._pairs: Pairs | None = None
        self._suspect = suspect
        self._slots = asyncio.Semaphore(MAX_CONCURRENT)
        self._answered = 0

    async def run(self) -> int:
        async with asyncio.TaskGroup() as tasks:
            while True:
                try:
                    said, blobs = await self._link.hear()
                except PeerRestarted:
                    await self.forget()
                    continue
                except NodeError:
                    break
                await self._heard(said, blobs, tasks)
        return self._answered

    async def forget(self) -> None:
        """Drop the session."""
        session, self._session, self._pairs = self._session, None, None
        if session is not None:
            with suppress(NodeError):
                await self._computer.do(Drop(session=session.opened.session))

    async def _heard(self, said: Said, blobs: tuple[bytes, ...], tasks: asyncio.TaskGroup) -> None:
        match said:
            case Open():
                await self._begin(said, blobs, tasks)
            case Sealed():
                await self._between(said, blobs)
            case Ask():
                await self._slots.acquire()
                tasks.create_task(self._ask(said, blobs, self._turns(said)))
            case Leave():
                await self.forget()
            case _:
                raise ExchangeFailed(f"The requester said {type(said).__name__}, which a provider says.")

    def _turns(self, ask: Ask) -> tuple[_Session | None, asyncio.Event, asyncio.Event]:
        """The session of a question, when its turn comes, and what tells the next that its turn has come."""
        session, mine, after = self._session, asyncio.Event(), asyncio.Event()
        if session is None or session.opened.session != ask.session:
            return None, mine, after
        if ask.request_no <= session.last_no:
            raise ExchangeFailed("A request number came twice in a session.", code="PROTOCOL_VIOLATION")
        mine, session.turn, session.last_no = session.turn, after, ask.request_no
        return session, mine, after

    # -- opening

    async def _begin(self, said: Open, blobs: Sequence[bytes], tasks: asyncio.TaskGroup) -> None:
        """Until this node has said hello to the other providers: what they say comes after this."""
        await self.forget()
        try:
            session = await self._checked(said, blobs)
            self._pairs = Pairs(said, self._node, self._terms, self._link)
            await self._pairs.start()
        except (NodeError, ModelingError) as error:
            await self._decline(said.session, 0, error)
            return
        tasks.create_task(self._open(said, session, self._pairs))

    async def _between(self, said: Sealed, blobs: Sequence[bytes]) -> None:
        pairs = self._pairs
        if pairs is None or pairs.session != said.session or len(blobs) != 1:
            return  # of a session that is over
        try:
            await pairs.hear(said.place, blobs[0])
        except NodeError as error:
            self._pairs = None
            await self._decline(said.session, 0, error)

    async def _open(self, said: Open, session: _Session, pairs: Pairs) -> None:
        try:
            await self._refuse_probing(session)
            seeds = await pairs.agree()
            await self._computer.do(session.kit.load(said.session, said.place, seeds))
            self._session = session
            await self._say(Opened(session=said.session))
        except (NodeError, ModelingError) as error:
            await self._decline(said.session, 0, error)

    async def _checked(self, said: Open, blobs: Sequence[bytes]) -> _Session:
        """What is asked is what was approved. Raises NodeError, ModelInvalid."""
        asked, member = self._terms.request, self._node.member_id
        model = await self._node.registry.looked_up(said.model_id, said.model_sm3)
        version = model.version
        part = version.part_of(member)
        if not version.may_ask(asked.requester) or part is None:
            raise NodeError(
                f"Model {version.name} of {version.owner} is not for {asked.requester} to score with here.",
                code="MODEL_NOT_APPROVED",
            )
        opened = {use.item_id: set(use.fields) for use in asked.items}
        if asked.purpose is not version.purpose or asked.product_id != part.product_id:
            raise NodeError("The exchange is for another purpose or product than the model.", code="MODEL_INVALID")
        if any(not set(use.fields) <= opened.get(use.item_id, set()) for use in part.items):
            raise NodeError("The model reads fields that its exchange was not opened for.", code="MODEL_INVALID")
        kit = await kit_of(self._node, model, part, blobs)
        if version.mode == "model_to_data":
            await self._keep_word(model, said.session, blobs)
        if kit.facts is not None:
            check_part(self._node.limits, kit.facts)
        counted = spent.Model(
            requester=asked.requester,
            model=version.commitment,
            fields=frozenset() if kit.facts is None else frozenset(part.fields),
            created_ms=version.created_ms,
            asked=kit.asked,
        )
        brought = await asyncio.to_thread(_digest, b"", blobs[:3])
        return _Session(opened=said, brought=brought, model=model, part=part, kit=kit, counted=counted)

    async def _keep_word(self, model: Model, session: str, blobs: Sequence[bytes]) -> None:
        """Nothing is computed with weights that their owner could disown later."""
        sent = checked_word(model, self._terms, session, blobs, self._node.replica.directory)
        await self._node.store.write(lambda connection: keep_sent(connection, sent, blobs[-1]))

    async def _refuse_probing(self, session: _Session) -> None:
        now_ms, requester = self._node.clock(), self._terms.request.requester
        flags = await self._node.store.read(lambda connection: spent.flags_of(connection, requester, now_ms))
        for flag in flags:
            log.warning("probing_suspected", extra={"requester": requester, "what": flag.what, "detail": flag.sentence})
            self._suspect(requester, flag.sentence)
        if flags and self._node.limits.refuse_probing:
            raise ScoreLimitReached("refuse_probing", flags[0].sentence)

    # -- answering

    async def _ask(
        self, ask: Ask, blobs: Sequence[bytes], turns: tuple[_Session | None, asyncio.Event, asyncio.Event]
    ) -> None:
        session, mine, after = turns
        try:
            if session is None:
                raise SessionLost
            verdict, features = await self._judged(session, ask, blobs)
            await mine.wait()
            done = await self._computer.do(
                Compute(
                    session=ask.session,
                    layout=ask.layout,
                    request_no=ask.request_no,
                    rows=ask.rows,
                    features=features,
                    hidden=verdict.hidden.tobytes(),
                    subjects=tuple((each or "").encode() for each in verdict.subjects),
                    asked=tuple(blobs[1:]),
                )
            )
            await self._say(
                Answer(
                    session=ask.session,
                    request_no=ask.request_no,
                    reasons=verdict.outcome.reasons,
                    receipt_id=verdict.outcome.receipt_id,
                    recorded_no=verdict.outcome.request_no,
                    root=verdict.outcome.root,
                ),
                (verdict.outcome.codes, verdict.outcome.seed, verdict.outcome.used, *done.parts),
            )
            self._answered += 1
        except (NodeError, ModelingError) as error:
            await self._decline(ask.session, ask.request_no, error)
        finally:
            after.set()
            self._slots.release()

    async def _judged(self, session: _Session, ask: Ask, blobs: Sequence[bytes]) -> tuple[Verdict, bytes]:
        """What is decided, and the features float64[rows, p] of those that may be computed for; zeros for the others."""
        opened = session.opened
        self._node.registry.usable(opened.model_id, opened.model_sm3)
        if not blobs:
            raise NodeError("The request does not name its rows.", code="PROTOCOL_VIOLATION")
        brought = await asyncio.to_thread(_digest, session.brought, blobs[1:])
        items, counted = session.part.items, session.counted
        verdict = await judge(self._node, self._terms, items, counted, ask, blobs[0], brought)
        holder = f"{self._terms.exchange_id}/{ask.request_no}"

        def read() -> tuple[bytes, tuple[str, ...]]:
            columns = read_columns(self._node, session.kit.items, verdict.subjects, verdict.bounds, holder)
            features = session.kit.features(columns)
            features[verdict.hidden] = 0.0
            told = () if len(verdict.subjects) < ENOUGH_ROWS else session.kit.strange(columns)
            return features.tobytes(), told

        features, strange = await asyncio.to_thread(read)
        if strange:
            log.warning("spread_misdeclared", extra={"model": session.counted.model, "columns": ", ".join(strange)})
            told = f"Columns are distributed otherwise than the model declares: {', '.join(strange)[:300]}."
            self._suspect(session.counted.requester, told)
            found = Flag(what="spread_misdeclared", models=(session.counted.model,), sentence=told)
            requester, now_ms = session.counted.requester, self._node.clock()
            await self._node.store.write(lambda connection: spent.flag(connection, requester, found, now_ms))
            if self._node.limits.refuse_probing:
                raise ScoreLimitReached("refuse_probing", told)
        return verdict, features

    async def _decline(self, session: str, request_no: int, error: NodeError | ModelingError) -> None:
        log.info("score_declined", extra={"exchange": self._terms.exchange_id, "code": error.code})
        await self._say(
            Declined(
                session=session,
                request_no=request_no,
                code=error.code,
                message=str(error)[:1000],
                reason=error.reason if isinstance(error, NodeError) else "",
                again=isinstance(error, SessionLost),
            )
        )

    async def _say(self, said: Said, blobs: Sequence[bytes] = ()) -> None:
        # After a restart the requester opens another session and asks again; how an exchange ended is heard by `run`.
        with suppress(PeerRestarted, NodeError):
            await self._link.say(said, blobs)


def _digest(before: bytes, blobs: Sequence[bytes]) -> bytes:
    return sm3(before + b"".join(map(sm3, blobs)))
