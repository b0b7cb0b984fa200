"""`xinqiao score serve` and what belongs to it: API keys, champion and challenger, whom a model was made on, outcomes, the monitor.

All but `serve` work on the service's database in the node's home, whether or not the service runs.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Annotated, TypeVar

import msgspec
import typer
from xinqiao.v1 import agent_pb2

from cli.clock import now_ms
from cli.commands import command, group
from cli.errors import CliError
from cli.logs import configure_logging
from cli.options import NodeHome, UserOption, user_name
from cli.output import Output, Result, Rows, moment
from cli.score_commands import app
from nodes.client import AgentClient
from nodes.errors import HubUnavailable
from nodes.service.keys import ALL_MODELS, DEFAULT_PER_MINUTE, RIGHTS, ApiKey, KeyStore
from nodes.service.models import ServedModel, named
from nodes.service.monitor.build import DEFAULT_DAYS, MOST_DAYS, monitor_report
from nodes.service.monitor.document import ModelWatch, MonitorReport
from nodes.service.records import Records
from nodes.service.roles import Appointment, Role, Roles
from nodes.service.schema import open_store
from nodes.settings import load_settings
from nodes.store import Store

T = TypeVar("T")

keys = group("Keys of the programs that ask for scores.")
app.add_typer(keys, name="key")

ModelArgument = Annotated[
    str, typer.Argument(metavar="MODEL", help="Identifier or name, from `xinqiao model versions`.")
]
Why = Annotated[str, typer.Option("--reason", help="Why; it is recorded.")]


@command(app, "serve")
def serve(
    home: NodeHome,
    output: Output,
    listen: Annotated[str, typer.Option("--listen", help="Where the HTTP endpoint listens.")] = "127.0.0.1:8090",
    grpc_listen: Annotated[
        str, typer.Option("--grpc-listen", help="Where its gRPC twin listens; none: no such port.")
    ] = "127.0.0.1:8091",
    tls_cert: Annotated[
        Path | None, typer.Option("--tls-cert", help="PEM file of the certificate and its chain.")
    ] = None,
    tls_key: Annotated[Path | None, typer.Option("--tls-key", help="PEM file of its private key.")] = None,
) -> None:
    """Serve scores to the bank's own programs until told to stop (SIGTERM, Ctrl-C), beside a running `xinqiao node serve`."""
    from nodes.service.server import Address, Bound, ServiceSettings
    from nodes.service.server import serve as serve_scores

    level = load_settings(home, os.environ).log_level
    settings = ServiceSettings(
        home=home,
        http=Address.parse(listen),
        grpc=None if grpc_listen == "none" else Address.parse(grpc_listen),
        certificate=tls_cert,
        private_key=tls_key,
    )
    configure_logging(level)
    scheme = "http" if tls_cert is None else "https"

    def ready(bound: Bound) -> None:
        twin = str(bound.grpc) if bound.grpc is not None else ""
        output.show(
            Result(
                data={"serving": str(home), "http": f"{scheme}://{bound.http}", "grpc": twin},
                text=[
                    f"Scores at {scheme}://{bound.http}/v1/score"
                    + (f", by gRPC at {twin}" if twin else "")
                    + f"; what there is: {scheme}://{bound.http}/docs."
                ],
            )
        )

    asyncio.run(serve_scores(settings, clock=now_ms, ready=ready))


@command(keys, "create")
def create_key(
    home: NodeHome,
    name: Annotated[str, typer.Argument(metavar="NAME", help="Whose key it is: a program, as loan-portal.")],
    right: Annotated[
        list[str] | None, typer.Option("--right", help=f"One of {', '.join(RIGHTS)}; repeat. Default: score.")
    ] = None,
    model: Annotated[
        list[str] | None, typer.Option("--model", help="Identifier or name of a model; repeat. Default: all.")
    ] = None,
    per_minute: Annotated[int, typer.Option("--per-minute", help="Calls a minute.")] = DEFAULT_PER_MINUTE,
    days: Annotated[
        int | None, typer.Option("--days", help="How long it is valid. Default: until it is revoked.")
    ] = None,
    user: UserOption = "",
) -> Result:
    """Make a key for a program. It is shown once: what is kept is its digest."""
    made = _run(
        home,
        lambda store: KeyStore(store, now_ms).create(
            name,
            rights=tuple(right or ("score",)),
            models=tuple(model or (ALL_MODELS,)),
            per_minute=per_minute,
            days=days,
            user=user_name(user),
        ),
    )
    return Result(
        data=_key(made.key) | {"key": made.text},
        text=[
            made.text,
            f"Key {made.key.key_id} of {made.key.name} may {', '.join(made.key.rights)}. It is not shown again; keep it as a password.",
        ],
    )


@command(keys, "list")
def list_keys(home: NodeHome) -> Result:
    """List the keys, the newest first."""
    found = _run(home, lambda store: KeyStore(store, now_ms).list())
    rows = [
        (
            each.key_id,
            each.name,
            " ".join(each.rights),
            " ".join(each.models),
            each.per_minute,
            moment(each.created_ms),
            _standing(each),
        )
        for each in found
    ]
    columns = ("key", "name", "rights", "models", "calls a minute", "made", "")
    return Result(
        data={"keys": [_key(each) for each in found]},
        text=[Rows(columns=columns, rows=rows) if rows else "No key yet. Make one: `xinqiao score key create NAME`."],
    )


@command(keys, "revoke")
def revoke_key(
    home: NodeHome, key_id: Annotated[str, typer.Argument(metavar="KEY", help="The key's identifier.")], reason: Why
) -> Result:
    """End a key for good; it is refused from the next call on."""
    key = _run(home, lambda store: KeyStore(store, now_ms).revoke(key_id, reason))
    return Result(data=_key(key), text=[f"Key {key.key_id} of {key.name} is {_standing(key)}."])


@command(app, "champion")
def champion(home: NodeHome, model: ModelArgument, reason: Why, user: UserOption = "") -> Result:
    """Appoint the model that answers calls which name none. It must be in service."""
    return _appoint(home, "champion", model, 1.0, reason, user)


@command(app, "challenger")
def challenger(
    home: NodeHome,
    model: Annotated[
        str, typer.Argument(metavar="MODEL", help="Identifier or name of a model in service; `none` ends a trial.")
    ],
    reason: Why,
    share: Annotated[
        float, typer.Option("--share", help="Of the enterprises that it scores too, above 0 up to 1.")
    ] = 0.1,
    user: UserOption = "",
) -> Result:
    """Try a model beside the champion, in the shadow: it scores its share too, and nobody is given its scores.

    Each of its scores is a use: it counts against the consent, and towards the provider's limit of models for an enterprise.
    """
    return _appoint(home, "challenger", "" if model == "none" else model, share, reason, user)


@command(app, "roles")
def roles(home: NodeHome) -> Result:
    """List who is champion and challenger, and who was."""
    history = _run(home, lambda store: Roles(store, now_ms).history())
    rows = [
        (moment(each.since_ms), each.role, each.model_id or "nobody", f"{each.share:.0%}", each.user, each.reason)
        for each in history
    ]
    return Result(
        data={"roles": [_appointed(each) for each in history]},
        text=[
            Rows(columns=("since", "role", "model", "share", "by", "reason"), rows=rows)
            if rows
            else "Nobody yet. `xinqiao score champion --help` says how to appoint one."
        ],
    )


@command(app, "population")
def population(
    home: NodeHome,
    model: ModelArgument,
    file: Annotated[Path, typer.Option("--from", help="CSV or Parquet file of the training rows.")],
    probability: Annotated[
        str, typer.Option("--probability", help="Its column of predicted probabilities; none: leave the score out.")
    ] = "probability",
    user: UserOption = "",
) -> Result:
    """Say whom a model was made on, so that drift can be told: the distribution of its scores and of your own columns.

    Only counts by bin are kept. Own columns that the file has under the model's names are taken.
    """
    from nodes.service.training_file import read_population

    served = named(_models(home), model)
    found = read_population(file, served, None if probability == "none" else probability)
    _run(home, lambda store: Records(store, now_ms).set_population(served.model_id, found, user_name(user)))
    told = [each.bins.name for each in found.columns]
    return Result(
        data={"model": served.model_id, "score": found.score is not None, "columns": told},
        text=[
            f"{served.title} is held against {file.name} from now on: "
            f"{'its scores' if found.score else 'not its scores'}, own columns {', '.join(told) or 'none'}."
        ],
    )


@command(app, "outcomes")
def outcomes(
    home: NodeHome,
    file: Annotated[
        Path, typer.Argument(help="CSV or Parquet file with columns score_id, defaulted (0 or 1), observed (a day).")
    ],
    user: UserOption = "",
) -> Result:
    """Record what became of scored enterprises, as POST /v1/outcomes does."""
    from nodes.service.training_file import read_outcomes

    given = read_outcomes(file)
    recorded, unknown = _run(home, lambda store: Records(store, now_ms).report(given, f"file:{user_name(user)}"))
    return Result(
        data={"recorded": recorded, "unknown": list(unknown)},
        text=[
            f"{recorded:,} outcomes recorded.",
            *([f"{len(unknown):,} name no score: {', '.join(unknown[:5])}…"] if unknown else []),
        ],
    )


@command(app, "monitor")
def monitor(
    home: NodeHome,
    days: Annotated[int, typer.Option("--days", min=1, max=MOST_DAYS, help="Length of the window.")] = DEFAULT_DAYS,
    out: Annotated[Path | None, typer.Option("--out", help="Write the page there, whole in one file.")] = None,
    language: Annotated[str, typer.Option("--language", help="Of the page: en or zh.")] = "en",
) -> Result:
    """Tell how the models in service do: stability of scores and own columns, defaults against predictions, volumes, latency."""
    try:
        models = _models(home)
    except HubUnavailable:
        models = ()  # the agent is away: the models have no names then
    report = _run(
        home,
        lambda store: monitor_report(Records(store, now_ms), Roles(store, now_ms), models, now_ms, days=days),
    )
    if out is not None:
        from nodes.service.monitor.page import monitor_page

        out.write_text(monitor_page(report, language, whole=True), encoding="utf-8")
    return Result(
        data=msgspec.to_builtins(report),
        text=[*_told(report), *([f"Page: {out}"] if out is not None else [])],
    )


def _told(report: MonitorReport) -> list[str | Rows]:
    alarms: list[str | Rows] = [
        f"{alarm.level.upper()}: {model.title}, {alarm.what.replace('_', ' ')} {alarm.name}: {alarm.value:.3f}"
        for model in report.models
        for alarm in model.alarms
    ]
    if not report.models:
        return [f"No model has scored in the last {report.days} days."]
    columns = ("model", "role", "state", "scored", "refused", "PSI", "outcomes", "AUC", "p50 ms", "p99 ms")
    return [*alarms, Rows(columns=columns, rows=[_row(each) for each in report.models])]


def _row(model: ModelWatch) -> tuple[object, ...]:
    outcome, latency = model.realised, model.latency_ms
    return (
        model.title,
        model.role,
        model.level,
        f"{model.scored:,}",
        f"{sum(model.refused.values()):,}",
        f"{model.score.value:.3f}" if model.score is not None else "",
        f"{outcome.events:,} of {outcome.rows:,}" if outcome is not None else "",
        f"{outcome.auc:.3f}" if outcome is not None and outcome.auc is not None else "",
        f"{latency[0]:.1f}" if latency is not None else "",
        f"{latency[2]:.1f}" if latency is not None else "",
    )


def _appoint(home: Path, role: Role, model: str, share: float, reason: str, user: str) -> Result:
    served = named(_models(home), model) if model else None
    if served is not None:
        served.require_in_service()
    made = _run(
        home,
        lambda store: Roles(store, now_ms).appoint(
            role, served.model_id if served else "", share=share, user=user_name(user), reason=reason
        ),
    )
    what = f"{served.title} is {role}" if served else f"There is no {role} any more"
    part = f", with {made.share:.0%} of the enterprises" if served and role == "challenger" else ""
    return Result(data=_appointed(made), text=[f"{what}{part}."])


def _models(home: Path) -> tuple[ServedModel, ...]:
    """The agent's. Raises NodeError."""
    with AgentClient(home) as agent:
        reply: agent_pb2.ListServableModelsReply = agent.call(
            "ListServableModels", agent_pb2.ListServableModelsRequest()
        )
    return msgspec.json.decode(reply.models_json or b"[]", type=tuple[ServedModel, ...])


def _run(home: Path, work: Callable[[Store], Awaitable[T]]) -> T:
    """Do something with the service's database. Raises CliError if there is no such home."""
    if not home.is_dir():
        raise CliError("NOT_FOUND", f"{home} is no node's home. Enrol a node first: `xinqiao node enrol`.")

    async def with_store() -> T:
        store = open_store(home)
        try:
            return await work(store)
        finally:
            await store.close()

    return asyncio.run(with_store())


def _standing(key: ApiKey) -> str:
    if key.revoked_ms is not None:
        return f"revoked {moment(key.revoked_ms)}: {key.revoked_reason}"
    if key.expires_ms is not None:
        return f"{'valid until' if key.expires_ms > now_ms() else 'expired'} {moment(key.expires_ms)}"
    return "valid"


def _key(key: ApiKey) -> dict[str, object]:
    return {
        "key_id": key.key_id,
        "name": key.name,
        "rights": list(key.rights),
        "models": list(key.models),
        "per_minute": key.per_minute,
        "created_ms": key.created_ms,
        "expires_ms": key.expires_ms,
        "revoked_ms": key.revoked_ms,
        "revoked_reason": key.revoked_reason,
        "user": key.user,
    }


def _appointed(made: Appointment) -> dict[str, object]:
    return {
        "role": made.role,
        "model_id": made.model_id,
        "share": made.share,
        "since_ms": made.since_ms,
        "user": made.user,
        "reason": made.reason,
    }
