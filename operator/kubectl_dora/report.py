"""`kubectl dora report`: what the resources in the cluster say about deployments and failures, by service and env.

Datadog computes the official figures. This is what the cluster knows: it counts revisions of Rollouts, and marks.
"""

import asyncio
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, fields
from datetime import datetime, timedelta

from dora_operator.domain.rollout.identity import ById, Identified, Unidentified
from dora_operator.domain.rollout.observation import parse_replica_sets, parse_rollout

from dora_operator.domain.resource import ConditionStatus, ConditionType, DoraDeployment, MarkState
from dora_operator.reconcile.records import verdict_of
from kubectl_dora import gather, output
from kubectl_dora.cluster import now, open_cluster
from kubectl_dora.facts import RolloutFacts
from kubectl_dora.options import Options

Service = tuple[str, str]
UNKNOWN = ("unknown", "unknown")
"""Service and env of a deployment that is named by id alone."""
CANNOT_KNOW = (
    "deployments: counted from the ReplicaSets that still exist; older ones are deleted by revisionHistoryLimit",
    "deployments: those of other workloads than Argo Rollouts are not seen, so there is no rate for them",
    "rollbacks to an older version count once for each ReplicaSet, not once for each time",
    "marks: only those made by DoraDeployments; failures that Datadog detected by itself are not seen",
    "recovery times are computed by Datadog; here is only how many failures have a remediation",
)


@dataclass(slots=True)
class Line:
    """One service and env."""

    service: str
    env: str
    deployments: int | None = None
    """None: they cannot be counted."""
    failures: int = 0
    failure_rate: float | None = None
    """Failures among the counted deployments, in percent."""
    recovered: int = 0
    """Failures with a remediation."""
    cleared: int = 0
    """Deployments that were marked and then cleared, or marked as no failure."""
    pending: int = 0
    """Marks that Datadog has not accepted."""
    unverified: int = 0
    """Accepted marks that were not read back."""


def run(options: Options, since: timedelta) -> None:
    """Print the report."""
    lines = asyncio.run(_read(options, now() - since))
    names = [field.name for field in fields(Line)]
    rows = [[getattr(line, name) for name in names] for line in lines]
    if options.output == output.CSV:
        output.show_csv(names, rows)
    elif options.output is not None:
        output.show_document({"services": lines, "cannotKnow": CANNOT_KNOW}, options.output)
    else:
        shown = [[*row[:4], None if row[4] is None else f"{row[4]:g} %", *row[5:]] for row in rows]
        output.show_table([name.replace("_", " ") for name in names], shown)
        output.show_lines(["", "What this cannot know:", *(f"  - {each}" for each in CANNOT_KNOW)])


async def _read(options: Options, since: datetime) -> list[Line]:
    async with open_cluster(options) as cluster:
        facts = await gather.read_all(cluster, None if options.all_namespaces else cluster.namespace)
    return report_lines(tuple(facts.store), facts.rollouts, since)


def report_lines(
    deployments: Sequence[DoraDeployment], rollouts: Sequence[RolloutFacts], since: datetime
) -> list[Line]:
    """Return a line for each service and env of which anything is known since then."""
    counted = _counted(rollouts, since)
    lines = {key: Line(*key) for key in counted}
    failed: defaultdict[Service, set[str]] = defaultdict(set)
    for deployment in deployments:
        if marked_at(deployment) < since:
            continue
        key = _service_of(deployment)
        _count(lines.setdefault(key, Line(*key)), deployment)
        if _state(deployment).change_failure:
            failed[key].add(_version_of(deployment))
    for key, known in counted.items():
        lines[key].deployments = len(known)
        lines[key].failure_rate = round(100 * len(failed[key] & known) / len(known), 1)
    return [lines[key] for key in sorted(lines)]


def marked_at(deployment: DoraDeployment) -> datetime:
    """Return when the failure happened, by the best time that is known."""
    source = verdict_of(deployment)
    return source.time if source is not None and source.time is not None else deployment.created_time


def _count(line: Line, deployment: DoraDeployment) -> None:
    status, state, source = deployment.status, _state(deployment), verdict_of(deployment)
    if state.change_failure:
        line.failures += 1
        # A link that a Rollout decides is sent only after a check, so it may not be desired yet.
        line.recovered += state.remediation is not None or (source is not None and source.remediation is not None)
    elif state.change_failure is False:
        line.cleared += 1
    is_accepted = status.accepted is not None and status.accepted == status.desired
    verified = status.condition(ConditionType.VERIFIED)
    line.pending += not is_accepted
    line.unverified += is_accepted and not (verified is not None and verified.status is ConditionStatus.TRUE)


def _state(deployment: DoraDeployment) -> MarkState:
    """Return what is desired; where the operator has not acted yet, what spec and workload say."""
    source, spec = verdict_of(deployment), deployment.spec
    if deployment.status.desired is not None:
        return deployment.status.desired
    if spec is not None and spec.change_failure is not None:
        return MarkState(change_failure=spec.change_failure)
    return MarkState(change_failure=source.change_failure, remediation=source.remediation) if source else MarkState()


def _service_of(deployment: DoraDeployment) -> Service:
    spec = deployment.spec.deployment if deployment.spec is not None else None
    for named in (spec, verdict_of(deployment)):
        if named is not None and named.service is not None and named.env is not None:
            return named.service, named.env
    return UNKNOWN


def _version_of(deployment: DoraDeployment) -> str:
    spec = deployment.spec.deployment if deployment.spec is not None else None
    return "" if spec is None else f"id\n{spec.id}" if spec.id is not None else spec.version or ""


def _counted(rollouts: Iterable[RolloutFacts], since: datetime) -> dict[Service, set[str]]:
    """Return the versions of each service and env that have a pod template since then."""
    found: defaultdict[Service, set[str]] = defaultdict(set)
    for facts in rollouts:
        for replica_set in parse_replica_sets(parse_rollout(facts.rollout).uid, facts.replica_sets):
            identity = replica_set.identity
            if isinstance(identity, Unidentified) or identity.service is None or identity.env is None:
                continue
            if replica_set.created_at is not None and replica_set.created_at >= since:
                found[identity.service, identity.env].add(_named(identity))
    return dict(found)


def _named(identity: Identified) -> str:
    return f"id\n{identity.deployment_id}" if isinstance(identity, ById) else identity.version
