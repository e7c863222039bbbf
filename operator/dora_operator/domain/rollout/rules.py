"""The rules that find failed revisions, and how a marked failure ends.

The table in docs/rollouts.md is the list; superseding, scaling, restarting, pausing, degrading and the first revision
have no rule.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import datetime

from dora_operator.domain.fields import OnMissing, RemediationType
from dora_operator.domain.rollout.evidence import Evidence
from dora_operator.domain.rollout.identity import ById, Unidentified, linkable
from dora_operator.domain.rollout.observation import Observation
from dora_operator.domain.rollout.timeline import Entry, Promotion, Timeline, first_after_target, key_of
from dora_operator.domain.rollout.verdict import (
    ON_MISSING_ANNOTATION,
    AbortRecovery,
    Memory,
    Policy,
    RetrySuccess,
    RollbackMarks,
    Skipped,
    SkipReason,
    Verdict,
    VerdictKind,
    link_to,
)

Finding = Verdict | Skipped


@dataclass(frozen=True, slots=True)
class RuleContext:
    """One observation together with what is known of the past."""

    observation: Observation
    timeline: Timeline
    certain: Evidence
    """What the promotions in the timeline rest on, without aborts that are only on record."""
    policy: Policy
    now: datetime
    memory: Memory

    def began_recently(self, number: int) -> bool:
        """Return whether this revision began within the lookback; when that is not known, it did not."""
        if self.memory.rollout_uid == self.observation.rollout.uid and 0 < self.memory.seen < number:
            return True
        if number == self.timeline.current.number and self.is_recent(self.observation.rollout.changed_at):
            return True
        return self.is_recent(self._began_after(number))

    def is_recent(self, at: datetime | None) -> bool:
        """Return whether a known time lies within the lookback."""
        try:
            return at is not None and at >= self.now - self.policy.lookback
        except OverflowError:
            return at is not None

    def _began_after(self, number: int) -> datetime | None:
        """A revision began no earlier than the newest ReplicaSet that existed by then."""
        created = (entry.replica_set.created_at for entry in self.timeline.entries if entry.number <= number)
        return max((each for each in created if each is not None), default=None)


@dataclass(frozen=True, slots=True)
class _Failure:
    kind: VerdictKind
    failed: Entry
    decided_by_revision: int
    time: datetime | None
    message: str


def aborted(context: RuleContext, entry: Entry) -> Iterator[Finding]:
    """Argo aborts the current revision, whatever the cause: it is marked at once."""
    rollout, stable = context.observation.rollout, context.observation.stable
    is_aborted = rollout.abort and rollout.stable_hash not in {"", rollout.current_hash}
    if entry != context.timeline.current or not is_aborted:
        return
    if rollout.aborted_at is None or context.is_recent(rollout.aborted_at):
        failure = _Failure(VerdictKind.ABORTED, entry, entry.number, rollout.aborted_at, rollout.abort_message)
        same = stable is not None and key_of(stable) == entry.key
        yield _same_as_stable(failure) if same else _finding(context, failure)


def rolled_back(context: RuleContext, entry: Entry) -> Iterator[Finding]:
    """A version older than the stable one is deployed again: one of those since its last time is marked."""
    stable = context.timeline.stable_before(entry.number)
    if stable is None or not context.timeline.is_older(entry, stable) or not context.began_recently(entry.number):
        return
    marked = _marked_by_rollback(context, entry, stable)
    message = f"revision {entry.number} goes back to the version of revision {entry.replica_set.numbers[0]}"
    failed = marked[0] if marked else stable
    failure = _Failure(VerdictKind.ROLLED_BACK, failed, entry.number, _time(context, entry), message)
    yield _finding(context, failure) if len(marked) == 1 else _unclear(failure)


def undone(context: RuleContext, entry: Entry) -> Iterator[Finding]:
    """The Rollout goes back to an older version before the newer one was promoted: nothing was redeployed."""
    former = context.timeline.at(entry.number - 1)
    if former is None or former.promotion is not Promotion.NOT_PROMOTED:
        return
    if not context.timeline.is_older(entry, former):
        return
    stable = context.timeline.stable_before(former.number)
    # A rollback that is changed to a still older version is no release that failed.
    is_release = context.timeline.is_older(stable, former) if stable else context.timeline.is_new(former)
    if is_release and context.began_recently(entry.number):
        message = f"revision {entry.number} went back to an older version before revision {former.number} was promoted"
        yield _finding(context, _Failure(VerdictKind.UNDONE, former, entry.number, _time(context, entry), message))


def reverted(context: RuleContext, entry: Entry) -> Iterator[Finding]:
    """An older version came back, and it is unknown whether the newer one was promoted: undone or rolled back.

    The newer one is marked where both would mark it; else nothing is.
    """
    former = context.timeline.at(entry.number - 1)
    if former is None or former.promotion is not Promotion.UNKNOWN or not context.timeline.is_older(entry, former):
        return
    if not context.began_recently(entry.number):
        return
    marked = _marked_by_rollback(context, entry, former)
    message = f"revision {entry.number} went back to an older version"
    failure = _Failure(VerdictKind.REVERTED, former, entry.number, _time(context, entry), message)
    is_clear = context.timeline.is_new(former) and [each.key for each in marked] == [former.key]
    yield _finding(context, failure) if is_clear else _unclear(failure)


RULES = (aborted, undone, rolled_back, reverted)
"""In this order: where two find the same deployment failed by the same cause, the first is kept."""


def failures(context: RuleContext) -> Iterator[Finding]:
    """Yield what was found, oldest cause first."""
    for entry in context.timeline.entries:
        for rule in RULES:
            yield from rule(context, entry)


def _marked_by_rollback(context: RuleContext, target: Entry, replaced: Entry) -> list[Entry]:
    if context.policy.rollback_marks is RollbackMarks.FIRST_AFTER_TARGET:
        return first_after_target(context.timeline, target)
    return [replaced]


def _time(context: RuleContext, entry: Entry) -> datetime | None:
    return context.observation.rollout.changed_at if entry == context.timeline.current else None


def _finding(context: RuleContext, failure: _Failure) -> Finding:
    """Return the verdict on a failed revision, or why there is none."""
    identity = failure.failed.replica_set.identity
    if isinstance(identity, Unidentified):
        return _skipped(SkipReason.NOT_IDENTIFIED, failure, f"{identity.problem}; {identity.fix}")
    in_flight = failure.kind in {VerdictKind.ABORTED, VerdictKind.UNDONE}
    if in_flight and _is_id_used_before(context.timeline, failure.failed):
        return _skipped(
            SkipReason.ID_ALREADY_DEPLOYED,
            failure,
            "the id in the pod template names the deployment of an earlier revision that may have succeeded",
        )
    rollout = context.observation.rollout
    return Verdict(
        name=rollout.key.name,
        uid=rollout.uid,
        revision=failure.failed.number,
        pod_template_hash=failure.failed.replica_set.pod_template_hash,
        service=identity.service,
        env=identity.env,
        version=identity.version,
        deployment_id=identity.deployment_id if isinstance(identity, ById) else None,
        verdict=failure.kind,
        decided_by_revision=failure.decided_by_revision,
        message=failure.message or None,
        time=failure.time,
        started_time=_started(failure.failed),
        on_missing=_on_missing(rollout.annotations),
    )


def _started(failed: Entry) -> datetime | None:
    """A ReplicaSet that is used again shows when its first revision began."""
    return failed.replica_set.created_at if failed.number == failed.replica_set.numbers[0] else None


def _on_missing(annotations: Mapping[str, str]) -> OnMissing | None:
    value = annotations.get(ON_MISSING_ANNOTATION)
    return OnMissing(value) if value in set(OnMissing) else None


def _skipped(reason: SkipReason, failure: _Failure, why: str) -> Skipped:
    number = failure.failed.number
    return Skipped(reason, number, failure.decided_by_revision, f"revision {number} is not marked: {why}")


def _same_as_stable(failure: _Failure) -> Finding:
    why = "the stable revision is the same deployment to Datadog, and runs well"
    return _skipped(SkipReason.SAME_AS_STABLE, failure, why)


def _unclear(failure: _Failure) -> Finding:
    why = "it is not known any more which revisions before it were promoted"
    return _skipped(SkipReason.ROLLBACK_UNCLEAR, failure, why)


def _is_id_used_before(timeline: Timeline, failed: Entry) -> bool:
    """An id names one deployment event. Run again, the same pod template has no id of its own."""
    if not isinstance(failed.replica_set.identity, ById):
        return False
    earlier = (entry for entry in timeline.entries if entry.key == failed.key and entry.number < failed.number)
    return any(entry.promotion is not Promotion.NOT_PROMOTED for entry in earlier)


def ending(context: RuleContext, verdict: Verdict) -> Verdict:
    """Return the verdict with what has happened since: promoted later, rolled back, rolled forward, or nothing yet.

    The first promotion that ends the failure counts. A revision of unknown promotion stops the search wherever it could
    have been that one.
    """
    if not _can_end(verdict):
        return verdict
    for entry in context.timeline.after(verdict.decided_by_revision - 1):
        if entry is None or _could_have_ended(context, verdict, entry):
            break
        ended = _ended_by(context, verdict, entry) if entry.promotion is Promotion.PROMOTED else None
        if ended is not None:
            return ended
    return verdict


def _can_end(verdict: Verdict) -> bool:
    return verdict.remediation is None and verdict.verdict in {
        VerdictKind.ABORTED,
        VerdictKind.UNDONE,
        VerdictKind.ROLLED_BACK,
    }


def _could_have_ended(context: RuleContext, verdict: Verdict, entry: Entry) -> bool:
    """Return whether a revision could have ended the failure, and nothing shows whether it did."""
    if verdict.verdict is not VerdictKind.ROLLED_BACK and _is_older(context, entry, verdict):
        return False
    if entry.promotion is not Promotion.PROMOTED or entry.key == verdict.identity:
        return entry.promotion is Promotion.UNKNOWN
    return _is_deployment(context, verdict, entry) is None


def _ended_by(context: RuleContext, verdict: Verdict, promoted: Entry) -> Verdict | None:
    for rule in (_promoted_later, _called_off, _rolled_back_to, _rolled_forward_to):
        ended = rule(context, verdict, promoted)
        if ended is not None:
            return ended
    return None


def _promoted_later(context: RuleContext, verdict: Verdict, promoted: Entry) -> Verdict | None:
    """The marked deployment itself was promoted."""
    if promoted.key != verdict.identity:
        return None
    return _recovered(context, verdict, promoted, f"revision {promoted.number} was promoted after all")


def _called_off(context: RuleContext, verdict: Verdict, promoted: Entry) -> Verdict | None:
    """The rollback did not complete: the version that it should have replaced is back."""
    if verdict.verdict is not VerdictKind.ROLLED_BACK or _is_deployment(context, verdict, promoted):
        return None
    message = f"the rollback of revision {verdict.decided_by_revision} was called off"
    return _recovered(context, verdict, promoted, message)


def _rolled_back_to(context: RuleContext, verdict: Verdict, promoted: Entry) -> Verdict | None:
    """An older version replaced a promoted one."""
    if verdict.verdict is not VerdictKind.ROLLED_BACK or not _is_older(context, promoted, verdict):
        return None
    return _linked(verdict, promoted, RemediationType.ROLLBACK)


def _rolled_forward_to(context: RuleContext, verdict: Verdict, promoted: Entry) -> Verdict | None:
    """A newer version was deployed and promoted. After an abort this measures the time to the next release."""
    in_flight = verdict.verdict in {VerdictKind.ABORTED, VerdictKind.UNDONE}
    if in_flight and context.policy.abort_recovery is not AbortRecovery.NEXT_VERSION:
        return None
    is_newer = not _is_older(context, promoted, verdict) and promoted.key != verdict.identity
    if not is_newer or not _is_deployment(context, verdict, promoted):
        return None
    return _linked(verdict, promoted, RemediationType.ROLLFORWARD)


def _is_deployment(context: RuleContext, verdict: Verdict, promoted: Entry) -> bool | None:
    """Distinguish a promotion from a return to the revision that was stable all the time; None: not known."""
    is_rollback = verdict.verdict is VerdictKind.ROLLED_BACK and promoted.number == verdict.decided_by_revision
    if context.timeline.is_new(promoted) or is_rollback:
        return True
    stable = context.timeline.stable_before(promoted.number)
    return None if stable is None else stable.key != promoted.key


def _is_older(context: RuleContext, entry: Entry, verdict: Verdict) -> bool:
    ages = [each.number for each in context.timeline.entries if each.key == verdict.identity]
    return context.timeline.first_seen(entry.key) < min(ages, default=verdict.revision)


def _recovered(context: RuleContext, verdict: Verdict, promoted: Entry, message: str) -> Verdict:
    if context.policy.retry_success is RetrySuccess.KEEP:
        return replace(verdict, verdict=VerdictKind.KEPT)
    return replace(
        verdict,
        verdict=VerdictKind.RECOVERED,
        revision=promoted.number,
        decided_by_revision=promoted.number,
        time=_time(context, promoted),
        message=message,
    )


def _linked(verdict: Verdict, promoted: Entry, kind: RemediationType) -> Verdict:
    identity = promoted.replica_set.identity
    if isinstance(identity, Unidentified) or not linkable(verdict.identity, identity):
        return verdict
    return replace(verdict, remediation=link_to(kind, identity))
