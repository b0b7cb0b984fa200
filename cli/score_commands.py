"""`xinqiao score`: encrypted scores of enterprises by a model of this node's own - what a batch costs, a batch, one, the limits."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any

import msgspec
import typer
from xinqiao.v1 import agent_pb2

from cli.commands import command, group
from cli.errors import CliError
from cli.options import ApplicationNo, NodeHome, UsccOption, UseReason, UserOption, user_name
from cli.output import Output, Result, Rows
from nodes.client import AgentClient
from nodes.errors import NodeError

app = group(
    "Score enterprises without seeing providers' data: plan and run batches, score one, see limits, serve models."
)

ModelOption = Annotated[str, typer.Option("--model", help="The model's identifier, from `xinqiao model versions`.")]
ListOption = Annotated[
    Path,
    typer.Option(
        "--list", help="Enterprises: a text file with a code a line, or a CSV or Parquet file with a column uscc."
    ),
]
OwnOption = Annotated[
    Path | None,
    typer.Option("--own", help="Your own columns of the model: a CSV or Parquet file with a column uscc, a row each."),
]
PLAN_TIMEOUT_S = 120.0
_GOES_ON = "Then give the same command again, into the same folder: the batch goes on where it was."


@command(app, "plan")
def plan(home: NodeHome, model: ModelOption, codes: ListOption, own: OwnOption = None) -> Result:
    """Tell what a batch would cost, how precise its scores are, and what each party would learn. Nothing leaves this node."""
    request = _batch(model, codes, own, "", "", "")
    with AgentClient(home, timeout_s=PLAN_TIMEOUT_S) as agent:
        told: dict[str, Any] = msgspec.json.decode(agent.call("PlanScore", request).plan_json)
    refused = ", ".join(f"{reason} {count:,}" for reason, count in told["refused"].items())
    return Result(
        data=told,
        text=[
            f"Model {told['model']} version {told['version']} ({told['mode'].replace('_', ' ')}) with {', '.join(told['providers'])}.",
            f"{told['permitted']:,} of {told['subjects']:,} enterprises may be asked about"
            + (f"; not: {refused}." if refused else "."),
            f"About {told['seconds']:,} s, {told['bytes'] / 1e6:,.1f} MB, {told['blocks']:,} blocks; "
            f"scores are exact to {told['error_bound']:.1e}.",
            Rows(
                title="What each party will learn",
                columns=("party", "learns"),
                rows=[(leak["to"], leak["what"]) for leak in told["leaks"]],
            ),
        ],
    )


@command(app, "run")
def run(
    home: NodeHome,
    model: ModelOption,
    codes: ListOption,
    out: Annotated[
        Path,
        typer.Option("--out", help="New folder for the scores, or that of a batch that was broken off: it goes on."),
    ],
    reason: UseReason,
    output: Output,
    own: OwnOption = None,
    user: UserOption = "",
    application_no: ApplicationNo = "",
) -> Result:
    """Score a list of enterprises into a folder: scores.csv, scores.parquet and report.json. A batch that broke off goes on."""
    request = _batch(model, codes, own, reason, user_name(user), application_no)
    request.directory = str(out.resolve())
    report = b""
    with AgentClient(home) as agent, output.progress("waiting") as step:
        try:
            for progress in agent.score_batch(request):
                step(progress.done, progress.total or None, progress.phase.replace("_", " "))
                report = progress.report_json
        except NodeError as error:
            if not error.retryable:
                raise
            raise CliError(error.code, f"{error.message} {_GOES_ON}", reason=error.reason) from error
    if not report:
        raise CliError("UNAVAILABLE", f"The agent ended without a report. {_GOES_ON}")
    told: dict[str, Any] = msgspec.json.decode(report)
    rows = [(code, f"{count:,}") for code, count in told["refused"].items()]
    return Result(
        data=told,
        text=[
            f"{told['scored']:,} of {told['subjects']:,} enterprises have a score in {out}, exact to {told['error_bound']:.1e}; "
            f"{told['seconds']:,} s, {told['bytes'] / 1e6:,.1f} MB.",
            *([Rows(title="Without a score", columns=("reason", "enterprises"), rows=rows)] if rows else []),
        ],
    )


@command(app, "one")
def one(
    home: NodeHome,
    model: ModelOption,
    uscc: UsccOption,
    reason: UseReason,
    own: Annotated[
        str, typer.Option("--own", help='Your own columns of the model as JSON: {"turnover": 12.5, "region": null}.')
    ] = "",
    user: UserOption = "",
    application_no: ApplicationNo = "",
    request_key: Annotated[
        str,
        typer.Option("--request-key", help="The same key with the same question counts once and gets the same answer."),
    ] = "",
) -> Result:
    """Score one enterprise."""
    if own:
        try:
            json.loads(own)
        except ValueError as error:
            raise CliError("INVALID_ARGUMENT", f"--own is no JSON: {error}.") from error
    request = agent_pb2.ScoreRequest(
        model_id=model,
        subjects=[agent_pb2.ScoreSubject(uscc=uscc, own_json=own.encode())],
        reason=reason,
        user=user_name(user),
        application_no=application_no,
        request_key=request_key,
    )
    with AgentClient(home) as agent:
        (found,) = agent.call("Score", request).scores
    if found.refused:
        raise CliError(
            "SCORE_LIMIT_REACHED" if found.refused == "SCORE_LIMIT_REACHED" else "USE_REFUSED",
            found.detail,
            reason=found.refused,
        )
    data = {
        "uscc": found.uscc,
        "model_id": found.model_id,
        "score": found.score,
        "probability": found.probability if found.HasField("probability") else None,
        "points": found.points if found.HasField("points") else None,
        "band": found.band,
        "reasons": list(found.reasons),
        "error_bound": found.error_bound,
        "receipt_ids": list(found.receipt_ids),
    }
    shown = [f"score {found.score:.6f}"]
    if found.HasField("probability"):
        shown.append(f"probability {found.probability:.4%}")
    if found.HasField("points"):
        shown.append(f"{found.points:.0f} points")
    if found.band:
        shown.append(f"band {found.band}")
    text = [f"{found.uscc}: {', '.join(shown)} (exact to {found.error_bound:.1e})."]
    if found.reasons:
        text.append(f"Reasons: {', '.join(found.reasons)}.")
    return Result(data=data, text=text)


@command(app, "limits")
def limits(home: NodeHome) -> Result:
    """Show this provider's limits, what each requester has spent of them, and what looks like probing."""
    with AgentClient(home) as agent:
        told: dict[str, Any] = msgspec.json.decode(
            agent.call("ListScoreLimits", agent_pb2.ListScoreLimitsRequest()).limits_json
        )
    rules = told["limits"]
    flags = [(each["requester"], flag) for each in told["requesters"] for flag in each["flags"]]
    return Result(
        data=told,
        text=[
            Rows(
                title="Limits",
                columns=("limit", "value"),
                rows=[
                    (name, "half of the asker's columns" if value is None else str(value))
                    for name, value in rules.items()
                ],
            ),
            Rows(
                title="Spent",
                columns=("requester", "today", "model", "enterprises", "scores"),
                rows=[
                    (
                        each["requester"],
                        f"{each['today']:,}",
                        model["model"][:16],
                        f"{model['subjects']:,}",
                        f"{model['scores']:,}",
                    )
                    for each in told["requesters"]
                    for model in each["models"]
                ],
            )
            if told["requesters"]
            else "Nobody has scored with this node's data.",
            *([Rows(title="Looks like probing", columns=("requester", "what"), rows=flags)] if flags else []),
        ],
    )


def _batch(
    model: str, codes: Path, own: Path | None, reason: str, user: str, application_no: str
) -> agent_pb2.ScoreBatchRequest:
    return agent_pb2.ScoreBatchRequest(
        model_id=model,
        file=str(codes.resolve()),
        own_file=str(own.resolve()) if own is not None else "",
        reason=reason,
        user=user,
        application_no=application_no,
    )
