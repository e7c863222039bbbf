"""`python -m bench`, better known as `make bench`."""

import argparse
import asyncio
import sys

from rich.console import Console
from rich.table import Table

from bench import candidates, objects
from bench.aborts import AbortResults, Marks, measure_aborts
from bench.machine import processors
from bench.measure import Result, measure
from bench.throughput import Speed, measure_throughput
from sandbox.cluster import LocalCluster
from sandbox.datadog import StandIn
from sandbox.programs.cache import SandboxError

NAMES = {
    "operator": "dora-operator",
    "webhook": "webhook on abort",
    "webhook-once": "webhook on abortedAt",
}


def main() -> int:
    """Measure the operator and its peers on the same cluster, one after the other."""
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    parser.add_argument("--objects", type=int, default=10_000, help="settled DoraDeployments")
    parser.add_argument("--changes", type=int, default=200, help="changes that are timed")
    parser.add_argument("--aborts", type=int, default=100, help="aborts that are timed, for each way of marking")
    parser.add_argument("--rollouts", type=int, default=300, help="Rollouts of which some abort at once")
    parser.add_argument("--aborting", type=int, default=50, help="how many of them")
    parser.add_argument("--due", type=int, default=2_000, help="DoraDeployments that are due at once")
    parser.add_argument("--only", choices=("settled", "aborts", "throughput"), help="measure this alone")
    chosen = parser.parse_args()
    console = Console(width=None if sys.stdout.isatty() else 120, highlight=False)
    try:
        if chosen.only in (None, "throughput"):
            for latency in (0.0, 0.05):
                console.print(f"Marking {chosen.due} that are due, Datadog answers after {latency * 1000:.0f} ms ...")
                console.print(_speed_table(measure_throughput(console, chosen.due, latency), chosen.due, latency))
        if chosen.only in (None, "settled"):
            results = measure_settled(console, chosen.objects, chosen.changes)
            console.print(_table(results, chosen.objects, chosen.changes))
        if chosen.only in (None, "aborts"):
            console.print(
                f"Aborting Rollouts, {chosen.aborts} for each way of marking, then {chosen.aborting} at once ..."
            )
            found = measure_aborts(chosen.aborts, chosen.rollouts, chosen.aborting)
            console.print(_abort_table(found))
            console.print(_operator_table(found, chosen.rollouts))
    except SandboxError as error:
        console.print(f"error: {error}")
        return 1
    return 0


def measure_settled(console: Console, count: int, changes: int) -> list[Result]:
    """Measure the operator and its peers on many settled objects."""
    starts = (
        ("dora-operator", candidates.operator),
        ("bare watch", candidates.bare_watch),
        ("naive kopf", candidates.naive_kopf),
    )
    with LocalCluster.start() as cluster, StandIn() as datadog:
        cluster.kubectl("apply", "-f", "crds/")
        cluster.kubectl("wait", "--for=condition=Established", "crd/doradeployments.dora-operator.io")
        console.print(f"Making {count} settled DoraDeployments ...")
        asyncio.run(objects.make_settled(cluster, count))
        results = []
        for name, start in starts:
            console.print(f"Measuring {name} ...")
            results.append(measure(name, start, cluster, datadog, changes))
            console.print(_line(results[-1]))
    return results


def _line(result: Result) -> str:
    """A slow peer comes last: say at once what was measured before it."""
    return (
        f"  ready after {result.ready_seconds:.1f} s, {result.resident_mib:.0f} MiB, change to PATCH p50"
        f" {result.p50_ms:.1f} ms, p99 {result.p99_ms:.1f} ms, {result.writes_per_change:.2f} writes per change"
    )


def _abort_table(results: AbortResults) -> Table:
    table = Table(title="abort visible in the API -> PATCH received, beside Argo's webhook (ratios to the operator's)")
    for heading in ("", "p50", "p99", "aborts", "calls per abort", "marked twice", "never marked"):
        table.add_column(heading, justify="left" if not heading else "right")
    own = results.one_by_one[0]
    for marks in results.one_by_one:
        table.add_row(
            NAMES[marks.name],
            _beside(marks.percentile(50), own.percentile(50), "ms"),
            _beside(marks.percentile(99), own.percentile(99), "ms"),
            str(len(marks.seen)),
            f"{marks.sent / max(1, len(marks.seen)):.2f}",
            str(marks.again),
            str(marks.unmarked),
        )
    return table


def _operator_table(results: AbortResults, crowd: int) -> Table:
    release, at_once = results.release, results.at_once
    table = Table(title="dora-operator: a crowd, and a release without trouble", show_header=False)
    table.add_column()
    table.add_column(justify="right")
    table.add_row(f"{len(at_once.seen)} of {crowd} abort at once: last abort to last mark", _s(at_once))
    table.add_row("of these marked twice / never marked", f"{at_once.again} / {at_once.unmarked}")
    table.add_row("lists of ReplicaSets per revision, deploy to promotion", f"{release.lists_per_revision:.2f}")
    table.add_row("other reads / writes per Rollout", f"{release.other_reads:.2f} / {release.writes:.2f}")
    table.add_row(f"busy share of {processors()} processors before the run", f"{results.busy_before:.0%}")
    table.add_row("busy share while aborting one by one", f"{results.busy_one_by_one:.0%}")
    return table


def _speed_table(speeds: list[Speed], due: int, latency: float) -> Table:
    table = Table(title=f"{due} due at once, Datadog answers after {latency * 1000:.0f} ms (ratios to the bare loop's)")
    for heading in ("", "PATCHes/s", "CPU seconds per 1,000", "Kubernetes writes per object"):
        table.add_column(heading, justify="left" if not heading else "right")
    bare = speeds[0]
    for speed in speeds:
        table.add_row(
            speed.name,
            _beside(speed.per_second, bare.per_second, ""),
            _beside(speed.cpu_seconds_per_1000, bare.cpu_seconds_per_1000, "s"),
            "" if speed.writes_per_object is None else f"{speed.writes_per_object:.2f}",
        )
    return table


def _s(marks: Marks) -> str:
    return f"{marks.last_after_seconds:.2f} s"


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
    ratio = f"{value / own:.2f}" if own else "-"
    return f"{value:.1f} {unit} ({ratio})"


if __name__ == "__main__":
    sys.exit(main())
