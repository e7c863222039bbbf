"""`restoredDeployment: Record`: the deployment event that stands for the return to the stable version after an abort.

First the time of the return is written down, then the event is posted, then its link is written down: whenever the
operator is killed, the event has the same id and the same body. Once the time is known the event is owed, whatever the
Rollout does next, until it is linked or the failure ends otherwise. Posts nothing itself.
"""

import hashlib
import re
from dataclasses import dataclass, replace
from datetime import datetime

from dora_operator.domain.rollout.identity import Unidentified
from dora_operator.domain.rollout.observation import Observation, ReplicaSet
from dora_operator.domain.rollout.verdict import (
    Kind,
    Policy,
    Remediation,
    RemediationType,
    RestoredDeployment,
    Verdict,
)

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
class Back:
    """The stable version is whole again: to be written down before anything is posted."""

    verdict: Verdict


@dataclass(frozen=True, slots=True)
class OnTheWay:
    """The stable version is not whole yet, or the abort has no time yet: look again."""


Step = Restoration | Back | OnTheWay


def step_back(observation: Observation, verdict: Verdict, policy: Policy, now: datetime) -> Step | None:
    """Return what comes next on the way from an abort to a linked event, or None where there is nothing to do."""
    stable = observation.stable
    is_wanted = policy.restored_deployment is RestoredDeployment.RECORD and verdict.kind is Kind.ABORTED
    if not is_wanted or verdict.remediation is not None or stable is None or not _is_nameable(stable):
        return None
    if verdict.restored_at is not None:
        return _event(verdict, stable)
    if not observation.abort or verdict.revision != observation.revision:
        return None
    if verdict.at is None or not is_restored(observation):
        return OnTheWay()
    return Back(replace(verdict, restored_at=max(now.replace(microsecond=0), verdict.at)))


def _is_nameable(stable: ReplicaSet) -> bool:
    return not isinstance(stable.identity, Unidentified) and stable.identity.service is not None


def _event(verdict: Verdict, stable: ReplicaSet) -> Restoration | None:
    """Return the event, or None where another version has become the stable one since."""
    identity, started_at, finished_at = stable.identity, verdict.at, verdict.restored_at
    if isinstance(identity, Unidentified) or identity.service is None or started_at is None or finished_at is None:
        return None
    if stable.numbers[0] > verdict.revision:
        return None
    return Restoration(
        deployment_id=restoration_id(verdict.rollout_uid, verdict.pod_template_hash, started_at),
        service=identity.service,
        env=identity.env,
        version=identity.version,
        started_at=started_at,
        finished_at=finished_at,
    )


def is_restored(observation: Observation) -> bool:
    """Tell whether the Rollout stands aborted with its stable version whole again."""
    stable = observation.stable
    return (
        stable is not None
        and observation.abort
        and observation.stable_hash != observation.current_hash
        and stable.ready >= observation.replicas
    )


def restoration_id(rollout_uid: str, pod_template_hash: str, aborted_at: datetime) -> str:
    """Return an id that Datadog takes (16 to 128 characters), the same for the same abort."""
    told = f"{rollout_uid}\n{pod_template_hash}\n{aborted_at.isoformat()}"
    return ID_PREFIX + hashlib.sha256(told.encode("utf-8", "surrogatepass")).hexdigest()[:ID_DIGEST]


def is_restoration_id(deployment_id: str) -> bool:
    """Tell whether an id reads as one that was made here, for a service that was judged then."""
    return re.fullmatch(rf"{ID_PREFIX}[0-9a-f]{{{ID_DIGEST}}}", deployment_id) is not None


def linked(verdict: Verdict, posted: Restoration) -> Verdict:
    """Return the verdict with the link, to be recorded once Datadog has accepted the event."""
    return replace(verdict, remediation=Remediation(RemediationType.ROLLBACK, deployment_id=posted.deployment_id))
