"""The node's process of scoring: `python -m nodes.scoring.worker`, started and kept warm by `nodes.scoring.computer`.

It does one task after another, and while there is none it makes encryptions of masks in advance. It ends when its agent does.
"""

from __future__ import annotations

import hashlib
import select
import socket
import sys
import traceback
from collections.abc import Callable
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field
from functools import cache
from typing import Final, TypeVar

import msgspec
import numpy as np

from modeling import bfv
from modeling.errors import DataUnusable, ModelingError, ProtocolViolation
from modeling.gbdt.trees import ActivePart, PassivePart
from modeling.gbdt.wire import pack_flags
from modeling.scoring import boosting, columns, mirrored
from modeling.scoring.columns import Columns
from modeling.scoring.fixed import Floats, Scales
from modeling.scoring.joint import logistic_part
from modeling.scoring.linear import EncryptedWeights, ModelKey, Provider, sealed, tiled_rows
from modeling.scoring.masks import PairMasks
from modeling.scoring.model import parse_model
from modeling.scoring.told import owner_of
from nodes.scoring.work import (
    HEAD,
    AskBoosting,
    Call,
    Compute,
    Done,
    Drop,
    EncryptRows,
    Load,
    LoadBoosting,
    LoadLogistic,
    LoadOwner,
    LoadSides,
    MakeBoosting,
    MakeKey,
    MakeRequester,
    OpenBoosting,
    OpenRows,
    OpenScores,
    Task,
    framed,
)

T = TypeVar("T")
READY: Final = 16
"""Encryptions of masks that are made in advance for each session: a burst of so many requests does not wait for them."""


@dataclass
class _Linear:
    """A provider's side of a session."""

    provider: Provider
    masks: PairMasks

    def compute(self, task: Compute) -> tuple[bytes, ...]:
        """Ciphertexts."""
        features, hidden = _features(task), np.frombuffer(task.hidden, np.bool_)
        if task.layout == "tiled":
            answer = self.provider.answer_tiled(
                features, self.masks, task.request_no, hidden=hidden, subjects=task.subjects
            )
            return (answer,)
        # Encoded columns are kept by what is in them: another model over the same columns finds them.
        names = [hashlib.blake2b(column.tobytes(), digest_size=16).hexdigest() for column in features.T]
        return tuple(
            self.provider.answer_columns(
                features, self.masks, task.request_no, hidden=hidden, names=names, subjects=task.subjects
            )
        )


@dataclass
class _Logistic:
    """A party's side of a joint logistic model."""

    coefficients: Floats
    masks: PairMasks

    def compute(self, task: Compute) -> tuple[bytes, ...]:
        """Masked numbers uint64[n]."""
        hidden = np.frombuffer(task.hidden, np.bool_)
        part = logistic_part(
            self.coefficients, _features(task), self.masks, task.request_no, hidden=hidden, subjects=task.subjects
        )
        return (part.tobytes(),)


@dataclass
class _Boosting:
    """The provider's side of a boosted model."""

    provider: boosting.Provider

    def compute(self, task: Compute) -> tuple[bytes, ...]:
        """Ciphertexts."""
        return tuple(self.provider.answer(_features(task), task.asked, hidden=np.frombuffer(task.hidden, np.bool_)))


@dataclass
class _Sides:
    """One of several providers of a boosted model."""

    part: PassivePart

    def compute(self, task: Compute) -> tuple[bytes, ...]:
        """Packed bool[splits, rows]: which rows go left; none of a hidden row."""
        features, shown = _features(task), ~np.frombuffer(task.hidden, np.bool_)
        if features.shape[1] != self.part.features:
            raise DataUnusable(f"the model has {self.part.features} columns here; {features.shape} came")
        lefts = [each.split.left(features) & shown for each in self.part.splits]
        return (pack_flags(np.concatenate([np.zeros(0, np.bool_), *lefts])).tobytes(),)


@dataclass
class _Owner:
    """The owner's side of data to model."""

    owner: mirrored.Owner
    public: bytes

    def compute(self, task: Compute) -> tuple[bytes, ...]:
        """Ciphertexts of the scores. Raises ProtocolViolation."""
        try:
            features = msgspec.msgpack.decode(b"".join(task.asked), type=mirrored.EncryptedFeatures)
        except msgspec.MsgspecError:
            raise ProtocolViolation("a question does not bring the columns that it asks about") from None
        added, hidden = _features(task)[:, 0], np.frombuffer(task.hidden, np.bool_)
        return tuple(self.owner.answer(self.public, features, added, hidden=hidden))


@dataclass
class _Requester:
    """The asker's side of data to model."""

    requester: mirrored.Requester
    bounds: Floats
    weight_bits: int

    def open(self, task: OpenRows) -> Floats:
        """float64[rows], NaN where a row is not kept."""
        kept = np.frombuffer(task.kept, np.bool_)
        return self.requester.open(task.answers, task.rows, len(self.bounds), self.weight_bits, kept)


@dataclass
class _Key:
    """The owner's side of a session."""

    key: ModelKey
    scales: Scales
    features: tuple[int, ...]

    def open(self, task: OpenScores) -> Floats:
        """float64[rows], NaN where a row is not kept."""
        kept = np.frombuffer(task.kept, np.bool_)
        if task.layout == "tiled":
            answers = [(count, each[0]) for count, each in zip(self.features, task.answers, strict=True)]
            return self.key.open_tiled(answers, task.rows, self.scales, kept=kept)
        return self.key.open_columns(task.answers, task.rows, self.scales, kept=kept)


class _SessionUnknownError(Exception):
    """No such session here."""


@dataclass
class _Worker:
    columns: Columns
    providers: dict[str, _Linear | _Logistic | _Boosting | _Sides | _Owner] = field(default_factory=dict)
    keys: dict[str, _Key] = field(default_factory=dict)
    owners: dict[str, boosting.Owner] = field(default_factory=dict)
    requesters: dict[str, _Requester] = field(default_factory=dict)

    def do(self, task: Task) -> Done:
        """Raises ModelingError, _SessionUnknownError."""
        match task:
            case Load():
                weights = msgspec.msgpack.decode(task.weights, type=EncryptedWeights)
                provider = Provider(task.public, weights, self.columns)
                self.providers[task.session] = _Linear(provider, PairMasks(task.place, task.seeds))
                return Done(number=0)
            case LoadLogistic():
                coefficients = np.frombuffer(task.coefficients, np.float64)
                self.providers[task.session] = _Logistic(coefficients, PairMasks(task.place, task.seeds))
                return Done(number=0)
            case LoadBoosting():
                _test_bfv()
                part = msgspec.json.decode(task.part, type=PassivePart)
                self.providers[task.session] = _Boosting(boosting.Provider(part, task.public, task.opening))
                return Done(number=0)
            case LoadSides():
                self.providers[task.session] = _Sides(msgspec.json.decode(task.part, type=PassivePart))
                return Done(number=0)
            case LoadOwner():
                owner = owner_of(parse_model(task.model))
                self.providers[task.session] = _Owner(owner, task.public)
                return Done(number=0)
            case Compute():
                return Done(number=0, parts=_of(self.providers, task.session).compute(task))
            case MakeKey():
                return self._make_key(task)
            case OpenScores():
                return Done(number=0, parts=(_of(self.keys, task.session).open(task).tobytes(),))
            case MakeBoosting() | AskBoosting() | OpenBoosting():
                return self._boosted(task)
            case MakeRequester() | EncryptRows() | OpenRows():
                return self._as_requester(task)
            case Drop():
                for held in (self.providers, self.keys, self.owners, self.requesters):
                    held.pop(task.session, None)
                return Done(number=0)

    def _boosted(self, task: MakeBoosting | AskBoosting | OpenBoosting) -> Done:
        match task:
            case MakeBoosting():
                _test_bfv()
                owner = boosting.Owner(msgspec.json.decode(task.part, type=ActivePart))
                self.owners[task.session] = owner
                return Done(number=0, parts=(owner.public, owner.opening), error=owner.error)
            case AskBoosting():
                return Done(number=0, parts=_of(self.owners, task.session).ask(_features(task)))
            case OpenBoosting():
                kept = np.frombuffer(task.kept, np.bool_)
                margins = _of(self.owners, task.session).open(task.answers, _features(task), kept)
                return Done(number=0, parts=(margins.tobytes(),))

    def _as_requester(self, task: MakeRequester | EncryptRows | OpenRows) -> Done:
        match task:
            case MakeRequester():
                requester, bounds = mirrored.Requester(), np.frombuffer(task.bounds, np.float64)
                self.requesters[task.session] = _Requester(requester, bounds, task.weight_bits)
                return Done(number=0, parts=(requester.public,), rows=tiled_rows(len(bounds)))
            case EncryptRows():
                held = _of(self.requesters, task.session)
                return Done(
                    number=0, parts=(msgspec.msgpack.encode(held.requester.encrypt(_features(task), held.bounds)),)
                )
            case OpenRows():
                return Done(number=0, parts=(_of(self.requesters, task.session).open(task).tobytes(),))

    def _make_key(self, task: MakeKey) -> Done:
        weights = [np.frombuffer(each, np.float64) for each in task.weights]
        bounds = [np.frombuffer(each, np.float64) for each in task.bounds]
        key = ModelKey(task.seed)
        scales, encrypted = sealed(key, tuple(zip(weights, bounds, strict=True)))
        self.keys[task.session] = _Key(key, scales, tuple(map(len, weights)))
        return Done(
            number=0,
            parts=(key.public, *(msgspec.msgpack.encode(each) for each in encrypted)),
            rows=min(tiled_rows(len(each)) for each in weights),
            error=scales.error,
        )

    def prepare_one(self) -> bool:
        """One encryption in advance; False if there are enough."""
        return any(each.provider.prepare_one(READY) for each in self.providers.values() if isinstance(each, _Linear))


def _of(held: dict[str, T], session: str) -> T:
    if session not in held:
        raise _SessionUnknownError
    return held[session]


@cache
def _test_bfv() -> None:
    """Once, where it is used."""
    bfv.self_test()


def _features(task: Compute | AskBoosting | OpenBoosting | EncryptRows) -> Floats:
    return np.frombuffer(task.features, np.float64).reshape(task.rows, -1)


def _answered(do: Callable[[Task], Done], call: Call) -> Done:
    try:
        done = do(call.task)
    except _SessionUnknownError:
        done = Done(number=0, failed="PEER_FAILED", message="the session is lost", unknown=True)
    except ModelingError as error:
        done = Done(number=0, failed=error.code, message=str(error))
    except msgspec.MsgspecError as error:
        done = Done(number=0, failed="PROTOCOL_VIOLATION", message=f"the other party's bytes cannot be read: {error}")
    except Exception as error:  # its words may repeat a value
        traceback.print_tb(error.__traceback__)
        done = Done(number=0, failed="INTERNAL", message=f"the process of scoring failed ({type(error).__name__})")
    return msgspec.structs.replace(done, number=call.number)


def main(number: int, column_bytes: int) -> None:
    """Serve the socket until it closes. `column_bytes`: of encoded columns that are kept."""
    connection = socket.socket(fileno=number)
    poll = select.poll()
    poll.register(connection, select.POLLIN)
    columns.self_test()
    with ExitStack() as stack:
        worker = _Worker(stack.enter_context(Columns(column_bytes)))
        while True:
            while not poll.poll(0) and worker.prepare_one():
                pass
            head = connection.recv(HEAD.size, socket.MSG_WAITALL)
            if len(head) < HEAD.size:
                return
            (size,) = HEAD.unpack(head)
            call = msgspec.msgpack.decode(connection.recv(size, socket.MSG_WAITALL), type=Call)
            with suppress(BrokenPipeError):  # the agent has ended meanwhile: the next reading sees it
                connection.sendall(framed(_answered(worker.do, call)))


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]))
