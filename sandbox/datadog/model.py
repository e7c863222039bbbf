"""Datadog's memory of deployments: what was reported, what was marked, and what Datadog found out by itself.

Pure: no HTTP, and `now` is an argument (seconds, never decreasing); whatever is due by then happens first, in the order
of its being due. The same calls give the same ids and the same results. A 202 proves nothing here either: a mark whose
deployment is not visible when it is due is lost, unless `Behaviour` says otherwise. A deployment that is returned is
the model's own: later calls change it.
"""

import base64
import hashlib
import heapq
import itertools
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from sandbox.datadog.behaviour import (
    ApmRows,
    Behaviour,
    EarlyMark,
    Precedence,
    RemediationVersion,
    UnknownDeployment,
)
from sandbox.datadog.query import Query, parse_query
from sandbox.datadog.stream import Stream, by_finish, by_start
from sandbox.datadog.values import UNCHANGED, Deployment, Event, Key, Mark, Marker, Remediation, Unchanged

API, APM = "api", "apm_deployments"
Change = Callable[..., None]
_EVERYTHING = parse_query("")


@dataclass(frozen=True, slots=True)
class Listing:
    """Which deployments to list: those started in a span of time (both ends included) that match a query."""

    start: float = float("-inf")
    end: float = float("inf")
    limit: int = 10
    query: Query = _EVERYTHING
    sort: str = "-started_at"


@dataclass(frozen=True, slots=True)
class _Arrival:
    """A deployment that becomes visible."""

    id: str
    event: Event
    source: str
    change_failure: bool | None = None


class Model:
    """The deployments of one account."""

    def __init__(self, behaviour: Behaviour | None = None) -> None:
        self.behaviour = behaviour or Behaviour()
        """May be replaced at any time; what was scheduled before keeps its time."""
        self.lost_marks = 0
        """How many marks were accepted and never applied."""
        self._order = itertools.count()
        self._scheduled: list[tuple[float, int, Change, tuple[Any, ...]]] = []
        self._by_id: dict[str, Deployment] = {}
        self._streams: defaultdict[tuple[str, str | None], Stream] = defaultdict(Stream)
        self._apm_ids: dict[Key, str] = {}
        self._early: defaultdict[str | Key, list[Mark]] = defaultdict(list)

    # What reports deployments

    def post(self, event: Event, now: float) -> str:
        """Take in a deployment sent through the API and return its id; the same id again replaces the event."""
        deployment_id = event.id or self._digest("api").hex()
        self._at(now, self.behaviour.ingest_delay, self._ingest, _Arrival(deployment_id, event, API))
        return deployment_id

    def apm(self, event: Event, now: float) -> str:
        """Take in a deployment that APM found and return its id; a version may have a row already (`apm_rows`)."""
        behaviour = self.behaviour
        known = self._apm_ids.get(event.key)
        if known is not None and behaviour.apm_rows is ApmRows.ONE_PER_VERSION:
            return known
        deployment_id = event.id or base64.urlsafe_b64encode(self._digest("apm")).decode().rstrip("=")
        self._apm_ids[event.key] = deployment_id
        delay = behaviour.ingest_delay if behaviour.apm_delay is None else behaviour.apm_delay
        self._at(now, delay, self._ingest, _Arrival(deployment_id, event, APM))
        return deployment_id

    def seed(
        self, event: Event, now: float, *, source: str = APM, change_failure: bool | None = None, delay: float = 0
    ) -> str:
        """Make a deployment visible as it is, after its own delay; any id will do."""
        deployment_id = event.id or self._digest("seed").hex()
        self._at(now, delay, self._ingest, _Arrival(deployment_id, event, source, change_failure))
        return deployment_id

    # What changes deployments

    def patch(self, deployment_id: str, mark: Mark, now: float) -> bool:
        """Take in the mark of one deployment; false: there is no such deployment, as Datadog would say (404)."""
        self.settle(now)
        if deployment_id not in self._by_id and not self._accepts_unknown():
            return False
        self._at(now, self.behaviour.patch_delay, self._mark, deployment_id, mark)
        return True

    def patch_version(self, key: Key, mark: Mark, now: float) -> bool:
        """Take in the mark of the deployment of this service, env and version that finished last; false: 404."""
        self.settle(now)
        newest = self.newest(key)
        if newest is not None:
            return self.patch(newest.id, mark, now)
        if self._accepts_unknown():
            self._too_early(key, mark)
        return self._accepts_unknown()

    def edit(
        self,
        deployment_id: str,
        now: float,
        *,
        change_failure: bool | Unchanged | None = UNCHANGED,
        remediation: Remediation | Unchanged | None = UNCHANGED,
    ) -> bool:
        """Change a visible deployment as a person does in Datadog's UI, at once; None clears. False: not visible."""
        known = self.get(deployment_id, now)
        if known is None:
            return False
        if not isinstance(change_failure, Unchanged):
            known.change_failure, known.failure_set_by = change_failure, Marker.EDIT
        if not isinstance(remediation, Unchanged):
            known.remediation = remediation and self._bound(known, remediation)
            known.remediation_set_by = Marker.EDIT
        return True

    def delete(self, deployment_id: str, now: float) -> bool:
        """Delete a deployment through the API; false: 404."""
        return self.remove(deployment_id, now) or self._accepts_unknown()

    def remove(self, deployment_id: str, now: float) -> bool:
        """Forget a visible deployment; says whether there was one."""
        known = self.get(deployment_id, now)
        if known is not None:
            self._forget(known)
        return known is not None

    # What reads deployments

    def get(self, deployment_id: str, now: float) -> Deployment | None:
        """Return a visible deployment."""
        self.settle(now)
        return self._by_id.get(deployment_id)

    def select(self, listing: Listing, now: float) -> list[Deployment]:
        """Return what a list request shows."""
        self.settle(now)
        asked, (descending, attribute) = listing.query, (listing.sort.startswith("-"), listing.sort.removeprefix("-"))
        streams = self._narrowed(asked)
        found = [
            one
            for stream in streams
            for one in stream.started_between(listing.start, listing.end)
            if asked.matches is None or asked.matches(one)
        ]
        if len(streams) != 1 or attribute != "started_at":  # one stream is in the order of its starts already
            found.sort(key=by_start if attribute == "started_at" else by_finish)
        return found[: -listing.limit - 1 : -1] if descending else found[: listing.limit]

    def _narrowed(self, asked: Query) -> list[Stream]:
        if asked.service is None or asked.env is None:
            return list(self._streams.values())
        stream = self._streams.get((asked.service, asked.env))
        return [] if stream is None else [stream]

    def visible(self, now: float) -> tuple[Deployment, ...]:
        """Return every visible deployment, in the order of ingestion."""
        self.settle(now)
        return tuple(self._by_id.values())

    def newest(self, key: Key) -> Deployment | None:
        """Return the visible deployment of this service, env and version that finished last."""
        service, env, version = key
        stream = self._streams.get((service, env))
        return None if stream is None else stream.newest(version)

    def remedy(self, failed: Deployment) -> Deployment | None:
        """Return the visible deployment that a deployment's remediation means."""
        remediation = failed.remediation
        if remediation is None:
            return None
        if remediation.id is not None:
            return self._by_id.get(remediation.id)
        latest = self.behaviour.remediation_version is RemediationVersion.LATEST
        return self._of_version(failed, remediation) if latest else None

    def recovery_seconds(self, failed: Deployment) -> int | None:
        """Return the recovery time of a change failure that is linked to a visible deployment."""
        remedy = self.remedy(failed) if failed.shown_failure else None
        if remedy is None:
            return None
        seconds = int(round(remedy.event.finished_at - failed.event.finished_at, 3))
        return seconds if seconds >= 0 or self.behaviour.negative_recovery else None

    # What happens in time

    def settle(self, now: float) -> None:
        """Let everything happen that is due."""
        scheduled = self._scheduled
        while scheduled and scheduled[0][0] <= now:
            due, _, change, arguments = heapq.heappop(scheduled)
            change(due, *arguments)

    def _at(self, now: float, delay: float, change: Change, *arguments: Any) -> None:
        """Schedule a change, and let it happen if it is due at once."""
        self._schedule(now, delay, change, *arguments)
        self.settle(now)

    def _schedule(self, now: float, delay: float, change: Change, *arguments: Any) -> None:
        heapq.heappush(self._scheduled, (now + delay, next(self._order), change, arguments))

    def _ingest(self, due: float, arrival: _Arrival) -> None:
        known = self._by_id.get(arrival.id)
        if known is None:
            known = self._created(due, arrival)
        elif known.event == arrival.event:
            return  # the same event again changes nothing
        else:
            self._streams[known.event.stream].remove(known)
            known.event = arrival.event
        if arrival.change_failure is not None:
            known.change_failure = arrival.change_failure
        self._streams[arrival.event.stream].add(known)
        for name in (arrival.id, arrival.event.key):
            for mark in self._early.pop(name, ()):
                self._apply(known, mark, Marker.PATCH)
        if self.behaviour.detection:
            self._schedule(due, self.behaviour.detection_delay, self._detect, arrival.id)

    def _created(self, due: float, arrival: _Arrival) -> Deployment:
        behaviour = self.behaviour
        if len(self._by_id) >= behaviour.kept_deployments:
            self._forget(next(iter(self._by_id.values())))
        made = Deployment(arrival.id, arrival.event, next(self._order), arrival.source, created_at=due)
        made.hides_mark = not behaviour.marks_before_evaluation
        self._by_id[arrival.id] = made
        if behaviour.evaluation_delay is not None:
            self._schedule(due, behaviour.evaluation_delay, self._evaluate, arrival.id)
        return made

    def _mark(self, _: float, deployment_id: str, mark: Mark) -> None:
        known = self._by_id.get(deployment_id)
        if known is None:
            self._too_early(deployment_id, mark)
        else:
            self._apply(known, mark, Marker.PATCH)

    def _evaluate(self, _: float, deployment_id: str) -> None:
        known = self._by_id.get(deployment_id)
        if known is not None:
            known.evaluated, known.hides_mark = True, False
            if known.change_failure is None:
                known.change_failure = False

    def _detect(self, _: float, deployment_id: str) -> None:
        known = self._by_id.get(deployment_id)
        if known is None:
            return
        stream, kind = self._streams[known.event.stream], "rollback"
        failed = stream.failed_before(known)
        known.is_rollback |= failed is not None
        if failed is None and known.event.is_fix and self.behaviour.fix_rules:
            failed, kind = stream.before(known), "rollforward"
        if failed is None:
            return
        by_hand = [
            marker not in (None, Marker.DETECTION) for marker in (failed.failure_set_by, failed.remediation_set_by)
        ]
        if self.behaviour.precedence is Precedence.PATCH and any(by_hand):
            return
        keeps = by_hand if self.behaviour.precedence is Precedence.PATCH_FIELDS else [False, False]
        remediation = Remediation(id=known.id, type=kind)
        self._apply(failed, Mark(None if keeps[0] else True, None if keeps[1] else remediation), Marker.DETECTION)

    def _apply(self, deployment: Deployment, mark: Mark, marker: Marker) -> None:
        if mark.change_failure is not None:
            deployment.change_failure, deployment.failure_set_by = mark.change_failure, marker
        if mark.remediation is not None:
            deployment.remediation = self._bound(deployment, mark.remediation)
            deployment.remediation_set_by = marker

    def _bound(self, failed: Deployment, remediation: Remediation) -> Remediation:
        """Return a remediation by id, where one by version means a deployment from now on."""
        if remediation.id is not None or self.behaviour.remediation_version is RemediationVersion.LATEST:
            return remediation
        found = self._of_version(failed, remediation)
        return remediation if found is None else remediation.bound_to(found.id)

    def _of_version(self, failed: Deployment, remediation: Remediation) -> Deployment | None:
        if remediation.version is None:
            return None
        return self.newest((failed.event.service, failed.event.env, remediation.version))

    def _too_early(self, name: str | Key, mark: Mark) -> None:
        if self.behaviour.early_mark is EarlyMark.APPLIED_LATER:
            self._early[name].append(mark)
        else:
            self.lost_marks += 1

    def _forget(self, deployment: Deployment) -> None:
        del self._by_id[deployment.id]
        self._streams[deployment.event.stream].remove(deployment)
        if self._apm_ids.get(deployment.event.key) == deployment.id:
            del self._apm_ids[deployment.event.key]

    def _accepts_unknown(self) -> bool:
        return self.behaviour.unknown_deployment is UnknownDeployment.ACCEPT

    def _digest(self, kind: str) -> bytes:
        """Return the eight bytes of a new id."""
        return hashlib.blake2b(f"{kind} {next(self._order)}".encode(), digest_size=8).digest()
