"""`python -m bench`, better known as `make bench`."""

import argparse
import asyncio
import sys

from rich.console import Console
from rich.table import Table

from bench import candidates, objects
from bench.measure import Result, measure
from sandbox.cluster import LocalCluster
from sandbox.datadog import StandIn
from sandbox.programs.cache import SandboxError


def main() -> int:
    """Measure the operator and its peers on the same cluster, one after the other."""
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    parser.add_argument("--objects", type=int, default=10_000, help="settled DoraDeployments")
    parser.add_argument("--changes", type=int, default=200, help="changes that are timed")
    chosen = parser.parse_args()
    console = Console(width=None if sys.stdout.isatty() else 120, highlight=False)
    try:
        with LocalCluster.start() as cluster, StandIn() as datadog:
            cluster.kubectl("apply", "-f", "crds/")
            cluster.kubectl("wait", "--for=condition=Established", "crd/doradeployments.dora-operator.io")
            console.print(f"Making {chosen.objects} settled DoraDeployments ...")
            asyncio.run(objects.make_settled(cluster, chosen.objects))
            starts = (
                ("dora-operator", candidates.operator),
                ("bare watch", candidates.bare_watch),
                ("naive kopf", candidates.naive_kopf),
            )
            results = []
            for name, start in starts:
                console.print(f"Measuring {name} ...")
                results.append(measure(name, start, cluster, datadog, chosen.changes))
    except SandboxError as error:
        console.print(f"error: {error}")
        return 1
    console.print(_table(results, chosen.objects, chosen.changes))
    return 0


def _table(results: list[Result], count: int, changes: int) -> Table:
    title = f"{count} settled objects, {changes} changes one by one (times beside a ratio to the operator's)"
    table = Table(title=title)
    for heading in ("", "start to ready", "RSS then", "change to PATCH p50", "p99", "writes per change"):
        table.add_column(heading, justify="left" if not heading else "right")
    own = results[0]
    for result in results:
        table.add_row(
            result.name,
            _beside(result.ready_seconds, own.ready_seconds, "s"),
            _beside(result.resident_mib, own.resident_mib, "MiB"),
            _beside(result.p50_ms, own.p50_ms, "ms"),
            _beside(result.p99_ms, own.p99_ms, "ms"),
            f"{result.writes_per_change:.2f}",
        )
    return table


def _beside(value: float, own: float, unit: str) -> str:
    return f"{value:.1f} {unit} ({value / own:.2f})"


if __name__ == "__main__":
    sys.exit(main())
