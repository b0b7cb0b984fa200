"""What the active party tells a passive of a job."""

from __future__ import annotations

import subprocess
import sys

_MANY_AT_ONCE = """
import sys, threading
import msgspec
from modeling.jobs.plan import JobPlan
sys.setswitchinterval(1e-6)
told = {"job": "0", "algorithm": "boosting", "boosting": {}, "rows": 10, "training": 5,
        "columns": {"a": None, "b": {"type": "number"}}, "selection": {"bins": 8}}
start = threading.Barrier(8)
def receive():
    start.wait()
    msgspec.convert(told, JobPlan)
parties = [threading.Thread(target=receive) for _ in range(8)]
for party in parties:
    party.start()
for party in parties:
    party.join()
"""


def test_parties_in_threads_may_receive_their_plans_at_once() -> None:
    """In a process of its own: where the type was worked out by several threads it crashed, in every second run."""
    for _ in range(3):
        done = subprocess.run([sys.executable, "-c", _MANY_AT_ONCE], capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
