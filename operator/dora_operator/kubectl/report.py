"""What the resources in the cluster say about deployments and failures, by service and env. Pure.

Datadog computes the official figures. This is what the cluster knows: it counts revisions of Rollouts, and marks.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from dora_operator.domain.resource import ConditionStatus, ConditionType, DoraDeployment, MarkState
from dora_operator.domain.rollout.identity import ById, Identity, Unidentified
from dora_operator.domain.rollout.observation import ReplicaSet, parse_replica_sets, parse_rollout
from dora_operator.kubectl.facts import RolloutFacts

UNKNOWN = "unknown"
"""Service and env of a deployment that is named by id alone."""
CANNOT_KNOW = (
    "deployments: counted from the ReplicaSets that still exist; older ones are deleted by revisionHistoryLimit",
    "deployments: those of other workloads than Argo Rollouts are not seen, so there is no rate for them",
    "rollbacks to an older version count once for each ReplicaSet, not once for each time",
    "marks: only those made by DoraDeployments; failures that Datadog detected by itself are not seen",
    "recovery times are computed by Datadog; here is only how many failures have a remediation",
)


@dataclass(frozen=True, slots=True)
class Line:
    """One service and env."""

    service: str
    env: str
    deployments: int | None
    """None: they cannot be counted."""
    failures: int
    failure_rate: float | None
    """Failures among the counted deployments, in percent."""
    recovered: int
    """Failures with a remediation."""
    cleared: int
    """Deployments that were marked and then cleared, or marked as no failure."""
    pending: int
    """Marks that Datadog has not accepted."""
    unverified: int
    """Accepted marks that were not read back."""


def report_lines(
    deployments: Sequence[DoraDeployment], rollouts: Sequence[RolloutFacts], since: datetime
) -> list[Line]:
    """Return a line for each service and env of which anything is known since then."""
    marks: defaultdict[tuple[str, str], list[DoraDeployment]] = defaultdict(list)
    for deployment in deployments:
        if marked_at(deployment) >= since:
            marks[_service_of(deployment)].append(deployment)
    counted = _counted(rollouts, since)
    return [_line(key, marks.get(key, ()), counted) for key in sorted(marks.keys() | counted.keys())]


def marked_at(deployment: DoraDeployment) -> datetime:
    """Return when the failure happened, by the best time that is known."""
    source = deployment.record or deployment.status.source
    if source is not None and source.time is not None:
        return source.time
    return deployment.created_time


def _line(
    key: tuple[str, str],
    deployments: Iterable[DoraDeployment],
    counted: Mapping[tuple[str, str], frozenset[str]],
) -> Line:
    failures = recovered = cleared = pending = unverified = 0
    versions: set[str] = set()
    for deployment in deployments:
        state = deployment.status.desired or _wanted(deployment)
        if state.change_failure:
            failures += 1
            recovered += _is_recovered(deployment, state)
            versions.add(_version_of(deployment))
        elif state.change_failure is False:
            cleared += 1
        is_accepted = deployment.status.accepted is not None and deployment.status.accepted == deployment.status.desired
        pending += not is_accepted
        unverified += is_accepted and not _is_verified(deployment)
    known = counted.get(key)
    among = len(versions & known) if known else 0
    return Line(
        service=key[0],
        env=key[1],
        deployments=len(known) if known else None,
        failures=failures,
        failure_rate=round(100 * among / len(known), 1) if known else None,
        recovered=recovered,
        cleared=cleared,
        pending=pending,
        unverified=unverified,
    )


def _wanted(deployment: DoraDeployment) -> MarkState:
    """What is desired where the operator has not acted yet."""
    source = deployment.record or deployment.status.source
    failure = deployment.spec.change_failure if deployment.spec is not None else None
    if failure is None and source is not None:
        return MarkState(change_failure=source.change_failure, remediation=source.remediation)
    return MarkState(change_failure=failure)


def _is_recovered(deployment: DoraDeployment, state: MarkState) -> bool:
    """A link that a Rollout decides is sent only after a check, so it may not be desired yet."""
    source = deployment.record or deployment.status.source
    return state.remediation is not None or (source is not None and source.remediation is not None)


def _is_verified(deployment: DoraDeployment) -> bool:
    verified = deployment.status.condition(ConditionType.VERIFIED)
    return verified is not None and verified.status is ConditionStatus.TRUE


def _service_of(deployment: DoraDeployment) -> tuple[str, str]:
    source = deployment.record or deployment.status.source
    spec = deployment.spec.deployment if deployment.spec is not None else None
    for named in (spec, source):
        if named is not None and named.service is not None and named.env is not None:
            return named.service, named.env
    return UNKNOWN, UNKNOWN


def _version_of(deployment: DoraDeployment) -> str:
    spec = deployment.spec.deployment if deployment.spec is not None else None
    if spec is not None and spec.id is not None:
        return f"id\n{spec.id}"
    return (spec.version if spec is not None else None) or ""


def _counted(rollouts: Sequence[RolloutFacts], since: datetime) -> dict[tuple[str, str], frozenset[str]]:
    """Return the deployments of each service and env: one for each pod template of another version since then."""
    found: defaultdict[tuple[str, str], set[str]] = defaultdict(set)
    for facts in rollouts:
        uid = parse_rollout(facts.rollout).uid
        for replica_set in parse_replica_sets(uid, facts.replica_sets):
            key = _service_of_identity(replica_set.identity)
            if key is not None and _is_since(replica_set, since):
                found[key].add(_version_of_identity(replica_set.identity))
    return {key: frozenset(versions) for key, versions in found.items()}


def _is_since(replica_set: ReplicaSet, since: datetime) -> bool:
    return replica_set.created_at is not None and replica_set.created_at >= since


def _service_of_identity(identity: Identity) -> tuple[str, str] | None:
    if isinstance(identity, Unidentified) or identity.service is None or identity.env is None:
        return None
    return identity.service, identity.env


def _version_of_identity(identity: Identity) -> str:
    if isinstance(identity, ById):
        return f"id\n{identity.deployment_id}"
    return "" if isinstance(identity, Unidentified) else identity.version
