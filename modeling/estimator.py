"""Joint models over the data frames of one notebook, in the manner of scikit-learn, to see what a provider's columns would bring.

    model = VerticalBoosting(trees=20)
    model.fit(own, label, {"tax": frame}, test=0.3)
    print(model.evaluation_.auc)

Every party runs the very code that it runs between nodes (`modeling.jobs`), each in a thread of its own, over channels that encode and
count every message: same keys, same ciphertexts, same model, same refusals. But one process holds all the data here: nothing is
hidden from who runs it. `leaks_` tells what each party would learn if they were apart.

Settings are those of `modeling.logistic.settings` and `modeling.gbdt.settings`, with their defaults. `fit` trains on every row unless
`test` holds some out. Rows are the same enterprises in the same order at every party (`modeling.frames` says what is checked).
scikit-learn is not needed; `sklearn.base.clone` works.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields
from typing import Any, ClassVar, Final, Self

import msgspec
import numpy as np
import numpy.typing as npt

from modeling.additive import SchemeName
from modeling.channel import Channel, Traffic
from modeling.errors import ArgumentInvalid, DataUnusable
from modeling.evaluation import Evaluation, evaluate
from modeling.frames import OWN, Data, PartyTable, label_of, tables_of
from modeling.gbdt import scoring as boosting_scoring
from modeling.gbdt.settings import Settings as BoostingSettings
from modeling.gbdt.trees import sigmoid
from modeling.jobs import active, passive
from modeling.jobs.active import ActivePartOfJob, ActiveResult
from modeling.jobs.leaks import Leak, statement
from modeling.jobs.passive import PassiveResult
from modeling.jobs.plan import Algorithm, JobPlan, SelectionRules
from modeling.jobs.work import Unattended
from modeling.local import Party, run_in_threads
from modeling.logistic import scoring as logistic_scoring
from modeling.logistic.own import Floats
from modeling.logistic.settings import Settings as LogisticSettings
from modeling.metrics import auc
from modeling.preparation.columns import Rule

MAX_SHARE: Final = 0.9
"""Of the rows that only test."""
_LOGISTIC: Final = LogisticSettings()
_BOOSTING: Final = BoostingSettings()


@dataclass(frozen=True, kw_only=True)
class Cost:
    """What a run sent over all channels. `rounds`: how often the active party waits for one answer; each costs a network's delay."""

    bytes: int
    messages: int
    rounds: int


@dataclass(frozen=True, kw_only=True)
class Parts:
    """The model as it would lie between nodes: each party's own part."""

    own: ActivePartOfJob
    providers: Mapping[str, PassiveResult]


@dataclass(kw_only=True, eq=False)
class _Vertical:
    """What both estimators do.

    `rules`: how to prepare a column (`modeling.preparation.columns`); without one numbers are standardised for logistic regression and
    left as they are for boosting, and texts become a column for each frequent category.
    `selection`: how each party judges and chooses its columns first (`modeling.jobs.plan.SelectionRules`); None keeps all.

    After `fit`: `classes_` (0 and 1), `parts_`, `evaluation_` (of the held-out rows; None without such), `traffic_` (of the training),
    `n_iter_` (steps or trees), `leaks_`.
    """

    rules: Mapping[str, Rule] | None = None
    selection: SelectionRules | None = None
    classes_: npt.NDArray[np.int64] = field(init=False, repr=False)
    parts_: Parts = field(init=False, repr=False)
    evaluation_: Evaluation | None = field(init=False, repr=False)
    traffic_: Cost = field(init=False, repr=False)
    n_iter_: int = field(init=False, repr=False)
    _scored_rows: int = field(init=False, repr=False)

    _algorithm: ClassVar[Algorithm]
    _settings: ClassVar[type[LogisticSettings | BoostingSettings]]
    _estimator_type: ClassVar[str] = "classifier"

    def get_params(self, deep: bool = True) -> dict[str, Any]:
        """The parameters of the constructor, as scikit-learn wants them; none of them has parameters of its own."""
        return {each.name: getattr(self, each.name) for each in fields(self) if each.init}

    def set_params(self, **parameters: Any) -> Self:  # noqa: ANN401 - of any parameter
        """Change parameters; they are checked by `fit`. Raises ArgumentInvalid for a name that there is not."""
        if unknown := set(parameters) - set(self.get_params()):
            raise ArgumentInvalid(f"{type(self).__name__} has no parameter {', '.join(sorted(unknown))}")
        for name, value in parameters.items():
            setattr(self, name, value)
        return self

    def fit(self, own: Data, label: object, providers: Mapping[str, Data], *, test: float = 0.0) -> Self:
        """Train. `label`: n values 0 or 1 (1: the event, default). `test`: the share of the rows, the last ones, that only test.

        Shuffle sorted rows before, at all parties alike. Raises ModelingError: ArgumentInvalid, DataUnusable, BudgetExceeded (too many
        steps times columns for so few rows), RangeExceeded, ParametersUnsafe.
        """
        tables = tables_of(own, providers, label)
        rows = len(tables[OWN].present)
        target = label_of(label, rows)
        if not 0 <= test <= MAX_SHARE:
            raise ArgumentInvalid(f"test is a share of the rows from 0 to {MAX_SHARE}, not {test}")
        plans = self._plans(tables, rows - round(rows * test))
        found, self.traffic_ = _run(_training(tables, target, plans, self._validation))
        result = msgspec.json.decode(found.pop(OWN), type=ActiveResult)
        theirs = {name: msgspec.json.decode(part, type=PassiveResult) for name, part in found.items()}
        self.parts_ = Parts(own=result.part, providers=theirs)
        self.classes_, self.n_iter_ = np.array([0, 1]), result.steps
        self.evaluation_ = _evaluation(result) if result.training < rows else None
        self._scored_rows = rows - result.training
        return self

    def predict_proba(self, own: Data, providers: Mapping[str, Data]) -> Floats:
        """float64[n, 2]: the probability of 0 and of 1 of each row. The parties score together. Raises ModelingError."""
        parts = self._fitted()
        tables = tables_of(own, providers)
        if set(providers) != set(parts.providers):
            raise DataUnusable(f"the model is of {', '.join(parts.providers)}, not of {', '.join(providers)}")
        found, _ = _run(_scoring(parts, tables))
        ones: Floats = found[OWN]
        self._scored_rows += len(ones)
        return np.column_stack((1 - ones, ones))

    def predict(self, own: Data, providers: Mapping[str, Data]) -> npt.NDArray[np.int64]:
        """int64[n]: 1 where the event is the likelier. A decision on loans wants a threshold of its own. Raises ModelingError."""
        return (self.predict_proba(own, providers)[:, 1] > 0.5).astype(np.int64)

    def score(self, own: Data, label: object, providers: Mapping[str, Data]) -> float:
        """The area under the ROC curve on these rows. Raises ModelingError."""
        probabilities = self.predict_proba(own, providers)[:, 1]
        return auc(label_of(label, len(probabilities)), probabilities)

    @property
    def leaks_(self) -> tuple[Leak, ...]:
        """What each party, and the hub, would learn of this training and of every row scored since, were they apart."""
        providers = tuple(self._fitted().providers)
        return statement(self._algorithm, OWN, providers, rows_scored=self._scored_rows, selection=self.selection)

    @property
    def _validation(self) -> float:
        return 0.0

    def _fitted(self) -> Parts:
        parts: Parts | None = getattr(self, "parts_", None)
        if parts is None:
            raise ArgumentInvalid(f"this {type(self).__name__} is not trained yet; call fit first")
        return parts

    def _plans(self, tables: Mapping[str, PartyTable], training: int) -> dict[str, JobPlan]:
        rules = self.rules or {}
        known = {name for table in tables.values() for name in table.columns}
        if unknown := set(rules) - known:
            raise ArgumentInvalid(f"there is a rule for {', '.join(sorted(unknown))}, and no such column")
        settings = self._checked_settings()
        job = secrets.token_hex(16)
        return {
            party: JobPlan(
                job=job,
                algorithm=self._algorithm,
                rows=len(table.present),
                training=training,
                columns={name: rules.get(name) for name in table.columns},
                logistic=settings if isinstance(settings, LogisticSettings) else None,
                boosting=settings if isinstance(settings, BoostingSettings) else None,
                selection=self.selection,
            )
            for party, table in tables.items()
        }

    def _checked_settings(self) -> LogisticSettings | BoostingSettings:
        given = {name: getattr(self, name) for name in self._settings.__struct_fields__}
        plain = {name: value.item() if isinstance(value, np.generic) else value for name, value in given.items()}
        try:
            return msgspec.convert(plain, self._settings)
        except msgspec.ValidationError as error:
            raise ArgumentInvalid(f"a parameter of {type(self).__name__} cannot be used: {error}") from None


@dataclass(kw_only=True, eq=False)
class VerticalLogisticRegression(_Vertical):
    """Logistic regression over columns of several parties; parameters as in `modeling.logistic.settings.Settings`."""

    steps: int = _LOGISTIC.steps
    l2: float = _LOGISTIC.l2
    tolerance: float = _LOGISTIC.tolerance
    clip: float = _LOGISTIC.clip
    period: int = _LOGISTIC.period

    _algorithm: ClassVar[Algorithm] = "logistic"
    _settings: ClassVar[type[LogisticSettings | BoostingSettings]] = LogisticSettings


@dataclass(kw_only=True, eq=False)
class VerticalBoosting(_Vertical):
    """Gradient boosted trees over columns of several parties; parameters as in `modeling.gbdt.settings.Settings`.

    `validation`: the share of the training rows, the last of them, on whose loss `patience` decides.
    """

    trees: int = _BOOSTING.trees
    depth: int = _BOOSTING.depth
    rate: float = _BOOSTING.rate
    l2: float = _BOOSTING.l2
    gamma: float = _BOOSTING.gamma
    min_child_weight: float = _BOOSTING.min_child_weight
    bins: int = _BOOSTING.bins
    min_rows: int = _BOOSTING.min_rows
    sample: float = _BOOSTING.sample
    top: float = _BOOSTING.top
    own_trees: int = _BOOSTING.own_trees
    patience: int = _BOOSTING.patience
    scheme: SchemeName = _BOOSTING.scheme
    key_bits: int = _BOOSTING.key_bits
    validation: float = 0.0

    _algorithm: ClassVar[Algorithm] = "boosting"
    _settings: ClassVar[type[LogisticSettings | BoostingSettings]] = BoostingSettings

    @property
    def _validation(self) -> float:
        if not 0 <= self.validation <= MAX_SHARE:
            raise ArgumentInvalid(f"validation is a share of the rows from 0 to {MAX_SHARE}, not {self.validation}")
        return self.validation


def _training(
    tables: Mapping[str, PartyTable], label: Floats, plans: Mapping[str, JobPlan], validation: float
) -> dict[str, Party[Any]]:
    """Every party's job."""
    own = tables[OWN]
    label_name = max(own.columns, key=len) + "_label"  # longer than every name, so it is none of them

    def lead(channels: Mapping[str, Channel]) -> bytes:
        table = {**own.columns, label_name: label}
        asked = {name: plans[name] for name in channels}
        return active.run(
            table, own.present, label_name, channels, asked, plans[OWN], Unattended(), validation=validation
        )

    def follow(name: str, table: PartyTable) -> Party[bytes]:
        return lambda channels: passive.run(
            table.columns, table.present, OWN, name, channels, Unattended(), agreed=plans[name]
        )

    return {OWN: lead, **{name: follow(name, table) for name, table in tables.items() if name != OWN}}


def _scoring(parts: Parts, tables: Mapping[str, PartyTable]) -> dict[str, Party[Any]]:
    """Every party's side of scoring all rows."""

    def lead(channels: Mapping[str, Channel]) -> Floats:
        part, own = parts.own, tables[OWN]
        matrix = part.prepared.matrix(own.columns, own.present)
        if part.boosting is not None:
            return boosting_scoring.score(part.boosting, matrix, channels)
        return sigmoid(logistic_scoring.score(np.array(part.coefficients), matrix, channels))

    def follow(name: str, part: PassiveResult) -> Party[None]:
        def answer(channels: Mapping[str, Channel]) -> None:
            matrix = part.prepared.matrix(tables[name].columns, tables[name].present)
            if part.boosting is not None:
                boosting_scoring.answer(part.boosting, matrix, channels[OWN])
            else:
                logistic_scoring.answer(np.array(part.coefficients), matrix, OWN, name, channels)

        return answer

    return {OWN: lead, **{name: follow(name, part) for name, part in parts.providers.items()}}


def _run(parties: Mapping[str, Party[Any]]) -> tuple[dict[str, Any], Cost]:
    """What each party returns, and what all of them sent."""

    def counted(party: Party[Any]) -> Callable[[Mapping[str, Channel]], tuple[Any, list[Traffic]]]:
        return lambda channels: (party(channels), [channel.traffic for channel in channels.values()])

    ended = run_in_threads({name: counted(party) for name, party in parties.items()})
    every = [traffic for _, told in ended.values() for traffic in told]
    cost = Cost(
        bytes=sum(each.sent_bytes for each in every),
        messages=sum(each.sent_messages for each in every),
        rounds=max(each.rounds for each in ended[OWN][1]),
    )
    return {name: result for name, (result, _) in ended.items()}, cost


def _evaluation(result: ActiveResult) -> Evaluation:
    """Of the test rows that count."""
    label, weight = (np.frombuffer(data, "<f8")[result.training :] for data in (result.label, result.weight))
    counts = weight > 0
    probabilities = np.frombuffer(result.probabilities, "<f8")
    return evaluate(label[counts], probabilities[counts], np.random.default_rng(0))
