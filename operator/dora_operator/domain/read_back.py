"""What Datadog really stored: when to read it back, and what an answer means for a mark.

A 202 proves that a request was well formed and authorised, nothing more. Reads follow a schedule after the time of the
202; each compares what Datadog returns with what was accepted. Knows no requests; `reconcile.read_back` makes them.
Source: Datadog API reference, "Get a list of deployment events" and "Get a deployment event".
"""

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from http import HTTPStatus
from typing import Any

from dora_operator.domain.fields import OnMissing, RemediationLink, RemediationType, is_deployment_id, is_tag
from dora_operator.domain.outcome import Answer, NoAnswer, first_words, shorten
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
from dora_operator.domain.rollout import raw

CREATE_AFTER = timedelta(minutes=15)
"""How long a deployment must be missing before its event is posted."""
DAYS_MISSING = 7
"""For how many days a missing deployment is read once a day, after the schedule."""
RESEND_READS = range(2, 5)
"""At these reads, counted from 1, a mark that was not applied is sent again."""
LONGEST_AMBIGUITY = timedelta(seconds=60)
"""A read that was due so shortly before the last process ended is made: that process may not have made it."""
UNREAD = frozenset({None, Reason.PENDING, Reason.READ_FORBIDDEN})
"""Reasons of Verified with which no read was made."""
UNKNOWN = UNREAD | {Reason.READ_UNAVAILABLE, Reason.DISABLED}
"""Reasons of Verified with which no read has shown anything."""
BEFORE_START = timedelta(minutes=10)
BEFORE_CREATION = timedelta(days=30)
"""Deployments are searched from this time before the revision, or the resource, was created."""


@dataclass(frozen=True, slots=True)
class StoredDeployment:
    """A deployment as Datadog returns it. Fields that are missing or mistyped are None."""

    id: str
    service: str | None = None
    env: str | None = None
    version: str | None = None
    started_at: datetime | None = None
    finished_at: datetime | None = None
    source: str | None = None
    has_mark: bool = False
    """Whether the answer has the field change_failure at all: absent is not false."""
    change_failure: bool | None = None
    """None: Datadog has not evaluated the deployment yet."""
    remediation_type: str | None = None
    remediation_id: str | None = None
    recovery_time_seconds: float | None = None

    @property
    def tags(self) -> tuple[str | None, str | None, str | None]:
        """Service, env and version."""
        return self.service, self.env, self.version


@dataclass(frozen=True, slots=True)
class ReadProblem:
    """Nothing could be read."""

    reason: Reason
    message: str


REFUSED = ReadProblem(Reason.READ_FORBIDDEN, "Datadog does not let these keys read deployments")


Stored = tuple[StoredDeployment, ...]
"""All deployments of a service and env in a window, or the one with an id. Empty: Datadog has none."""


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
DISABLED = Verification(ConditionStatus.UNKNOWN, Reason.DISABLED, "reading back is switched off")


def parse_answer(answer: Answer | NoAnswer) -> list[Mapping[str, Any]] | ReadProblem:
    """Return the deployments in an answer to a list or a get, or why there is none to read."""
    if isinstance(answer, NoAnswer):
        return ReadProblem(Reason.READ_UNAVAILABLE, f"Datadog could not be read: {answer.detail}")
    if answer.status == HTTPStatus.NOT_FOUND:
        return []
    if answer.status in {HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN}:
        message = (
            f"Datadog does not let these keys read deployments ({answer.status}): give the application key's owner, and"
            " its scopes, dora_metrics_read. Marks are not affected"
        )
        return ReadProblem(Reason.READ_FORBIDDEN, message)
    data = _data(answer)
    if answer.status != HTTPStatus.OK or data is None:
        words = first_words(answer.body) if answer.status != HTTPStatus.OK else "the answer has no deployments"
        return ReadProblem(Reason.READ_UNAVAILABLE, shorten(f"Datadog could not be read ({answer.status}): {words}"))
    return data


def parse_deployments(items: Iterable[Mapping[str, Any]]) -> Stored:
    """Read deployments. One without a usable id is left out."""
    return tuple(found for item in items if (found := _deployment(item)) is not None)


def _data(answer: Answer) -> list[Mapping[str, Any]] | None:
    try:
        document = json.loads(answer.body)
    except (ValueError, RecursionError):
        return None
    data = document.get("data") if isinstance(document, dict) else None
    if isinstance(data, dict):
        return [data]
    return [item for item in data if isinstance(item, dict)] if isinstance(data, list) else None


def _deployment(item: Mapping[str, Any]) -> StoredDeployment | None:
    attributes = raw.mapping(item, "attributes")
    failure, recovery = attributes.get("change_failure"), attributes.get("recovery_time_sec")
    if not is_deployment_id(item.get("id")):
        return None
    tags = {name: value for name in ("service", "env", "version") if is_tag(value := attributes.get(name))}
    return StoredDeployment(
        id=item["id"],
        **tags,
        started_at=raw.moment(attributes, "started_at"),
        finished_at=raw.moment(attributes, "finished_at"),
        source=shorten(raw.text(attributes, "source")) or None,
        has_mark="change_failure" in attributes,
        change_failure=failure if isinstance(failure, bool) else None,
        remediation_type=raw.text(attributes, "remediation", "type") or None,
        remediation_id=raw.text(attributes, "remediation", "id") or None,
        recovery_time_seconds=float(recovery) if isinstance(recovery, int | float) else None,
    )


def searched_from(created: datetime, started: datetime | None) -> datetime:
    """Return from when deployments are searched: shortly before the revision, else long before the resource."""
    return created - BEFORE_CREATION if started is None else started - BEFORE_START


def find(stored: Stored, target: Target, not_after: datetime | None) -> StoredDeployment | Reason:
    """Return the deployment that a target means, or DeploymentMissing or Ambiguous.

    One that began after the verdict is another deployment. Of several of one version it is the one that was under way
    at the verdict, else the last that had finished by then, if there is one.
    """
    if target.id is not None:
        return next((each for each in stored if each.id == target.id), Reason.DEPLOYMENT_MISSING)
    found = [each for each in stored if each.tags == target.tags]
    if not_after is not None:
        found = [each for each in found if each.started_at is None or each.started_at <= not_after]
    if len(found) > 1 and not_after is not None:
        times = [each.finished_at for each in found if each.finished_at is not None and each.finished_at <= not_after]
        under_way = [each for each in found if each.started_at is not None and each.finished_at not in times]
        last = [each for each in found if each.finished_at == max(times)] if times else found
        found = under_way or last
    if len(found) > 1:
        return Reason.AMBIGUOUS
    return found[0] if found else Reason.DEPLOYMENT_MISSING


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
    was_missing = _reason(status) == Reason.DEPLOYMENT_MISSING
    return Finding(
        verification,
        _learnt(target, found),
        _news(_read_back(found, read.now), status.read_back),
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
        if _reason(status) in {Reason.READ_BACK, Reason.CHANGED_IN_DATADOG, Reason.RECOVERY_NEGATIVE}:
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


def _news(found: ReadBack, before: ReadBack | None) -> ReadBack:
    """A read without news changes nothing, not even its time."""
    return before if before is not None and replace(found, time=before.time) == before else found


def _duplicate(stored: Stored, found: StoredDeployment) -> str | None:
    twins = [each.id for each in stored if each.id != found.id and each.tags == found.tags]
    return twins[0] if twins and None not in found.tags else None


def _reason(status: DoraDeploymentStatus) -> str | None:
    verified = status.condition(ConditionType.VERIFIED)
    return verified.reason if verified is not None else None


def is_present(status: DoraDeploymentStatus) -> bool:
    """Return whether the deployment was read back, and is not missing."""
    return status.read_back is not None and _reason(status) != Reason.DEPLOYMENT_MISSING


def is_earlier(failed: datetime | None, fixed: datetime) -> bool:
    """Return whether a link gives a recovery time that is not negative, as far as the times are known."""
    return failed is None or failed <= fixed


def next_read(
    status: DoraDeploymentStatus,
    schedule: Sequence[float],
    *,
    led_until: datetime,
    last_read: datetime | None = None,
    on_missing: OnMissing = OnMissing.WAIT,
) -> datetime | None:
    """Return the time of the next read of an accepted state, or None where no more is due.

    The times follow from the acceptance. `last_read` is known by this process; what an earlier one has read without
    news was not written, and counts as made unless it was due shortly before that one ended at `led_until`, or later.
    """
    if status.accepted is None or status.accepted_time is None:
        return None
    times = _times(status, schedule, on_missing)
    known = [time for time in (last_read, status.read_back.time if status.read_back else None) if time is not None]
    known = [time for time in known if time >= status.accepted_time]
    is_unread = not known and _reason(status) in UNREAD
    before = status.accepted_time
    for due in times:
        ambiguity = min(LONGEST_AMBIGUITY, (due - before) / 2)
        before = due
        if any(due <= time for time in known):
            continue
        if is_unread or due > led_until - ambiguity:
            return due
    return None


def reads_due(status: DoraDeploymentStatus, schedule: Sequence[float], now: datetime) -> int:
    """Return how many reads of the schedule are due by now: a late one stands for all of them."""
    since = (now - (status.accepted_time or now)).total_seconds()
    return sum(seconds <= since for seconds in schedule)


def _times(status: DoraDeploymentStatus, schedule: Sequence[float], on_missing: OnMissing) -> list[datetime]:
    assert status.accepted_time is not None
    offsets = [timedelta(seconds=seconds) for seconds in schedule]
    is_missing = _reason(status) == Reason.DEPLOYMENT_MISSING
    if is_missing and on_missing is OnMissing.CREATE:
        offsets = sorted({*offsets, CREATE_AFTER})
    if is_missing:
        offsets += [offsets[-1] + timedelta(days=day) for day in range(1, DAYS_MISSING + 1)]
    times = [status.accepted_time + offset for offset in offsets]
    is_equal = _reason(status) in {Reason.READ_BACK, Reason.CHANGED_IN_DATADOG, Reason.RECOVERY_NEGATIVE}
    return times[-1:] if is_equal else times


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
