"""The HTTP door: FastAPI decodes and describes, the service does, msgspec encodes. Each method is what its docstring tells callers."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import Annotated, Any, Final, Literal

import msgspec
from fastapi import Depends, FastAPI, Header, Query, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import HTMLResponse, Response
from fastapi.security import HTTPBearer
from pydantic import BaseModel
from starlette.exceptions import HTTPException

from nodes.service.answers import check_idempotency_key
from nodes.service.assets import PAGE_POLICY, REFERENCE_POLICY, asset
from nodes.service.calls import ScoreCall
from nodes.service.health import Health
from nodes.service.keys import ApiKey
from nodes.service.models import ServedModel
from nodes.service.monitor.build import DEFAULT_DAYS, MOST_DAYS
from nodes.service.monitor.document import MonitorReport, to_json
from nodes.service.problems import (
    KNOWN,
    CallFailed,
    Fault,
    as_node_error,
    http_status,
    problem,
    problem_headers,
)
from nodes.service.prometheus import CONTENT_TYPE, ServiceMetrics
from nodes.service.records import Outcome, Records
from nodes.service.reference_page import reference_page
from nodes.service.scoring import ScoringService
from nodes.service.watch import Watch
from nodes.service.wire import HealthOut, ModelsOut, OutcomesIn, OutcomesOut, ProblemOut, ScoreIn, ScoreOut

DEFAULT_DEADLINE_MS: Final = 10_000
LONGEST_DEADLINE_MS: Final = 60_000

_Bearer = Depends(HTTPBearer(auto_error=False, description="An API key: `xinqiao score key create`."))
_IdempotencyKey = Annotated[
    str,
    Header(
        alias="Idempotency-Key",
        description="The same key with the same body gets the same answer for 24 hours and counts once; with another body 409.",
    ),
]
_Deadline = Annotated[
    int,
    Header(
        alias="Deadline-Ms",
        ge=1,
        le=LONGEST_DEADLINE_MS,
        description="How long the caller waits; then 504. What was begun is finished: ask again with the same Idempotency-Key.",
    ),
]
_RequestId = Annotated[
    str,
    Header(
        alias="X-Request-ID", description="8 to 64 letters, digits, `._-`; echoed, and in the log. Left out: a new one."
    ),
]
_Days = Annotated[int, Query(ge=1, le=MOST_DAYS, description="Length of the window.")]
_BAD: Final[dict[int | str, dict[str, Any]]] = {
    status: {"model": ProblemOut, "description": what}
    for status, what in (
        (401, "No key, or one that is not valid"),
        (403, "The key has no right to this, or does not cover the model"),
        (422, "Not valid; `faults` names each thing that is wrong"),
        (429, "Too many calls; see Retry-After"),
        (503, "The agent or another member is away; see Retry-After"),
    )
}
_BAD_SCORE: Final = _BAD | {
    404: {"model": ProblemOut, "description": "No such model, or no champion"},
    409: {
        "model": ProblemOut,
        "description": "The model was retired or is not approved; or the idempotency key was used",
    },
    413: {"model": ProblemOut, "description": "More than 1 MiB"},
    504: {"model": ProblemOut, "description": "The deadline passed"},
}


def _good(model: type[BaseModel]) -> dict[int | str, dict[str, Any]]:
    return {200: {"model": model, "description": "Done"}}


def application(
    service: ScoringService, records: Records, watch: Watch, metrics: ServiceMetrics, health: Health, version: str
) -> FastAPI:
    """The routes, behind `gate.Gate`: it puts the key and the request's id into the request's state."""
    app = FastAPI(
        title="Xinqiao scoring",
        version=version,
        description="Scores of enterprises by encrypted models, for the bank's own programs.",
        docs_url=None,
        redoc_url=None,
        telemetry={"tracing": False, "metrics": False, "logs": False, "auto_configure": False},
    )
    _tell_failures(app)
    _add_scoring(app, service, records)
    _add_monitoring(app, watch, metrics)
    _add_pages(app, health)
    return app


def _add_scoring(app: FastAPI, service: ScoringService, records: Records) -> None:
    @app.post(
        "/v1/score",
        responses=_good(ScoreOut) | _BAD_SCORE,
        response_class=Response,
        dependencies=[_Bearer],
        tags=["scores"],
    )
    async def score(
        request: Request,
        body: ScoreIn,
        idempotency_key: _IdempotencyKey = "",
        deadline_ms: _Deadline = DEFAULT_DEADLINE_MS,
        x_request_id: _RequestId = "",
    ) -> Response:
        """Score up to 1,000 enterprises. One that is refused has no score and says why; the others have theirs. Right: `score`."""
        check_idempotency_key(idempotency_key)
        call = ScoreCall(
            model=body.model,
            subjects=tuple(each.uscc for each in body.subjects),
            features=tuple(each.features for each in body.subjects),
            reason=body.reason.strip(),
            user=body.user,
            application_no=body.application_no,
        )
        given = await service.score(_key(request), call, idempotency_key=idempotency_key, deadline_s=deadline_ms / 1000)
        replayed = {"Idempotency-Replayed": "true"} if given.replayed else {}
        return _json(msgspec.json.encode(given.answer), replayed)

    @app.get(
        "/v1/models",
        responses=_good(ModelsOut) | _BAD,
        response_class=Response,
        dependencies=[_Bearer],
        tags=["scores"],
    )
    async def models(request: Request) -> Response:
        """The models that the key covers, and the features that each needs. Right: `score`."""
        key = _key(request)
        key.require("score")
        return _json(msgspec.json.encode({"models": [_told(*each) for each in await service.models(key)]}))

    @app.post(
        "/v1/outcomes",
        responses=_good(OutcomesOut) | _BAD,
        response_class=Response,
        dependencies=[_Bearer],
        tags=["outcomes"],
    )
    async def outcomes(request: Request, body: OutcomesIn) -> Response:
        """Report what became of scored enterprises, for monitoring. A later outcome corrects an earlier one. Right: `outcomes`."""
        key = _key(request)
        key.require("outcomes")
        recorded, unknown = await records.report(
            [
                Outcome(score_id=each.score_id, defaulted=each.defaulted, observed=each.observed.isoformat())
                for each in body.outcomes
            ],
            key.key_id,
        )
        return _json(msgspec.json.encode({"recorded": recorded, "unknown": unknown}))


def _add_monitoring(app: FastAPI, watch: Watch, metrics: ServiceMetrics) -> None:
    async def report(request: Request, days: int) -> MonitorReport:
        _key(request).require("monitor")
        return await watch.report(days)

    @app.get("/v1/monitor", responses=_BAD, response_class=Response, dependencies=[_Bearer], tags=["monitoring"])
    async def monitor(request: Request, days: _Days = DEFAULT_DAYS) -> Response:
        """Stability, realised defaults, volumes and latency of the models in service. Right: `monitor`."""
        return _json(to_json(await report(request, days)))

    @app.get("/monitor", responses=_BAD, response_class=HTMLResponse, dependencies=[_Bearer], tags=["monitoring"])
    async def monitor_page(
        request: Request, days: _Days = DEFAULT_DAYS, language: Literal["", "en", "zh"] = ""
    ) -> Response:
        """The same as a page. A browser asks for a password: the API key; the name does not matter. Right: `monitor`."""
        from nodes.service.monitor.page import monitor_page as page  # plotly takes a while to load

        found = await report(request, days)
        chosen = language or _language(request.headers.get("accept-language", ""))
        return HTMLResponse(
            page(found, chosen), headers={"Content-Security-Policy": PAGE_POLICY, "Cache-Control": "no-store"}
        )

    @app.get("/metrics", responses=_BAD, response_class=Response, dependencies=[_Bearer], tags=["monitoring"])
    async def scrape(request: Request) -> Response:
        """Counters and gauges for Prometheus. Right: `monitor`."""
        metrics.show(await report(request, DEFAULT_DAYS))
        return Response(metrics.text(), media_type=CONTENT_TYPE)


def _add_pages(app: FastAPI, health: Health) -> None:
    @app.get(
        "/v1/health",
        responses=_good(HealthOut) | {503: {"model": HealthOut, "description": "The agent is away"}},
        response_class=Response,
    )
    async def healthy() -> Response:
        """Whether scores can be had: 200, or 503 while the agent is away. No key."""
        there = await health.agent_answers()
        return _json(msgspec.json.encode({"status": "ok" if there else "agent_away"}), status=200 if there else 503)

    @app.get("/docs", include_in_schema=False)
    async def docs() -> HTMLResponse:
        return HTMLResponse(reference_page(app.openapi()), headers={"Content-Security-Policy": REFERENCE_POLICY})

    @app.get("/static/{name}", include_in_schema=False)
    async def static(name: str) -> Response:
        content, media_type = asset(name)
        return Response(content, media_type=media_type, headers={"Cache-Control": "public, max-age=86400"})


def _tell_failures(app: FastAPI) -> None:
    async def known(request: Request, error: Exception) -> Response:
        return _problem(request, as_node_error(error))

    async def invalid(request: Request, error: Exception) -> Response:
        assert isinstance(error, RequestValidationError)  # noqa: S101 - registered for it
        return _problem(request, _invalid(error.errors()))

    async def plain(request: Request, error: Exception) -> Response:
        assert isinstance(error, HTTPException)  # noqa: S101 - registered for it
        code = "NOT_FOUND" if error.status_code == 404 else "INVALID_ARGUMENT"
        what = {
            404: "There is nothing at this address; /docs lists what there is.",
            405: "This address takes another method.",
        }
        told = what.get(error.status_code, "The request cannot be read.")
        return _problem(request, CallFailed(code, told, status=error.status_code))

    handlers: list[tuple[Sequence[type[Exception]], Callable[..., Any]]] = [
        (KNOWN, known),
        ((RequestValidationError,), invalid),
        ((HTTPException,), plain),
        ((Exception,), known),  # answered here; `gate` records it
    ]
    for kinds, handler in handlers:
        for kind in kinds:
            app.add_exception_handler(kind, handler)


def _invalid(errors: Sequence[Any]) -> CallFailed:
    """What pydantic found, without what was sent: it may be an enterprise's."""
    if any(each["type"] == "json_invalid" for each in errors):
        return CallFailed("INVALID_ARGUMENT", "The body is not JSON.", status=400)
    faults: dict[str, Fault] = {}
    for each in errors:
        where = _place(each["loc"])
        faults.setdefault(where, Fault(where, each["msg"]))
    first = next(iter(faults.values()))
    return CallFailed(
        "INVALID_ARGUMENT",
        f"The request is not valid: {first.where} - {first.what}"
        + (f", and {len(faults) - 1} more" * (len(faults) > 1)),
        faults=tuple(faults.values())[:100],
    )


def _place(loc: Sequence[str | int]) -> str:
    """As `subjects[0].features.age`: below a feature's name stand only pydantic's own words for the kinds it tried."""
    parts = list(loc[1:] if loc and loc[0] in {"body", "header", "query", "path"} else loc)
    if "features" in parts:
        parts = parts[: parts.index("features") + 2]
    text = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in parts).removeprefix(".")
    return text[:200] or "body"


def _problem(request: Request, error: Any) -> Response:  # noqa: ANN401 - a NodeError
    return _json(
        msgspec.json.encode(problem(error, request.state.request_id)),
        dict(problem_headers(error)),
        status=http_status(error),
        media_type="application/problem+json",
    )


def _json(
    body: bytes, headers: dict[str, str] | None = None, *, status: int = 200, media_type: str = "application/json"
) -> Response:
    return Response(body, status, {"Cache-Control": "no-store"} | (headers or {}), media_type)


def _key(request: Request) -> ApiKey:
    key: ApiKey = request.state.key
    return key


def _language(accepted: str) -> str:
    """The first of our languages that the browser asks for."""
    found = re.search(r"\b(zh|en)\b", accepted.lower())
    return found.group(1) if found else "en"


def _told(model: ServedModel, role: str) -> dict[str, Any]:
    return {
        "model_id": model.model_id,
        "name": model.name,
        "version": model.version,
        "kind": model.kind,
        "mode": model.mode,
        "state": model.state,
        "why": model.why,
        "role": role,
        "providers": model.providers,
        "features": [{"name": each.name, "kind": each.kind, "nullable": each.nullable} for each in model.own_columns],
    }
