"""Read back what Datadog stored: one list for all due resources of an account, service and env, behind every mark.

A read is delivered to the reconcile of its resources, which decides what it means and writes the status. Reads use what
the rate limit has to spare: no mark waits for one.
"""

import asyncio
import logging
from collections.abc import Callable, Coroutine
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, NamedTuple

from dora_operator.clients.datadog import DatadogClient, Keys
from dora_operator.clients.errors import KubernetesError
from dora_operator.domain.fields import ObjectKey
from dora_operator.domain.outcome import Answer, NoAnswer
from dora_operator.domain.reasons import Reason
from dora_operator.domain.sites import Site
from dora_operator.domain.stored import ReadProblem, Stored, StoredDeployment, parse_answer, parse_deployments
from dora_operator.reconcile.credentials import CredentialStore
from dora_operator.reconcile.rate_limits import Account, RateLimitKey, RateLimits
from dora_operator.workqueue import Priority, WorkQueue

logger = logging.getLogger(__name__)

READERS = 4
PAGE = 1000
MOST_PAGES = 20
BETWEEN_LISTS = timedelta(seconds=20)
"""At least this long between two lists of one service and env, so that one serves many marks."""
SPARE_CHECK = timedelta(seconds=1)
PROBE_FORBIDDEN = timedelta(hours=1)
"""How often an account without the permission is tried again. A changed key is tried at once."""
TRY_AGAIN = timedelta(minutes=1)
"""After this time a read is tried again that could not be made: no keys, no permission, a defect."""


class ReadGroup(NamedTuple):
    """What one read serves: a service and env, or one deployment by id."""

    account: Account
    service: str | None
    env: str | None
    deployment_id: str | None = None


@dataclass(frozen=True, slots=True)
class ReadResult:
    """What was read for a resource."""

    stored: Stored | ReadProblem
    time: datetime


@dataclass(frozen=True, slots=True)
class _Due:
    at: datetime
    since: datetime


@dataclass(slots=True)
class Reader:
    """Makes the reads that are due."""

    datadog: DatadogClient
    credentials: CredentialStore
    limits: RateLimits
    deployments: WorkQueue[ObjectKey]
    clock: Callable[[], datetime]
    queue: WorkQueue[ReadGroup]
    led_until: datetime
    """When the process ended that made the reads before."""
    last_read: dict[ObjectKey, datetime] = field(default_factory=dict)
    _due: dict[ReadGroup, dict[ObjectKey, _Due]] = field(default_factory=dict)
    _group_of: dict[ObjectKey, ReadGroup] = field(default_factory=dict)
    _results: dict[ObjectKey, ReadResult] = field(default_factory=dict)
    _listed_at: dict[ReadGroup, datetime] = field(default_factory=dict)
    _forbidden: dict[RateLimitKey, tuple[datetime, ReadProblem]] = field(default_factory=dict)
    """Until when an account without the permission to read is not asked, and what it answered."""
    _refused: set[ObjectKey] = field(default_factory=set)
    """Resources that have got that answer."""

    def schedule(self, key: ObjectKey, group: ReadGroup, at: datetime, since: datetime) -> None:
        """Read for a resource at a time; an earlier plan for it is dropped."""
        self.cancel(key)
        self._group_of[key] = group
        self._due.setdefault(group, {})[key] = _Due(at, since)
        earliest = self._listed_at.get(group, at - BETWEEN_LISTS) + BETWEEN_LISTS
        self._requeue(group, max(at, earliest))

    def cancel(self, key: ObjectKey) -> None:
        """Drop what is planned for a resource."""
        group = self._group_of.pop(key, None)
        if group is not None:
            members = self._due.get(group, {})
            members.pop(key, None)
            if not members:
                self._due.pop(group, None)
                self._listed_at.pop(group, None)

    def forget(self, key: ObjectKey) -> None:
        """Drop everything about a resource that is gone."""
        self.end(key)
        self.last_read.pop(key, None)

    def end(self, key: ObjectKey) -> None:
        """Drop what is planned for a resource without further reads. Its last one is remembered: it was the last."""
        self.cancel(key)
        self._results.pop(key, None)
        self._refused.discard(key)

    def take(self, key: ObjectKey) -> ReadResult | None:
        """Return, once, what was read for a resource."""
        return self._results.pop(key, None)

    async def run(self) -> None:
        """Read for ever."""
        await asyncio.gather(*(self._work() for _ in range(READERS)))

    async def _work(self) -> None:
        while True:
            group = await self.queue.take()
            try:
                await self.serve(group)
            finally:
                self.queue.done(group)

    async def serve(self, group: ReadGroup) -> None:
        """Read for the members of a group that are due, if the account has something to spare."""
        due = {key: each for key, each in self._due.get(group, {}).items() if each.at <= self.clock()}
        try:
            again = await self._read(group, due) if due else None
        except KubernetesError as error:
            logger.debug("the Secret of %s cannot be read: %s", group.account, error)
            again = self.clock() + TRY_AGAIN
        except Exception:  # a defect of ours, which must not end the reads of these resources
            logger.exception("reading back %s %s at %s failed", group.service, group.env, group.account.site)
            again = self.clock() + TRY_AGAIN
        members = self._due.get(group, {})
        if again is not None or members:
            earliest = self.clock() + BETWEEN_LISTS if due and again is None else self.clock()
            self._requeue(group, again or max(earliest, min(each.at for each in members.values())))

    async def _read(self, group: ReadGroup, due: dict[ObjectKey, _Due]) -> datetime | None:
        """Read and deliver. Return when to try again if nothing could be asked for now."""
        credentials = await self.credentials.read(group.account.secret)
        if not isinstance(credentials.keys, Keys):
            return self.clock() + TRY_AGAIN
        limit, now = self.limits.key_of(group.account, credentials.keys), self.clock()
        if limit in self._forbidden and now < self._forbidden[limit][0]:
            self._deliver_refusal(due, limit)
            return min(now + TRY_AGAIN, self._forbidden[limit][0])
        if limit in self.deployments.waiting_for() or not self.limits.can_read(limit, now):
            return max(now + SPARE_CHECK, self.limits.opens_at(limit, now) or now)
        since = min(each.since for each in due.values())
        stored = await self._ask(group, since, limit, credentials.keys)
        self._listed_at[group] = self.clock()
        if isinstance(stored, ReadProblem) and stored.reason is Reason.READ_FORBIDDEN:
            self._forbidden[limit] = self.clock() + PROBE_FORBIDDEN, stored
            self._deliver_refusal(due, limit)
            return self.clock() + TRY_AGAIN
        self._forbidden.pop(limit, None)
        self._refused.difference_update(due)
        for key, each in due.items():
            if self._due.get(group, {}).get(key) is each:  # else it was rescheduled meanwhile
                self.cancel(key)
                self.last_read[key] = self.clock()
                self._results[key] = ReadResult(stored, self.clock())
                self.deployments.add(key, Priority.LISTED)
        return None

    def _deliver_refusal(self, due: dict[ObjectKey, _Due], limit: RateLimitKey) -> None:
        """Report once for each resource that its account may not read. The reads stay due until it may."""
        for key in due:
            if key not in self._refused:
                self._refused.add(key)
                self._results[key] = ReadResult(self._forbidden[limit][1], self.clock())
                self.deployments.add(key, Priority.LISTED)

    def is_refused(self, key: ObjectKey) -> bool:
        """Return whether a read is due that the account may not make."""
        return key in self._refused and key in self._group_of

    async def _ask(self, group: ReadGroup, since: datetime, limit: RateLimitKey, keys: Keys) -> Stored | ReadProblem:
        site = Site(group.account.site)
        if group.deployment_id is not None:
            document = parse_answer(
                await self._counted(limit, self.datadog.get_deployment(group.deployment_id, site, keys))
            )
            return document if isinstance(document, ReadProblem) else parse_deployments(document)
        found: dict[str, StoredDeployment] = {}
        until = self.clock()
        for _ in range(MOST_PAGES):
            request = self.datadog.list_deployments(
                group.service or "", group.env or "", since, until, PAGE, site, keys
            )
            document = parse_answer(await self._counted(limit, request))
            if isinstance(document, ReadProblem):
                return document
            page = parse_deployments(document)
            is_new = any(each.id not in found for each in page)
            found |= {each.id: each for each in page}
            started = [each.started_at for each in page if each.started_at is not None]
            if len(document) < PAGE or not is_new or not started:
                break
            until = min(started)  # the bound is inclusive: a page begins where the last one ended
        return tuple(found.values())

    async def _counted(self, limit: RateLimitKey, request: Coroutine[Any, Any, Answer | NoAnswer]) -> Answer | NoAnswer:
        self.limits.begin_read(limit, self.clock())
        answer: Answer | NoAnswer | None = None
        try:
            answer = await request
        finally:
            self.limits.end_read(limit, answer.headers if isinstance(answer, Answer) else {}, self.clock())
        return answer

    def _requeue(self, group: ReadGroup, at: datetime) -> None:
        self.queue.add(group, Priority.LISTED, (at - self.clock()).total_seconds())
