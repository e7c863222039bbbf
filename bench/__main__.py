"""`python -m bench`, better known as `make bench`."""

import argparse
import asyncio
import signal
import sys
from collections.abc import Callable

from rich.console import Console

from bench import candidates, kopf_settled, objects, tables
from bench.aborts import measure_aborts
from bench.idle import measure_idle
from bench.limited import measure_limited
from bench.measure import Result, measure
from bench.relisting import measure_relisting
from bench.starting import FirstPatch, Launch, first_patches
from bench.throughput import measure_throughput
from sandbox.cluster import LocalCluster
from sandbox.datadog import StandIn
from sandbox.programs.cache import SandboxError

PAGE = 250
"""Objects in one page of the operator's lists."""
FEW = 10
NAIVE = "naive kopf"
STARTS = {
    "dora-operator": candidates.operator,
    "controller-runtime": candidates.controller_runtime,
    "bare watch": candidates.bare_watch,
    NAIVE: candidates.naive_kopf,
}
LAUNCHES: dict[str, Launch] = {
    "dora-operator": candidates.operator_process,
    "controller-runtime": candidates.controller_runtime_process,
}


def main() -> int:
    """Measure the operator and its peers on the same cluster, one after the other."""
    chosen = _arguments()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # clusters clean up after themselves, as after Ctrl-C
    console = Console(width=None if sys.stdout.isatty() else 120, highlight=False)
    parts: dict[str, Callable[[Console, argparse.Namespace], None]] = {
        "throughput": throughput,
        "limit": limit,
        "aborts": aborts,
        "settled": settled,
    }
    try:
        for name, part in parts.items():
            if chosen.only in (None, name):
                part(console, chosen)
    except (SandboxError, TimeoutError) as error:
        console.print(f"error: {error}")
        return 1
    return 0


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    parser.add_argument("--objects", type=int, default=10_000, help="settled DoraDeployments")
    parser.add_argument("--changes", type=int, default=200, help="changes that are timed")
    parser.add_argument("--idle-minutes", type=float, default=10, help="how long nothing happens")
    parser.add_argument("--aborts", type=int, default=100, help="aborts that are timed, for each way of marking")
    parser.add_argument("--rollouts", type=int, default=300, help="Rollouts of which some abort at once")
    parser.add_argument("--aborting", type=int, default=50, help="how many of them")
    parser.add_argument("--due", type=int, default=2_000, help="DoraDeployments that are due at once")
    parser.add_argument("--rounds", type=int, default=5, help="how often each candidate works these off; medians count")
    parser.add_argument("--limited", type=int, default=1_000, help="of these under a rate limit")
    parser.add_argument("--no-naive-kopf", action="store_true", help="leave out this peer on settled objects")
    parser.add_argument("--only", choices=("throughput", "limit", "aborts", "settled"), help="measure this alone")
    return parser.parse_args()


def throughput(console: Console, chosen: argparse.Namespace) -> None:
    """Measure how fast a backlog is worked off."""
    candidates.go_peer()
    for latency in (0.0, 0.05):
        console.print(f"Marking {chosen.due} that are due, Datadog answers after {latency * 1000:.0f} ms ...")
        rounds = (chosen.rounds + 1) // 2 if latency else chosen.rounds  # where Datadog's wait decides, rounds agree
        speeds = measure_throughput(console, chosen.due, latency, rounds)
        console.print(tables.speed_table(speeds, chosen.due, latency))


def limit(console: Console, chosen: argparse.Namespace) -> None:
    """Measure a backlog under a rate limit."""
    console.print(f"Marking {chosen.limited} under a rate limit ...")
    console.print(tables.limited_line(measure_limited(chosen.limited, limit=100, period=5)))


def aborts(console: Console, chosen: argparse.Namespace) -> None:
    """Measure aborts, beside Argo's webhook."""
    console.print(f"Aborting Rollouts, {chosen.aborts} for each way of marking, then {chosen.aborting} at once ...")
    found = measure_aborts(chosen.aborts, chosen.rollouts, chosen.aborting)
    console.print(tables.abort_table(found))
    console.print(tables.operator_table(found, chosen.rollouts))


def settled(console: Console, chosen: argparse.Namespace) -> None:
    """Measure the operator and its peers on many settled objects; naive kopf last, as what it needs stays behind.

    The others find the operator's status. The peer in Go reads it all and keeps little: it has typed objects.
    """
    candidates.go_peer()
    naive = not chosen.no_naive_kopf
    with LocalCluster.start() as cluster, StandIn() as datadog:
        cluster.kubectl("apply", "-f", "crds/")
        cluster.kubectl("wait", "--for=condition=Established", "crd/doradeployments.dora-operator.io")
        asyncio.run(objects.make_settled(cluster, FEW))
        starts = {FEW: _first_patches(console, cluster, datadog, FEW, naive=naive)}
        asyncio.run(objects.delete_all(cluster))
        console.print(f"Making {chosen.objects} settled DoraDeployments ...")
        asyncio.run(objects.make_settled(cluster, chosen.objects))
        starts[chosen.objects] = _first_patches(console, cluster, datadog, chosen.objects, naive=False)
        results = [_measured(console, name, cluster, datadog, chosen.changes) for name in STARTS if name != NAIVE]
        relisting = measure_relisting(cluster, datadog, chosen.changes, chosen.objects // PAGE - 1)
        console.print(f"Doing nothing for {chosen.idle_minutes:g} minutes ...")
        idle = measure_idle(cluster, datadog, chosen.idle_minutes)
        console.print(tables.long_table(relisting, idle, chosen.objects))
        if naive:
            try:
                starts[chosen.objects] += _naive_first_patches(console, cluster, datadog, chosen.objects)
                results.append(_measured(console, NAIVE, cluster, datadog, chosen.changes))
            except (SandboxError, TimeoutError) as error:
                console.print(f"{NAIVE} is left out of the tables: {error}")
        console.print(tables.starts_table(starts))
        console.print(tables.settled_table(results, chosen.objects, chosen.changes))


def _measured(console: Console, name: str, cluster: LocalCluster, datadog: StandIn, changes: int) -> Result:
    console.print(f"Measuring {name} ...")
    result = measure(name, STARTS[name], cluster, datadog, changes)
    console.print(tables.line(result))
    return result


def _first_patches(
    console: Console, cluster: LocalCluster, datadog: StandIn, count: int, *, naive: bool
) -> list[FirstPatch]:
    console.print(f"Starting on {count} settled DoraDeployments ...")
    found = first_patches(LAUNCHES, cluster, datadog, count)
    for each in found:
        console.print(tables.start_line(each))
    return found + (_naive_first_patches(console, cluster, datadog, count) if naive else [])


def _naive_first_patches(console: Console, cluster: LocalCluster, datadog: StandIn, count: int) -> list[FirstPatch]:
    asyncio.run(kopf_settled.settle(cluster))
    found = first_patches({NAIVE: candidates.naive_kopf_process}, cluster, datadog, count)
    console.print(tables.start_line(found[0]))
    return found


if __name__ == "__main__":
    sys.exit(main())
