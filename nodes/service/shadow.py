"""The challenger's scores: after the champion's, in the background, of its share of the enterprises, given to nobody.

One that fails is counted and logged, and changes nothing for the caller.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from nodes.service.agent import Agent
from nodes.service.calls import Features, ScoreAnswer, ScoreCall, answer_of, request_of
from nodes.service.keys import ApiKey
from nodes.service.ledger import Ledger
from nodes.service.meter import ScoreMeter
from nodes.service.models import ServedModel, columns_of
from nodes.service.problems import as_node_error
from nodes.service.roles import Appointment, in_share

log = logging.getLogger(__name__)

MOST: Final = 8
"""Shadow scores under way at once; beyond it a call has none, so that a challenger never slows the champion down."""


@dataclass(frozen=True)
class Trial:
    """A challenger that can score: its model, and its share."""

    model: ServedModel
    appointment: Appointment


class Shadows:
    """Those under way."""

    def __init__(self, agent: Agent, ledger: Ledger, meter: ScoreMeter) -> None:
        self._agent = agent
        self._ledger = ledger
        self._meter = meter
        self._tasks: set[asyncio.Task[None]] = set()

    def begin(
        self, trial: Trial, call: ScoreCall, key: ApiKey, given: Features, answer: ScoreAnswer, request_key: str
    ) -> None:
        """Score those of an answered call that have a score and are in the challenger's share."""
        ids = {
            each.uscc: each.score_id
            for each in answer.results
            if not each.refused and in_share(trial.appointment, each.uscc)
        }
        own = {uscc: columns for uscc in ids if (columns := columns_of(trial.model, given[uscc])) is not None}
        if len(own) < len(ids):
            self._meter.shadow_failed(trial.model, "FEATURES_MISSING")
        if own and len(self._tasks) >= MOST:
            self._meter.shadow_failed(trial.model, "BUSY")
        elif own:
            task = asyncio.create_task(self._score(trial.model, call, key, own, ids, f"{request_key}-shadow"))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def close(self) -> None:
        """Finish what was begun."""
        while self._tasks:
            await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _score(
        self,
        model: ServedModel,
        call: ScoreCall,
        key: ApiKey,
        own: Features,
        ids: Mapping[str, str],
        request_key: str,
    ) -> None:
        began_s = time.perf_counter()
        try:
            scored = await self._agent.score(request_of(model, call, key, own, request_key))
            answer = answer_of(model, scored, ids)
            latency_ms = (time.perf_counter() - began_s) * 1000
            await self._ledger.keep(model, "challenger", answer, own, latency_ms)
            for each in answer.results:
                self._meter.scored(model, "challenger", each.refused)
        except Exception as error:  # recorded; the champion's answer was given
            code = as_node_error(error).code
            self._meter.shadow_failed(model, code)
            log.warning("shadow_failed", extra={"model": model.model_id, "code": code})
