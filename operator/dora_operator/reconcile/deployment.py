"""Reconcile one DoraDeployment: from its spec to Datadog, and back to its status.

Gather (`context`), decide (`domain.plan`, `domain.retry`, `domain.read_back`), act, write status once.
"""

import logging
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from http import HTTPStatus

from dora_operator.clients.datadog import Keys
from dora_operator.clients.kubernetes import KubernetesClient
from dora_operator.domain import status as statuses
from dora_operator.domain.fields import ObjectKey, OnMissing, RemediationLink
from dora_operator.domain.outcome import Accepted, Outcome, Pace, TryAgain
from dora_operator.domain.plan import Plan, Refuse, Send, request_for, with_event
from dora_operator.domain.posted_events import failed_event
from dora_operator.domain.read_back import NOT_LINKED, Finding, Read, evaluate, find_link, find_own, locate, may_create
from dora_operator.domain.read_schedule import next_link_read, next_read, reads_due
from dora_operator.domain.reasons import CREDENTIAL_REASONS, Reason
from dora_operator.domain.request import PatchById
from dora_operator.domain.resource import (
    ConditionStatus,
    ConditionType,
    DoraDeployment,
    DoraDeploymentStatus,
    HistoryEntry,
    MarkState,
    TargetKind,
)
from dora_operator.domain.retry import NothingDue, RetryPolicy, WaitUntil, believed_next_attempt, forced, next_action
from dora_operator.domain.status import ConditionSummary, Phase, StatusContext
from dora_operator.domain.stored import NOT_READ, ReadProblem, Stored, StoredDeployment
from dora_operator.reconcile.context import Context, Planner, is_superseded
from dora_operator.reconcile.credentials import CredentialStore, NoKeys
from dora_operator.reconcile.lookup import BETWEEN_LISTS, PROBE_FORBIDDEN, Lookup
from dora_operator.reconcile.rate_limits import RateLimitKey, RateLimits, account_of
from dora_operator.reconcile.sending import EVENT, MARK, Sender
from dora_operator.reconcile.status_writer import StatusWriter
from dora_operator.settings import Settings
from dora_operator.store import DeploymentStore, Entry, WorkloadStore
from dora_operator.workqueue import Result, WorkQueue

logger = logging.getLogger(__name__)

RECHECK_ALLOWED = timedelta(seconds=60)
"""Namespaces are not watched: how often it is checked whether one allows by now what it did not."""
RECHECK_KEYS = timedelta(seconds=60)
"""How often a read is tried without keys."""
WITHDRAWN_FOR = timedelta(days=1)
"""How long the deployment of a failure that recovered is searched for."""
VERDICT_WAIT = timedelta(seconds=60)
"""How long a new record waits for its verdict, which arrives after the record: the watch may be faster."""
UNREPORTED_WAIT = timedelta(seconds=5)
"""How long a request may wait for its rate limit before the status says so."""


@dataclass(slots=True)
class DeploymentReconciler:
    """Reconciles DoraDeployments. The queue sees to it that one key is reconciled once at a time."""

    store: DeploymentStore
    workloads: WorkloadStore
    queue: WorkQueue[ObjectKey]
    client: KubernetesClient
    sender: Sender
    planner: Planner
    credentials: CredentialStore
    limits: RateLimits
    lookup: Lookup
    writer: StatusWriter
    settings: Settings
    clock: Callable[[], datetime]
    random: Callable[[], float]
    retry_policy: RetryPolicy = field(default_factory=RetryPolicy)
    previous_leader_stopped_at: datetime | None = None
    """Reads that were due before are made, unless a status shows their result."""

    def begin(self, previous_leader_stopped_at: datetime | None) -> None:
        """Before anything is sent, learn which accounts have to wait, and until when the leader before has read."""
        now = self.clock()
        self.previous_leader_stopped_at = min(now, previous_leader_stopped_at or now)
        for deployment in self.store:
            status = deployment.status
            if status.target is not None and _is_rate_limited(status):
                until = believed_next_attempt(status, now, self.retry_policy)
                if until is not None:
                    self.limits.block(account_of(deployment.key.namespace, status.target), MARK, until)

    async def reconcile(self, key: ObjectKey) -> Result:
        """Bring Datadog and the status of one DoraDeployment in line with its spec. Return when to do it again.

        Raises:
            KubernetesError: the API server has to be asked again; nothing is lost.
        """
        try:
            result = await self._reconcile(key)
        finally:
            self.limits.admit(self.queue, self.clock())
            self.lookup.admit()
        return replace(result, priority=self.store.priority(key))

    async def _reconcile(self, key: ObjectKey) -> Result:
        entry = self.store.entry(key)
        deployment = entry.deployment if entry is not None else None
        if entry is None or deployment is None or deployment.is_deleted or await self._is_superseded(deployment):
            return Result()
        if deployment.spec is None:
            return await self._invalid(deployment)
        context = await self.planner.plan(deployment, deployment.spec)
        if context is None:
            return Result(self.clock())
        if context.source not in (context.status.source, entry.written_source):
            # Written before it is sent: a kill in between must not lose the verdict.
            await self.writer.save(deployment, replace(context.status, source=context.source))
            entry.written_source = context.source
            return Result(self.clock())
        verdict_until = deployment.created_time + VERDICT_WAIT
        if deployment.is_record and context.source is None and self.clock() < verdict_until:
            result = Result(verdict_until)  # without it, it is not known what has to be read
        elif isinstance(context.plan, Send):
            result = await self._send(context, context.plan, entry)
        else:
            result = await self._without_request(context, context.plan)
        return result

    async def _is_superseded(self, record: DoraDeployment) -> bool:
        """Delete a record that a user's resource replaces, or whose failure recovered with nothing to withdraw."""
        if not record.is_record:
            return False
        is_void = self._has_nothing_to_withdraw(record)
        if not is_void and not is_superseded(record, self.store):
            return False
        if self.settings.rollouts:  # else the operator has no permission to delete
            why = "its failure recovered" if is_void else "a user's resource follows the same revision"
            logger.info("DoraDeployment %s is deleted: %s", record.key, why)
            await self.client.delete_record(record.key, record.uid)
        return True

    def _has_nothing_to_withdraw(self, record: DoraDeployment) -> bool:
        """Return whether nothing was sent about a failure that recovered, or Datadog has no such deployment."""
        verdict, status = self.store.verdict(record), record.status
        if verdict is None or verdict.change_failure:
            return False
        is_missing = status.reason(ConditionType.READY) == Reason.DEPLOYMENT_MISSING
        is_old = verdict.time is None or verdict.time < self.clock() - WITHDRAWN_FOR
        may_be_marked = status.accepted_time is not None or any(map(_may_have_arrived, status.history or ()))
        return not may_be_marked or (is_missing and is_old)

    async def _invalid(self, deployment: DoraDeployment) -> Result:
        message = "the spec cannot be understood: apply the CRD of this version of the operator"
        status = statuses.invalid(deployment.status, message, self._status_context(deployment))
        await self.writer.save(deployment, status)
        return Result()

    async def _without_request(self, context: Context, plan: Plan) -> Result:
        assert not isinstance(plan, Send)
        status = statuses.without_request(context.status, plan, self._status_context(context.deployment, context))
        await self.writer.save(context.deployment, status)
        return Result(self.clock() + RECHECK_ALLOWED) if plan.reason is Reason.NOT_ALLOWED else Result()

    async def _send(self, context: Context, plan: Send, entry: Entry) -> Result:
        link = context.unresolved_link(plan)
        if link is not None:  # the mark never waits for its link
            plan = _with_state(plan, replace(plan.request.state, remediation=None))
        keys_changed, entry.keys_changed = entry.keys_changed, False
        forced_status = forced(context.status, context.deployment.force_sync)
        if forced_status is not None:
            entry.last_read = None  # what was read before says nothing about what is sent now
            return await self._attempt(replace(context, status=forced_status), plan)
        action = next_action(plan, context.status, context.deployment.generation, self.clock(), self.retry_policy)
        if isinstance(action, NothingDue):
            return await self._verify(context, plan, entry, link)
        if isinstance(action, WaitUntil) and not (keys_changed or _is_rate_limited(context.status)):
            if context.status.reason(ConditionType.READY) in CREDENTIAL_REASONS:
                account = account_of(context.deployment.key.namespace, plan.target)
                self.credentials.await_change(context.deployment.key, account.secret, None)
            await self.writer.save(context.deployment, context.status)
            return Result(action.until)
        if context.is_creating(plan):
            return await self._attempt_creation(context, plan)
        return await self._attempt(context, plan)

    # What Datadog has accepted is read back

    async def _verify(self, context: Context, plan: Send, entry: Entry, link: RemediationLink | None) -> Result:
        """Read back what is due, and act on what the read shows."""
        now = self.clock()
        if link is not None and entry.link_since is None:
            entry.link_since = now
        due = self._next_read(context, context.status, entry, link)
        # Written before anything is waited for: what ends during the write would not be noticed.
        settled = await self._settle(context, plan, entry, link, None)
        if due is None or due > now or not self.store.is_current(context.deployment):
            return settled
        account = account_of(context.deployment.key.namespace, plan.target)
        keys = await self.credentials.read(account.secret)
        if isinstance(keys, NoKeys):
            return Result(now + RECHECK_KEYS)
        limit = self.limits.key_of(account, keys)
        stored = await self.lookup.read(limit, keys, context.query(plan), not_before=due)
        if isinstance(stored, Result):
            return stored
        if isinstance(stored, ReadProblem) and stored.reason is Reason.READ_FORBIDDEN:
            self.credentials.await_change(context.deployment.key, account.secret, keys)
            if link is not None:  # nothing is known against the link
                return await self._attempt(context, _with_state(plan, replace(plan.request.state, remediation=link)))
            await self._settle(context, plan, entry, link, self._finding(context, plan, stored))
            return Result(now + PROBE_FORBIDDEN)
        entry.last_read = now
        return await self._act_on_read(context, plan, entry, link, stored)

    async def _act_on_read(
        self, context: Context, plan: Send, entry: Entry, link: RemediationLink | None, stored: Stored | ReadProblem
    ) -> Result:
        finding = self._finding(context, plan, stored)
        if link is not None and context.source is not None and not isinstance(stored, ReadProblem):
            row = find_link(stored, context.source, link)
            if isinstance(row, StoredDeployment):
                is_changed = context.status.reason(ConditionType.VERIFIED) == Reason.CHANGED_IN_DATADOG
                state = replace(plan.request.state, remediation=replace(link, id=row.id))
                linked = replace(plan, target=finding.target, is_link_alone=is_changed)
                return await self._attempt(context, _with_state(linked, state))
            is_over = next_link_read(entry.link_since, self.settings.read_back_schedule, entry.last_read) is None
            if is_over and finding.verification.status is ConditionStatus.TRUE:
                finding = replace(finding, verification=NOT_LINKED)
        is_replaced = finding.own_id is not None and finding.target.id is not None
        if not (finding.create or finding.resend or is_replaced):
            return await self._settle(context, plan, entry, link, finding)
        context = replace(context, status=replace(context.status, accepted=None))
        request = request_for(finding.target, plan.request.state)
        if finding.own_id is not None and not is_replaced:
            request = PatchById(finding.own_id, plan.request.state)
        delete_id = finding.own_id if is_replaced else None
        plan = replace(plan, target=finding.target, request=request, delete_id=delete_id)
        if finding.create:
            return await self._attempt_creation(context, plan, finding)
        return await self._attempt(context, plan, finding)

    async def _settle(
        self, context: Context, plan: Send, entry: Entry, link: RemediationLink | None, finding: Finding | None
    ) -> Result:
        if finding is not None:
            plan = replace(plan, target=finding.target)
        status = statuses.settled(context.status, plan, self._status_context(context.deployment, context, finding))
        await self.writer.save(context.deployment, status)
        return Result(self._next_read(context, status, entry, link))

    def _next_read(
        self, context: Context, status: DoraDeploymentStatus, entry: Entry, link: RemediationLink | None
    ) -> datetime | None:
        """Return when an accepted state is read next, for itself or for its link."""
        if not context.reads_back or status.target is None or self.previous_leader_stopped_at is None:
            return None
        schedule = self.settings.read_back_schedule
        times = [next_link_read(entry.link_since, schedule, entry.last_read)] if link is not None else []
        if status.accepted == status.desired:
            times.append(
                next_read(
                    status,
                    schedule,
                    led_until=self.previous_leader_stopped_at,
                    last_read=entry.last_read,
                    create_after=self.settings.create_after_seconds if context.on_missing is OnMissing.CREATE else None,
                )
            )
        return min((time for time in times if time is not None), default=None)

    def _finding(self, context: Context, plan: Send, stored: Stored | ReadProblem) -> Finding:
        now = self.clock()
        read = Read(
            number=reads_due(context.status, self.settings.read_back_schedule, now),
            now=now,
            created=context.deployment.created_time,
            verdict=context.source,
            creates=self._may_create(context),
        )
        return evaluate(stored, plan.target, context.status, read)

    # What is not accepted is sent

    async def _attempt_creation(self, context: Context, plan: Send, finding: Finding | None = None) -> Result:
        """Post the event of the failed revision that Datadog does not have, and mark it."""
        event = failed_event(context.source) if context.source is not None else None
        if event is None:
            return await self._attempt(context, plan, finding)
        created = with_event(plan, event, context.allowed, context.deployment.key.namespace)
        if isinstance(created, Send):
            return await self._attempt(context, created, finding)
        return await self._without_request(context, created)

    async def _attempt(self, context: Context, plan: Send, finding: Finding | None = None) -> Result:
        """Send the request if its account has keys and capacity, and it is known which deployment it is about."""
        key = context.deployment.key
        account = account_of(key.namespace, plan.target)
        keys = await self.credentials.read(account.secret)
        if isinstance(keys, NoKeys):
            self.credentials.await_change(key, account.secret, keys)
            until = self.clock() + timedelta(seconds=self.retry_policy.slowly)
            await self._postpone(context, plan, ConditionSummary(Phase.WORKING, keys.reason, keys.message), until)
            return Result(until)
        limit = self.limits.key_of(account, keys)
        postponed = self.limits.postponed(limit, EVENT if plan.event is not None else MARK, self.clock())
        if postponed is not None:
            return await self._wait_for_limit(context, plan, postponed)
        located = await self._locate(context, plan, limit, keys)
        if isinstance(located, TryAgain):
            return await self._write_outcome(context, plan, located, limit, finding)
        if isinstance(located, Refuse):
            return await self._without_request(context, located)
        if isinstance(located, Result):
            return located
        return await self._exchange(context, located, finding, limit, keys)

    async def _locate(
        self, context: Context, plan: Send, limit: RateLimitKey, keys: Keys
    ) -> Send | Refuse | TryAgain | Result:
        """Return the plan for the deployment that is meant, why there is none yet, or when to reconcile again."""
        verdict = context.source
        if verdict is None or not context.must_read(plan):
            return plan
        stored: Stored | ReadProblem | Result = NOT_READ
        if context.reads_back:
            await self.writer.save(context.deployment, context.status)  # before it waits, as in _verify
            query, not_before = context.query(plan), self.clock() - BETWEEN_LISTS
            stored = await self.lookup.read(limit, keys, query, not_before=not_before, mark_waits=True)
        if isinstance(stored, Result):
            return stored
        row = locate(stored, plan.target, verdict, plan.request.state, context.deployment.created_time)
        if isinstance(row, StoredDeployment):
            target = replace(plan.target, by=TargetKind.ID, id=row.id)
            return replace(plan, target=target, request=request_for(target, plan.request.state))
        return plan if row is None else self._without_row(context, plan, stored, row)

    def _without_row(
        self, context: Context, plan: Send, stored: Stored | ReadProblem, problem: TryAgain
    ) -> Send | Refuse | TryAgain:
        """Create the event of a failure that has no deployment, or delete it when the failure recovered."""
        if problem.reason is not Reason.DEPLOYMENT_MISSING:
            return problem
        own = find_own(stored, context.source)
        if own is not None and not plan.request.state.change_failure:
            return replace(plan, request=PatchById(own.id, plan.request.state), delete_id=own.id)
        event = failed_event(context.source)
        if event is None or not plan.request.state.change_failure or not self._may_create(context):
            return problem
        created = with_event(plan, event, context.allowed, context.deployment.key.namespace)
        return created if isinstance(created, Send | Refuse) else problem

    def _may_create(self, context: Context) -> bool:
        return may_create(context.source, context.on_missing, self.clock(), self.settings.create_after_seconds)

    async def _exchange(
        self, context: Context, plan: Send, finding: Finding | None, limit: RateLimitKey, keys: Keys
    ) -> Result:
        """Send the request and write its outcome, if no other request is about the same deployment."""
        with self.sender.lock(plan.target) as busy:
            if busy is not None:
                return busy
            if not self.store.is_current(context.deployment):
                return Result(self.clock())
            outcome = await self.sender.send(plan, limit, keys)
            if isinstance(outcome, TryAgain) and outcome.reason in CREDENTIAL_REASONS:
                key = context.deployment.key
                self.credentials.await_change(key, account_of(key.namespace, plan.target).secret, keys)
            return await self._write_outcome(context, plan, outcome, limit, finding)

    async def _write_outcome(
        self, context: Context, plan: Send, outcome: Outcome, limit: RateLimitKey, finding: Finding | None
    ) -> Result:
        status_context = self._status_context(context.deployment, context, finding)
        status = statuses.with_outcome(context.status, plan, outcome, status_context)
        if isinstance(outcome, TryAgain) and outcome.pace is Pace.AT_RESET and status.next_attempt_time is not None:
            self.limits.block(limit, EVENT if plan.event is not None else MARK, status.next_attempt_time)
        await self.writer.save(context.deployment, status)
        if status.next_attempt_time is not None or not isinstance(outcome, Accepted):
            return Result(status.next_attempt_time)
        entry = self.store.entry(context.deployment.key)
        if entry is None:
            return Result()
        is_link_due = plan.request.state.remediation is None and context.unresolved_link(context.plan) is not None
        return Result(self.clock() if is_link_due else self._next_read(context, status, entry, None))

    async def _postpone(self, context: Context, plan: Send, summary: ConditionSummary, until: datetime | None) -> None:
        status_context = self._status_context(context.deployment, context)
        status = statuses.postponed(context.status, plan, summary, until, status_context)
        await self.writer.save(context.deployment, status)

    async def _wait_for_limit(self, context: Context, plan: Send, postponed: Result) -> Result:
        is_long = postponed.at is not None and postponed.at - self.clock() > UNREPORTED_WAIT
        is_reported = _is_rate_limited(context.status) and context.status.desired == plan.request.state
        if is_long and not is_reported:
            message = "the rate limit of this account is used up; the request is sent in a later window"
            summary = ConditionSummary(Phase.WORKING, Reason.RATE_LIMITED, message)
            await self._postpone(context, plan, summary, postponed.at)
        return postponed

    def _status_context(
        self, deployment: DoraDeployment, context: Context | None = None, finding: Finding | None = None
    ) -> StatusContext:
        return StatusContext(
            generation=deployment.generation,
            now=self.clock(),
            policy=self.retry_policy,
            jitter=self.random(),
            source=context.source if context is not None else None,
            override=context.override if context is not None else None,
            finding=finding,
            reads_back=context.reads_back if context is not None else self.settings.read_back,
        )


def _may_have_arrived(attempt: HistoryEntry) -> bool:
    """Return whether Datadog may have applied a request although it has not said so."""
    is_unknown = attempt.reason in {Reason.DATADOG_TIMEOUT, Reason.DATADOG_UNAVAILABLE}
    return is_unknown and attempt.http_status != HTTPStatus.SERVICE_UNAVAILABLE


def _with_state(plan: Send, state: MarkState) -> Send:
    return replace(plan, request=request_for(plan.target, state))


def _is_rate_limited(status: DoraDeploymentStatus) -> bool:
    return status.reason(ConditionType.READY) == Reason.RATE_LIMITED
