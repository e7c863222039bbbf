"""The deployments that the stand-in knows, and what is on its way to them.

Knows no HTTP and no clock: `now` is an argument, and everything that is due by then is applied first, in the order of
its being due. So a 202 proves nothing here either: a mark whose deployment is not there when it is due is lost.
"""

import heapq
import itertools
from collections.abc import Iterable
from dataclasses import dataclass, replace

from sandbox.datadog.settings import Settings, UnknownDeployment
from sandbox.datadog.wanted import Event, Mark, Remediation

Key = tuple[str, str | None, str | None]


@dataclass(frozen=True, slots=True)
class Deployment:
    """A deployment that was ingested; change_failure is null until it was evaluated or marked."""

    id: str
    event: Event
    created_at: float
    source: str = "api"
    change_failure: bool | None = None
    remediation: Remediation | None = None

    @property
    def key(self) -> Key:
        """What identifies a deployment apart from its id."""
        return (self.event.service, self.event.env, self.event.version)


@dataclass(frozen=True, slots=True)
class Ingestion:
    """A deployment that is to become visible."""

    deployment: Deployment


@dataclass(frozen=True, slots=True)
class Marking:
    """A mark that is to be applied."""

    deployment_id: str
    mark: Mark


@dataclass(frozen=True, slots=True)
class Evaluation:
    """Datadog's own look at a deployment: not a failure, as far as it can see."""

    deployment_id: str


Change = Ingestion | Marking | Evaluation


class Deployments:
    """What was ingested, and changes that are due later."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._order = itertools.count()
        self._pending: list[tuple[float, int, Change]] = []
        self._by_id: dict[str, Deployment] = {}
        self._ids_by_key: dict[Key, dict[str, None]] = {}

    def post(self, deployment: Deployment, now: float) -> None:
        """Take in a deployment; it becomes visible after the ingestion delay."""
        self._later(now + self._settings.ingest_delay, Ingestion(deployment))
        if self._settings.evaluation_delay is not None:
            due = now + self._settings.ingest_delay + self._settings.evaluation_delay
            self._later(due, Evaluation(deployment.id))

    def seed(self, deployments: Iterable[Deployment]) -> None:
        """Make deployments visible at once, as if they had been found by APM."""
        for deployment in deployments:
            self._apply(Ingestion(deployment))

    def mark(self, deployment_id: str, mark: Mark, now: float) -> bool:
        """Take in a mark for one id; says whether such a deployment is visible."""
        known = self.get(deployment_id, now) is not None
        if known or self._settings.unknown_deployment is UnknownDeployment.ACCEPT:
            self._later(now + self._settings.patch_delay, Marking(deployment_id, mark))
        return known

    def mark_newest(self, key: Key, mark: Mark, now: float) -> bool:
        """Take in a mark for the matching deployment that finished last; says whether one is visible."""
        self.settle(now)
        newest = self.newest(key)
        if newest is not None:
            self._later(now + self._settings.patch_delay, Marking(newest.id, mark))
        return newest is not None

    def newest(self, key: Key) -> Deployment | None:
        """Return the visible deployment of this service, env and version that finished last."""
        matching = (self._by_id[one] for one in self._ids_by_key.get(key, ()))
        return max(matching, key=lambda one: one.event.finished_at, default=None)

    def get(self, deployment_id: str, now: float) -> Deployment | None:
        """Return a visible deployment."""
        self.settle(now)
        return self._by_id.get(deployment_id)

    def peek(self, deployment_id: str) -> Deployment | None:
        """Return a deployment that is visible already, without applying what is due."""
        return self._by_id.get(deployment_id)

    def delete(self, deployment_id: str, now: float) -> bool:
        """Forget a visible deployment; says whether there was one."""
        known = self.get(deployment_id, now)
        if known is not None:
            self._forget(known)
        return known is not None

    def visible(self, now: float) -> tuple[Deployment, ...]:
        """Return every visible deployment, in the order of their ingestion."""
        self.settle(now)
        return tuple(self._by_id.values())

    def clear(self) -> None:
        """Forget everything, what is on its way too."""
        self._pending.clear()
        self._by_id.clear()
        self._ids_by_key.clear()

    def settle(self, now: float) -> None:
        """Apply what is due."""
        while self._pending and self._pending[0][0] <= now:
            self._apply(heapq.heappop(self._pending)[2])

    def _later(self, due: float, change: Change) -> None:
        heapq.heappush(self._pending, (due, next(self._order), change))

    def _apply(self, change: Change) -> None:
        match change:
            case Ingestion(deployment):
                self._ingest(deployment)
            case Marking(deployment_id, mark):
                known = self._by_id.get(deployment_id)
                if known is not None:
                    self._by_id[deployment_id] = _marked(known, mark)
            case Evaluation(deployment_id):
                known = self._by_id.get(deployment_id)
                if known is not None and known.change_failure is None:
                    self._by_id[deployment_id] = replace(known, change_failure=False)

    def _ingest(self, deployment: Deployment) -> None:
        known = self._by_id.get(deployment.id)
        if known is not None:
            self._forget(known)
            if deployment.change_failure is None:  # the same event sent again does not take a mark away
                deployment = replace(deployment, change_failure=known.change_failure, remediation=known.remediation)
        elif len(self._by_id) >= self._settings.kept_deployments:
            self._forget(next(iter(self._by_id.values())))
        self._by_id[deployment.id] = deployment
        self._ids_by_key.setdefault(deployment.key, {})[deployment.id] = None

    def _forget(self, deployment: Deployment) -> None:
        del self._by_id[deployment.id]
        ids = self._ids_by_key[deployment.key]
        del ids[deployment.id]
        if not ids:
            del self._ids_by_key[deployment.key]


def _marked(deployment: Deployment, mark: Mark) -> Deployment:
    change_failure = deployment.change_failure if mark.change_failure is None else mark.change_failure
    remediation = deployment.remediation if mark.remediation is None else mark.remediation
    return replace(deployment, change_failure=change_failure, remediation=remediation)
