"""`xinqiao psi`: compare a list of enterprises with a provider's - how many are common, or which; what this node has compared."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import msgspec
import typer
from xinqiao.v1 import agent_pb2

from cli.commands import command, group
from cli.errors import CliError
from cli.options import NodeHome, Provider, UseReason, UserOption, user_name
from cli.output import Output, Result, Rows, moment
from consent.documents import Purpose
from nodes.client import AgentClient
from nodes.psi.outcome import COMMON_FILE, Outcome
from nodes.psi.store import Target

app = group("Compare sets without showing them: count common enterprises, find them in one order, list comparisons.")

ListOption = Annotated[
    Path,
    typer.Option("--list", help="Your enterprises: a text file with a code a line, or a CSV file (name its --column)."),
]
ColumnOption = Annotated[str, typer.Option("--column", help="The column of codes, if the list is a CSV file.")]
PurposeOption = Annotated[Purpose, typer.Option("--purpose", help="What it is for; it stands in the record of use.")]
MinimumOption = Annotated[
    int, typer.Option("--minimum", min=1, help="Fewest common enterprises to be told of; a provider may ask for more.")
]


@command(app, "count")
def count(
    home: NodeHome,
    provider: Provider,
    product: Annotated[str, typer.Option("--product", help="Data product, from `xinqiao node products`.")],
    item: Annotated[str, typer.Option("--item", help="The item whose enterprises are compared.")],
    codes: ListOption,
    purpose: PurposeOption,
    reason: UseReason,
    output: Output,
    column: ColumnOption = "",
    minimum: MinimumOption = 100,
    user: UserOption = "",
) -> Result:
    """Count the enterprises that are in your list and in a provider's item. Nobody learns which they are."""
    request = _request(codes, column, minimum, purpose.value, reason, user)
    request.targets_json = msgspec.json.encode((Target(provider=provider, product_id=product, item_id=item),))
    outcome = _compare(home, request, output)
    (with_,) = outcome.providers
    return Result(
        data=msgspec.to_builtins(outcome),
        text=[
            f"{outcome.size:,} of your {outcome.own:,} enterprises are in {item} of {provider}.",
            f"{provider} learned that number too, and how long your list is. Legal basis: {with_.legal_basis}",
        ],
    )


@command(app, "align")
def align(
    home: NodeHome,
    with_: Annotated[
        list[str], typer.Option("--with", help="A provider as member:product:item. Repeat for up to four.")
    ],
    codes: ListOption,
    out: Annotated[Path, typer.Option("--out", help="New folder for the common enterprises.")],
    purpose: PurposeOption,
    reason: UseReason,
    output: Output,
    column: ColumnOption = "",
    keep: Annotated[
        str, typer.Option("--keep", help="all: enterprises that every provider has; any: that at least one has.")
    ] = "all",
    minimum: MinimumOption = 100,
    user: UserOption = "",
) -> Result:
    """Find which enterprises of your list providers have too, in one row order at all parties. Each is named in a record of use."""
    if keep not in {"all", "any"}:
        raise CliError("INVALID_ARGUMENT", f"--keep is all or any, not {keep!r}.")
    request = _request(codes, column, minimum, purpose.value, reason, user)
    request.rows, request.keep, request.directory = True, keep, str(out.resolve())
    request.targets_json = msgspec.json.encode([_target(each) for each in with_])
    outcome = _compare(home, request, output)
    return Result(
        data=msgspec.to_builtins(outcome),
        text=[
            Rows(
                columns=("provider", "item", "common with it", "legal basis"),
                rows=[(each.member, each.item_id, f"{each.common:,}", each.legal_basis) for each in outcome.providers],
            ),
            f"{outcome.size:,} of your {outcome.own:,} enterprises are in {out / COMMON_FILE}; each provider has the same order.",
        ],
    )


@command(app, "list")
def list_comparisons(home: NodeHome) -> Result:
    """List the comparisons of this node, and those of other members that it took part in."""
    with AgentClient(home) as agent:
        reply: agent_pb2.ListComparisonsReply = agent.call("ListComparisons", agent_pb2.ListComparisonsRequest())
    found = [
        {
            "run_id": each.run_id,
            "role": each.role,
            "mode": each.mode,
            "state": each.state,
            "members": list(each.members),
            "items": list(each.items),
            "legal_basis": each.legal_basis,
            "size": None if each.size < 0 else each.size,
            "failure": each.failure,
            "created_ms": each.created_ms,
            "directory": each.directory,
        }
        for each in reply.comparisons
    ]
    return Result(
        data={"comparisons": found},
        text=[
            Rows(
                columns=("run", "mode", "role", "with", "item", "begun", "state", "common or failure", "legal basis"),
                rows=[
                    (
                        each.run_id,
                        each.mode,
                        each.role,
                        ", ".join(each.members),
                        ", ".join(each.items),
                        moment(each.created_ms),
                        each.state,
                        each.failure or ("" if each.size < 0 else f"{each.size:,}"),
                        each.legal_basis,
                    )
                    for each in reply.comparisons
                ],
            )
            if found
            else "No comparison yet. `xinqiao psi count --help` says how to begin one."
        ],
    )


def _request(
    codes: Path, column: str, minimum: int, purpose: str, reason: str, user: str
) -> agent_pb2.CompareSetsRequest:
    return agent_pb2.CompareSetsRequest(
        file=str(codes.resolve()),
        column=column,
        minimum=minimum,
        purpose=purpose,
        reason=reason,
        user=user_name(user),
    )


def _target(text: str) -> Target:
    parts = text.split(":")
    if len(parts) != 3 or not all(parts):
        raise CliError("INVALID_ARGUMENT", f"{text!r} names no provider: write member:product:item.")
    return Target(provider=parts[0], product_id=parts[1], item_id=parts[2])


def _compare(home: Path, request: agent_pb2.CompareSetsRequest, output: Output) -> Outcome:
    outcome = b""
    with AgentClient(home) as agent, output.progress("waiting") as step:
        for progress in agent.compare(request):
            step(progress.done, progress.total or None, progress.phase.replace("_", " "))
            outcome = progress.outcome_json
    if not outcome:
        raise CliError("UNAVAILABLE", "The agent ended the comparison without an outcome. Begin it again.")
    return msgspec.json.decode(outcome, type=Outcome)
