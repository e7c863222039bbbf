"""Deployment events that the operator posts itself, and the time of the return to the stable version after an abort.

Both kinds of event have deterministic ids and bodies, so that a repeated request changes nothing. Posts nothing itself.
"""

import hashlib
import re
from dataclasses import dataclass, replace
from datetime import datetime

from dora_operator.domain.rollout.identity import Unidentified
from dora_operator.domain.rollout.observation import Observation, ReplicaSet
from dora_operator.domain.rollout.verdict import RestoredVersion, Verdict, VerdictKind

ID_PREFIX = "dora-operator-"
ID_DIGEST = 40


@dataclass(frozen=True, slots=True)
class DeploymentEvent:
    """The attributes of a deployment event. Source: Datadog API reference, "Send a deployment event"."""

    deployment_id: str
    """16 to 128 characters."""
    service: str
    env: str | None
    version: str | None
    started_at: datetime
    finished_at: datetime


def waits_for_restoration(observation: Observation, verdict: Verdict) -> bool:
    """Return whether the return to the stable version after an abort is not recorded yet."""
    stable, rollout = observation.stable, observation.rollout
    is_aborted = verdict.verdict is VerdictKind.ABORTED
    is_current = rollout.abort and verdict.revision == rollout.revision
    return is_aborted and verdict.restored is None and is_current and stable is not None and _is_nameable(stable)


def restored(observation: Observation, verdict: Verdict, now: datetime) -> Verdict | None:
    """Return the verdict with the return to the stable version, once that has all its replicas again."""
    stable = observation.stable
    if verdict.time is None or stable is None or not _is_whole(observation, stable):
        return None
    identity = stable.identity
    if isinstance(identity, Unidentified) or identity.service is None:
        return None
    time = max(now.replace(microsecond=0), verdict.time)
    version = RestoredVersion(service=identity.service, env=identity.env, version=identity.version, time=time)
    return replace(verdict, restored=version)


def restoration_event(verdict: Verdict) -> DeploymentEvent | None:
    """Return the event that stands for the return to the stable version after an abort, if that is recorded."""
    if verdict.restored is None or verdict.time is None:
        return None
    return DeploymentEvent(
        deployment_id=_own_id(verdict.uid, verdict.pod_template_hash, verdict.time.isoformat()),
        service=verdict.restored.service,
        env=verdict.restored.env,
        version=verdict.restored.version,
        started_at=verdict.time,
        finished_at=verdict.restored.time,
    )


def failed_event(verdict: Verdict) -> DeploymentEvent | None:
    """Return the event of a failed revision that Datadog does not have, if its times are known.

    A revision that was promoted finished at its promotion, which the verdict does not know.
    """
    in_flight = verdict.verdict in {VerdictKind.ABORTED, VerdictKind.UNDONE}
    if not in_flight or None in (verdict.service, verdict.started_time, verdict.time):
        return None
    assert verdict.service is not None
    assert verdict.started_time is not None
    assert verdict.time is not None
    return DeploymentEvent(
        deployment_id=_own_id(verdict.uid, verdict.pod_template_hash, str(verdict.revision)),
        service=verdict.service,
        env=verdict.env,
        version=verdict.version,
        started_at=min(verdict.started_time, verdict.time),
        finished_at=verdict.time,
    )


def is_own_id(deployment_id: str) -> bool:
    """Return whether an id has the form of those made here, for a service that was checked then."""
    return re.fullmatch(rf"{ID_PREFIX}[0-9a-f]{{{ID_DIGEST}}}", deployment_id) is not None


def _own_id(*parts: str) -> str:
    return ID_PREFIX + hashlib.sha256("\n".join(parts).encode("utf-8", "surrogatepass")).hexdigest()[:ID_DIGEST]


def _is_nameable(stable: ReplicaSet) -> bool:
    return not isinstance(stable.identity, Unidentified) and stable.identity.service is not None


def _is_whole(observation: Observation, stable: ReplicaSet) -> bool:
    rollout = observation.rollout
    return rollout.abort and rollout.stable_hash != rollout.current_hash and stable.ready >= rollout.replicas
