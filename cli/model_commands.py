"""`xinqiao model`: joint models from a job file - what one costs, training it, the jobs of this node, ending one."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import msgspec
import typer

from cli.commands import command, group
from cli.options import NodeHome, UserOption
from cli.output import Output, Result, Rows, moment
from nodes.client import Node

app = group("Train joint models from a job file; register scoring models, have them approved, take them into service.")

JobFileArgument = Annotated[
    Path, typer.Argument(help="The job file (YAML): label, own features, providers, algorithm. See docs/modelling.md.")
]


@command(app, "plan")
def plan(job: JobFileArgument, home: NodeHome) -> Result:
    """Check a job file, and tell what the job would cost and what each party would learn. Nothing leaves this node."""
    with Node(home) as node:
        told = node.plan(job)
    cost = told.estimate
    return Result(
        data={
            "name": told.name,
            "algorithm": told.algorithm,
            "estimate": msgspec.to_builtins(cost),
            "leaks": msgspec.to_builtins(told.leaks),
        },
        text=[
            f"Job {told.name} ({told.algorithm}): {cost.rows:,} enterprises by consent, {cost.training:,} train; "
            f"columns by party: {', '.join(map(str, cost.columns))}.",
            f"About {cost.rounds:,} rounds, {cost.megabytes:,} MB, {cost.seconds:,} s, {cost.memory_mb:,} MB of memory.",
            Rows(
                title="What each party will learn",
                columns=("party", "learns"),
                rows=[(leak.party, each) for leak in told.leaks for each in leak.learns],
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
    with Node(home) as node, output.progress("waiting") as step:
        running = node.train(job, out=out, user=user)
        for progress in running.follow():
            step(progress.done, progress.total or None, progress.phase.replace("_", " "))
        made = running.report()
    report = made.document
    test, cohort = report.test, report.cohort
    return Result(
        data={
            "job_id": running.job_id,
            "directory": str(made.json_file.parent),
            "report": msgspec.to_builtins(report),
        },
        text=[
            Rows(
                title=f"Test of {report.name}: {test.rows:,} enterprises, {test.events:,} defaults",
                columns=("figure", "value", "from", "to"),
                rows=[
                    (name, f"{figure.value:.4f}", f"{figure.low:.4f}", f"{figure.high:.4f}")
                    for name, figure in (("AUC", test.auc), ("KS", test.ks))
                ],
            ),
            f"{cohort.rows:,} enterprises by consent, {cohort.usable:,} with a label; {cohort.withdrawn:,} left while it ran.",
            f"Model {report.commitment[:16]}…; the report is {out / made.page_file.name}.",
        ],
    )


@command(app, "list")
def list_jobs(home: NodeHome) -> Result:
    """List the jobs of this node, and those of other members that it takes part in."""
    with Node(home) as node:
        jobs = node.jobs()
    return Result(
        data={"jobs": msgspec.to_builtins(jobs)},
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
    with Node(home) as node:
        node.stop(job_id, reason)
    return Result(data={"job_id": job_id, "stopped": True}, text=[f"Stopped job {job_id}."])
