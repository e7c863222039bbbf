"""`restoredDeployment: Record`: the deployment event that stands for the return to the stable version after an abort.

First the time of the return is recorded, then the event is posted, then its link is recorded: whenever the operator is
killed, the event has the same id and the same body. Once the time is known the event is owed, whatever the Rollout does
next, until it is linked or the failure ends otherwise. Posts nothing itself.
"""

import hashlib
import re
from dataclasses import dataclass, replace
from datetime import datetime

from dora_operator.domain.fields import RemediationLink, RemediationType
from dora_operator.domain.rollout.identity import Unidentified
from dora_operator.domain.rollout.observation import Observation, ReplicaSet
from dora_operator.domain.rollout.verdict import Policy, RestoredDeployment, Verdict, VerdictKind

ID_PREFIX = "dora-operator-"
ID_DIGEST = 40


@dataclass(frozen=True, slots=True)
class Restoration:
    """The attributes of the event to post."""

    deployment_id: str
    service: str
    env: str | None
    version: str | None
    started_at: datetime
    finished_at: datetime


@dataclass(frozen=True, slots=True)
class RecordTime:
    """The stable version has all its replicas again: record the verdict with that time before anything is posted."""

    verdict: Verdict


@dataclass(frozen=True, slots=True)
class NotYet:
    """The stable version lacks replicas, or the abort has no time yet: decide again later."""


RestorationStep = Restoration | RecordTime | NotYet


def restoration_step(
    observation: Observation, verdict: Verdict, policy: Policy, now: datetime
) -> RestorationStep | None:
    """Return the next step from an abort to a linked event, or None where there is nothing to do."""
    stable = observation.stable
    if verdict.restored_time is not None and stable is not None and _is_owed(verdict, stable, policy):
        return _event(verdict, stable)
    if not waits_for_restoration(observation, verdict, policy):
        return None
    recorded = restored(observation, verdict, now)
    return NotYet() if recorded is None else RecordTime(recorded)


def waits_for_restoration(observation: Observation, verdict: Verdict, policy: Policy) -> bool:
    """Tell whether the time of the return to the stable version is wanted and not recorded yet."""
    stable, rollout = observation.stable, observation.rollout
    is_current = rollout.abort and verdict.revision == rollout.revision
    return verdict.restored_time is None and is_current and stable is not None and _is_owed(verdict, stable, policy)


def restored(observation: Observation, verdict: Verdict, now: datetime) -> Verdict | None:
    """Return the verdict with the time of the return, once the stable version has all its replicas again."""
    if verdict.time is None or not is_restored(observation):
        return None
    return replace(verdict, restored_time=max(now.replace(microsecond=0), verdict.time))


def _is_owed(verdict: Verdict, stable: ReplicaSet, policy: Policy) -> bool:
    is_wanted = policy.restored_deployment is RestoredDeployment.RECORD and verdict.verdict is VerdictKind.ABORTED
    return is_wanted and verdict.remediation is None and _is_nameable(stable)


def _is_nameable(stable: ReplicaSet) -> bool:
    return not isinstance(stable.identity, Unidentified) and stable.identity.service is not None


def _event(verdict: Verdict, stable: ReplicaSet) -> Restoration | None:
    """Return the event, or None where another version has become the stable one since."""
    identity, started_at, finished_at = stable.identity, verdict.time, verdict.restored_time
    if isinstance(identity, Unidentified) or identity.service is None or started_at is None or finished_at is None:
        return None
    if stable.numbers[0] > verdict.revision:
        return None
    return Restoration(
        deployment_id=restoration_id(verdict.uid, verdict.pod_template_hash, started_at),
        service=identity.service,
        env=identity.env,
        version=identity.version,
        started_at=started_at,
        finished_at=finished_at,
    )


def is_restored(observation: Observation) -> bool:
    """Tell whether the Rollout is aborted and its stable version has all its replicas again."""
    rollout, stable = observation.rollout, observation.stable
    return (
        stable is not None
        and rollout.abort
        and rollout.stable_hash != rollout.current_hash
        and stable.ready >= rollout.replicas
    )


def restoration_id(rollout_uid: str, pod_template_hash: str, aborted_at: datetime) -> str:
    """Return an id that Datadog takes (16 to 128 characters), the same for the same abort."""
    abort = f"{rollout_uid}\n{pod_template_hash}\n{aborted_at.isoformat()}"
    return ID_PREFIX + hashlib.sha256(abort.encode("utf-8", "surrogatepass")).hexdigest()[:ID_DIGEST]


def is_restoration_id(deployment_id: str) -> bool:
    """Tell whether an id has the form of those made here, for a service that was checked then."""
    return re.fullmatch(rf"{ID_PREFIX}[0-9a-f]{{{ID_DIGEST}}}", deployment_id) is not None


def linked(verdict: Verdict, posted: Restoration) -> Verdict:
    """Return the verdict with the link, to be recorded once Datadog has accepted the event."""
    return replace(verdict, remediation=RemediationLink(type=RemediationType.ROLLBACK, id=posted.deployment_id))
