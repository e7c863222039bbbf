"""Which deployment a mark by service, env and version means when it is not sent at once.

Datadog marks the deployment of a version that finished last. At the time of a verdict that is the deployment of the
verdict. Later it may be the next deployment of the same version: a retry, or a later revision. So a late mark is sent
by the id of the deployment that a read shows, or by version where no later deployment is known.
"""

from collections.abc import Iterable
from dataclasses import replace
from datetime import datetime, timedelta

from dora_operator.domain.outcome import Pace, TryAgain
from dora_operator.domain.read_schedule import CREATE_AFTER
from dora_operator.domain.reasons import Reason
from dora_operator.domain.resource import DoraDeploymentStatus, MarkState, Target, TargetKind
from dora_operator.domain.rollout.observation import ReplicaSet, Rollout
from dora_operator.domain.rollout.verdict import Verdict, VerdictKind
from dora_operator.domain.stored import ReadProblem, Stored, StoredDeployment, find

PROMPT = timedelta(seconds=60)
"""A mark that is older than that is late. A retry takes longer until Datadog has its deployment."""
BY_ID = "apply a DoraDeployment with its id in spec.deployment.id, and with sourceRef"


def is_deployed_again(verdict: Verdict, rollout: Rollout, replica_sets: Iterable[ReplicaSet]) -> bool:
    """Return whether the Rollout has deployed the version of a verdict again since.

    A retry that is aborted, too, is no other deployment: it failed for the same reason.
    """
    numbers = [number for each in replica_sets if each.identity == verdict.identity for number in each.numbers]
    if rollout.uid != verdict.uid:
        return bool(numbers)
    is_retried = verdict.verdict is VerdictKind.ABORTED and rollout.revision == verdict.revision and not rollout.abort
    return is_retried or any(number > verdict.decided_by_revision for number in numbers)


def is_late(target: Target, state: MarkState, verdict: Verdict, now: datetime, *, is_again: bool | None) -> bool:
    """Return whether the deployment of a mark has to be found first. False without a time to find it by.

    The end of a failure is late by its nature: the promoted deployment is a later one than the marked one.
    """
    if target.id is not None or verdict.time is None:
        return False
    if state.change_failure is not verdict.change_failure:  # the spec says otherwise, at a time of its own
        return False
    return not verdict.change_failure or bool(is_again) or now - verdict.time > PROMPT


def locate(
    stored: Stored | ReadProblem, target: Target, verdict: Verdict, *, is_again: bool | None
) -> Target | TryAgain | None:
    """Return the target of a late mark, or why there is none yet.

    `is_again`: whether the cluster knows of a later deployment of the version. Where that decides and is not known
    yet (None), the result is None.
    """
    if not verdict.change_failure:
        return _marked(stored, target, verdict)
    found = stored if isinstance(stored, ReadProblem) else find(stored, target, verdict.time)
    if isinstance(found, StoredDeployment):
        return _by_id(target, found)
    if found is Reason.AMBIGUOUS:
        return TryAgain(Reason.AMBIGUOUS, _ambiguous(target, verdict), Pace.INGESTION)
    has_later = not isinstance(stored, ReadProblem) and any(each.tags == target.tags for each in stored)
    if has_later or is_again:
        return _not_yet(found, target, verdict)
    return None if is_again is None else target


def _marked(stored: Stored | ReadProblem, target: Target, verdict: Verdict) -> Target:
    """The mark may have reached another deployment than the one that finished last by now."""
    if isinstance(stored, ReadProblem) or verdict.time is None:
        return target
    marked = [each for each in stored if each.tags == target.tags and each.change_failure]
    marked = [each for each in marked if each.started_at is None or each.started_at <= verdict.time]
    return _by_id(target, marked[0]) if len(marked) == 1 else target


def _by_id(target: Target, found: StoredDeployment) -> Target:
    return replace(target, by=TargetKind.ID, id=found.id)


def _not_yet(found: ReadProblem | Reason, target: Target, verdict: Verdict) -> TryAgain:
    if not isinstance(found, ReadProblem):
        return TryAgain(Reason.DEPLOYMENT_MISSING, _missing(target, verdict), Pace.INGESTION)
    if found.reason is Reason.READ_UNAVAILABLE:
        return TryAgain(Reason.DATADOG_UNAVAILABLE, found.message, Pace.BACKOFF)
    return TryAgain(Reason.AMBIGUOUS, _unread(found, target, verdict), Pace.INGESTION)


def _named(target: Target, verdict: Verdict) -> str:
    at = verdict.time.isoformat() if verdict.time is not None else ""
    return f"the failure of {target.service} {target.version} in {target.env} at {at}"


def _ambiguous(target: Target, verdict: Verdict) -> str:
    return (
        f"{_named(target, verdict)} is not marked: Datadog has several deployments of this version that began before"
        f" it, and which one failed is not known. To mark the right one, {BY_ID}"
    )


def _missing(target: Target, verdict: Verdict) -> str:
    return (
        f"{_named(target, verdict)} is not marked: Datadog has no deployment of this version that began before it, and"
        " a later one did not fail. Check that deployments are sent to Datadog; onMissing: Create posts the missing"
        " event"
    )


def _unread(problem: ReadProblem, target: Target, verdict: Verdict) -> str:
    return (
        f"{_named(target, verdict)} is not marked: the version was deployed again since, by version Datadog would mark"
        f" the later deployment, and the deployments are not read: {problem.message}. Give the permission"
        f" dora_metrics_read and switch read-back on, or {BY_ID}"
    )


def is_missing_for_long(status: DoraDeploymentStatus, now: datetime) -> bool:
    """Return whether Datadog has not had the deployment for so long that its event may be posted."""
    newest = status.history[0] if status.history else None
    return newest is not None and newest.reason == Reason.DEPLOYMENT_MISSING and newest.time <= now - CREATE_AFTER
