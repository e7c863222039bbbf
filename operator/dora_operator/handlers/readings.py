"""What the gauges show at this moment: counted from what is in memory when somebody asks. Decides nothing."""

from collections import Counter
from collections.abc import Iterable, Iterator
from datetime import datetime
from typing import Any

from dora_operator.handlers.following import WatchHealth
from dora_operator.inventory import Inventory
from dora_operator.meter import Gauge, Reading
from dora_operator.reconcile.known_rollouts import KnownRollouts
from dora_operator.workqueue import WorkQueue


def of_resources(inventory: Inventory, now: datetime) -> Iterator[Reading]:
    """Read how the DoraDeployments stand."""
    standing: Counter[tuple[str, str]] = Counter()
    unreported, oldest = 0, now
    for glance in inventory.glances():
        standing[glance.ready, glance.reason] += 1
        if glance.unreported:
            unreported += 1
            oldest = min(oldest, glance.unreported_since or now)
    yield from (Reading(Gauge.RESOURCES, count, labels) for labels, count in standing.items())
    yield Reading(Gauge.UNREPORTED, unreported)
    yield Reading(Gauge.OLDEST_UNREPORTED, (now - oldest).total_seconds())


def of_queue(name: str, queue: WorkQueue[Any, Any]) -> Iterator[Reading]:
    """Read how much waits in a queue."""
    ages = queue.ages()
    due = [age for age in ages if age >= 0]
    counts = {"due": len(due), "delayed": len(ages) - len(due), "parked": len(queue) - len(ages), "working": queue.busy}
    yield from (Reading(Gauge.QUEUE, count, (name, state)) for state, count in counts.items())
    yield Reading(Gauge.QUEUE_OLDEST, max(due, default=0.0), (name,))


def of_rollouts(rollouts: KnownRollouts) -> Iterator[Reading]:
    """Read how many Rollouts there are, and how many cannot be told apart."""
    yield Reading(Gauge.ROLLOUTS, len(rollouts))
    yield Reading(Gauge.UNIDENTIFIED, sum(rollout.unidentified for rollout in rollouts))


def of_watches(watches: Iterable[WatchHealth]) -> Iterator[Reading]:
    """Read for how long each kind's watch has been silent."""
    silent: dict[str, float] = {}
    for watch in watches:
        silent[watch.resource] = max(watch.silent_seconds, silent.get(watch.resource, 0.0))
    return (Reading(Gauge.WATCH_AGE, seconds, (resource,)) for resource, seconds in silent.items())


def of_checks(probe: str, said: dict[str, str | None]) -> Iterator[Reading]:
    """Read what the checks of a probe say."""
    return (Reading(Gauge.CHECK, float(words is None), (probe, check)) for check, words in said.items())
