"""From the start of a process to its first PATCH, with one change that was made before; and from SIGTERM to its end."""

import asyncio
import statistics
import time
from collections.abc import Sequence
from dataclasses import dataclass

from kubernetes.aio.client import CustomObjectsApi

from bench import objects
from bench.candidates import Candidate
from bench.measure import in_turn, settle
from sandbox.cluster import LocalCluster
from sandbox.datadog import StandIn

TIMES = 5


@dataclass(frozen=True, slots=True)
class StartAndEnd:
    """What one candidate needed, in seconds."""

    name: str
    first_patch: list[float]
    """From the start of the process to its first PATCH."""
    end: list[float]
    """From SIGTERM to the end of the process, with nothing in flight."""

    @property
    def median_first_patch(self) -> float:
        """Return the median."""
        return statistics.median(self.first_patch)

    @property
    def median_end(self) -> float:
        """Return the median."""
        return statistics.median(self.end)


@dataclass(frozen=True, slots=True)
class Stage:
    """A candidate with the cluster and the Datadog that it runs on."""

    candidate: Candidate
    cluster: LocalCluster
    datadog: StandIn


def start_and_end(stages: Sequence[Stage], count: int) -> list[StartAndEnd]:
    """Start each candidate some times, in turns; each finds one of the last of so many objects changed."""
    found = [StartAndEnd(stage.candidate.name, [], []) for stage in stages]
    for turn in range(TIMES):
        for place, stage in in_turn(enumerate(stages), turn):
            first_patch, end = _once(stage, count - 1 - turn)
            found[place].first_patch.append(first_patch)
            found[place].end.append(end)
    return found


def _once(stage: Stage, number: int) -> tuple[float, float]:
    candidate, cluster, datadog = stage.candidate, stage.cluster, stage.datadog
    asyncio.run(_change(cluster, number))
    datadog.clear_requests()
    begun = time.time()
    with candidate.launched(cluster, datadog) as running:
        request = running.first_request(datadog)
        settle(cluster, datadog, quiet_seconds=2)
        end = running.end()
    if not candidate.settles:
        asyncio.run(objects.settle_again(cluster, number))  # the next candidate finds nothing but its own change
    return request.time - begun, end


async def _change(cluster: LocalCluster, number: int) -> None:
    async with await objects.connect(cluster) as client:
        api = CustomObjectsApi(client)
        found = await objects.is_failure(api, number)
        await objects.change(api, number, failure=not found)
