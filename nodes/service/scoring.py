"""What happens to a call for scores.

1. An answer that was given under the same idempotency key is given again; the key serves no other question.
2. The model is found: the one that is named, or the champion. The API key must cover it and it must be in service.
3. Codes and features are checked before anything leaves: every fault is named.
4. The agent scores. What it begins is finished and recorded, even if the caller's deadline passes: who asks again with the same
   idempotency key gets the answer, and each enterprise's use counts once.
5. Answer and records are written in one transaction, then the answer is given.
6. The challenger scores its share in the shadow. Whether it can is nobody's concern but the monitor's.
"""

from __future__ import annotations

import asyncio
import logging
import secrets
import sqlite3
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final, Protocol

import msgspec

from consent.errors import UsccInvalid
from consent.identifiers import Uscc
from nodes.errors import NodeError
from nodes.scoring.scorer import MOST_SUBJECTS, Scored, ScoreRequest, Value
from nodes.service.agent import Agent
from nodes.service.answers import Answers, other_question
from nodes.service.keys import ApiKey
from nodes.service.models import ServedModel, check_features, columns_of, named
from nodes.service.problems import CallFailed, Fault, as_node_error, places
from nodes.service.records import Records, ScoreRecord, SetPopulation
from nodes.service.roles import Appointed, Roles, in_share
from nodes.store import Store
from trust.suite import sm3

log = logging.getLogger(__name__)

MOST_SHADOWS: Final = 8
"""Shadow scores under way at once; beyond it an enterprise is left out, so that a challenger never slows the champion down."""


class ScoreCall(msgspec.Struct, frozen=True, kw_only=True):
    """What is asked. `model`: an identifier or a name; "": the champion. `features`: one mapping for each subject, in order."""

    model: str = ""
    subjects: tuple[str, ...]
    features: tuple[dict[str, Value], ...]
    reason: str
    user: str = ""
    application_no: str = ""

    def digest(self) -> bytes:
        """Of the question, however it was spelt."""
        return sm3(msgspec.json.encode(self, order="deterministic"))


class SubjectAnswer(msgspec.Struct, frozen=True, kw_only=True):
    """One subject's score, or why there is none. `score`: log odds; `score_id`: by which its outcome is reported."""

    score_id: str
    uscc: str
    score: float | None
    probability: float | None
    points: float | None
    band: str
    reasons: tuple[str, ...]
    refused: str
    detail: str
    receipt_ids: tuple[str, ...]
    error_bound: float


class ScoreAnswer(msgspec.Struct, frozen=True, kw_only=True):
    """What is answered, in the order of the subjects."""

    model_id: str
    model_name: str
    model_version: int
    results: tuple[SubjectAnswer, ...]


@dataclass(frozen=True)
class Given:
    """An answer, and whether it was given before."""

    answer: ScoreAnswer
    replayed: bool


class Meter(Protocol):
    """Is told of scores, for Prometheus."""

    def scored(self, model: ServedModel, role: str, refused: str) -> None:
        """One subject. `refused`: empty, or why."""
        ...

    def shadow_failed(self, model_id: str, code: str) -> None:
        """A challenger did not score."""
        ...


@dataclass
class _Running:
    question: bytes
    task: asyncio.Task[Given]


@dataclass
class Parts:
    """What the service is made of. `clock`: milliseconds since the epoch; `timer`: seconds, monotonic."""

    store: Store
    agent: Agent
    roles: Roles
    answers: Answers
    records: Records
    meter: Meter
    clock: Callable[[], int]
    timer: Callable[[], float] = field(default=time.perf_counter)


class ScoringService:
    """See the module."""

    def __init__(self, parts: Parts) -> None:
        self._parts = parts
        self._running: dict[tuple[str, str], _Running] = {}
        self._tasks: set[asyncio.Task[Given]] = set()
        self._shadows: set[asyncio.Task[None]] = set()
        self._populations: dict[str, tuple[float, SetPopulation | None]] = {}

    async def score(self, key: ApiKey, call: ScoreCall, *, idempotency_key: str, deadline_s: float) -> Given:
        """Answer a call. Raises NodeError; CallFailed with status 504 when the deadline passes."""
        key.require("score")
        question = call.digest()
        place = (key.key_id, idempotency_key)
        running = self._running.get(place) if idempotency_key else None
        if running is None:
            task = asyncio.create_task(self._answer(key, call, question, idempotency_key))
            self._tasks.add(task)
            task.add_done_callback(self._done)
            if idempotency_key:
                self._running[place] = _Running(question, task)
                task.add_done_callback(lambda _: self._running.pop(place, None))
        elif running.question != question:
            raise other_question(idempotency_key)
        else:
            task = running.task
        try:
            return await asyncio.wait_for(asyncio.shield(task), deadline_s)
        except TimeoutError:
            raise CallFailed(
                "UNAVAILABLE",
                f"There was no answer within {deadline_s * 1000:.0f} ms. It is still worked on: ask again with the same idempotency "
                "key; each enterprise counts once."
                if idempotency_key
                else f"There was no answer within {deadline_s * 1000:.0f} ms. Send an idempotency key to be able to ask again for it.",
                status=504,
            ) from None

    async def models(self, key: ApiKey) -> tuple[tuple[ServedModel, str], ...]:
        """The models that a key covers, and the role of each."""
        appointed = await self._parts.roles.now()
        return tuple(
            (model, appointed.role_of(model.model_id))
            for model in await self._parts.agent.models()
            if key.covers(model.model_id, model.name)
        )

    async def close(self) -> None:
        """Finish what was begun."""
        while pending := [*self._tasks, *self._shadows]:
            await asyncio.gather(*pending, return_exceptions=True)

    def _done(self, task: asyncio.Task[Given]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None and not isinstance(error, NodeError):
            log.error("score_failed", extra=places(error))

    async def _answer(self, key: ApiKey, call: ScoreCall, question: bytes, idempotency_key: str) -> Given:
        parts = self._parts
        if idempotency_key:
            kept = await parts.answers.find(key.key_id, idempotency_key, question)
            if kept is not None:
                return Given(msgspec.json.decode(kept, type=ScoreAnswer), replayed=True)
        began_s = parts.timer()
        appointed = await parts.roles.now()
        models = await parts.agent.models()
        model = _chosen(models, appointed, call.model, key)
        challenger = _challenger(models, appointed, model)
        _check_subjects(call.subjects)
        check_features(model, () if challenger is None else challenger.own_columns, call.features)
        given = dict(zip(call.subjects, call.features, strict=True))
        request_key = _request_key(key.key_id, idempotency_key, model.model_id)
        scored = await parts.agent.score(_request(model, call, key, given, request_key))
        answer = _answer_of(model, scored)
        role = appointed.role_of(model.model_id)
        await self._keep(model, role, answer, given, began_s, key.key_id, idempotency_key, question)
        for each in answer.results:
            parts.meter.scored(model, role, each.refused)
        if challenger is not None and role == "champion":
            self._begin_shadow(challenger, appointed, call, key, answer, request_key)
        return Given(answer, replayed=False)

    async def _keep(
        self,
        model: ServedModel,
        role: str,
        answer: ScoreAnswer,
        given: Mapping[str, Mapping[str, Value]],
        began_s: float,
        key_id: str = "",
        idempotency_key: str = "",
        question: bytes = b"",
    ) -> None:
        parts = self._parts
        latency_ms, now_ms = (parts.timer() - began_s) * 1000, parts.clock()
        records = [
            ScoreRecord(
                score_id=each.score_id,
                model_id=model.model_id,
                role=role,
                at_ms=now_ms,
                probability=each.probability,
                band=each.band,
                refused=each.refused,
                latency_ms=latency_ms,
            )
            for each in answer.results
        ]
        population = await self._population(model)
        counted = [given[each.uscc] for each in answer.results if not each.refused]
        encoded = msgspec.json.encode(answer)

        def work(connection: sqlite3.Connection) -> None:
            parts.records.keep(connection, records)
            if population is not None and counted:
                parts.records.count_columns(connection, model.model_id, population, counted)
            if idempotency_key:
                parts.answers.keep(connection, key_id, idempotency_key, question, encoded)

        await parts.store.write(work)

    async def _population(self, model: ServedModel) -> SetPopulation | None:
        """As `population_of`, looked up every ten seconds."""
        now_s = self._parts.timer()
        until_s, found = self._populations.get(model.model_id, (0.0, None))
        if now_s >= until_s:
            found = await population_of(self._parts.records, model)
            self._populations[model.model_id] = (now_s + 10.0, found)
        return found

    def _begin_shadow(
        self,
        challenger: ServedModel,
        appointed: Appointed,
        call: ScoreCall,
        key: ApiKey,
        answer: ScoreAnswer,
        request_key: str,
    ) -> None:
        assert appointed.challenger is not None  # noqa: S101 - the caller found the model by it
        features = dict(zip(call.subjects, call.features, strict=True))
        ids = {
            each.uscc: each.score_id
            for each in answer.results
            if not each.refused and in_share(appointed.challenger, each.uscc)
        }
        if not ids:
            return
        own = {uscc: columns_of(challenger, features[uscc]) for uscc in ids}
        usable = {uscc: columns for uscc, columns in own.items() if columns is not None}
        if len(usable) < len(own):
            self._parts.meter.shadow_failed(challenger.model_id, "FEATURES_MISSING")
        if len(self._shadows) >= MOST_SHADOWS:
            self._parts.meter.shadow_failed(challenger.model_id, "BUSY")
        elif usable:
            task = asyncio.create_task(self._shadow(challenger, call, key, usable, ids, f"{request_key}-s"))
            self._shadows.add(task)
            task.add_done_callback(self._shadows.discard)

    async def _shadow(
        self,
        model: ServedModel,
        call: ScoreCall,
        key: ApiKey,
        own: Mapping[str, Mapping[str, Value]],
        ids: Mapping[str, str],
        request_key: str,
    ) -> None:
        began_s = self._parts.timer()
        part = msgspec.structs.replace(call, subjects=tuple(own), features=tuple(dict(each) for each in own.values()))
        try:
            scored = await self._parts.agent.score(_request(model, part, key, own, request_key))
            answer = _answer_of(model, scored, ids)
            await self._keep(model, "challenger", answer, own, began_s)
            for each in answer.results:
                self._parts.meter.scored(model, "challenger", each.refused)
        except Exception as error:  # recorded; the champion's answer was given
            code = as_node_error(error).code
            self._parts.meter.shadow_failed(model.model_id, code)
            log.warning("shadow_failed", extra={"model": model.model_id, "code": code})


async def population_of(records: Records, model: ServedModel) -> SetPopulation | None:
    """Whom a model was made on: as was said (`xinqiao score population`), else as its document says."""
    found = await records.population(model.model_id)
    if found is not None:
        return found
    own = model.own_population()
    return None if own is None else SetPopulation(0, own)


def _chosen(models: Sequence[ServedModel], appointed: Appointed, text: str, key: ApiKey) -> ServedModel:
    if not text and appointed.champion is None:
        raise CallFailed(
            "NOT_FOUND", "No champion is appointed: name a model, or have one appointed (`xinqiao score champion`)."
        )
    model = named(models, text or (appointed.champion.model_id if appointed.champion else ""))
    if not key.covers(model.model_id, model.name):
        raise CallFailed("PERMISSION_DENIED", f"Key {key.key_id} does not cover model {model.title}.")
    model.require_in_service()
    return model


def _challenger(models: Sequence[ServedModel], appointed: Appointed, champion: ServedModel) -> ServedModel | None:
    """The challenger, if it can score beside this model."""
    if appointed.challenger is None or appointed.role_of(champion.model_id) != "champion":
        return None
    found = [each for each in models if each.model_id == appointed.challenger.model_id]
    return found[0] if found and found[0].state == "in_service" else None


def _check_subjects(subjects: Sequence[str]) -> None:
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


def _request_key(key_id: str, idempotency_key: str, model_id: str) -> str:
    """The agent's: the same for the same caller, idempotency key and model; a new one if there is no idempotency key."""
    if not idempotency_key:
        return secrets.token_hex(16)
    return sm3(f"{key_id}\x00{idempotency_key}\x00{model_id}".encode())[:16].hex()


def _request(
    model: ServedModel, call: ScoreCall, key: ApiKey, given: Mapping[str, Mapping[str, Value]], request_key: str
) -> ScoreRequest:
    return ScoreRequest(
        model_id=model.model_id,
        subjects=call.subjects,
        own={uscc: columns_of(model, features) or {} for uscc, features in given.items()},
        reason=call.reason,
        user=call.user or f"api key {key.name}",
        application_no=call.application_no or None,
        request_key=request_key,
    )


def _answer_of(model: ServedModel, scored: Sequence[Scored], ids: Mapping[str, str] | None = None) -> ScoreAnswer:
    return ScoreAnswer(
        model_id=model.model_id,
        model_name=model.name,
        model_version=model.version,
        results=tuple(
            SubjectAnswer(
                score_id=secrets.token_hex(8) if ids is None else ids[each.uscc],
                uscc=each.uscc,
                score=each.score,
                probability=each.probability,
                points=each.points,
                band=each.band,
                reasons=each.reasons,
                refused=each.refused,
                detail=each.detail,
                receipt_ids=each.receipt_ids,
                error_bound=each.error_bound,
            )
            for each in scored
        ),
    )
