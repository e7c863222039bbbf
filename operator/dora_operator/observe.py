"""What a platform team sees of this process: the checks behind the probes, and the gauges, computed for each scrape."""

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from typing import Protocol

from dora_operator.clients.datadog import Keys
from dora_operator.domain.fields import ObjectKey
from dora_operator.domain.status import summary_of
from dora_operator.metrics import CONTENT_TYPE, Metrics
from dora_operator.probes import Check, Checks, Endpoints, evaluate
from dora_operator.reconcile.credentials import CredentialStore
from dora_operator.reconcile.rate_limits import RateLimits
from dora_operator.settings import Settings
from dora_operator.store import DeploymentStore, RolloutStore
from dora_operator.workqueue import WorkQueue


class Health(Protocol):
    """How one watch works; see watch.health."""

    @property
    def resource(self) -> str:
        """The kind in the plural."""
        ...

    @property
    def silent_seconds(self) -> float:
        """Seconds since the API server last answered, or a request to it failed."""
        ...

    def not_ready(self) -> str | None:
        """Return why decisions would miss objects, or None."""
        ...

    def not_alive(self) -> str | None:
        """Return why only a new process helps, or None."""
        ...


@dataclass(frozen=True, slots=True)
class Observer:
    """Reads the state of the operator. Changes nothing."""

    metrics: Metrics
    deployments: DeploymentStore
    rollouts: RolloutStore
    deployment_queue: WorkQueue[ObjectKey]
    rollout_queue: WorkQueue[ObjectKey]
    limits: RateLimits
    credentials: CredentialStore
    clock: Callable[[], datetime]

    def endpoints(self, settings: Settings, watches: Iterable[Health], is_leader: Callable[[], bool]) -> Endpoints:
        """Return what is served on which port."""
        watched = tuple(watches)
        return Endpoints(
            health_port=settings.health_port,
            metrics_port=settings.metrics_port,
            live=live(watched),
            ready=ready(watched),
            metrics=lambda: self.scrape(watched, is_leader=is_leader()),
            content_type=CONTENT_TYPE,
        )

    def scrape(self, watches: Iterable[Health], *, is_leader: bool) -> bytes:
        """Set all gauges, and return the metrics as text."""
        watched = tuple(watches)
        self.metrics.leader.set(is_leader)
        for probe, checks in (("livez", live(watched)), ("readyz", ready(watched))):
            for check, problem in evaluate(checks).items():
                self.metrics.check.labels(probe, check).set(problem is None)
        silent: defaultdict[str, float] = defaultdict(float)
        for watch in watched:
            silent[watch.resource] = max(silent[watch.resource], watch.silent_seconds)
        for resource, seconds in silent.items():
            self.metrics.watch_silent_seconds.labels(resource).set(seconds)
        self._resources()
        self._queue("DoraDeployment", self.deployment_queue)
        self._queue("Rollout", self.rollout_queue)
        self.metrics.rollouts.set(len(self.rollouts))
        self.metrics.rollouts_unidentified.set(sum(tracked.unidentified for tracked in self.rollouts))
        self._rate_limits()
        return self.metrics.text()

    def _resources(self) -> None:
        now = self.clock()
        counts: Counter[tuple[str, str]] = Counter()
        unreported, oldest, unverified = 0, now, now
        for deployment in self.deployments:
            summary = summary_of(deployment)
            counts[summary.ready, summary.reason] += 1
            if summary.unreported:
                unreported += 1
                oldest = min(oldest, summary.unreported_since or now)
            unverified = min(unverified, summary.unverified_since or now)
        self.metrics.resources.clear()
        for labels, count in counts.items():
            self.metrics.resources.labels(*labels).set(count)
        self.metrics.unreported_failures.set(unreported)
        self.metrics.oldest_unreported_failure_seconds.set((now - oldest).total_seconds())
        self.metrics.oldest_unverified_mark_seconds.set((now - unverified).total_seconds())

    def _queue(self, name: str, queue: WorkQueue[ObjectKey]) -> None:
        due = [age for age in queue.ages() if age >= 0]
        delayed = sum(age < 0 for age in queue.ages())
        waiting = len(queue) - delayed - len(due)
        for state, count in (
            ("due", len(due)),
            ("delayed", delayed),
            ("waiting", waiting),
            ("working", queue.busy),
        ):
            self.metrics.queue_length.labels(name, state).set(count)
        self.metrics.queue_oldest_seconds.labels(name).set(max(due, default=0.0))

    def _rate_limits(self) -> None:
        """Show the account with the least left of those that share the labels."""
        keys = self.credentials.own
        own = keys if isinstance(keys, Keys) else None
        self.metrics.rate_limit_remaining.clear()
        self.metrics.rate_limit_reset_seconds.clear()
        for left in sorted(self.limits.remaining(self.clock(), own), key=lambda each: -each.remaining):
            labels = left.site, "own" if left.is_own else "secret"
            self.metrics.rate_limit_remaining.labels(*labels).set(left.remaining)
            self.metrics.rate_limit_reset_seconds.labels(*labels).set(left.reset_seconds)


def live(watches: tuple[Health, ...]) -> Checks:
    """Return the checks that have to pass, or the process is restarted. An answer at all is the first of them."""
    return {"event-loop": lambda: None, **_by_resource(watches, "watched", lambda health: health.not_alive())}


def ready(watches: tuple[Health, ...]) -> Checks:
    """Return the checks that have to pass before the process counts as started."""
    return _by_resource(watches, "listed", lambda health: health.not_ready())


def _by_resource(watches: tuple[Health, ...], word: str, problem: Callable[[Health], str | None]) -> dict[str, Check]:
    """One check for each kind, however many namespaces are watched."""

    def check(resource: str) -> str | None:
        found = (problem(health) for health in watches if health.resource == resource)
        return "; ".join(filter(None, found)) or None

    resources = sorted({health.resource for health in watches})
    return {f"{resource.lower()}-{word}": partial(check, resource) for resource in resources}
