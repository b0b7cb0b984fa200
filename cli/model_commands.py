"""`xinqiao model`: joint models from a job file - what one costs, training it, the jobs of this node, ending one."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import msgspec
import typer
from xinqiao.v1 import agent_pb2

from cli.commands import command, group
from cli.errors import CliError
from cli.options import NodeHome, UserOption, user_name
from cli.output import Output, Result, Rows, Step, moment
from nodes.client import AgentClient

app = group("Train joint models: plan a job, train it, list the jobs of this node, stop one.")

JobFileArgument = Annotated[
    Path, typer.Argument(help="The job file (YAML): label, own features, providers, algorithm. See docs/modelling.md.")
]
PLAN_TIMEOUT_S = 120.0


@command(app, "plan")
def plan(job: JobFileArgument, home: NodeHome) -> Result:
    """Check a job file, and tell what the job would cost and what each party would learn. Nothing leaves this node."""
    with AgentClient(home, timeout_s=PLAN_TIMEOUT_S) as agent:
        reply: agent_pb2.PlanJobReply = agent.call("PlanJob", _request(job))
    told: dict[str, Any] = msgspec.json.decode(reply.plan_json)
    cost = told["estimate"]
    return Result(
        data=told,
        text=[
            f"Job {told['name']} ({told['algorithm']}): {cost['rows']:,} enterprises by consent, {cost['training']:,} train; "
            f"columns by party: {', '.join(map(str, cost['columns']))}.",
            f"About {cost['rounds']:,} rounds, {cost['megabytes']:,} MB, {cost['seconds']:,} s, {cost['memory_mb']:,} MB of memory.",
            Rows(
                title="What each party will learn",
                columns=("party", "learns"),
                rows=[(leak["party"], each) for leak in told["leaks"] for each in leak["learns"]],
            ),
        ],
    )


@command(app, "train")
def train(
    job: JobFileArgument,
    home: NodeHome,
    out: Annotated[
        Path, typer.Option("--out", help="New folder for the report, or that of a job that was broken off: it goes on.")
    ],
    output: Output,
    user: UserOption = "",
) -> Result:
    """Train a joint model with the providers that the job file names; a job that breaks off goes on from its last checkpoint."""
    request = _request(job)
    request.user, request.directory = user_name(user), str(out.resolve())
    last: agent_pb2.JobProgress | None = None
    with AgentClient(home) as agent, output.progress("waiting") as step:
        for last in agent.train(request):
            _tell(step, last)
    if last is None or not last.report_json:
        raise CliError("UNAVAILABLE", "The agent ended without a report. Train again into the same folder: it goes on.")
    report: dict[str, Any] = msgspec.json.decode(last.report_json)
    test, cohort = report["test"], report["cohort"]
    return Result(
        data={"job_id": last.job_id, "directory": str(out.resolve()), "report": report},
        text=[
            Rows(
                title=f"Test of {report['name']}: {test['rows']:,} enterprises, {test['events']:,} defaults",
                columns=("figure", "value", "from", "to"),
                rows=[
                    (name.upper(), *(f"{test[name][part]:.4f}" for part in ("value", "low", "high")))
                    for name in ("auc", "ks")
                ],
            ),
            f"{cohort['rows']:,} enterprises by consent, {cohort['usable']:,} with a label; {cohort['withdrawn']:,} left while it ran.",
            f"Model {report['commitment'][:16]}…; the report is {out / 'report.html'}.",
        ],
    )


@command(app, "list")
def list_jobs(home: NodeHome) -> Result:
    """List the jobs of this node, and those of other members that it takes part in."""
    with AgentClient(home) as agent:
        reply: agent_pb2.ListJobsReply = agent.call("ListJobs", agent_pb2.ListJobsRequest())
    jobs = list(reply.jobs)
    return Result(
        data={
            "jobs": [
                {
                    "job_id": each.job_id,
                    "name": each.name,
                    "role": each.role,
                    "state": each.state,
                    "members": list(each.members),
                    "created_ms": each.created_ms,
                    "failure": each.failure,
                    "commitment": each.commitment,
                    "directory": each.directory,
                }
                for each in jobs
            ]
        },
        text=[
            Rows(
                columns=("job", "name", "role", "with", "begun", "state", "model or failure"),
                rows=[
                    (
                        each.job_id,
                        each.name,
                        each.role,
                        ", ".join(each.members),
                        moment(each.created_ms),
                        each.state,
                        each.failure or each.commitment[:16],
                    )
                    for each in jobs
                ],
            )
            if jobs
            else "No job yet. `xinqiao model plan JOB.yaml` is the first step."
        ],
    )


@command(app, "stop")
def stop(
    job_id: Annotated[str, typer.Argument(help="The job, from `xinqiao model list`.")],
    home: NodeHome,
    reason: Annotated[str, typer.Option("--reason", help="Why; the other parties are told.")],
) -> Result:
    """End a job for good, or this node's part in another member's."""
    with AgentClient(home) as agent:
        agent.call("StopJob", agent_pb2.StopJobRequest(job_id=job_id, reason=reason))
    return Result(data={"job_id": job_id, "stopped": True}, text=[f"Stopped job {job_id}."])


def _request(job: Path) -> agent_pb2.JobRequest:
    try:
        text = job.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise CliError(
            "INVALID_ARGUMENT", f"{job} cannot be read ({type(error).__name__}); name the job file."
        ) from error
    return agent_pb2.JobRequest(job_yaml=text, base=str(job.resolve().parent))


def _tell(step: Step, progress: agent_pb2.JobProgress) -> None:
    step(progress.done, progress.total or None, progress.phase.replace("_", " "))
