"""Scores of this node's own models, for its own programs. What a model needs is opened when it is first used, and kept warm."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import msgspec
import numpy as np

from consent.model_state import Model
from consent.usage import Receipt
from modeling.errors import ModelingError
from modeling.scoring.fixed import DIGITS, Floats
from nodes.errors import NodeError, UseRefused
from nodes.exchanges.context import ExchangeContext
from nodes.exchanges.requester import APPROVAL_PATIENCE_S, RequesterExchanges
from nodes.models.registry import Registry
from nodes.scoring.computer import Computer, SessionLost
from nodes.scoring.own import OwnRows, rows_of_request
from nodes.scoring.panel import Panel
from nodes.scoring.question import Asking, Question, not_in_time
from nodes.scoring.recipe import Recipe, recipe_of
from nodes.scoring.rows import Chosen, Flags, Refused, check, choose, record
from nodes.scoring.scorer import MOST_SUBJECTS, Scored, ScoreRequest
from trust.suite import sm3

log = logging.getLogger(__name__)

DEADLINE_S: Final = 30.0
REPEAT_S: Final = 600.0
"""How long a request key gets its first answer again."""
MOST_KEPT: Final = 2_000
MOST_PANELS: Final = 16
_ATTEMPTS: Final = 3

_PanelKey = tuple[str, Asking]


@dataclass
class _Open:
    panel: Panel
    used_at: float


@dataclass(frozen=True)
class _Kept:
    """An answer under way or given. `digest`: of the question."""

    digest: bytes
    task: asyncio.Task[tuple[Scored, ...]]
    at: float


class Scores:
    """`nodes.scoring.scorer.Scorer` of the agent."""

    def __init__(
        self, context: ExchangeContext, requester: RequesterExchanges, registry: Registry, computer: Computer
    ) -> None:
        self._context, self._requester, self._registry, self._computer = context, requester, registry, computer
        self._panels: dict[_PanelKey, _Open] = {}
        self._opening = asyncio.Lock()
        self._kept: dict[str, _Kept] = {}
        self._recipes: dict[str, Recipe] = {}

    @property
    def open_count(self) -> int:
        """Exchanges that are open."""
        return sum(len(each.panel.exchanges) for each in self._panels.values())

    async def score(self, request: ScoreRequest) -> tuple[Scored, ...]:
        """As in Scorer."""
        loop = asyncio.get_running_loop()
        if not request.request_key:
            return await self._score(request, self._context.new_id())
        digest = sm3(msgspec.json.encode(request, order="deterministic"))
        kept = self._kept.get(request.request_key)
        if kept is not None and loop.time() - kept.at <= REPEAT_S:
            if kept.digest != digest:
                raise UseRefused(
                    "This request key was used for another question. Ask with a new one.", reason="REQUEST_KEY_USED"
                )
        else:
            task = loop.create_task(self._score(request, request.request_key))
            kept = self._kept[request.request_key] = _Kept(digest, task, loop.time())
            self._forget_old()
        try:
            return await asyncio.shield(kept.task)
        except (NodeError, ModelingError):
            self._kept.pop(request.request_key, None)
            raise

    async def panel(self, model: Model, recipe: Recipe, asking: Asking) -> Panel:
        """The open panel of a model, or a new one. Raises NodeError."""
        key, loop = (model.version.model_id, asking), asyncio.get_running_loop()
        async with self._opening:
            found = self._panels.get(key)
            if found is not None and (found.panel.failure is not None or found.panel.model.sm3 != model.sm3):
                await self._drop(key)
                found = None
            if found is None:
                if len(self._panels) >= MOST_PANELS:
                    await self._drop(min(self._panels, key=lambda each: self._panels[each].used_at))
                panel = Panel(self._context, self._requester, self._computer, model, recipe, asking)
                try:
                    await panel.open()
                except BaseException:
                    await panel.close()
                    raise
                found = self._panels[key] = _Open(panel, loop.time())
            found.used_at = loop.time()
            return found.panel

    async def close_idle(self) -> None:
        """Leave models that nobody scored with for long."""
        now = asyncio.get_running_loop().time()
        for key, each in list(self._panels.items()):
            if now - each.used_at > self._context.settings.exchange_idle_s:
                await self._drop(key)

    def updated(self, exchange_id: str, state: str) -> None:
        """The provider's operator has to approve: wait for that."""
        for each in self._panels.values():
            session = each.panel.session_of(exchange_id)
            if session is not None and state == "waiting_approval":
                session.wait_longer(APPROVAL_PATIENCE_S)

    async def ended(self, exchange_id: str, failure: NodeError) -> None:
        """The hub says that an exchange is over."""
        for each in self._panels.values():
            session = each.panel.session_of(exchange_id)
            if session is not None:
                await session.abort(failure)

    async def close(self) -> None:
        """Leave everything."""
        await asyncio.gather(*(self._drop(key) for key in list(self._panels)))

    async def _drop(self, key: _PanelKey) -> None:
        await self._panels.pop(key).panel.close()

    def _recipe(self, model: Model) -> Recipe:
        """Read once: a model's document never changes."""
        found = self._recipes.get(model.sm3)
        if found is None:
            if len(self._recipes) >= MOST_PANELS:
                self._recipes.pop(next(iter(self._recipes)))
            found = self._recipes[model.sm3] = recipe_of(model, self._registry, self._computer)
        return found

    def _forget_old(self) -> None:
        now = asyncio.get_running_loop().time()
        for key, kept in list(self._kept.items()):
            if len(self._kept) <= MOST_KEPT and now - kept.at <= REPEAT_S:
                break  # they are in the order of their time
            if kept.task.done():
                del self._kept[key]

    async def _score(self, request: ScoreRequest, request_key: str) -> tuple[Scored, ...]:
        if not 1 <= len(request.subjects) <= MOST_SUBJECTS:
            raise NodeError(f"A request is for 1 to {MOST_SUBJECTS:,} enterprises.", code="INVALID_ARGUMENT")
        model = await self._registry.looked_up(request.model_id)
        require_asker(self._context, model)
        recipe = self._recipe(model)
        rows_of_request(recipe.own, request.subjects, request.own)
        panel: Panel | None = None
        asking = Asking(reason=request.reason, user=request.user, application_no=request.application_no)
        try:
            async with asyncio.timeout(DEADLINE_S):
                for fresh in (False, True):
                    panel = await self.panel(model, recipe, asking)
                    try:
                        return await self._ask(panel, request, request_key)
                    except NodeError as error:
                        if fresh or error.code != "EXCHANGE_ENDED":  # it was open for a day: the next is opened
                            raise
        except TimeoutError as error:
            silent = panel.silent if panel is not None else ()
            raise not_in_time(silent or model.version.providers, DEADLINE_S) from error
        raise AssertionError

    async def _ask(self, panel: Panel, request: ScoreRequest, request_key: str) -> tuple[Scored, ...]:
        chosen = choose(self._context, panel.model, request.subjects)
        told = {uscc: told_refusal(panel.model, uscc, why, ()) for uscc, why in chosen.refused.items()}
        if chosen.subjects:
            own = rows_of_request(panel.recipe.own, chosen.subjects, request.own)
            single = len(request.subjects) == 1
            told |= await scored(self._context, panel, chosen, own, request_key, single=single)
        return tuple(told[uscc] for uscc in request.subjects)


async def scored(
    context: ExchangeContext, panel: Panel, chosen: Chosen, own: OwnRows, request_key: str, *, single: bool
) -> dict[str, Scored]:
    """The outcome of each chosen enterprise; `own`: of the chosen, in their order. Raises NodeError, ModelingError."""
    question = Question(consents=chosen.consents, own=own, request_key=request_key, single=single)
    begun = await panel.ready()
    receipts: tuple[Receipt, ...] = ()
    for attempt in range(1, _ATTEMPTS + 1):
        replies = await panel.ask(question)
        checked = check(context, panel, chosen.subjects, replies, single=single)
        if not receipts:  # a question that is asked again is the same use
            receipts = checked.receipts
            await record(context, receipts)
        try:
            score = np.round(await panel.recipe.open(replies.answers, checked.kept, own), DIGITS)
            break
        except SessionLost:
            if attempt == _ATTEMPTS:
                raise
    ids = tuple(each.receipt_id for each in receipts)
    told = {uscc: told_refusal(panel.model, uscc, why, ids) for uscc, why in checked.refused.items()}
    return told | _outcomes(panel, chosen.subjects, score, own, checked.kept, ids, begun.bound)


def require_asker(context: ExchangeContext, model: Model) -> None:
    """Raises NodeError unless this member may score with the model."""
    if not model.version.may_ask(context.settings.member_id):
        raise NodeError(
            f"Model {model.version.name} of {model.version.owner} is not for this member to score with.",
            code="PERMISSION_DENIED",
        )


def _outcomes(
    panel: Panel,
    subjects: Sequence[str],
    score: Floats,
    own: OwnRows,
    kept: Flags,
    receipt_ids: tuple[str, ...],
    error: float,
) -> dict[str, Scored]:
    found = panel.recipe.read(score[kept], own.only(kept))
    names = [uscc for uscc, there in zip(subjects, kept.tolist(), strict=True) if there]
    return {
        uscc: Scored(
            uscc=uscc,
            model_id=panel.model.version.model_id,
            score=float(found.score[at]),
            probability=None if found.probability is None else float(found.probability[at]),
            points=None if found.points is None else float(found.points[at]),
            band="" if found.bands is None else found.bands[at],
            reasons=found.reasons[at],
            receipt_ids=receipt_ids,
            error_bound=error,
        )
        for at, uscc in enumerate(names)
    }


def told_refusal(model: Model, uscc: str, why: Refused, receipt_ids: tuple[str, ...]) -> Scored:
    """An enterprise that has no score."""
    return Scored(
        uscc=uscc,
        model_id=model.version.model_id,
        refused=why.code,
        detail=f"{why.member}: {why.sentence}",
        receipt_ids=receipt_ids,
    )
