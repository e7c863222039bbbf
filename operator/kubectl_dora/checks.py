"""The checks of `doctor`: gathered facts in, a finding with its evidence and fix out. Pure."""

from collections import defaultdict
from collections.abc import Callable
from datetime import datetime, timedelta

from dora_operator.domain.history.identity import LABEL_PREFIX, Identity, fix_of
from dora_operator.domain.resource import ConditionStatus, ConditionType, DoraDeployment
from kubectl_dora.account_checks import (
    check_clock,
    check_keys,
    check_rate_limit,
    check_read_permission,
    check_services,
    check_sources,
    check_write_permission,
)
from kubectl_dora.facts import identity_text
from kubectl_dora.findings import Check, Facts, Status
from kubectl_dora.output import duration, moment

TOO_LONG = timedelta(hours=1)
LEASE_SECONDS = 15
"""The duration of the operator's Lease."""


def check_crd(facts: Facts) -> Check:
    """The CRD is that of this version of the operator."""
    name, served = "crd", facts.served_fields
    fix = (
        "upgrade the chart with crds.install=true; without it, from the files of the release:"
        " kubectl apply --server-side --force-conflicts -f crds/"
    )
    if served is None:
        return Check(
            name,
            Status.FAILED,
            "the API server publishes no schema of doradeployments.dora-operator.io: the CRD is not installed",
            fix,
        )
    missing, unknown = facts.known_fields - served, served - facts.known_fields
    if missing:
        evidence = f"the cluster's CRD is older than the operator: {len(missing)} fields are missing"
        return Check(name, Status.FAILED, evidence, fix, tuple(sorted(missing)))
    if unknown:
        evidence = f"the cluster's CRD is newer than the operator: {len(unknown)} fields are unknown to it"
        return Check(name, Status.WARNING, evidence, "upgrade the operator", tuple(sorted(unknown)))
    return Check(name, Status.OK, f"v1alpha1 with all {len(served)} fields")


def check_permissions(facts: Facts) -> Check:
    """RBAC allows every request that the operator makes."""
    denied = tuple(str(permission) for permission, allowed in facts.permissions.items() if not allowed)
    whose = "the operator's ServiceAccount" if facts.is_own_login else "this login (not the operator's)"
    if not denied:
        return Check("rbac", Status.OK, f"{whose} may do all {len(facts.permissions)} things that the operator does")
    status = Status.FAILED if facts.is_own_login else Status.WARNING
    fix = "install the chart's Roles (rbac.create: true) or grant these verbs"
    return Check("rbac", status, f"{whose} may not: {', '.join(denied)}", fix, denied)


def check_scope(facts: Facts) -> Check:
    """What is watched exists."""
    settings, name = facts.settings, "scope"
    where = f"namespaces {', '.join(settings.namespaces)}" if settings.namespaces else "every namespace"
    parts = [f"watches {where}"]
    if settings.rollout_selector:
        parts.append(f"Rollouts with {settings.rollout_selector} ({facts.not_selected} others are left out)")
    evidence = ", ".join(parts)
    if facts.missing_namespaces:
        fix = f"create {', '.join(facts.missing_namespaces)}, or remove them from DORA_OPERATOR_NAMESPACES"
        return Check(name, Status.FAILED, f"{evidence}; not all of them exist", fix, facts.missing_namespaces)
    if facts.not_selected and not facts.rollouts:
        fix = "label the Rollouts, or change DORA_OPERATOR_ROLLOUT_SELECTOR"
        return Check(name, Status.WARNING, f"{evidence}: no Rollout is left", fix)
    if settings.dry_run:
        fix = "remove DORA_OPERATOR_DRY_RUN when the dry run is over"
        return Check(name, Status.WARNING, f"{evidence}; a dry run: nothing is sent", fix)
    return Check(name, Status.OK, evidence)


def check_argo(facts: Facts) -> Check:
    """Argo Rollouts is there, where it is watched."""
    if not facts.settings.rollouts:
        return Check("argo rollouts", Status.OK, "not watched (not in DORA_OPERATOR_SOURCES)")
    if facts.has_rollouts:
        return Check("argo rollouts", Status.OK, f"{len(facts.rollouts)} Rollouts are watched")
    fix = "install Argo Rollouts, or set settings.sources: []; DoraDeployments work without it"
    return Check("argo rollouts", Status.WARNING, "it is not installed in this cluster", fix)


def check_leader(facts: Facts) -> Check:
    """One replica leads."""
    lease, name = facts.lease, "leader"
    fix = "see the operator's logs: no replica holds the Lease, so nothing is written"
    if lease is None or not lease.holder:
        return Check(name, Status.FAILED, f"nobody holds the Lease {facts.settings.lease_name}", fix)
    silent = (facts.now - lease.renewed_at).total_seconds() if lease.renewed_at else float("inf")
    if silent > LEASE_SECONDS:
        since = moment(lease.renewed_at)
        return Check(name, Status.FAILED, f"{lease.holder} has not renewed the Lease since {since}", fix)
    age = duration((facts.now - lease.acquired_at).total_seconds()) if lease.acquired_at else "an unknown time"
    return Check(name, Status.OK, f"{lease.holder} for {age}, renewed {duration(silent)} ago")


def check_identity(facts: Facts) -> Check:
    """Every Rollout says which deployment it is."""
    name = "identity"
    lacking = {rollout.name: fix_of(rollout.identity) for rollout in facts.rollouts if not rollout.identity.is_known}
    if not lacking:
        return Check(name, Status.OK, f"all {len(facts.rollouts)} Rollouts can be identified")
    fix = f"set {LABEL_PREFIX}service, env and version on the pod template"
    evidence = f"{len(lacking)} of {len(facts.rollouts)} Rollouts cannot be identified"
    details = tuple(f"{rollout}: {missing}" for rollout, missing in sorted(lacking.items()))
    return Check(name, Status.WARNING, evidence, fix, details)


def check_duplicates(facts: Facts) -> Check:
    """No two Rollouts are the same deployment to Datadog."""
    name = "duplicates"
    by_deployment: defaultdict[Identity, list[str]] = defaultdict(list)
    for rollout in facts.rollouts:
        if rollout.identity.is_known:
            by_deployment[rollout.identity].append(rollout.name)
    shared = {identity_text(each): names for each, names in by_deployment.items() if len(names) > 1}
    if not shared:
        return Check(name, Status.OK, "no two Rollouts are the same deployment")
    details = tuple(f"{each}: {', '.join(names)}" for each, names in sorted(shared.items()))
    evidence = f"{len(shared)} deployments belong to several Rollouts: each counts as failed while one of them fails"
    fix = "give each Rollout its own service or env in the labels of its pod template"
    return Check(name, Status.WARNING, evidence, fix, details)


def check_resources(facts: Facts) -> Check:
    """No DoraDeployment is stalled, or fails for long."""
    name = "resources"
    stalled, failing, total = [], [], 0
    for each in facts.deployments:
        total += 1
        since = _failing_since(each)
        if _is_true(each, ConditionType.STALLED):
            stalled.append(_described(each))
        elif since is not None and facts.now - since > TOO_LONG:
            failing.append(_described(each))
    if not stalled and not failing:
        return Check(name, Status.OK, f"{total} DoraDeployments, none stalled or failing for more than an hour")
    evidence = f"{len(stalled)} of {total} DoraDeployments are stalled, {len(failing)} fail for more than an hour"
    fix = "kubectl dora explain NAME says why"
    return Check(name, Status.WARNING, evidence, fix, tuple(sorted(stalled + failing)))


def _is_true(deployment: DoraDeployment, kind: ConditionType) -> bool:
    found = deployment.status.condition(kind)
    return found is not None and found.status is ConditionStatus.TRUE


def _failing_since(deployment: DoraDeployment) -> datetime | None:
    """Since when something has been tried in vain; None where nothing is tried."""
    return deployment.status.pending_since_time if _is_true(deployment, ConditionType.RECONCILING) else None


def _described(deployment: DoraDeployment) -> str:
    ready = deployment.status.condition(ConditionType.READY)
    return f"{deployment.key}: {ready.reason if ready else 'no condition'}"


CHECKS: tuple[Callable[[Facts], Check], ...] = (
    check_keys,
    check_read_permission,
    check_write_permission,
    check_clock,
    check_rate_limit,
    check_crd,
    check_permissions,
    check_scope,
    check_argo,
    check_leader,
    check_identity,
    check_duplicates,
    check_services,
    check_sources,
    check_resources,
)
"""In the order in which they are shown."""
NEED_KEYS = (
    check_read_permission,
    check_write_permission,
    check_clock,
    check_rate_limit,
    check_services,
    check_sources,
)


def run_checks(facts: Facts) -> list[Check]:
    """Return the finding of every check; without keys nothing was asked of Datadog, and one finding says so."""
    skipped = NEED_KEYS if facts.account.no_keys else ()
    return [check(facts) for check in CHECKS if check not in skipped]
