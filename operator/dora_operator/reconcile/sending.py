"""Send what was decided: one request at a time about one deployment, counted for its rate limit."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import datetime
from math import inf

from dora_operator.clients.datadog import DatadogClient, Keys
from dora_operator.domain.fields import ObjectKey
from dora_operator.domain.outcome import Accepted, Answer, NoAnswer, Outcome, classify, classify_event
from dora_operator.domain.plan import DeploymentKey, Send, lock_of
from dora_operator.domain.resource import Target
from dora_operator.domain.sites import Site
from dora_operator.reconcile.rate_limits import RateLimitKey, RateLimits
from dora_operator.workqueue import Result, WorkQueue

MARK, EVENT = "mark", "event"
"""Kinds of requests for rate limits."""


@dataclass(slots=True)
class Sender:
    """Sends marks, and the events that some of them need."""

    datadog: DatadogClient
    limits: RateLimits
    queue: WorkQueue[ObjectKey]
    clock: Callable[[], datetime]
    _locked: set[DeploymentKey] = field(default_factory=set)

    @contextmanager
    def lock(self, target: Target) -> Iterator[Result | None]:
        """Keep other requests about a deployment away until the outcome is written; a Result: another has it."""
        lock = lock_of(target)
        if lock in self._locked:
            yield Result(waits_for=lock)
            return
        self._locked.add(lock)
        try:
            yield None
        finally:
            self._locked.discard(lock)
            self.queue.release(lock, inf)

    async def send(self, plan: Send, limit: RateLimitKey, keys: Keys) -> Outcome:
        """Send the event, if there is one, and the request; then delete an own event that it replaces."""
        site, call = Site(limit.site), EVENT if plan.event is not None else MARK
        self.limits.begin(limit, call)
        answer: Answer | NoAnswer | None = None
        try:
            if plan.event is not None:
                answer = await self.datadog.post_deployment(plan.event, site, keys)
                posted = classify_event(answer, self.clock())
                if not isinstance(posted, Accepted):
                    return posted
            state = replace(plan.request.state, change_failure=None) if plan.is_link_alone else plan.request.state
            answer = await self.datadog.patch(replace(plan.request, state=state), site, keys)
            if plan.delete_id is not None and isinstance(classify(answer, self.clock()), Accepted):
                await self.datadog.delete_deployment(plan.delete_id, site, keys)
        finally:
            self.limits.end(limit, call, answer.headers if isinstance(answer, Answer) else {}, self.clock())
            self.limits.admit(self.queue, self.clock())
        return classify(answer, self.clock())
