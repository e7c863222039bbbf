"""`restoredDeployment: Record`: the deployment event that stands for the return to the stable version after an abort.

Its id is a function of what happened, so posting it again after a crash makes no second event. Posts nothing itself.
"""

import hashlib
import re
from dataclasses import dataclass, replace
from datetime import datetime

from dora_operator.domain.rollout.identity import Unidentified
from dora_operator.domain.rollout.observation import Observation
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


def restoration(
    observation: Observation, verdict: Verdict, policy: Policy, finished_at: datetime
) -> Restoration | None:
    """Return the event to post for an aborted revision, or None while there is nothing to post.

    `finished_at` is when the stable version was first seen with all its replicas, which `is_restored` tells.
    """
    stable = observation.stable
    is_wanted = policy.restored_deployment is RestoredDeployment.RECORD and verdict.kind is Kind.ABORTED
    if not is_wanted or verdict.remediation is not None or verdict.at is None or not is_restored(observation):
        return None
    if stable is None or isinstance(stable.identity, Unidentified) or stable.identity.service is None:
        return None
    return Restoration(
        deployment_id=restoration_id(verdict.rollout_uid, verdict.pod_template_hash, verdict.at),
        service=stable.identity.service,
        env=stable.identity.env,
        version=stable.identity.version,
        started_at=verdict.at,
        finished_at=max(finished_at, verdict.at),
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
