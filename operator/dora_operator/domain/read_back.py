"""What a read of a deployment means for its mark: the condition Verified, and what to do about it.

A 202 proves that a request was well formed and authorised, nothing more. Each read compares what Datadog returns with
what was accepted. When it is read: `read_schedule`. Knows no requests; `reconcile.read_back` makes them.
"""

from dataclasses import dataclass, replace
from datetime import UTC, datetime

from dora_operator.domain.fields import OnMissing, RemediationLink, RemediationType
from dora_operator.domain.outcome import shorten
from dora_operator.domain.read_schedule import APPLIED, CREATE_AFTER, UNREAD
from dora_operator.domain.reasons import Reason
from dora_operator.domain.resource import (
    ConditionStatus,
    ConditionType,
    DoraDeploymentStatus,
    MarkState,
    ReadBack,
    Target,
    TargetKind,
)
from dora_operator.domain.stored import ReadProblem, Stored, StoredDeployment, find

RESEND_READS = range(2, 5)
"""At these reads, counted from 1, a mark that was not applied is sent again."""
UNKNOWN = UNREAD | {Reason.READ_UNAVAILABLE, Reason.DISABLED}
"""Reasons of Verified with which no read has shown anything."""


@dataclass(frozen=True, slots=True)
class Verification:
    """The condition Verified."""

    status: ConditionStatus
    reason: Reason
    message: str


@dataclass(frozen=True, slots=True)
class Finding:
    """What a read means for one resource, and what to do about it."""

    verification: Verification
    target: Target
    """With the id, or the tags, that the read has shown. An id is never replaced by another."""
    read_back: ReadBack | None = None
    resend: bool = False
    create: bool = False
    duplicate_id: str | None = None
    """Another deployment of the same version, beside the one that the operator created."""


PENDING = Verification(ConditionStatus.UNKNOWN, Reason.PENDING, "the state is read back after Datadog accepted it")
NEGATIVE = Verification(
    ConditionStatus.FALSE,
    Reason.RECOVERY_NEGATIVE,
    "every deployment of the remediation's version finished before the failed one, so no link is sent: Datadog would"
    " compute a negative recovery time",
)
DISABLED = Verification(ConditionStatus.UNKNOWN, Reason.DISABLED, "reading back is switched off")


@dataclass(frozen=True, slots=True)
class Read:
    """The circumstances of one read of one resource."""

    number: int
    """How many reads were due by then."""
    now: datetime
    on_missing: OnMissing = OnMissing.WAIT
    can_create: bool = False
    """Start and finish of the failed revision are known."""
    not_after: datetime | None = None
    """When the verdict happened."""


def evaluate(stored: Stored | ReadProblem, target: Target, status: DoraDeploymentStatus, read: Read) -> Finding:
    """Return what a read means for a state that Datadog has accepted."""
    accepted = status.accepted or MarkState()
    if isinstance(stored, ReadProblem):
        return Finding(_unread(stored, status), target, status.read_back)
    found = find(stored, target, read.not_after)
    if found is Reason.AMBIGUOUS:
        message = "several deployments have this service, env and version; none can be singled out"
        return Finding(Verification(ConditionStatus.UNKNOWN, Reason.AMBIGUOUS, message), target, status.read_back)
    if isinstance(found, Reason):
        return _missing(target, status, read)
    verification = _compared(found, accepted, status, stored)
    not_applied = verification.reason is Reason.NOT_APPLIED
    was_missing = status.reason(ConditionType.VERIFIED) == Reason.DEPLOYMENT_MISSING
    return Finding(
        verification,
        _learnt(target, found),
        _kept_if_equal(_read_back(found, read.now), status.read_back),
        resend=not_applied and (read.number in RESEND_READS or (was_missing and read.number > 1)),
        duplicate_id=_duplicate(stored, found),
    )


def _unread(problem: ReadProblem, status: DoraDeploymentStatus) -> Verification:
    """What an earlier read has shown stays true of that time; a failed one shows nothing else."""
    before = status.condition(ConditionType.VERIFIED)
    if before is None or before.reason in UNKNOWN:
        return Verification(ConditionStatus.UNKNOWN, problem.reason, problem.message)
    return Verification(before.status, Reason(before.reason), before.message)


def _missing(target: Target, status: DoraDeploymentStatus, read: Read) -> Finding:
    missing_for = read.now - (status.accepted_time or read.now)
    was_there = status.read_back is not None  # deleted in Datadog since: that is not undone
    is_wanted = read.on_missing is OnMissing.CREATE and read.can_create and not was_there
    create = is_wanted and missing_for >= CREATE_AFTER
    message = (
        "Datadog accepted the request and has no such deployment: check service, env and version, or that deployments"
        " are sent to Datadog; onMissing: Create posts the missing event"
    )
    verification = Verification(ConditionStatus.FALSE, Reason.DEPLOYMENT_MISSING, message)
    return Finding(verification, target, status.read_back, create=create)


def _compared(
    found: StoredDeployment, accepted: MarkState, status: DoraDeploymentStatus, stored: Stored
) -> Verification:
    if not found.has_mark:
        message = "Datadog's answer has no field change_failure; nothing is concluded from that"
        return Verification(ConditionStatus.UNKNOWN, Reason.FIELDS_NOT_RETURNED, message)
    if found.change_failure is None:
        return Verification(
            ConditionStatus.UNKNOWN, Reason.NOT_EVALUATED, "Datadog has not evaluated the deployment yet"
        )
    differences = _differences(found, accepted, stored)
    if differences:
        text = shorten("; ".join(differences))
        if status.reason(ConditionType.VERIFIED) in APPLIED:
            message = f"a user, or Datadog's own detection, changed it later: {text}; nothing is sent"
            return Verification(ConditionStatus.FALSE, Reason.CHANGED_IN_DATADOG, message)
        return Verification(ConditionStatus.FALSE, Reason.NOT_APPLIED, f"Datadog stored something else: {text}")
    return _equal(found, accepted, status)


def _equal(found: StoredDeployment, accepted: MarkState, status: DoraDeploymentStatus) -> Verification:
    verified = status.condition(ConditionType.VERIFIED)
    if verified is not None and verified.reason == Reason.RECOVERY_NEGATIVE and accepted.remediation is None:
        # The link was left out for good: a deployment that appears later did not restore the service.
        return Verification(ConditionStatus.FALSE, Reason.RECOVERY_NEGATIVE, verified.message)
    if found.recovery_time_seconds is not None and found.recovery_time_seconds < 0:
        message = (
            f"the linked deployment finished {-found.recovery_time_seconds:g} s before the failed one: link another"
            " remediation, or none"
        )
        return Verification(ConditionStatus.FALSE, Reason.RECOVERY_NEGATIVE, message)
    return Verification(ConditionStatus.TRUE, Reason.READ_BACK, "Datadog stored exactly this state")


def _differences(found: StoredDeployment, accepted: MarkState, stored: Stored) -> list[str]:
    words = []
    if accepted.change_failure not in (None, found.change_failure):
        words.append(f"change_failure is {str(found.change_failure).lower()}")
    link = accepted.remediation
    if link is None:
        return words
    if found.remediation_type != link.type.value:
        words.append(f"remediation is {found.remediation_type or 'absent'}")
    elif link.id is not None and found.remediation_id not in (None, link.id):
        words.append(f"remediation is {found.remediation_id}")
    elif link.version is not None and link.id is None:
        versions = {each.version for each in stored if each.id == found.remediation_id and each.version}
        if versions and link.version not in versions:
            words.append(f"remediation is version {versions.pop()}")
    return words


def _learnt(target: Target, found: StoredDeployment) -> Target:
    if target.id is None:
        return replace(target, by=TargetKind.ID, id=found.id)
    if target.service is None:
        return replace(target, service=found.service, env=found.env, version=found.version)
    return target


def _read_back(found: StoredDeployment, now: datetime) -> ReadBack:
    link = None
    if found.remediation_type in set(RemediationType):
        link = RemediationLink(type=RemediationType(found.remediation_type), id=found.remediation_id)
    return ReadBack(
        time=now.replace(microsecond=0),
        id=found.id,
        source=found.source,
        change_failure=found.change_failure,
        remediation=link,
        recovery_time_seconds=round(found.recovery_time_seconds) if found.recovery_time_seconds is not None else None,
        finished_time=found.finished_at,
    )


def _kept_if_equal(found: ReadBack, before: ReadBack | None) -> ReadBack:
    """Return what was read before where nothing has changed since: not even its time is written again."""
    return before if before is not None and replace(found, time=before.time) == before else found


def _duplicate(stored: Stored, found: StoredDeployment) -> str | None:
    twins = [each.id for each in stored if each.id != found.id and each.tags == found.tags]
    return twins[0] if twins and None not in found.tags else None


@dataclass(frozen=True, slots=True)
class LinkChecked:
    """A remediation by version, as a read shows it: the id to link, or why the link would be wrong."""

    target: Target
    """The failed deployment, with the id that the read has shown."""
    deployment_id: str | None = None
    is_negative: bool = False


def check_link(stored: Stored, target: Target, link: RemediationLink, not_after: datetime | None) -> LinkChecked:
    """Return which deployment a remediation by version means: one that finished not before the failed one.

    Datadog would take the most recently finished one of the version, which may be older than the failure.
    """
    failed = find(stored, target, not_after)
    named = (target.service, target.env, link.version)
    candidates = [each for each in stored if (each.service, each.env, each.version) == named]
    if isinstance(failed, Reason) or failed.finished_at is None:
        return LinkChecked(target)
    target = _learnt(target, failed)
    # Without a later one Datadog would link an older one, from before the time that was searched, or none.
    finished = failed.finished_at
    later = [each for each in candidates if each.finished_at is not None and each.finished_at >= finished]
    if not later:
        return LinkChecked(target, is_negative=True)
    return LinkChecked(target, min(later, key=lambda each: each.finished_at or datetime.max.replace(tzinfo=UTC)).id)
