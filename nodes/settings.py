"""The node's settings: one frozen object, from `node.toml` in the home and the environment.

The rules of this module:
1. Only the command's main reads the environment; it is handed in as a mapping.
2. An unknown or malformed setting is an error, never ignored: a misspelt limit would silently be the
   default one.
3. Environment variables `XINQIAO_NODE_<NAME>` win over the file, for simple values only.
"""

from __future__ import annotations

import hashlib
import tempfile
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Final, Literal

import msgspec

from nodes.errors import SettingsInvalid

ENVIRONMENT_PREFIX: Final = "XINQIAO_NODE_"
UNIX_PATH_LIMIT: Final = 100
"""Bytes that fit into a Unix socket address on every system we run on (108 on Linux, 104 elsewhere), with a
reserve."""

_Name = Annotated[str, msgspec.Meta(pattern=r"^[a-z][a-z0-9-]{1,40}$")]
_Pattern = Annotated[str, msgspec.Meta(min_length=1, max_length=200)]


_TABLES: Final = frozenset({"approval", "psi", "model_approval", "scoring"})
"""What only the file can say."""


class ApprovalRule(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Exchanges that match all three shell-style patterns wait for an operator of this node."""

    product: _Pattern = "*"
    mode: _Pattern = "*"
    requester: _Pattern = "*"


class PsiRule(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A member may compare its list with the subjects of a product of this node (set intersection, protocols.md 4b).

    `mode`: whether both learn how many are in both sets ("size") or which ("rows"). `legal_basis`: in words; every subject that turns
    out to be common is shown it. `minimum`: the fewest common subjects that anybody is told of. `per_day`: how often, a calendar day.
    """

    member: _Name
    product: _Pattern
    mode: Literal["size", "rows"]
    legal_basis: Annotated[str, msgspec.Meta(pattern=r"\S", max_length=200)]
    minimum: Annotated[int, msgspec.Meta(ge=20, le=1_000_000)] = 100
    per_day: Annotated[int, msgspec.Meta(ge=1, le=1000)] = 1


class ModelRule(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Scoring models that match the shell-style patterns are approved without an operator; every other waits for one.

    `kind`: linear, joint_logistic or joint_boosting. A linear model's attested leverage and number of features that count must keep the
    bounds; a joint one attests none.
    """

    owner: _Name
    product: _Pattern = "*"
    kind: _Pattern = "*"
    maximum_leverage: Annotated[float, msgspec.Meta(gt=0, le=1)] = 0.75
    minimum_nonzero: Annotated[int, msgspec.Meta(ge=2, le=10_000)] = 5


class ScoringRules(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What this node, as a provider, lets each requester score: see `nodes.scoring.limits`, which explains the defaults."""

    models_per_subject: Annotated[int, msgspec.Meta(ge=1, le=100)] = 3
    scores_per_subject_per_day: Annotated[int, msgspec.Meta(ge=1, le=10_000)] = 10
    scores_per_day: Annotated[int, msgspec.Meta(ge=1, le=1_000_000_000)] = 1_000_000
    served_scores: Annotated[int, msgspec.Meta(ge=1, le=1_000_000_000)] | None = None
    minimum_nonzero: Annotated[int, msgspec.Meta(ge=2, le=10_000)] = 5
    maximum_leverage: Annotated[float, msgspec.Meta(gt=0, le=1)] = 0.75
    refuse_probing: bool = False


class _File(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    node_id: _Name
    member_id: _Name
    max_staleness_s: Annotated[int, msgspec.Meta(ge=1, le=3600)] = 60
    approval: tuple[ApprovalRule, ...] = ()
    psi: tuple[PsiRule, ...] = ()
    model_approval: tuple[ModelRule, ...] = ()
    scoring: ScoringRules = ScoringRules()
    receipt_retention_days: Annotated[int, msgspec.Meta(ge=1, le=36500)] = 1095
    purge_interval_s: Annotated[int, msgspec.Meta(ge=1, le=86400)] = 3600
    source_reload_s: Annotated[int, msgspec.Meta(ge=0, le=86400 * 31)] = 0
    monitor_interval_s: Annotated[int, msgspec.Meta(ge=1, le=86400)] = 10
    monitor_proofs_per_round: Annotated[int, msgspec.Meta(ge=1, le=100_000)] = 1000
    joint_minimum_rows: Annotated[int, msgspec.Meta(ge=20, le=1_000_000)] = 100
    joint_minimum_sum: Annotated[int, msgspec.Meta(ge=1, le=1_000_000)] = 10
    joint_selection: bool = True
    joint_executor: Annotated[str, msgspec.Meta(pattern=r"^(processes|ray://[A-Za-z0-9.:\[\]-]+:[0-9]{1,5})?$")] = ""
    scoring_columns_mb: Annotated[int, msgspec.Meta(ge=0, le=1_000_000)] = 512
    exchange_idle_s: Annotated[int, msgspec.Meta(ge=1, le=86400)] = 600
    window_bytes: Annotated[int, msgspec.Meta(ge=1 << 20, le=1 << 30)] = 32 << 20
    log_level: Annotated[str, msgspec.Meta(pattern="^(DEBUG|INFO|WARNING|ERROR)$")] = "INFO"
    metrics_address: str = ""


class Settings(_File, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Everything a node's process is configured with. Times carry their unit in the name.

    `max_staleness_s`: how old the newest verified checkpoint may be for a consented use (protocols.md 2).
    `source_reload_s`: 0 reads the sources at start and on demand only. `metrics_address`: host:port, empty
    for none. `joint_minimum_rows`: the fewest rows of another member's job for this node to take part;
    `joint_minimum_sum`: the fewest rows of a sum that it tells in boosting (`min_rows` of the job).
    `joint_selection`: whether it takes part in jobs that choose columns (`selection` of the job).
    `joint_executor`: where a party's heavy maps run: in its process if empty, in a pool of processes, or on
    this member's own Ray cluster.
    `model_approval`: scoring models that are approved by rule; none, unless a rule says so.
    `scoring_columns_mb`: memory for own columns that are kept encoded, so that the next model over them is scored faster.
    `scoring`: how much each requester may score with this node's data.
    `psi`: who may compare sets with this node; nobody, unless a rule says so.
    `window_bytes`: how much of a transfer may be on its way unacknowledged.
    """

    home: Path

    @property
    def database(self) -> Path:
        """The SQLite file."""
        return self.home / "node.db"

    @property
    def sources_file(self) -> Path:
        """Where the data sources are declared."""
        return self.home / "sources.toml"

    @property
    def snapshots(self) -> Path:
        """Folder of the immutable snapshots of the items' data."""
        return self.home / "snapshots"

    @property
    def hub_file(self) -> Path:
        """The pinned facts about the hub."""
        return hub_path(self.home)

    @property
    def keys(self) -> Path:
        """Folder of the node's keys."""
        return keys_path(self.home)

    @property
    def max_staleness_ms(self) -> int:
        """`max_staleness_s` in milliseconds."""
        return self.max_staleness_s * 1000

    @property
    def agent_socket(self) -> Path:
        """The local socket: in the home, or in a private folder if that path is too long for one."""
        return agent_socket_path(self.home)


def keys_path(home: Path) -> Path:
    """Return the folder of the node's keys."""
    return home / "keys"


def hub_path(home: Path) -> Path:
    """Return the file with the pinned facts about the hub."""
    return home / "hub.json"


def settings_path(home: Path) -> Path:
    """Return the settings file of a home."""
    return home / "node.toml"


def agent_socket_path(home: Path) -> Path:
    """Return where the agent listens.

    The caller makes the folder (mode 0700) and, outside the home, writes the path to agent.addr.
    """
    usual = home.resolve() / "agent.sock"
    if len(bytes(usual)) <= UNIX_PATH_LIMIT:
        return usual
    name = hashlib.sha256(bytes(usual)).hexdigest()[:16]
    return Path(tempfile.gettempdir()) / f"xinqiao-{name}" / "agent.sock"


def load_settings(home: Path, environment: Mapping[str, str]) -> Settings:
    """Read `node.toml` of the home and overlay the environment.

    Raises SettingsInvalid if the file is missing, is not TOML, or names something unknown or out of its
    bounds.
    """
    path = settings_path(home)
    try:
        found: dict[str, Any] = tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise SettingsInvalid(f"{path} does not exist; enrol the node first (`xinqiao node enrol`)") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise SettingsInvalid(f"{path} is not TOML: {error}; correct the file") from error
    names = {field.name: field for field in msgspec.structs.fields(_File)}
    for variable, text in environment.items():
        name = variable.removeprefix(ENVIRONMENT_PREFIX).lower()
        if variable.startswith(ENVIRONMENT_PREFIX) and name in names and name not in _TABLES:
            found[name] = text
    try:
        # Text from the environment becomes numbers; the bounds are those of the file.
        parsed = msgspec.convert(found, _File, strict=False)
    except msgspec.ValidationError as error:
        raise SettingsInvalid(f"{path} or {ENVIRONMENT_PREFIX}*: {error}; correct the setting") from error
    return Settings(home=home, **{name: getattr(parsed, name) for name in names})
