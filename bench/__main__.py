"""Run benchmarks: `python -m bench all`, `python -m bench query`, `python -m bench query.p50`.

Each prints one JSON line: {"bench", "value", "unit", "reference", "reference_of", "ratio"}; the reference is a stated limit,
or a peer measured in the same run. Progress and remarks go to stderr.
"""

from __future__ import annotations

import json
import sys
from importlib import import_module

MODULES: dict[str, tuple[str, ...]] = {
    "bench.decision": ("decision.rate", "decision.filter"),
    "bench.replica": ("replica.load",),
    "bench.log_append": ("log.append",),
    "bench.log_proof": ("log.proof",),
    "bench.query": ("query.throughput", "query.p50"),
    "bench.raw": ("raw.throughput", "raw.memory"),
    "bench.revocation": ("revocation.p99",),
    "bench.logistic": ("lr.train",),
    "bench.gbdt": ("gbdt.train_ou2048", "gbdt.train_ou3072", "gbdt.train_paillier3072"),
}


def main(wanted: str) -> int:
    """Run what matches; exit code 2 if nothing does."""
    chosen = [
        module
        for module, names in MODULES.items()
        if wanted == "all" or any(name == wanted or name.startswith(f"{wanted}.") for name in names)
    ]
    if not chosen:
        names = ", ".join(name for each in MODULES.values() for name in each)
        print(f"No benchmark is called {wanted!r}. There are: all, {names}, and their first words.", file=sys.stderr)
        return 2
    for module in chosen:
        for result in import_module(module).run():
            if wanted == "all" or str(result["bench"]).startswith(wanted):
                print(json.dumps(result), flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1] if len(sys.argv) > 1 else "all"))
