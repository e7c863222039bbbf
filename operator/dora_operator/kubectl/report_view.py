"""`kubectl dora report`: what the cluster knows about deployments and failures."""

import asyncio
from collections.abc import Sequence
from dataclasses import fields
from datetime import UTC, datetime, timedelta

from dora_operator.kubectl import output
from dora_operator.kubectl.cluster import open_cluster
from dora_operator.kubectl.errors import ExitCode
from dora_operator.kubectl.gather import read_all
from dora_operator.kubectl.options import Format, Options
from dora_operator.kubectl.report import CANNOT_KNOW, Line, report_lines


def run(options: Options, since: timedelta) -> int:
    """Print the report."""
    lines = asyncio.run(_read(options, datetime.now(UTC) - since))  # noqa: TID251 - the clock of this command
    if options.output is Format.CSV:
        names = [each.name for each in fields(Line)]
        output.show_csv(names, ([getattr(line, name) for name in names] for line in lines))
    elif options.output in {Format.JSON, Format.YAML}:
        output.show_document({"services": lines, "cannotKnow": CANNOT_KNOW}, options.output or Format.JSON)
    else:
        show(lines)
    return ExitCode.OK


async def _read(options: Options, since: datetime) -> list[Line]:
    async with open_cluster(options) as cluster:
        facts = await read_all(cluster, None if options.all_namespaces else cluster.namespace)
    return report_lines(facts.deployments, facts.rollouts, since)


def show(lines: Sequence[Line]) -> None:
    """Print the report for people."""
    headings = (
        "Service", "Env", "Deployments", "Failures", "Failure rate", "Recovered", "Cleared", "Pending", "Unverified",
    )  # fmt: skip
    rows = [
        (
            line.service,
            line.env,
            line.deployments,
            line.failures,
            None if line.failure_rate is None else f"{line.failure_rate:g} %",
            line.recovered,
            line.cleared,
            line.pending,
            line.unverified,
        )
        for line in lines
    ]
    output.show_table(headings, rows)
    output.show_lines(["", "What this cannot know:", *(f"  - {each}" for each in CANNOT_KNOW)])
