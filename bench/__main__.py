"""Run benchmarks: `python -m bench all`, `python -m bench query`, `python -m bench gbdt.train_ou`: a name or how it begins.

Each prints one JSON line: {"bench", "value", "unit", "reference", "reference_of", "ratio"}; the reference is a stated limit,
or a peer measured in the same run. Progress and remarks go to stderr.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from importlib import import_module

RUNS: dict[str, tuple[str, ...]] = {
    "bench.decision:run": ("decision.rate", "decision.filter"),
    "bench.replica:run": ("replica.load",),
    "bench.log_append:run": ("log.append",),
    "bench.log_proof:run": ("log.proof",),
    "bench.query:run": ("query.throughput", "query.p50"),
    "bench.raw:run": ("raw.throughput", "raw.memory"),
    "bench.portal_search:run": ("portal.search_p95", "portal.search_p95_postgresql"),
    "bench.revocation:run": ("revocation.p99",),
    "bench.logistic:run": ("lr.train",),
    "bench.portal_pages:sqlite": ("portal.page_p95",),
    "bench.portal_pages:postgresql": ("portal.pg_page_p95",),
    "bench.portal_products:run": ("portal.products_p95",),
    "bench.psi:rate": ("psi.rate",),
    "bench.psi:seconds": ("psi.seconds",),
    "bench.psi:memory": ("psi.memory",),
    "bench.score:run": ("score.batch", "score.batch_cached", "score.error", "score.ckks"),
    "bench.score_online:run": ("score.online_p50", "score.online_p99", "score.online_rate"),
    "bench.score_nodes:run": ("score.nodes",),
    "bench.score_served:run": ("score.served", "score.served_online"),
    "bench.growth:rows": ("growth.rows_logistic", "growth.rows_boosting"),
    "bench.growth:features": ("growth.features_logistic", "growth.features_boosting"),
    "bench.wan:run": ("growth.wan_logistic", "growth.wan_boosting"),
    "bench.quality:run": ("quality.logistic", "quality.boosting", "quality.passives"),
    "bench.gbdt:train_ou2048": ("gbdt.train_ou2048",),
    "bench.gbdt:train_ou3072": ("gbdt.train_ou3072",),
    "bench.gbdt:train_paillier3072": ("gbdt.train_paillier3072",),
}
"""What each function measures, in one go."""


def meant(wanted: str, name: str) -> bool:
    """Whether a benchmark is among those asked for."""
    return wanted == "all" or name.startswith(wanted) or wanted.startswith(name)


def chosen(wanted: str) -> list[str]:
    """The runs that measure what is wanted."""
    return [run for run, names in RUNS.items() if any(meant(wanted, name) for name in names)]


def measured(run: str, wanted: str) -> Iterator[dict[str, object]]:
    """The results of one run that are wanted."""
    module, function = run.split(":")
    yield from (each for each in getattr(import_module(module), function)() if meant(wanted, str(each["bench"])))


def main(wanted: str) -> int:
    """Run what matches; exit code 2 if nothing does."""
    runs = chosen(wanted)
    if not runs:
        names = ", ".join(name for each in RUNS.values() for name in each)
        print(f"No benchmark is called {wanted!r}. There are: all, {names}, and how these begin.", file=sys.stderr)
        return 2
    for run in runs:
        for result in measured(run, wanted):
            print(json.dumps(result), flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1] if len(sys.argv) > 1 else "all"))
