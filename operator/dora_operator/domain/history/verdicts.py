"""What Datadog should know of each failed revision, and what a person should know. Derived from the history alone.

A verdict that is not returned any more, because its revision was dropped, leaves its record as it is.
"""

from collections.abc import Iterable
from dataclasses import dataclass as plain_dataclass
from datetime import datetime
from enum import Enum

from pydantic import Field
from pydantic.dataclasses import dataclass

from dora_operator.domain.fields import ATOMIC, OnMissing, RemediationLink, RemediationType, SourceKind, Text
from dora_operator.domain.history.history import Cause, History, Revision, State, VerdictKind, is_older, last_promoted
from dora_operator.domain.history.identity import Identity, fix_of, linkable
from dora_operator.domain.history.policy import AbortRecovery, Policy, RetrySuccess
from dora_operator.domain.lookup import Span


@dataclass(frozen=True, slots=True, kw_only=True, config=ATOMIC)
class Verdict:
    """What the mark of one deployment in Datadog should be, why, and which deployment it is."""

    kind: SourceKind = Field(default=SourceKind.ROLLOUT, description="Kind of the workload.")
    name: Text = Field(description="Name of the workload.")
    uid: Text = Field(description="UID of the workload.")
    revision: int = Field(description="The revision that failed.")
    pod_template_hash: Text = Field(description="Its pod template hash.")
    service: Text | None = Field(default=None, description="Service of the revision, by its labels.")
    env: Text | None = Field(default=None, description="Environment of the revision, by its labels.")
    version: Text | None = Field(default=None, description="Version of the revision, by its labels.")
    deployment_id: Text | None = Field(default=None, description="Datadog id that the pod template names.")
    verdict: VerdictKind = Field(
        description="What became of the version: Aborted, Undone, RolledBack, DeadlineExceeded, Recovered or Kept."
    )
    cause: Cause = Field(description="Why it counted as failed: Abort, Undo, Rollback or Deadline.")
    message: Text | None = Field(default=None, description="What happened, in the workload's words where it has some.")
    time: datetime | None = Field(default=None, description="When it happened, by the times in the objects.")
    remediation: RemediationLink | None = Field(default=None, description="The deployment that ended the failure.")
    remediation_started_time: datetime | None = Field(
        default=None, description="When the remediation's revision began."
    )
    remediation_ended_time: datetime | None = Field(default=None, description="When it was promoted.")
    started_time: datetime | None = Field(default=None, description="When the revision began.")
    ended_time: datetime | None = Field(default=None, description="When it was promoted, aborted or replaced.")
    earlier_ended_time: datetime | None = Field(default=None, description="When the version's earlier revision ended.")
    next_started_time: datetime | None = Field(default=None, description="When the version's next revision began.")
    is_first: bool = Field(default=False, description="Whether the workload ran the version for the first time.")
    datadog_id: Text | None = Field(default=None, description="Id of the deployment in Datadog, once known.")
    not_before_time: datetime | None = Field(default=None, description="End of the grace of an exceeded deadline.")
    on_missing: OnMissing | None = Field(default=None, description="Wait or Create, by the workload's annotation.")

    @property
    def identity(self) -> Identity:
        return Identity(self.service, self.env, self.version, self.deployment_id)

    @property
    def span(self) -> Span:
        return Span(self.started_time, self.ended_time, self.earlier_ended_time, self.next_started_time)

    @property
    def remediation_span(self) -> Span | None:
        """When the deployment of the remediation can have been; None: not known."""
        if self.remediation is None or self.remediation_started_time is None:
            return None
        # What began before the failed deployment did not end its failure, however near it is.
        return Span(self.remediation_started_time, self.remediation_ended_time, earlier_ended=self.started_time)

    @property
    def change_failure(self) -> bool:
        return self.verdict is not VerdictKind.RECOVERED


def verdicts(history: History, policy: Policy) -> tuple[Verdict, ...]:
    """Return a verdict for each failed revision that counts, oldest revision first."""
    return tuple(
        _verdict(history, revision, policy)
        for revision in history.revisions
        if revision.failure is not None and _not_marked(history, revision) is None and _counts(revision, policy)
    )


def is_change_failure(verdict: Verdict, others: Iterable[Verdict]) -> bool:
    """Return what to send for a deployment: a failure while any workload's revision that is the same one fails.

    `others`: of every workload, this one too. Two revisions of one workload are two deployments.
    """
    return verdict.change_failure or any(o.change_failure and _is_same_deployment(verdict, o) for o in others)


def _is_same_deployment(one: Verdict, other: Verdict) -> bool:
    if one.uid == other.uid or one.identity.key != other.identity.key:
        return False
    return None in (one.datadog_id, other.datadog_id) or one.datadog_id == other.datadog_id


def _verdict(history: History, revision: Revision, policy: Policy) -> Verdict:
    failure, workload = revision.failure, history.workload
    assert failure is not None
    kind = failure.verdict
    # An abort that was taken back has no time, and was never a failure.
    if kind is VerdictKind.RECOVERED and policy.retry_success is RetrySuccess.KEEP and failure.time is not None:
        kind = VerdictKind.KEPT
    is_deadline = failure.cause is Cause.DEADLINE and failure.is_open and failure.time is not None
    span, fixed = span_of(history, revision), _fixed_by(history, revision, policy)
    return Verdict(
        kind=workload.kind,
        name=workload.name,
        uid=workload.uid,
        revision=revision.number,
        pod_template_hash=revision.pod_template_hash,
        service=revision.service,
        env=revision.env,
        version=revision.version,
        deployment_id=revision.deployment_id,
        verdict=kind,
        cause=failure.cause,
        message=failure.message,
        time=failure.time,
        remediation=_remediation(revision, fixed) if fixed is not None else None,
        remediation_started_time=fixed.started_time if fixed is not None else None,
        remediation_ended_time=fixed.ended_time if fixed is not None else None,
        started_time=span.started,
        ended_time=span.ended,
        earlier_ended_time=span.earlier_ended,
        next_started_time=span.next_started,
        is_first=not revision.redeployed,
        datadog_id=revision.datadog.id if revision.datadog else None,
        not_before_time=failure.time + policy.deadline_grace if is_deadline and failure.time else None,
    )


def span_of(history: History, revision: Revision) -> Span:
    """Return when the deployment of a revision can have been."""
    earlier, later = _neighbours(history, revision)
    earlier_ended = earlier.ended_time if earlier else None
    next_started = revision.retried_time or (later.started_time if later else None)
    return Span(revision.started_time, _failed_time(revision), earlier_ended, next_started)


def _failed_time(revision: Revision) -> datetime | None:
    """Return when the attempt ended that failed: a retry is another deployment in Datadog."""
    failure = revision.failure
    is_abort = failure is not None and failure.cause is Cause.ABORT
    if is_abort and failure is not None and failure.verdict is VerdictKind.ABORTED:
        return failure.time or revision.ended_time
    return revision.retried_time if is_abort and revision.retried_time is not None else revision.ended_time


def _neighbours(history: History, revision: Revision) -> tuple[Revision | None, Revision | None]:
    same = [r for r in history.revisions if r.key == revision.key]
    index = same.index(revision)
    return same[index - 1] if index else None, same[index + 1] if index + 1 < len(same) else None


def _fixed_by(history: History, failed: Revision, policy: Policy) -> Revision | None:
    failure = failed.failure
    if failure is None or failure.ended_by is None or failure.verdict is VerdictKind.RECOVERED:
        return None
    if failure.cause is not Cause.ROLLBACK and policy.abort_recovery is AbortRecovery.NONE:
        return None
    ended_by = (r for r in history.revisions if r.number == failure.ended_by and r.state is State.PROMOTED)
    fixed = next(ended_by, None)
    if fixed is None or not linkable(failed.identity, fixed.identity) or _is_shared_id(history, fixed):
        return None
    return fixed


def _remediation(failed: Revision, fixed: Revision) -> RemediationLink:
    kind = RemediationType.ROLLBACK if is_older(fixed, failed) else RemediationType.ROLLFORWARD
    if fixed.deployment_id is not None:
        return RemediationLink(type=kind, id=fixed.deployment_id)
    return RemediationLink(type=kind, version=fixed.version)


def _counts(revision: Revision, policy: Policy) -> bool:
    failure = revision.failure
    is_counted = failure is not None and failure.cause in policy.causes
    is_served = not policy.served or bool(revision.served) or revision.state is State.PROMOTED
    return is_counted and is_served and (policy.envs is None or revision.env in policy.envs)


class SkipReason(Enum):
    """What is not marked, and why. The words are API: reasons of Events and a label of a metric."""

    NOT_IDENTIFIED = "NotIdentified"
    SAME_AS_STABLE = "SameVersionAsStable"
    ID_ALREADY_DEPLOYED = "DeploymentIdAlreadyDeployed"
    ROLLBACK_UNCLEAR = "RollbackUnclear"
    HISTORY_GAP = "HistoryGap"


@plain_dataclass(frozen=True, slots=True)
class Skipped:
    """A revision that is not marked."""

    reason: SkipReason
    revision: int
    message: str


def notes(before: History | None, after: History) -> tuple[Skipped, ...]:
    """Return what one step of the history adds to what is not marked: each is shown once."""
    known = {(r.number, r.pod_template_hash): r for r in before.revisions} if before is not None else {}
    found = [skipped(after, r, known.get((r.number, r.pod_template_hash))) for r in after.revisions]
    if before is not None and before.revisions and before.workload == after.workload:
        found += [_gap(before, after), _unclear(before, after)]
    return tuple(note for note in found if note is not None)


def skipped(history: History, revision: Revision, before: Revision | None = None) -> Skipped | None:
    """Return why a revision that began to fail is not marked."""
    failed_before = before is not None and before.failure is not None and before.failure.cause
    if revision.failure is not None and revision.failure.cause != failed_before:
        return _not_marked(history, revision)
    is_aborted_now = revision.state is State.ABORTED and (before is None or before.state is not State.ABORTED)
    stable = last_promoted(r for r in history.revisions if r.number < revision.number)
    if not is_aborted_now or revision.failure is not None or stable is None or stable.key != revision.key:
        return None
    why = "the stable revision is the same deployment to Datadog, and runs well"
    return Skipped(SkipReason.SAME_AS_STABLE, revision.number, _message(revision, why))


def _not_marked(history: History, revision: Revision) -> Skipped | None:
    if not revision.identity.is_known:
        why = fix_of(revision.identity)
        return Skipped(SkipReason.NOT_IDENTIFIED, revision.number, _message(revision, why))
    if _is_shared_id(history, revision):
        why = f"pod templates of different versions have the id {revision.deployment_id}; give each version its own"
        return Skipped(SkipReason.NOT_IDENTIFIED, revision.number, _message(revision, why))
    is_rollback = revision.failure is not None and revision.failure.cause is Cause.ROLLBACK
    if revision.deployment_id is not None and revision.redeployed and not is_rollback:
        why = "the id in the pod template names the deployment of an earlier revision that may have succeeded"
        return Skipped(SkipReason.ID_ALREADY_DEPLOYED, revision.number, _message(revision, why))
    return None


def _is_shared_id(history: History, revision: Revision) -> bool:
    same = (r for r in history.revisions if r.deployment_id == revision.deployment_id is not None)
    return any(r.version != revision.version for r in same)


def _gap(before: History, after: History) -> Skipped | None:
    known = {r.number for r in before.revisions if r.state is not State.IN_FLIGHT}
    listed = {r.number for r in after.revisions if r.state is not State.UNKNOWN}
    first, last = before.revisions[-1].number, after.revisions[-1].number
    missed = [number for number in range(first, last) if number not in known | listed]
    if not missed:
        return None
    named = f"revision {missed[0]}" if len(missed) == 1 else f"revisions {missed[0]} to {missed[-1]}"
    why = (
        f"{named} of {after.workload.name} began or ended while the operator was away: what became of them is not known"
    )
    return Skipped(SkipReason.HISTORY_GAP, missed[-1], why)


def _unclear(before: History, after: History) -> Skipped | None:
    """Return whether a rollback began in this step and marks nothing."""
    current, stable = after.revisions[-1], last_promoted(after.revisions[:-1])
    if stable is None or current.number == before.revisions[-1].number or is_older(current, stable) is False:
        return None
    rolled_back = [r for r in after.revisions if r.failure is not None and r.failure.cause is Cause.ROLLBACK]
    is_marked = any(r.is_failing or r not in before.revisions for r in rolled_back)
    if is_marked or not current.redeployed:
        return None
    why = "it is not known which revisions before it were promoted; no revision is marked for this rollback"
    return Skipped(SkipReason.ROLLBACK_UNCLEAR, current.number, _message(stable, why))


def _message(revision: Revision, why: str) -> str:
    return f"revision {revision.number} is not marked: {why}"
