"""The executor of `modeling.executor` on a Ray cluster, through its client port ("ray://host:port").

Imported only when an operator names an address. Ray ships functions, chunks and results between the machines by cloudpickle, which
runs what it is given: the cluster and the channel to it belong to ONE owner. Never reach it over a network that others share without
Ray's mutual TLS (RAY_USE_TLS=1 and its certificates, on all machines and here). Its workers see what this party's own process sees in
these maps: its own identifiers' digests and the run's scalar, gradients before they are encrypted, own columns; never a decryption key.
What lies in Ray's object store may be spilled to its machines' disks.

The machines run the same release of this project, of Python and of Ray. What work and its constants weigh is sent to each machine
once for a map and not with each chunk.
"""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Iterable, Iterator
from contextlib import suppress
from types import TracebackType
from typing import Any, Final, Self

import ray
from ray.exceptions import RayError, RayTaskError

from modeling.errors import WorkersFailed
from modeling.executor import AHEAD, ONE_THREAD, Work

PATIENCE_S: Final = 300.0
"""How long a chunk may take until a machine has taken it up and is done: as long as a party waits for another."""
_RETRIES: Final = 1


class RayExecutor:
    """A connection to a cluster: one in a process at a time, for the library keeps it for all. May be shared by threads."""

    def __init__(self, address: str, patience_s: float = PATIENCE_S) -> None:
        """Connects. Raises WorkersFailed."""
        self._address, self._patience_s = address, patience_s
        try:
            ray.init(address, log_to_driver=False)
        except (ConnectionError, RuntimeError, RayError) as error:
            raise WorkersFailed(f"no Ray cluster of this version answers at {address}: {str(error)[:200]}") from error
        self._task: Any = ray.remote(num_cpus=1, max_retries=_RETRIES)(_applied)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        ray.shutdown()

    def map(self, work: Work, chunks: Iterable[bytes]) -> Iterator[bytes]:
        """As in Executor."""
        most = AHEAD * max(1, int(self._asked(ray.cluster_resources).get("CPU", 1)))
        shared = self._asked(ray.put, work)
        pending: deque[Any] = deque()
        try:
            for chunk in chunks:
                pending.append(self._asked(self._task.remote, shared, chunk))
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
            raise (error.cause or error) from None
        return found

    def _asked(self, call: Any, *arguments: Any, **named: Any) -> Any:  # noqa: ANN401
        """A call of the library. What fails of the cluster and not of the work is WorkersFailed."""
        try:
            return call(*arguments, **named)
        except RayTaskError:
            raise
        except (RayError, ConnectionError) as error:
            raise WorkersFailed(
                f"the cluster at {self._address} lost workers twice over the same chunk, or took too long over one "
                f"({type(error).__name__}): are its machines up, and is there memory?"
            ) from error


def _applied(work: Work, chunk: bytes) -> bytes:
    os.environ.update(ONE_THREAD)
    return work(chunk)
