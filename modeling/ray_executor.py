"""The executor of `modeling.executor` on a Ray cluster, through its client port ("ray://host:port").

Imported only when an operator names an address. Ray ships functions, chunks and results between the machines by pickle, which
runs what it is given: the cluster and the channel to it belong to ONE owner. Never reach it over a network that others share without
Ray's mutual TLS (RAY_USE_TLS=1 and its certificates, on all machines and here). Its workers see what this party's own process sees in
these maps: its own identifiers' digests and the run's scalar, gradients before they are encrypted, own columns; never a decryption key.
What lies in Ray's object store may be spilled to its machines' disks.

The machines run the same release of this project, of Python and of Ray; Ray refuses others of the last two, and each task others of the
first. No code is shipped but the few lines that look at the release. What work and its constants weigh is sent to each machine once for
a map and not with each chunk.
"""

from __future__ import annotations

import logging
import os
import pickle
import platform
import socket
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from importlib.metadata import version
from types import TracebackType
from typing import Any, Final, Self
from urllib.parse import urlsplit

from modeling.errors import WorkersFailed
from modeling.executor import AHEAD, ONE_THREAD, Work

# Else a call after the cluster was lost starts one here, unasked. The library looks when it is imported.
os.environ["RAY_ENABLE_AUTO_CONNECT"] = "0"
import ray
from ray.exceptions import GetTimeoutError, RayError, RayTaskError
from ray.util.debug import disable_log_once_globally

PATIENCE_S: Final = 300.0
"""How long a chunk may take until a machine has taken it up and is done: as long as a party waits for another."""
REACH_S: Final = 10.0
"""How long a connection to the cluster's port may take."""
_RETRIES: Final = 1
_DISTRIBUTION: Final = "xinqiao"


class RayExecutor:
    """A connection to a cluster: one in a process at a time, for the library keeps it for all. May be shared by threads."""

    def __init__(self, address: str, patience_s: float = PATIENCE_S) -> None:
        """Connects. Raises WorkersFailed."""
        self._address, self._patience_s = address, patience_s
        _reach(address)
        disable_log_once_globally()  # advice on how large a chunk should be
        try:
            # Whatever the library logs of a failure it raises too.
            ray.init(address, log_to_driver=False, logging_level=logging.CRITICAL)
        except Exception as error:  # of the library, of gRPC, or of a certificate's file
            raise WorkersFailed(
                f"what listens at {address} does not let this node into a Ray cluster: {_line(error)}. It takes the cluster's "
                "client port (10001 by default), its versions of Ray and Python, and its token and certificates (RAY_AUTH_*, "
                "RAY_TLS_*) in the node's environment"
            ) from error
        self._release = version(_DISTRIBUTION)
        self._task: Any = ray.remote(num_cpus=1, max_retries=_RETRIES)(_task())

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        ray.shutdown()

    def map(self, work: Work, chunks: Iterable[bytes]) -> Iterator[bytes]:
        """As in Executor."""
        most = AHEAD * max(1, int(self._asked(ray.cluster_resources).get("CPU", 1)))
        shared = self._asked(ray.put, pickle.dumps(work))
        pending: deque[Any] = deque()
        try:
            for chunk in chunks:
                pending.append(self._asked(self._task.remote, self._release, shared, chunk))
                if len(pending) >= most:
                    yield self._finished(pending.popleft())
            while pending:
                yield self._finished(pending.popleft())
        finally:
            with suppress(WorkersFailed):
                for each in pending:
                    self._asked(ray.cancel, each)

    def _finished(self, due: Any) -> bytes:  # noqa: ANN401 - the library's references are not typed
        try:
            found: bytes = self._asked(ray.get, due, timeout=self._patience_s)
        except RayTaskError as error:
            raise self._told(error) from None
        return found

    def _told(self, error: RayTaskError) -> BaseException:
        """What the work raised, or why a machine could not begin it."""
        cause: BaseException = error.cause or error
        if isinstance(cause, ImportError | RayError):
            return WorkersFailed(
                f"a machine of the cluster at {self._address} cannot do this node's work: {_line(cause)}"
            )
        return cause

    def _asked(self, call: Any, *arguments: Any, **named: Any) -> Any:  # noqa: ANN401
        """A call of the library. What fails of the cluster and not of the work is WorkersFailed."""
        try:
            return call(*arguments, **named)
        except RayTaskError:
            raise
        except GetTimeoutError as error:
            raise WorkersFailed(
                f"the cluster at {self._address} took more than {self._patience_s:g} s over a piece of work: are its "
                "machines up, and are they left to this node?"
            ) from error
        except RayError as error:
            raise WorkersFailed(
                f"the cluster at {self._address} lost workers twice over the same chunk ({type(error).__name__}): are its "
                "machines up, and is there memory?"
            ) from error
        except Exception as error:  # of the connection: the library passes some of gRPC's on as they are
            raise WorkersFailed(
                f"the cluster at {self._address} went away ({type(error).__name__}): is its head up?"
            ) from error


def _reach(address: str) -> None:
    """Whether anything listens there: Ray's client tries for half a minute, and does not tell what failed. Raises WorkersFailed."""
    try:
        place = urlsplit(address)
        socket.create_connection((place.hostname or "", place.port or 0), REACH_S).close()
    except (OSError, ValueError) as error:
        raise WorkersFailed(
            f"nothing answers at {address} ({error}): is the cluster's head up, and does `joint_executor` name it?"
        ) from error


def _line(error: BaseException) -> str:
    return " ".join(str(error).split())[:300]


def _task() -> Callable[[str, bytes, bytes], bytes]:
    """What a machine runs. A function within a function travels by its code: so it can tell of a machine without this release."""

    def applied(release: str, work: bytes, chunk: bytes) -> bytes:
        os.environ.update(ONE_THREAD)
        installed = version(_DISTRIBUTION)
        if installed != release:
            raise ImportError(f"{platform.node()} has release {installed}, the node {release}")
        doing: Work = pickle.loads(work)  # noqa: S301 - the node's own
        return doing(chunk)

    return applied
