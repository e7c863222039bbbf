"""What a platform team sees of this process: which checks stand behind the probes, and what the gauges read.

Part of the composition root: names things, decides nothing.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial

from dora_operator.adapters.endpoints import Check, Checks, Endpoints, judged
from dora_operator.adapters.metrics import CONTENT_TYPE, PrometheusMeter
from dora_operator.handlers.engine import Engine
from dora_operator.handlers.following import WatchHealth
from dora_operator.handlers.readings import of_checks, of_queue, of_resources, of_rollouts, of_watches
from dora_operator.handlers.rollouts import RolloutEngine
from dora_operator.meter import Gauge, Reading
from dora_operator.settings import Settings

Wrong = Callable[[WatchHealth], str | None]


@dataclass(frozen=True, slots=True)
class Overview:
    """The engines and the watches, as they are looked at from outside."""

    deployments: Engine
    rollouts: RolloutEngine
    watches: tuple[WatchHealth, ...] = ()
    leads: Callable[[], bool] = lambda: True
    """Tells whether this process is the one that writes."""

    def endpoints(self, settings: Settings, meter: PrometheusMeter) -> Endpoints:
        """Return what is served, with these gauges behind the meter."""
        meter.show(self.readings)
        return Endpoints(
            health_port=settings.health_port,
            metrics_port=settings.metrics_port,
            live=self.live(),
            ready=self.ready(),
            metrics=meter.text,
            content_type=CONTENT_TYPE,
        )

    def live(self) -> Checks:
        """Return what has to be good, or the process is started anew. That there is an answer is the first check."""
        return {"event-loop": lambda: None, **self._of_watches("watched", WatchHealth.not_alive)}

    def ready(self) -> Checks:
        """Return what has to be good before the process counts as started."""
        return self._of_watches("listed", WatchHealth.not_ready)

    def readings(self) -> Iterator[Reading]:
        """Read all gauges."""
        yield Reading(Gauge.LEADER, float(self.leads()))
        yield from of_checks("livez", judged(self.live()))
        yield from of_checks("readyz", judged(self.ready()))
        yield from of_watches(self.watches)
        yield from of_resources(self.deployments.inventory, self.deployments.clock())
        yield from of_queue("DoraDeployment", self.deployments.queue)
        yield from of_queue("Rollout", self.rollouts.queue)
        yield from of_rollouts(self.rollouts.rollouts)

    def _of_watches(self, word: str, wrong: Wrong) -> dict[str, Check]:
        """One check for each kind, however many namespaces are watched."""
        resources = sorted({watch.resource for watch in self.watches})
        return {f"{resource.lower()}-{word}": partial(self._check, resource, wrong) for resource in resources}

    def _check(self, resource: str, wrong: Wrong) -> str | None:
        found = (wrong(watch) for watch in self.watches if watch.resource == resource)
        return "; ".join(filter(None, found)) or None
