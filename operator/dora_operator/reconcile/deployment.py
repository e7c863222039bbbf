"""Reconcile one DoraDeployment: from its spec to Datadog, and back to its status."""

import logging
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta

from dora_operator.clients.datadog import DatadogClient, Keys
from dora_operator.clients.kubernetes import (
    KubernetesClient,
)
from dora_operator.domain import status as statuses
from dora_operator.domain.fields import ObjectKey
from dora_operator.domain.outcome import (
    Accepted,
    Answer,
    NoAnswer,
    Outcome,
    Pace,
    TryAgain,
    classify,
    classify_event,
)
from dora_operator.domain.plan import Claim, Refuse, Send, lock_of, request_for
from dora_operator.domain.read_back import Finding, Read, evaluate
from dora_operator.domain.read_schedule import next_read, reads_due
from dora_operator.domain.reasons import CREDENTIAL_REASONS, Reason
from dora_operator.domain.resource import (
    ConditionType,
    DoraDeployment,
    DoraDeploymentStatus,
)
from dora_operator.domain.retry import (
    RetryPolicy,
    Settled,
    WaitUntil,
    believed_next_attempt,
    forced,
    next_action,
)
from dora_operator.domain.rollout.posted_events import failed_event
from dora_operator.domain.sites import Site
from dora_operator.domain.status import ConditionSummary, Phase, StatusContext
from dora_operator.domain.stored import searched_from
from dora_operator.metrics import Metrics
from dora_operator.reconcile.context import Planned, Planner, is_superseded
from dora_operator.reconcile.creation import creating, is_creating
from dora_operator.reconcile.credentials import Credentials, CredentialStore, NoKeys
from dora_operator.reconcile.late import LateMarks
from dora_operator.reconcile.links import LinkChecks
from dora_operator.reconcile.rate_limits import RateLimitKey, RateLimits, account_of
from dora_operator.reconcile.read_back import Reader, ReadGroup, ReadResult
from dora_operator.reconcile.status_writer import StatusWriter
from dora_operator.settings import Settings
from dora_operator.store import DeploymentStore
from dora_operator.workqueue import WorkQueue

logger = logging.getLogger(__name__)

RECHECK_ALLOWED = timedelta(seconds=60)
"""Namespaces are not watched: how often it is checked whether one allows by now what it did not."""
UNREPORTED_WAIT = timedelta(seconds=5)
"""How long a request may wait for its rate limit before the status says so."""


@dataclass(slots=True)
class DeploymentReconciler:
    """Reconciles DoraDeployments. The queue sees to it that one key is reconciled once at a time."""

    store: DeploymentStore
    queue: WorkQueue[ObjectKey]
    client: KubernetesClient
    datadog: DatadogClient
    planner: Planner
    credentials: CredentialStore
    limits: RateLimits
    metrics: Metrics
    settings: Settings
    clock: Callable[[], datetime]
    random: Callable[[], float]
    reader: Reader
    links: LinkChecks
    late: LateMarks
    writer: StatusWriter
    retry_policy: RetryPolicy
    _locked: set[Claim] = field(default_factory=set)
    """Datadog deployments about which a request is in flight, or its outcome is being written."""

    def begin(self, led_until: datetime | None) -> None:
        """Before anything is sent, learn which accounts have to wait, and until when an earlier process has read.

        `led_until` is when the leader before this process ended, if that is known.
        """
        now = self.clock()
        self.reader.led_until = min(now, led_until or now)
        for deployment in self.store:
            status = deployment.status
            if status.target is not None and _is_rate_limited(status):
                until = believed_next_attempt(status, now, self.retry_policy)
                if until is not None:
                    self.limits.block(account_of(deployment.key.namespace, status.target), until, now)

    async def reconcile(self, key: ObjectKey) -> datetime | None:
        """Bring Datadog and the status of one DoraDeployment in line with its spec. Return when to do it again.

        Raises:
            KubernetesError: the API server has to be asked again; nothing is lost.
        """
        deployment = self.store.get(key)
        if (
            deployment is None
            or deployment.is_deleted
            or (deployment.is_record and await self._is_superseded(deployment))
        ):
            self.credentials.forget(key)
            self.reader.forget(key)
            self.links.forget(key)
            self.store.pending_verdicts.pop(key, None)
            return None
        if deployment.spec is None:
            message = "the spec cannot be understood: apply the CRD of this version of the operator"
            status = statuses.invalid(deployment.status, message, self._status_context(deployment))
            return await self.writer.save(deployment, status)
        planned = await self.planner.plan(deployment, deployment.spec)
        if planned is None:
            return self.clock()
        if planned.source != planned.status.source and not deployment.is_record:
            # Written before it is sent: a kill in between must not lose the verdict.
            await self.writer.save(deployment, replace(planned.status, source=planned.source))
            return self.clock()
        if isinstance(planned.plan, Send):
            return await self._send(planned, planned.plan)
        self.credentials.forget(key)
        status = statuses.without_request(planned.status, planned.plan, self._status_context(deployment, planned))
        is_refused = isinstance(planned.plan, Refuse) and planned.plan.reason is Reason.NOT_ALLOWED
        again = self.clock() + RECHECK_ALLOWED if is_refused else None
        return await self.writer.save(deployment, status) or again

    async def _is_superseded(self, record: DoraDeployment) -> bool:
        """Delete a record of which a user's resource speaks by now: two would send about one deployment."""
        if not is_superseded(record, self.store):
            return False
        if self.settings.rollouts:  # else the operator has no permission to delete
            logger.info("DoraDeployment %s is deleted: a user's resource follows the same revision", record.key)
            await self.client.delete_record(record.key, record.uid)
        return True

    async def _send(self, planned: Planned, plan: Send) -> datetime | None:
        """Send what is due, or write what a read has shown."""
        deployment, finding, result = planned.deployment, None, None
        if plan.request.state.remediation is not None and self.links.is_needed(planned, plan):
            checked = self.links.check(planned, plan)
            if checked is None:
                return await self.writer.save(deployment, planned.status)
            plan, finding, result = checked.plan, checked.finding, checked.result
            planned = replace(planned, plan=plan, is_link_pending=checked.is_pending)
        secret_changed = self.credentials.take_change(deployment.key)
        forced_status = forced(planned.status, deployment.force_sync)
        if forced_status is not None:
            self.reader.forget(deployment.key)  # what was read before says nothing about what is sent now
            return await self._attempt(replace(planned, status=forced_status), plan, finding, None)
        action = next_action(plan, planned.status, deployment.generation, self.clock(), self.retry_policy)
        if isinstance(action, Settled):
            finding = finding or self._finding(planned, plan, result or self.reader.take(deployment.key))
            if finding is None or not (finding.resend or finding.create):
                return await self._settle(planned, plan, finding)
            planned = replace(planned, status=replace(planned.status, accepted=None))
            plan = replace(plan, target=finding.target, request=request_for(finding.target, plan.request.state))
        elif isinstance(action, WaitUntil) and not (secret_changed or _is_rate_limited(planned.status)):
            return await self._wait(planned, plan, action)  # of a rate limit, `limits` knows for how long
        if finding.create if finding is not None else is_creating(planned, plan):
            plan = creating(planned, plan) or plan
        return await self._attempt(planned, plan, finding, result)

    async def _settle(self, planned: Planned, plan: Send, finding: Finding | None) -> datetime | None:
        """Datadog has accepted exactly this: write what is new, and plan the next read."""
        deployment = planned.deployment
        self.credentials.forget(deployment.key)
        if finding is not None:
            plan = replace(plan, target=finding.target)
        status = statuses.settled(planned.status, plan, self._status_context(deployment, planned, finding))
        again = await self.writer.save(deployment, status)
        self.writer.report_duplicate(deployment, status, finding)
        return again or self._after_acceptance(planned, status)

    async def _wait(self, planned: Planned, plan: Send, action: WaitUntil) -> datetime | None:
        if planned.status.reason(ConditionType.READY) in CREDENTIAL_REASONS:
            account = account_of(planned.deployment.key.namespace, plan.target)
            self.credentials.wait_for_change(account.secret, None, planned.deployment.key)
        return await self.writer.save(planned.deployment, planned.status) or action.until

    async def _attempt(
        self, planned: Planned, plan: Send, finding: Finding | None, result: ReadResult | None
    ) -> datetime | None:
        """Send the request if its account has keys and capacity, and it is known which deployment it is about."""
        key = planned.deployment.key
        account = account_of(key.namespace, plan.target)
        credentials = await self.credentials.read(account.secret)
        if isinstance(credentials.keys, NoKeys):
            self.credentials.wait_for_change(account.secret, credentials.version, key)
            return await self._postpone(planned, plan, credentials.keys)
        limit = self.limits.key_of(account, credentials.keys)
        if not self.limits.free(limit, self.clock()):
            return await self._wait_for_limit(planned, plan, limit)
        located = self.late.locate(planned, plan, result)
        if isinstance(located, TryAgain):
            return await self._write_outcome(planned, plan, located, limit, finding)
        if not isinstance(located, Send):
            return await self.writer.save(planned.deployment, planned.status) or located
        return await self._exchange(planned, located, finding, credentials)

    async def _exchange(
        self, planned: Planned, plan: Send, finding: Finding | None, credentials: Credentials
    ) -> datetime | None:
        """Send the request and write its outcome, if no other request is about the same deployment."""
        assert isinstance(credentials.keys, Keys)
        key, lock = planned.deployment.key, lock_of(plan.target)
        if lock in self._locked:
            self.queue.park(key, lock)
            return None
        self._locked.add(lock)
        try:
            account = account_of(key.namespace, plan.target)
            limit = self.limits.key_of(account, credentials.keys)
            outcome = await self._request(planned, plan, limit, credentials.keys)
            if outcome is None:
                return self.clock()
            if isinstance(outcome, TryAgain) and outcome.reason in CREDENTIAL_REASONS:
                self.credentials.wait_for_change(account.secret, credentials.version, key)
            return await self._write_outcome(planned, plan, outcome, limit, finding)
        finally:
            self._locked.discard(lock)
            self.queue.release(lock, 1)

    async def _request(self, planned: Planned, plan: Send, limit: RateLimitKey, keys: Keys) -> Outcome | None:
        """Send the event, if there is one, and the request. None: the resource has changed; nothing was sent."""
        self.queue.admitted(planned.deployment.key)
        self.limits.begin(limit, self.clock())
        answer: Answer | NoAnswer | None = None
        try:
            if self.store.get(planned.deployment.key) is not planned.deployment:
                return None
            if plan.event is not None:
                answer = await self.datadog.post_deployment(plan.event, Site(limit.site), keys)
                posted = classify_event(answer, self.clock())
                if not isinstance(posted, Accepted):
                    return posted
            answer = await self.datadog.patch(plan.request, Site(limit.site), keys)
        finally:
            self.limits.end(limit, answer.headers if isinstance(answer, Answer) else {}, self.clock())
            self.admit_waiting()
        return classify(answer, self.clock())

    async def _write_outcome(
        self, planned: Planned, plan: Send, outcome: Outcome, limit: RateLimitKey, finding: Finding | None
    ) -> datetime | None:
        deployment = planned.deployment
        if plan.event is not None and not isinstance(outcome, Accepted):
            plan = replace(plan, target=planned.plan.target)  # an event that was not accepted pins no id
        context = self._status_context(deployment, planned, finding)
        status = statuses.with_outcome(planned.status, plan, outcome, context)
        if not isinstance(outcome, TryAgain):
            self.credentials.forget(deployment.key)
        elif outcome.pace is Pace.AT_RESET and status.next_attempt_time is not None:
            self.limits.block(limit, status.next_attempt_time, self.clock())
            return await self.writer.save(deployment, status) or self._park(deployment.key, limit)
        again = await self.writer.save(deployment, status)
        return again or status.next_attempt_time or self._after_acceptance(planned, status)

    def _after_acceptance(self, planned: Planned, status: DoraDeploymentStatus) -> datetime | None:
        """Plan the next read. A link that waited for the mark is checked now: reconcile again."""
        self._schedule_read(planned, status)
        return self.clock() if planned.is_link_pending else None

    def _finding(self, planned: Planned, plan: Send, result: ReadResult | None) -> Finding | None:
        """Return what the newest read of an accepted state means, if there is one that was not evaluated."""
        if result is None:
            return None
        read = Read(
            number=reads_due(planned.status, self.settings.read_back_schedule, result.time),
            now=result.time,
            on_missing=planned.on_missing,
            can_create=planned.source is not None and failed_event(planned.source) is not None,
            not_after=planned.source.time if planned.source is not None else None,
        )
        finding = evaluate(result.stored, plan.target, planned.status, read)
        self.metrics.readback_findings.labels(finding.verification.reason.value).inc()
        return finding

    def _schedule_read(self, planned: Planned, status: DoraDeploymentStatus) -> None:
        """Plan the next read of an accepted state. Nothing is kept of a state with no more reads."""
        key, target = planned.deployment.key, status.target
        if self.reader.is_refused(key):
            return
        due = None
        if planned.reads_back and status.accepted == status.desired and target is not None:
            due = next_read(
                status,
                self.settings.read_back_schedule,
                led_until=self.reader.led_until,
                last_read=self.reader.last_read.get(key),
                on_missing=planned.on_missing,
            )
        if due is None or target is None:
            self.reader.end(key)
            return
        account, stored = account_of(key.namespace, target), status.read_back
        started = planned.source.started_time if planned.source is not None else None
        since = searched_from(planned.deployment.created_time, started)
        is_older = stored is not None and stored.finished_time is not None and stored.finished_time < since
        group = ReadGroup(account, target.service, target.env)
        if None in target.tags or is_older:
            group = ReadGroup(account, None, None, target.id)
        self.reader.schedule(key, group, due, since)

    def _park(self, key: ObjectKey, limit: RateLimitKey) -> datetime | None:
        """Let a key wait for its rate limit without a worker. It may have capacity again already."""
        self.queue.park(key, limit)
        self.admit_waiting()
        return None

    def admit_waiting(self) -> None:
        """Release the keys that a rate limit has capacity for now, or note when it will."""
        now = self.clock()
        for limit in self.queue.waiting_for():
            if not isinstance(limit, RateLimitKey):
                continue
            free, opens_at = self.limits.free(limit, now), self.limits.opens_at(limit, now)
            if free:
                self.queue.release(limit, free)
            elif opens_at is not None:
                self.queue.open_at(limit, self.queue.clock() + (opens_at - now).total_seconds())

    async def _postpone(self, planned: Planned, plan: Send, missing: NoKeys) -> datetime | None:
        until = self.clock() + timedelta(seconds=self.retry_policy.slowly)
        summary = ConditionSummary(Phase.WORKING, missing.reason, missing.message)
        context = self._status_context(planned.deployment, planned)
        status = statuses.postponed(planned.status, plan, summary, until, context)
        return await self.writer.save(planned.deployment, status) or until

    async def _wait_for_limit(self, planned: Planned, plan: Send, limit: RateLimitKey) -> datetime | None:
        """Park the key until its rate limit has capacity. The status mentions a long wait, once."""
        opens_at = self.limits.opens_at(limit, self.clock())
        is_long = opens_at is not None and opens_at - self.clock() > UNREPORTED_WAIT
        is_reported = _is_rate_limited(planned.status)
        if is_long and not (is_reported and planned.status.desired == plan.request.state):
            message = "the rate limit of this account is used up; the request is sent in a later window"
            summary = ConditionSummary(Phase.WORKING, Reason.RATE_LIMITED, message)
            context = self._status_context(planned.deployment, planned)
            changed = await self.writer.save(
                planned.deployment, statuses.postponed(planned.status, plan, summary, opens_at, context)
            )
            if changed is not None:
                return changed
        return self._park(planned.deployment.key, limit)

    def _status_context(
        self, deployment: DoraDeployment, planned: Planned | None = None, finding: Finding | None = None
    ) -> StatusContext:
        return StatusContext(
            generation=deployment.generation,
            now=self.clock(),
            policy=self.retry_policy,
            jitter=self.random(),
            source=planned.source if planned is not None else None,
            override=planned.override if planned is not None else None,
            finding=finding,
            reads_back=planned.reads_back if planned is not None else self.settings.read_back,
        )


def _is_rate_limited(status: DoraDeploymentStatus) -> bool:
    return status.reason(ConditionType.READY) == Reason.RATE_LIMITED
