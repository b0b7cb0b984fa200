"""The gRPC door: the same service as `http` has, by score.proto. Each method decodes, calls, and encodes."""

from __future__ import annotations

import logging
import math
import re
import secrets
import time
from collections.abc import Awaitable, Callable, Sequence
from datetime import date
from typing import TYPE_CHECKING, Any, Final, TypeVar

import grpc
from xinqiao.v1 import errors_pb2, score_pb2, score_pb2_grpc

from nodes.errors import ERROR_METADATA_KEY, NodeError
from nodes.scoring.scorer import Value
from nodes.service.answers import check_idempotency_key
from nodes.service.calls import ScoreAnswer, ScoreCall
from nodes.service.gate import MOST_BODY_BYTES, presented_key
from nodes.service.health import Health
from nodes.service.http import DEFAULT_DEADLINE_MS, LONGEST_DEADLINE_MS
from nodes.service.keys import ApiKey, KeyStore, RateLimit
from nodes.service.meter import CallMeter
from nodes.service.models import ServedModel
from nodes.service.problems import CallFailed, Fault, as_node_error, grpc_status, places
from nodes.service.records import Outcome, Records
from nodes.service.scoring import ScoringService
from nodes.service.wire import MOST_OUTCOMES

log = logging.getLogger(__name__)

if TYPE_CHECKING:
    Context = grpc.aio.ServicerContext[Any, Any]

T = TypeVar("T")
OPTIONS: Final = (("grpc.max_receive_message_length", MOST_BODY_BYTES), ("grpc.max_send_message_length", 16 << 20))
_MARGIN_S: Final = 0.05
"""So that our own answer to a deadline is out before gRPC's."""
_REQUEST_ID: Final = re.compile(r"[A-Za-z0-9._-]{8,64}")


class ScoringRpc(score_pb2_grpc.ScoringServicer):
    """The Scoring service."""

    def __init__(
        self,
        service: ScoringService,
        records: Records,
        keys: KeyStore,
        limit: RateLimit,
        health: Health,
        meter: CallMeter,
    ) -> None:
        self._service = service
        self._records = records
        self._keys = keys
        self._limit = limit
        self._health = health
        self._meter = meter

    async def ScoreSubjects(self, request: score_pb2.ScoringRequest, context: Context) -> score_pb2.ScoringReply:
        async def work(key: ApiKey, sent: dict[str, str]) -> score_pb2.ScoringReply:
            idempotency_key = sent.get("idempotency-key", "")
            check_idempotency_key(idempotency_key)
            given = await self._service.score(
                key, _call(request), idempotency_key=idempotency_key, deadline_s=_deadline_s(context)
            )
            return _reply(given.answer)

        return await self._answer("ScoreSubjects", context, work)

    async def ListServedModels(
        self, request: score_pb2.ScoringModelsRequest, context: Context
    ) -> score_pb2.ScoringModelsReply:
        async def work(key: ApiKey, _: dict[str, str]) -> score_pb2.ScoringModelsReply:
            key.require("score")
            return score_pb2.ScoringModelsReply(models=[_model(*each) for each in await self._service.models(key)])

        return await self._answer("ListServedModels", context, work)

    async def ReportOutcomes(
        self, request: score_pb2.ScoringOutcomesRequest, context: Context
    ) -> score_pb2.ScoringOutcomesReply:
        async def work(key: ApiKey, _: dict[str, str]) -> score_pb2.ScoringOutcomesReply:
            key.require("outcomes")
            recorded, unknown = await self._records.report(_outcomes(request), key.key_id)
            return score_pb2.ScoringOutcomesReply(recorded=recorded, unknown=unknown)

        return await self._answer("ReportOutcomes", context, work)

    async def GetHealth(
        self, request: score_pb2.ScoringHealthRequest, context: Context
    ) -> score_pb2.ScoringHealthReply:
        return score_pb2.ScoringHealthReply(agent=await self._health.agent_answers())

    async def _answer(self, method: str, context: Context, work: Callable[[ApiKey, dict[str, str]], Awaitable[T]]) -> T:
        """Check the key, work, and tell a failure as the other interfaces of this project do."""
        began_s = time.perf_counter()
        sent = {name: value for name, value in context.invocation_metadata() or () if isinstance(value, str)}
        given = sent.get("x-request-id", "")
        request_id = given if _REQUEST_ID.fullmatch(given) else secrets.token_hex(16)
        status, key_id = "OK", ""
        try:
            try:
                key = await self._keys.check(presented_key(sent.get("authorization", "")))
                key_id = key.key_id
                self._limit.take(key)
                await context.send_initial_metadata((("x-request-id", request_id),))
                return await work(key, sent)
            except Exception as error:
                told = as_node_error(error)
                status = grpc_status(told).name
                if told.code == "INTERNAL":
                    log.error("call_failed", extra={"request_id": request_id} | places(error))
                await context.abort(grpc_status(told), told.message, _detail(told, request_id))
                raise
        finally:
            seconds = time.perf_counter() - began_s
            self._meter.called("grpc", method, status, seconds)
            extra = {"request_id": request_id, "route": method, "status": status, "ms": round(seconds * 1000, 1)}
            log.info("call", extra=extra | ({"key": key_id} if key_id else {}))


def _detail(error: NodeError, request_id: str) -> tuple[tuple[str, str | bytes], ...]:
    codes = errors_pb2.ErrorCode.DESCRIPTOR.values_by_name
    detail = errors_pb2.ErrorDetail(
        code=errors_pb2.ErrorCode.Value(error.code if error.code in codes else "INVALID_ARGUMENT"),
        message=error.message,
        reason=error.reason,
        retry_after_ms=error.retry_after_ms,
    )
    return ((ERROR_METADATA_KEY, detail.SerializeToString()), ("x-request-id", request_id))


def _deadline_s(context: Context) -> float:
    left_s = context.time_remaining()
    if left_s is None:
        return DEFAULT_DEADLINE_MS / 1000
    return max(0.001, min(left_s - _MARGIN_S, LONGEST_DEADLINE_MS / 1000))


def _call(request: score_pb2.ScoringRequest) -> ScoreCall:
    """Raises CallFailed for what the HTTP door refuses as well."""
    faults = [
        Fault(name, f"at most {longest} characters")
        for name, text, longest in (
            ("model", request.model, 100),
            ("reason", request.reason, 500),
            ("user", request.user, 100),
            ("application_no", request.application_no, 100),
        )
        if len(text) > longest
    ]
    if not request.reason.strip():
        faults.append(Fault("reason", "missing"))
    features: list[dict[str, Value]] = []
    for place, subject in enumerate(request.subjects):
        features.append({name: _value(value) for name, value in subject.features.items()})
        faults += [
            Fault(f"subjects[{place}].features.{name[:200]}", "must be finite")
            for name, value in features[-1].items()
            if isinstance(value, float) and not math.isfinite(value)
        ]
    if faults:
        raise CallFailed(
            "INVALID_ARGUMENT",
            f"The request is not valid: {faults[0].where} - {faults[0].what}",
            faults=faults[:100],
        )
    return ScoreCall(
        model=request.model,
        subjects=tuple(each.uscc for each in request.subjects),
        features=tuple(features),
        reason=request.reason.strip(),
        user=request.user,
        application_no=request.application_no,
    )


def _value(value: score_pb2.ScoringValue) -> Value:
    kind = value.WhichOneof("value")
    if kind is None:
        return None
    return value.number if kind == "number" else value.text


def _reply(answer: ScoreAnswer) -> score_pb2.ScoringReply:
    return score_pb2.ScoringReply(
        model_id=answer.model_id,
        model_name=answer.model_name,
        model_version=answer.model_version,
        results=[
            score_pb2.ScoringResult(
                score_id=each.score_id,
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
            for each in answer.results
        ],
    )


def _model(model: ServedModel, role: str) -> score_pb2.ScoringModel:
    return score_pb2.ScoringModel(
        model_id=model.model_id,
        name=model.name,
        version=model.version,
        kind=model.kind,
        mode=model.mode,
        state=model.state,
        why=model.why,
        role=role,
        providers=model.providers,
        features=[
            score_pb2.ScoringFeature(name=each.name, kind=each.kind, nullable=each.nullable)
            for each in model.own_columns
        ],
    )


def _outcomes(request: score_pb2.ScoringOutcomesRequest) -> Sequence[Outcome]:
    if not 1 <= len(request.outcomes) <= MOST_OUTCOMES:
        raise CallFailed("INVALID_ARGUMENT", f"A call reports 1 to {MOST_OUTCOMES:,} outcomes.")
    found = []
    for place, each in enumerate(request.outcomes):
        try:
            day = date.fromisoformat(each.observed)
        except ValueError:
            raise CallFailed(
                "INVALID_ARGUMENT", f"outcomes[{place}].observed is no day; write it as 2026-12-31."
            ) from None
        found.append(Outcome(score_id=each.score_id, defaulted=each.defaulted, observed=day.isoformat()))
    return found
