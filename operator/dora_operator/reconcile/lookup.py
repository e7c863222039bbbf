"""Read deployments from Datadog: for marks and links that must find theirs first, and for reading back.

One list serves every resource of a service and env for some seconds. A read never makes a worker wait: what cannot be
read now says when to reconcile again.
"""

import logging
from collections.abc import Callable, Coroutine
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from http import HTTPStatus
from math import inf
from typing import Any, NamedTuple

from dora_operator.clients.datadog import DatadogClient, Keys
from dora_operator.domain.fields import ObjectKey
from dora_operator.domain.outcome import Answer, NoAnswer, rate_limit_of
from dora_operator.domain.reasons import Reason
from dora_operator.domain.sites import Site
from dora_operator.domain.stored import ReadProblem, Stored, StoredDeployment, parse_answer, parse_deployments
from dora_operator.reconcile.rate_limits import RESERVED_FOR_MARKS, RateLimitKey, RateLimits
from dora_operator.workqueue import Result, WorkQueue

logger = logging.getLogger(__name__)

MAX_READS = 4
"""Lists at the same time. The other workers are left to marks."""
PAGE = 1000
MAX_PAGES = 20
BETWEEN_LISTS = timedelta(seconds=20)
"""At least this long between two lists of one service and env, so that one serves many resources."""
PROBE_FORBIDDEN = timedelta(hours=1)
"""How often an account without the permission is tried again. A changed key is tried at once."""
READ, LIST = "read", "list"
"""Kinds of requests for rate limits."""


class Query(NamedTuple):
    """What is asked of Datadog: the deployments of a service and env, or one by id."""

    service: str | None
    env: str | None
    since: datetime
    deployment_id: str | None = None


class _Group(NamedTuple):
    """What one read serves."""

    limit: RateLimitKey
    service: str | None
    env: str | None
    deployment_id: str | None


@dataclass(frozen=True, slots=True)
class _Read:
    stored: Stored | ReadProblem
    since: datetime
    at: datetime


@dataclass(slots=True)
class Lookup:
    """Reads deployments of all accounts."""

    datadog: DatadogClient
    limits: RateLimits
    queue: WorkQueue[ObjectKey]
    clock: Callable[[], datetime]
    _reads: dict[_Group, _Read] = field(default_factory=dict)
    """The newest read of each group, for BETWEEN_LISTS."""
    _reading: set[_Group] = field(default_factory=set)
    _forbidden: dict[int, tuple[datetime, ReadProblem]] = field(default_factory=dict)
    """By the hash of keys without the permission to read: until when they are not tried, and the answer."""

    def admit(self) -> None:
        """Release the keys that wait for the end of other reads."""
        self.queue.release(Lookup, MAX_READS - len(self._reading))

    async def read(
        self, limit: RateLimitKey, keys: Keys, query: Query, *, not_before: datetime, mark_waits: bool = False
    ) -> Stored | ReadProblem | Result:
        """Return deployments as they were at `not_before` or later; a Result: reconcile again then.

        A read that a mark waits for yields to nothing; others leave a part of the window to marks.
        """
        group, now = _Group(limit, query.service, query.env, query.deployment_id), self.clock()
        last = self._reads.get(group)
        if last is not None and last.at >= not_before and last.since <= query.since:
            return _since(last.stored, query)
        forbidden_until, problem = self._forbidden.get(hash(keys), (now, None))
        if problem is not None and now < forbidden_until:
            return problem
        if last is not None and not mark_waits and now < last.at + BETWEEN_LISTS:
            return Result(last.at + BETWEEN_LISTS)
        if group in self._reading or len(self._reading) >= MAX_READS:
            return Result(waits_for=group if group in self._reading else Lookup)
        postponed = self.limits.postponed(limit, LIST, now, 0 if mark_waits else RESERVED_FOR_MARKS)
        if postponed is not None:
            return postponed
        self._reading.add(group)
        try:
            stored = await self._ask(query, limit, keys)
        finally:
            self._reading.discard(group)
            self.queue.release(group, inf)
        return self._remember(group, keys, query, stored)

    def _remember(self, group: _Group, keys: Keys, query: Query, stored: Stored | ReadProblem) -> Stored | ReadProblem:
        now = self.clock()
        if isinstance(stored, ReadProblem) and stored.reason is Reason.READ_FORBIDDEN:
            self._forbidden[hash(keys)] = now + PROBE_FORBIDDEN, stored
            return stored
        self._forbidden.pop(hash(keys), None)
        self._reads = {other: read for other, read in self._reads.items() if now - read.at < BETWEEN_LISTS}
        self._reads[group] = _Read(stored, query.since, now)
        return _since(stored, query)

    async def _ask(self, query: Query, limit: RateLimitKey, keys: Keys) -> Stored | ReadProblem:
        site = Site(limit.site)
        if query.deployment_id is not None:
            answer = await self._counted(limit, READ, self.datadog.get_deployment(query.deployment_id, site, keys))
            document = parse_answer(answer)
            return document if isinstance(document, ReadProblem) else parse_deployments(document)
        found: dict[str, StoredDeployment] = {}
        until, size = self.clock(), PAGE
        for _ in range(MAX_PAGES):
            request = self.datadog.list_deployments(
                query.service or "", query.env or "", query.since, until, size, site, keys
            )
            answer = await self._counted(limit, LIST, request)
            if isinstance(answer, Answer) and answer.is_cut and size > 1:
                size //= 2  # deployments with many commits: fewer of them fit into an answer
                continue
            document = parse_answer(answer)
            if isinstance(document, ReadProblem):
                return document
            page = parse_deployments(document)
            is_new = any(row.id not in found for row in page)
            found |= {row.id: row for row in page}
            started = [row.started_at for row in page if row.started_at is not None]
            if len(document) < size:
                return tuple(found.values())
            if not is_new or not started:
                break
            until = min(started)  # the bound is inclusive: a page begins where the last one ended
        message = f"Datadog has more deployments of {query.service} in {query.env} than can be read at once"
        return ReadProblem(Reason.READ_UNAVAILABLE, message)

    async def _counted(
        self, limit: RateLimitKey, call: str, request: Coroutine[Any, Any, Answer | NoAnswer]
    ) -> Answer | NoAnswer:
        self.limits.begin(limit, call)
        answer: Answer | NoAnswer | None = None
        try:
            answer = await request
        finally:
            now, headers = self.clock(), answer.headers if isinstance(answer, Answer) else {}
            self.limits.end(limit, call, headers, now)
            if isinstance(answer, Answer) and answer.status == HTTPStatus.TOO_MANY_REQUESTS:
                seconds = rate_limit_of(headers, now).reset_seconds
                self.limits.block(limit, call, now + timedelta(seconds=60.0 if seconds is None else seconds))
            self.limits.admit(self.queue, now)
        return answer


def _since(stored: Stored | ReadProblem, query: Query) -> Stored | ReadProblem:
    """Return the deployments that this query asks for: the list may have been made for a longer time."""
    if isinstance(stored, ReadProblem) or query.deployment_id is not None:
        return stored
    return tuple(row for row in stored if row.started_at is None or row.started_at >= query.since)
