"""What happens to a call for scores.

1. An answer that was given under the same idempotency key is given again; the key serves no other question.
2. The model is found: the one that is named, or the champion. The API key must cover it and it must be in service.
3. Codes and features are checked before anything leaves: every fault is named.
4. The agent scores. What it begins is finished and recorded, even if the caller's deadline passes: who asks again with the same
   idempotency key gets the answer, and each enterprise's use counts once.
5. Answer and records are written in one transaction, then the answer is given.
6. The challenger scores its share in the shadow.
"""

from __future__ import annotations

import asyncio
import logging
import secrets
import time
from collections.abc import Sequence
from dataclasses import dataclass

import msgspec

from consent.errors import UsccInvalid
from consent.identifiers import Uscc
from nodes.errors import NodeError
from nodes.scoring.scorer import MOST_SUBJECTS
from nodes.service.agent import Agent
from nodes.service.answers import Answers, Question
from nodes.service.calls import ScoreAnswer, ScoreCall, answer_of, request_of
from nodes.service.keys import ApiKey
from nodes.service.ledger import Ledger
from nodes.service.meter import ScoreMeter
from nodes.service.models import IN_SERVICE, ServedModel, check_features, named
from nodes.service.problems import CallFailed, Fault, places
from nodes.service.roles import Appointed, Roles
from nodes.service.shadow import Shadows, Trial
from trust.suite import sm3

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Given:
    """An answer, and whether it was given before."""

    answer: ScoreAnswer
    replayed: bool


@dataclass(frozen=True)
class _Running:
    question: Question
    task: asyncio.Task[Given]


class ScoringService:
    """See the module."""

    def __init__(self, agent: Agent, roles: Roles, answers: Answers, ledger: Ledger, meter: ScoreMeter) -> None:
        self._agent = agent
        self._roles = roles
        self._answers = answers
        self._ledger = ledger
        self._meter = meter
        self._shadows = Shadows(agent, ledger, meter)
        self._running: dict[tuple[str, str], _Running] = {}
        self._tasks: set[asyncio.Task[Given]] = set()

    async def score(self, key: ApiKey, call: ScoreCall, *, idempotency_key: str, deadline_s: float) -> Given:
        """Answer a call. Raises NodeError; CallFailed with status 504 when the deadline passes."""
        key.require("score")
        question = Question(key.key_id, idempotency_key, call.digest())
        running = self._running.get((key.key_id, idempotency_key)) if idempotency_key else None
        if running is not None:
            running.question.require_same(question.digest)
        task = running.task if running is not None else self._begin(key, call, question)
        try:
            return await asyncio.wait_for(asyncio.shield(task), deadline_s)
        except TimeoutError:
            raise _late(deadline_s, idempotency_key) from None

    async def models(self, key: ApiKey) -> tuple[tuple[ServedModel, str], ...]:
        """The models that a key covers, and the role of each. Raises NodeError."""
        appointed = await self._roles.now()
        return tuple(
            (model, appointed.role_of(model.model_id))
            for model in await self._agent.models()
            if key.covers(model.model_id, model.name)
        )

    async def close(self) -> None:
        """Finish what was begun."""
        while self._tasks:
            await asyncio.gather(*self._tasks, return_exceptions=True)
        await self._shadows.close()

    def _begin(self, key: ApiKey, call: ScoreCall, question: Question) -> asyncio.Task[Given]:
        """The work in a task of its own, which no caller's patience ends."""
        task = asyncio.create_task(self._answer(key, call, question))
        self._tasks.add(task)
        place = (key.key_id, question.idempotency_key)
        if question.idempotency_key:
            self._running[place] = _Running(question, task)

        def done(ended: asyncio.Task[Given]) -> None:
            self._tasks.discard(ended)
            self._running.pop(place, None)
            if not ended.cancelled() and (error := ended.exception()) and not isinstance(error, NodeError):
                log.error("score_failed", extra=places(error))

        task.add_done_callback(done)
        return task

    async def _answer(self, key: ApiKey, call: ScoreCall, question: Question) -> Given:
        if question.idempotency_key:
            kept = await self._answers.find(question)
            if kept is not None:
                return Given(msgspec.json.decode(kept, type=ScoreAnswer), replayed=True)
        began_s = time.perf_counter()
        appointed, models = await self._roles.now(), await self._agent.models()
        model = _chosen(models, appointed, call.model, key)
        trial = _trial(models, appointed, model)
        _check_subjects(call.subjects)
        check_features(model, trial.model.own_columns if trial is not None else (), call.features)
        given = dict(zip(call.subjects, call.features, strict=True))
        request_key = _request_key(question, model.model_id)
        scored = await self._agent.score(request_of(model, call, key, given, request_key))
        answer, role = answer_of(model, scored), appointed.role_of(model.model_id)
        latency_ms = (time.perf_counter() - began_s) * 1000
        await self._ledger.keep(model, role, answer, given, latency_ms, question if question.idempotency_key else None)
        for each in answer.results:
            self._meter.scored(model, role, each.refused)
        if trial is not None:
            self._shadows.begin(trial, call, key, given, answer, request_key)
        return Given(answer, replayed=False)


def _late(deadline_s: float, idempotency_key: str) -> CallFailed:
    next_ = (
        "It is still worked on: ask again with the same idempotency key; each enterprise counts once."
        if idempotency_key
        else "Send an idempotency key to be able to ask again for it."
    )
    return CallFailed("DEADLINE_EXCEEDED", f"There was no answer within {deadline_s * 1000:.0f} ms. {next_}")


def _chosen(models: Sequence[ServedModel], appointed: Appointed, text: str, key: ApiKey) -> ServedModel:
    """The model of a call. Raises CallFailed."""
    if not text and appointed.champion is None:
        raise CallFailed(
            "NOT_FOUND", "No champion is appointed: name a model, or have one appointed (`xinqiao score champion`)."
        )
    model = named(models, text or (appointed.champion.model_id if appointed.champion else ""))
    if not key.covers(model.model_id, model.name):
        raise CallFailed("PERMISSION_DENIED", f"Key {key.key_id} does not cover model {model.title}.")
    model.require_in_service()
    return model


def _trial(models: Sequence[ServedModel], appointed: Appointed, model: ServedModel) -> Trial | None:
    """The challenger, if this model is the champion and the challenger is in service."""
    challenger = appointed.challenger
    if challenger is None or appointed.role_of(model.model_id) != "champion":
        return None
    found = (each for each in models if each.model_id == challenger.model_id and each.state == IN_SERVICE)
    return next((Trial(each, challenger) for each in found), None)


def _check_subjects(subjects: Sequence[str]) -> None:
    """Raises CallFailed."""
    faults = []
    if not 1 <= len(subjects) <= MOST_SUBJECTS:
        faults.append(Fault("subjects", f"1 to {MOST_SUBJECTS:,} enterprises; more are a batch (`xinqiao score run`)"))
    seen: set[str] = set()
    for place, text in enumerate(subjects):
        try:
            Uscc.parse(text)
        except UsccInvalid as error:
            faults.append(Fault(f"subjects[{place}].uscc", str(error)))
        if text in seen:
            faults.append(Fault(f"subjects[{place}].uscc", "comes twice"))
        seen.add(text)
    if faults:
        raise CallFailed(
            "INVALID_ARGUMENT", f"{len(faults)} enterprises cannot be scored: {faults[0].what}", faults=faults[:100]
        )


def _request_key(question: Question, model_id: str) -> str:
    """The agent's: the same for the same caller, idempotency key and model; a new one if there is no idempotency key."""
    if not question.idempotency_key:
        return secrets.token_hex(16)
    return sm3(f"{question.key_id}\x00{question.idempotency_key}\x00{model_id}".encode())[:16].hex()
