"""`xinqiao model`, continued: the registry - versions of scoring models, who let them be used, which are in service."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, get_args

import msgspec
import typer
from xinqiao.v1 import agent_pb2

from cli.commands import command
from cli.errors import CliError
from cli.model_commands import app
from cli.options import NodeHome, UserOption, user_name
from cli.output import Result, Rows, moment
from consent.model_state import Step
from consent.models import Metric, ModelAct, ModelApproval, ModelVersion
from nodes.client import AgentClient

ModelArgument = Annotated[str, typer.Argument(help="The model's identifier, from `xinqiao model versions`.")]
ReasonOption = Annotated[str, typer.Option("--reason", help="Why; every party of the model sees it.")]


@command(app, "register")
def register(
    home: NodeHome,
    name: Annotated[str, typer.Option("--name", help="Name of the model; versions of one model share it.")],
    model: Annotated[
        Path | None, typer.Option("--model", help="A linear model: .json, .pmml, .xml or .onnx. See docs/scoring.md.")
    ] = None,
    mapping: Annotated[
        Path | None, typer.Option("--mapping", help="YAML: which input of the model is which member's column.")
    ] = None,
    job: Annotated[
        str, typer.Option("--job", help="A finished joint job of this node, from `xinqiao model list`.")
    ] = "",
    number: Annotated[int, typer.Option("--version", min=0, help="Number of the version. Default: the next.")] = 0,
    product: Annotated[
        list[str] | None,
        typer.Option("--product", help="A provider's product as member:product, where it offers several. Repeat."),
    ] = None,
    metric: Annotated[
        list[str] | None,
        typer.Option("--metric", help="A figure as auc=0.78; also ks, gini, brier. Default: those of the job. Repeat."),
    ] = None,
    replaces: Annotated[str, typer.Option("--replaces", help="Identifier of your model that this one follows.")] = "",
    bureau: Annotated[
        str, typer.Option("--licensed-bureau", help="Member whose licence covers the scoring, where one is needed.")
    ] = "",
    asker: Annotated[
        list[str] | None,
        typer.Option(
            "--asker",
            help="Member that may ask, of a model that reads columns of whoever asks (data to model). Repeat.",
        ),
    ] = None,
    covers: Annotated[
        list[str] | None,
        typer.Option(
            "--covers",
            help="Field of your product as item.field that a consent has to cover before an asker gets a score, beside those that the "
            "model reads. Repeat.",
        ),
    ] = None,
    description: Annotated[str, typer.Option("--description", help="In words, for the providers or askers.")] = "",
) -> Result:
    """Register a version of a scoring model, from a file or a joint job. Weights stay here; providers are asked to approve it.

    A model that reads columns of whoever asks (*) waits for nobody: take it into service, and each asker approves for itself.
    """
    request = agent_pb2.RegisterOwnModelRequest(
        linear=_imported(model, mapping) if model is not None else b"",
        job=job,
        name=name,
        version=number,
        description=description,
        products_json=msgspec.json.encode(dict(_pair(each, ":", "member:product") for each in product or ())),
        metrics_json=msgspec.json.encode(dict(map(_metric, metric or ()))),
        replaces=replaces,
        licensed_bureau=bureau,
        askers=asker or (),
        covers=[".".join(_pair(each, ".", "item.field")) for each in covers or ()],
    )
    with AgentClient(home) as agent:
        reply = agent.call("RegisterOwnModel", request)
    version = _version(reply)
    return Result(
        data=_data(reply),
        text=[
            f"Registered {version.name} version {version.version} as {version.model_id}.",
            f"It waits for {', '.join(version.approvers)}: `xinqiao model approve {version.model_id}` at each of them."
            if version.approvers
            else f"`xinqiao model serve {version.model_id}` takes it into service; then {', '.join(version.askers)} may ask, each once "
            "it has approved the model for itself.",
        ],
    )


@command(app, "versions")
def versions(home: NodeHome) -> Result:
    """List the registered models of this member, and those that read its data, with where each stands."""
    found = _models(home, "")
    rows = [
        (
            version.model_id,
            version.name,
            version.version,
            version.kind,
            version.owner,
            ", ".join(f"{member}: {word or 'waits'}" for member, word in _words(reply).items()),
            reply.state,
            reply.reason,
        )
        for reply in found
        for version in (_version(reply),)
    ]
    return Result(
        data={"models": [_data(reply) for reply in found]},
        text=[
            Rows(columns=("model", "name", "version", "kind", "owner", "words", "state", "why"), rows=rows)
            if rows
            else "No model names this member. `xinqiao model register --help` says how to register one."
        ],
    )


@command(app, "show")
def show(model_id: ModelArgument, home: NodeHome) -> Result:
    """Show what a model reads of whom, what its owner attests, and every word that was said about it."""
    (reply,) = _models(home, model_id)
    version = _version(reply)
    said = [
        (
            moment(word.time_ms),
            word.provider if isinstance(word, ModelApproval) else word.owner,
            _verb(word),
            word.user,
            word.reason,
        )
        for word in _said(reply)
    ]
    figures = ", ".join(f"{name} {value:.4f}" for name, value in version.metrics.items())
    return Result(
        data=_data(reply),
        text=[
            f"{version.name} version {version.version}, {version.kind} ({version.mode}) of {version.owner}: {reply.state}"
            + (f" ({reply.reason})" if reply.reason else ""),
            *([version.description] if version.description else []),
            f"Commitment {version.commitment}; registered {moment(version.created_ms)}.",
            *([f"Figures: {figures}."] if figures else []),
            *([f"Made by job {version.job} from {version.subjects:,} enterprises."] if version.job else []),
            *_told(version),
            Rows(
                title="What it reads",
                columns=("provider", "product", "fields", "count", "leverage", "commitment"),
                rows=[
                    (
                        part.provider,
                        part.product_id,
                        ", ".join(part.fields),
                        "its own" if part.nonzero is None else f"{part.nonzero} of {part.features}",
                        "its own" if part.leverage is None else f"{part.leverage:.3f}",
                        part.commitment[:16],
                    )
                    for part in version.parts
                ],
            ),
            *(
                [Rows(title="What was said", columns=("time", "member", "word", "user", "why"), rows=said)]
                if said
                else []
            ),
            *([] if reply.sent else ["The hub does not have this node's last word yet; it is in force here."]),
        ],
    )


@command(app, "approve")
def approve(model_id: ModelArgument, home: NodeHome, reason: ReasonOption = "", user: UserOption = "") -> Result:
    """Let this very version score with this member's data, at its providers or sent to its owner, once all of them have agreed."""
    return _step(home, model_id, Step.APPROVE, reason, user)


@command(app, "decline")
def decline(model_id: ModelArgument, home: NodeHome, reason: ReasonOption, user: UserOption = "") -> Result:
    """Say no to a model that this member has not approved; it may approve later."""
    return _step(home, model_id, Step.DECLINE, reason, user)


@command(app, "withdraw")
def withdraw(model_id: ModelArgument, home: NodeHome, reason: ReasonOption, user: UserOption = "") -> Result:
    """End an approval for good. The next request is refused here at once, also while the hub is away."""
    return _step(home, model_id, Step.WITHDRAW, reason, user)


@command(app, "serve")
def serve(model_id: ModelArgument, home: NodeHome, reason: ReasonOption = "", user: UserOption = "") -> Result:
    """Take a model of this member, approved by every provider, into service."""
    return _step(home, model_id, Step.SERVE, reason, user)


@command(app, "retire")
def retire(model_id: ModelArgument, home: NodeHome, reason: ReasonOption, user: UserOption = "") -> Result:
    """Take a model of this member out of service for good."""
    return _step(home, model_id, Step.RETIRE, reason, user)


@command(app, "open")
def open_model(
    model_id: ModelArgument,
    home: NodeHome,
    out: Annotated[Path, typer.Option("--out", help="New file for the auditor. It shows the weights that lie here.")],
) -> Result:
    """Write what an auditor needs to check a model: its document, the parts with their salts, what is kept of sessions of scoring.

    The owner of a linear model shows its parts and each session's seed; a provider what the owner signed about the weights of each.
    """
    with AgentClient(home) as agent:
        request = agent_pb2.OpenModelRequest(model_id=model_id, file=str(out.resolve()))
        reply: agent_pb2.OpenModelReply = agent.call("OpenModel", request)
    return Result(
        data={"model_id": model_id, "file": str(out), "parts": reply.parts, "sessions": reply.sessions},
        text=[
            f"Opened {reply.parts} part{'s' if reply.parts != 1 else ''} and {reply.sessions} session"
            f"{'s' if reply.sessions != 1 else ''} into {out}."
            + (" It shows weights: give it to the auditor only." if reply.parts else ""),
            f"`xinqiao audit model {out}` checks it, with the openings of the other parties.",
        ],
    )


def _imported(path: Path, mapping: Path | None) -> bytes:
    """The canonical document of a model in any of the forms. Raises CliError, ModelInvalid."""
    from yaml import YAMLError

    from modeling.scoring.importing import FORMS, import_model, mapping_of
    from modeling.scoring.model import canonical
    from nodes.joint.plain_yaml import read_yaml

    form = FORMS.get(path.suffix.lower())
    if form is None:
        raise CliError("INVALID_ARGUMENT", f"{path} is no model: its name ends in one of {', '.join(FORMS)}.")
    try:
        said = mapping_of(read_yaml(mapping.read_text(encoding="utf-8"))) if mapping is not None else None
    except (YAMLError, UnicodeDecodeError) as error:
        raise CliError(
            "MODEL_INVALID", f"The mapping {mapping} is not YAML: {' '.join(str(error).split())[:300]}"
        ) from None
    return canonical(import_model(path.read_bytes(), form, said))


def _told(version: ModelVersion) -> list[str]:
    """Of data to model: what whoever asks sends and gets."""
    if not version.askers:
        return []
    from modeling.scoring.told import parse_told

    told = parse_told(version.told)
    columns = ", ".join(each.name for each in told.preparation.inputs)
    return [
        f"May be asked by {', '.join(version.askers)}, who send encrypted: {columns}.",
        f"Scores ({told.meaning.link}) are exact to {told.error:.1e}. An asker gets half as many as it sends columns, unless its owner "
        "says more (`served_scores` in node.toml); more than the model has columns tell an asker the model.",
    ]


def _pair(text: str, separator: str, form: str) -> tuple[str, str]:
    name, found, value = text.partition(separator)
    if not (name and found and value):
        raise CliError("INVALID_ARGUMENT", f"{text!r} is not of the form {form}.")
    return name, value


def _metric(text: str) -> tuple[str, float]:
    name, value = _pair(text, "=", "auc=0.78")
    try:
        number = float(value)
    except ValueError:
        number = float("nan")
    if name not in get_args(Metric) or not -1 <= number <= 1:
        raise CliError(
            "INVALID_ARGUMENT", f"{text!r} is no figure: one of {', '.join(get_args(Metric))}, from -1 to 1."
        )
    return name, number


def _step(home: Path, model_id: str, step: Step, reason: str, user: str) -> Result:
    request = agent_pb2.StepModelRequest(model_id=model_id, step=step, reason=reason, user=user_name(user))
    with AgentClient(home) as agent:
        reply = agent.call("StepModel", request)
    version = _version(reply)
    waiting = [member for member, word in _words(reply).items() if word != Step.APPROVE]
    more = f"; it waits for {', '.join(waiting)}" if reply.state == "draft" and waiting else ""
    return Result(data=_data(reply), text=[f"{version.name} version {version.version} is {reply.state}{more}."])


def _models(home: Path, model_id: str) -> list[agent_pb2.ModelVersionReply]:
    with AgentClient(home) as agent:
        request = agent_pb2.ListModelVersionsRequest(model_id=model_id)
        reply: agent_pb2.ListModelVersionsReply = agent.call("ListModelVersions", request)
    return list(reply.models)


def _version(reply: agent_pb2.ModelVersionReply) -> ModelVersion:
    return msgspec.json.decode(reply.version_json, type=ModelVersion)


def _words(reply: agent_pb2.ModelVersionReply) -> dict[str, str]:
    return msgspec.json.decode(reply.words_json, type=dict[str, str])


def _said(reply: agent_pb2.ModelVersionReply) -> list[ModelApproval | ModelAct]:
    approvals = msgspec.json.decode(reply.approvals_json or b"[]", type=list[ModelApproval])
    acts = msgspec.json.decode(reply.acts_json or b"[]", type=list[ModelAct])
    return sorted([*approvals, *acts], key=lambda word: word.time_ms)


def _verb(word: ModelApproval | ModelAct) -> str:
    return word.decision if isinstance(word, ModelApproval) else word.act


def _data(reply: agent_pb2.ModelVersionReply) -> dict[str, Any]:
    return {
        **msgspec.json.decode(reply.version_json),
        "sm3": reply.sm3,
        "role": reply.role,
        "state": reply.state,
        "reason": reply.reason,
        "words": _words(reply),
        "said": msgspec.to_builtins(_said(reply)),
        "sent": reply.sent,
    }
