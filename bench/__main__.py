"""`python -m bench`, better known as `make bench`."""

import argparse
import asyncio
import signal
import sys
from collections import defaultdict
from collections.abc import Callable

from rich.console import Console

from bench import candidates, kopf_settled, objects, tables
from bench.aborts import measure_aborts
from bench.faults import measure_faults
from bench.idle import measure_idle
from bench.limited import measure_limited
from bench.measure import Result, measure, settle
from bench.plugin import measure_plugin, plugin_table
from bench.relisting import measure_relisting
from bench.starting import Stage, StartAndEnd, start_and_end
from bench.throughput import measure_throughput
from dora_operator.clients.kubernetes import PAGE
from sandbox.datadog import StandIn
from sandbox.programs.cache import SandboxError

FEW, SOME = 10, 1_000
"""How many objects are settled, besides --objects."""
BOTH = (candidates.OPERATOR, candidates.EARLIER)
Part = Callable[[Console, argparse.Namespace], None]


def main() -> int:
    """Measure the operator and its peers, one after the other."""
    chosen = _arguments()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # clusters clean up after themselves, as after Ctrl-C
    console = Console(width=None if sys.stdout.isatty() else 120, highlight=False)
    try:
        candidates.prepare()
        for name, part in PARTS.items():
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
    parser.add_argument("--idle-minutes", type=float, default=10, help="how long nothing is changed")
    parser.add_argument("--aborts", type=int, default=100, help="aborts that are timed, for each way of marking")
    parser.add_argument("--rollouts", type=int, default=300, help="Rollouts of which some abort at once")
    parser.add_argument("--aborting", type=int, default=50, help="how many of them")
    parser.add_argument("--due", type=int, default=2_000, help="DoraDeployments that are due at once")
    parser.add_argument("--rounds", type=int, default=5, help="how often each candidate sends these; medians count")
    parser.add_argument("--limited", type=int, default=1_000, help="of these under a rate limit")
    parser.add_argument("--no-naive-kopf", action="store_true", help="leave out this peer on settled objects")
    parser.add_argument("--only", choices=PARTS, help="measure this alone")
    return parser.parse_args()


def throughput(console: Console, chosen: argparse.Namespace) -> None:
    """Measure how fast a backlog is sent."""
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
    for candidate in BOTH:
        console.print(
            f"{candidate.name}: aborting Rollouts, {chosen.aborts} for each way of marking,"
            f" then {chosen.aborting} at once ..."
        )
        found = measure_aborts(candidate, chosen.aborts, chosen.rollouts, chosen.aborting)
        console.print(tables.abort_table(found))
        console.print(tables.operator_table(found, chosen.rollouts))


def faults(console: Console, _: argparse.Namespace) -> None:
    """Measure faults of the API server."""
    found = defaultdict(list)
    for candidate in BOTH:
        console.print(f"{candidate.name}: faults of the API server ...")
        for recovery in measure_faults(candidate):
            console.print(f"  {recovery.fault}: {recovery.seconds:.2f} s")
            found[candidate.name].append(recovery)
    console.print(tables.faults_table(found))


def settled(console: Console, chosen: argparse.Namespace) -> None:
    """Measure the operator and its peers on many settled objects.

    The earlier version has a cluster of its own, because its CRD is another one; both run at the same time, so that
    starts can take turns. Naive kopf comes last, because what it needs stays in the objects; the others find the
    operator's status, of which the peer in Go keeps two fields.
    """
    run = _Settled(console, chosen.changes)
    with (
        candidates.own_cluster(candidates.OPERATOR) as cluster,
        candidates.own_cluster(candidates.EARLIER) as other_cluster,
        StandIn() as datadog,
        StandIn() as other_datadog,
    ):
        operator, go_peer, bare_watch, naive_kopf = (
            Stage(each, cluster, datadog)
            for each in (
                candidates.OPERATOR,
                candidates.CONTROLLER_RUNTIME,
                candidates.BARE_WATCH,
                candidates.NAIVE_KOPF,
            )
        )
        earlier = Stage(candidates.EARLIER, other_cluster, other_datadog)
        for count in (FEW, SOME, chosen.objects):
            console.print(f"Making {count} settled DoraDeployments ...")
            asyncio.run(objects.delete_all(cluster))
            asyncio.run(objects.make_settled(cluster, count))
            _settle_with(earlier, count)
            run.starts_on(count, [operator, go_peer, earlier])
            if count == FEW and not chosen.no_naive_kopf:
                run.naive_kopf_on(count, naive_kopf)
            if count >= SOME:
                run.changes_on(count, [operator, earlier, go_peer, bare_watch])
        pages = max(1, chosen.objects // PAGE - 1)
        relisting = measure_relisting(candidates.OPERATOR, cluster, datadog, chosen.changes, pages)
        console.print(f"Changing nothing for {chosen.idle_minutes:g} minutes ...")
        idle = measure_idle(candidates.OPERATOR, cluster, datadog, chosen.idle_minutes)
        console.print(tables.long_table(relisting, idle, chosen.objects))
        if not chosen.no_naive_kopf:
            run.naive_kopf_on(chosen.objects, naive_kopf)
    console.print(tables.starts_table(run.starts))
    for count, found in run.results.items():
        console.print(tables.settled_table(found, count, chosen.changes))


def _settle_with(stage: Stage, count: int) -> None:
    """Make objects, and let the candidate itself settle them."""
    asyncio.run(objects.delete_all(stage.cluster))
    asyncio.run(objects.make_due(stage.cluster, count))
    with stage.candidate.launched(stage.cluster, stage.datadog):
        settle(stage.cluster, stage.datadog)


class _Settled:
    """Measures candidates on settled objects, and prints each figure at once."""

    def __init__(self, console: Console, changes: int) -> None:
        self.starts: dict[int, list[StartAndEnd]] = defaultdict(list)
        self.results: dict[int, list[Result]] = defaultdict(list)
        self._console = console
        self._changes = changes

    def starts_on(self, count: int, stages: list[Stage]) -> None:
        """Measure starts."""
        self._console.print(f"Starting on {count} settled DoraDeployments ...")
        for start in start_and_end(stages, count):
            self._console.print(tables.start_line(start))
            self.starts[count].append(start)

    def changes_on(self, count: int, stages: list[Stage]) -> None:
        """Measure changes, and memory after them."""
        for stage in stages:
            self._console.print(f"Measuring {stage.candidate.name} on {count} ...")
            result = measure(stage.candidate, stage.cluster, stage.datadog, self._changes)
            self._console.print(tables.line(result))
            self.results[count].append(result)

    def naive_kopf_on(self, count: int, stage: Stage) -> None:
        """Measure naive kopf on objects that are settled as it would settle them."""
        try:
            asyncio.run(kopf_settled.settle(stage.cluster))
            self.starts_on(count, [stage])
            if count >= SOME:
                self.changes_on(count, [stage])
        except (SandboxError, TimeoutError) as error:
            self._console.print(f"{stage.candidate.name} is left out of the tables: {error}")


def plugin(console: Console, chosen: argparse.Namespace) -> None:
    """Measure the commands of kubectl's plugin."""
    console.print(f"kubectl dora on {chosen.objects} DoraDeployments and {chosen.rollouts} Rollouts ...")
    costs = measure_plugin(chosen.objects, chosen.rollouts)
    console.print(plugin_table(costs, chosen.objects, chosen.rollouts))


PARTS: dict[str, Part] = {
    "plugin": plugin,
    "throughput": throughput,
    "limit": limit,
    "aborts": aborts,
    "faults": faults,
    "settled": settled,
}

if __name__ == "__main__":
    sys.exit(main())
