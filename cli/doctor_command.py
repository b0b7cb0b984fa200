"""`xinqiao node doctor`: what is wrong between this node and its hub, and what to do about it."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Sequence
from dataclasses import asdict

from cli.clock import now_ms
from cli.commands import command
from cli.errors import CONFIGURATION, OK, UNREACHABLE
from cli.node_commands import app
from cli.options import NodeHome
from cli.output import Output, Result, Rows
from consent.catalogue import load_catalogue
from nodes.doctor import NETWORK_CHECKS, Finding, examine


@command(app, "doctor")
def doctor(home: NodeHome, output: Output) -> Result:
    """Test the way to the hub, certificate, clock, disk, data sources and workers; say what to do. Needs no running agent."""
    with output.progress("Examining"):
        findings = asyncio.run(examine(home, os.environ, load_catalogue(), now_ms))
    return result_of(findings)


def result_of(findings: Sequence[Finding]) -> Result:
    """The findings for people and programs; the first that failed decides the exit code, later ones may follow from it."""
    failed = [finding for finding in findings if not finding.ok]
    rows = [(f.check, "ok" if f.ok else "FAILED", f.what) for f in findings]
    return Result(
        data={"ok": not failed, "findings": [asdict(finding) for finding in findings]},
        text=[
            Rows(columns=("check", "", "found"), rows=rows),
            *(f"{finding.check}: {finding.fix}" for finding in failed),
            f"{len(failed)} of {len(findings)} checks failed." if failed else "All is well.",
        ],
        exit_code=OK if not failed else UNREACHABLE if failed[0].check in NETWORK_CHECKS else CONFIGURATION,
    )
