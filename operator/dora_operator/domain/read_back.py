"""What a read of a deployment means for its mark: the condition Verified, and what to do about it.

A 202 proves that a request was well formed and authorised, nothing more. Each read compares what Datadog returns with
what was accepted. When it is read: `read_schedule`. Which deployment is meant: `lookup`.
"""

from dataclasses import dataclass, replace
from datetime import datetime

from dora_operator.domain.fields import OnMissing, RemediationLink, RemediationType
from dora_operator.domain.history.verdicts import Verdict
from dora_operator.domain.lookup import Found, find, find_last
from dora_operator.domain.outcome import Pace, TryAgain, shorten
from dora_operator.domain.posted_events import own_id
from dora_operator.domain.read_schedule import APPLIED, UNREAD
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
from dora_operator.domain.stored import ReadProblem, Stored, StoredDeployment

RESEND_READS = range(2, 5)
"""At these reads, counted from 1, a mark that was not applied is sent again."""
BY_ID = "apply a DoraDeployment with its id in spec.deployment.id, and with sourceRef"
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
    own_id: str | None = None
    """The deployment that the operator posted: where `target` has another id, the real one has appeared."""


def _unknown(reason: Reason, message: str) -> Verification:
    return Verification(ConditionStatus.UNKNOWN, reason, message)


def _false(reason: Reason, message: str) -> Verification:
    return Verification(ConditionStatus.FALSE, reason, message)


PENDING = _unknown(Reason.PENDING, "the state is read back after Datadog accepted it")
DISABLED = _unknown(Reason.DISABLED, "reading back is switched off")
NOT_LINKED = _false(
    Reason.RECOVERY_MISSING,
    "Datadog has no deployment of the remediation's version from the time of the remediation, so no link is sent: the"
    " recovery time of an older one would be negative",
)


@dataclass(frozen=True, slots=True)
class Read:
    """The circumstances of one read of one resource."""

    number: int
    """How many reads were due by then."""
    now: datetime
    created: datetime
    """Creation of the resource: a person names the deployment that had finished last then."""
    verdict: Verdict | None = None
    creates: bool = False
    """The event of a missing deployment may be posted now."""


def find_row(stored: Stored, target: Target, verdict: Verdict | None, created: datetime) -> Found:
    """Return the deployment that a resource is about: by its id, by the revision's time, or as a person means it."""
    if target.id is not None:
        return next((row for row in stored if row.id == target.id), Reason.DEPLOYMENT_MISSING)
    service, env, version = (tag or "" for tag in target.tags)
    if verdict is not None and verdict.started_time is not None:
        return find(stored, service, env, version, verdict.span)
    return find_last(stored, service, env, version, created)


def find_own(stored: Stored | ReadProblem, verdict: Verdict | None) -> StoredDeployment | None:
    """Return the event that the operator has posted for a revision."""
    if verdict is None or isinstance(stored, ReadProblem):
        return None
    return next((row for row in stored if row.id == own_id(verdict)), None)


def locate(
    stored: Stored | ReadProblem, target: Target, verdict: Verdict, state: MarkState, created: datetime
) -> StoredDeployment | TryAgain | None:
    """Return the deployment to mark or to clear by its id, or why none can be; None: by version, as nothing is read.

    By version Datadog takes the deployment that finished last. For a failure that could be a good one, so nothing is
    sent; a withdrawal by version can mark none.
    """
    named = f"{target.service} {target.version} in {target.env}"
    if isinstance(stored, ReadProblem):
        if stored.reason is Reason.READ_UNAVAILABLE:
            return TryAgain(Reason.DATADOG_UNAVAILABLE, stored.message, Pace.BACKOFF)
        if not state.change_failure or (verdict.is_first and verdict.next_started_time is None):
            return None
        message = (
            f"the failure of {named} is not marked: the version was deployed more than once, and the deployments are"
            f" not read: {stored.message}. Give the permission dora_metrics_read and switch read-back on, or {BY_ID}"
        )
        return TryAgain(Reason.AMBIGUOUS, message, Pace.INGESTION)
    found = find_row(stored, target, verdict, created)
    if isinstance(found, StoredDeployment):
        return found
    if found is Reason.AMBIGUOUS:
        message = (
            f"the failure of {named} is not marked: Datadog has several deployments of this version from the time of"
            f" revision {verdict.revision}. To mark the right one, {BY_ID}"
        )
        return TryAgain(found, message, Pace.INGESTION)
    message = (
        f"the failure of {named} is not marked: Datadog has no deployment of this version from the time of revision"
        f" {verdict.revision}. Check that deployments are sent to Datadog; onMissing: Create posts the missing event"
    )
    return TryAgain(found, message, Pace.INGESTION)


def find_link(stored: Stored, verdict: Verdict, link: RemediationLink) -> Found:
    """Return the deployment of a remediation that a workload decides: of the revision that ended the failure."""
    if verdict.remediation_span is None:
        return Reason.DEPLOYMENT_MISSING
    return find(stored, verdict.service or "", verdict.env or "", link.version or "", verdict.remediation_span)


def evaluate(stored: Stored | ReadProblem, target: Target, status: DoraDeploymentStatus, read: Read) -> Finding:
    if isinstance(stored, ReadProblem):
        return Finding(_unread(stored, status), target, status.read_back)
    accepted = status.accepted or MarkState()
    found = find_row(stored, target, read.verdict, read.created)
    own = find_own(stored, read.verdict)
    row = own if found is Reason.DEPLOYMENT_MISSING and own is not None else found
    if found is Reason.AMBIGUOUS:
        message = "several deployments have this service, env and version; none can be singled out"
        return Finding(_unknown(Reason.AMBIGUOUS, message), target, status.read_back)
    if isinstance(row, Reason):
        return _missing(target, status, read)
    verification = _compared(row, accepted, status, stored)
    return Finding(
        verification,
        target if isinstance(found, Reason) else _learnt(target, found),
        _read_back(row, read.now, status.read_back),
        resend=_is_sent_again(verification.reason, status.reason(ConditionType.VERIFIED), read.number),
        # An own event whose mark was never sent: the process ended between the two requests, and repeats both.
        create=row is own and status.created_time is None and verification.reason is Reason.NOT_APPLIED,
        own_id=own.id if own is not None else None,
    )


def _is_sent_again(reason: Reason, before: str | None, number: int) -> bool:
    """A mark that came before the deployment, or before its evaluation, may be lost: it counts as not applied.

    One that was stored is not: what is there since then is a decision of a person or of Datadog.
    """
    was_stored = before in {Reason.READ_BACK, Reason.CHANGED_IN_DATADOG}
    if number == 1 or was_stored or reason not in {Reason.NOT_APPLIED, Reason.NOT_EVALUATED}:
        return False
    is_early = before in {Reason.DEPLOYMENT_MISSING, Reason.NOT_EVALUATED}
    return is_early or reason is Reason.NOT_EVALUATED or number in RESEND_READS


def _unread(problem: ReadProblem, status: DoraDeploymentStatus) -> Verification:
    """What an earlier read has shown stays true of that time; a failed one shows nothing else."""
    before = status.condition(ConditionType.VERIFIED)
    if before is None or before.reason in UNKNOWN:
        return _unknown(problem.reason, problem.message)
    return Verification(before.status, Reason(before.reason), before.message)


def _missing(target: Target, status: DoraDeploymentStatus, read: Read) -> Finding:
    was_there = status.read_back is not None  # deleted in Datadog since: that is not undone
    is_awaited = status.created_time is not None and read.number not in RESEND_READS[1:]
    message = (
        "Datadog accepted the request and has no such deployment: check service, env and version, or that deployments"
        " are sent to Datadog; onMissing: Create posts the missing event"
    )
    create = read.creates and not was_there and not is_awaited
    return Finding(_false(Reason.DEPLOYMENT_MISSING, message), target, status.read_back, create=create)


def _compared(
    found: StoredDeployment, accepted: MarkState, status: DoraDeploymentStatus, stored: Stored
) -> Verification:
    if not found.has_mark:
        message = "Datadog's answer has no field change_failure; nothing is concluded from that"
        return _unknown(Reason.FIELDS_NOT_RETURNED, message)
    if found.change_failure is None:
        return _unknown(Reason.NOT_EVALUATED, "Datadog has not evaluated the deployment yet")
    differences = _differences(found, accepted, stored)
    if differences:
        text = shorten("; ".join(differences))
        if status.reason(ConditionType.VERIFIED) in APPLIED:
            message = f"a user, or Datadog's own detection, changed it later: {text}; nothing is sent"
            return _false(Reason.CHANGED_IN_DATADOG, message)
        return _false(Reason.NOT_APPLIED, f"Datadog stored something else: {text}")
    return _recovery(found, accepted, stored)


def _recovery(found: StoredDeployment, accepted: MarkState, stored: Stored) -> Verification:
    """The mark is as wanted. So is the number only with the wanted link, and a recovery time that follows from it."""
    link, seconds = accepted.remediation, found.recovery_time_seconds
    if link is None and found.remediation_type is not None:
        message = (
            f"Datadog has linked the {found.remediation_type} {found.remediation_id or ''} by its own rules, which no"
            " one asked for: the recovery time is Datadog's own"
        )
        return _false(Reason.REMEDIATION_BY_DATADOG, message)
    if link is not None and seconds is not None and seconds < 0:
        message = (
            f"the linked deployment finished {-seconds:g} s before the failed one: link another remediation, or none"
        )
        return _false(Reason.RECOVERY_NEGATIVE, message)
    if link is not None and seconds is None:
        message = "Datadog shows no recovery time for the link: does the linked deployment exist?"
        return _false(Reason.RECOVERY_MISSING, message)
    if link is not None and link.id is None and all(row.id != found.remediation_id for row in stored):
        return _unknown(Reason.AMBIGUOUS, "the linked deployment is not among those that were read")
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
    elif link.id is not None and found.remediation_id != link.id:
        words.append(f"remediation is {found.remediation_id or 'without an id'}")
    elif link.version is not None and link.id is None:
        versions = {row.version for row in stored if row.id == found.remediation_id and row.version}
        if versions and link.version not in versions:
            words.append(f"remediation is version {versions.pop()}")
    return words


def _learnt(target: Target, found: StoredDeployment) -> Target:
    if target.id is None:
        return replace(target, by=TargetKind.ID, id=found.id)
    if target.service is None:
        return replace(target, service=found.service, env=found.env, version=found.version)
    return target


def _read_back(found: StoredDeployment, now: datetime, before: ReadBack | None) -> ReadBack:
    """Return what was read; what was read before where nothing has changed: not even its time is written again."""
    link = None
    if found.remediation_type in set(RemediationType):
        link = RemediationLink(type=RemediationType(found.remediation_type), id=found.remediation_id)
    read = ReadBack(
        time=now.replace(microsecond=0),
        id=found.id,
        source=found.source,
        change_failure=found.change_failure,
        remediation=link,
        recovery_time_seconds=round(found.recovery_time_seconds) if found.recovery_time_seconds is not None else None,
        finished_time=found.finished_at,
    )
    return before if before is not None and replace(read, time=before.time) == before else read


def may_create(verdict: Verdict | None, on_missing: OnMissing, now: datetime, after: float) -> bool:
    """Return whether the event of a missing deployment may be posted: its revision ended long enough ago."""
    if verdict is None or on_missing is not OnMissing.CREATE or not verdict.change_failure:
        return False
    if verdict.started_time is None or verdict.ended_time is None:
        return False
    return (now - verdict.ended_time).total_seconds() >= after
