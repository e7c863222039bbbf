"""A verdict in the words of a DoraDeployment's status, and back: the record of those that a user wrote.

The operator never edits a spec of a user's. What the Rollout decided stands in `status.rollout`, from where it is both
followed and remembered.
"""

from dora_operator.domain.observed import MarkState, RemediationLink, RolloutObservation
from dora_operator.domain.plan import Opinion
from dora_operator.domain.rollout.identity import ById, ByVersion, Identified
from dora_operator.domain.rollout.verdict import Kind, Remediation, RemediationType, Verdict
from dora_operator.domain.spec import DoraDeploymentSpec
from dora_operator.domain.spec import RemediationType as SpecRemediationType


def to_status(rollout: str, verdict: Verdict) -> RolloutObservation:
    """Return what status.rollout shall say."""
    identity = verdict.identity
    return RolloutObservation(
        name=rollout,
        uid=verdict.rollout_uid,
        revision=verdict.revision,
        pod_template_hash=verdict.pod_template_hash,
        service=identity.service,
        env=identity.env,
        version=identity.version,
        deployment_id=identity.deployment_id if isinstance(identity, ById) else None,
        cause=verdict.cause,
        verdict=verdict.kind.value,
        remediation=_link(verdict.remediation),
        message=verdict.message or None,
        at=verdict.at,
        restored_at=verdict.restored_at,
    )


def to_verdict(observed: RolloutObservation | None) -> Verdict | None:
    """Return the verdict that status.rollout remembers, or None where it has none that can be read."""
    if observed is None or observed.verdict not in {kind.value for kind in Kind}:
        return None
    identity = _identity(observed)
    if identity is None or observed.revision is None or observed.cause is None:
        return None
    return Verdict(
        rollout_uid=observed.uid or "",
        pod_template_hash=observed.pod_template_hash or "",
        identity=identity,
        kind=Kind(observed.verdict),
        revision=observed.revision,
        cause=observed.cause,
        at=observed.at,
        message=observed.message or "",
        remediation=_remediation(observed.remediation),
        restored_at=observed.restored_at,
    )


def opinion_of(verdict: Verdict) -> Opinion:
    """Return what the verdict asks of Datadog."""
    state = MarkState(change_failure=verdict.change_failure, remediation=_link(verdict.remediation))
    return Opinion(state, verdict.rollout_uid, verdict.revision, verdict.kind.value)


def follows(spec: DoraDeploymentSpec, verdict: Verdict) -> bool:
    """Tell whether a DoraDeployment with a rolloutRef means the version that this verdict is about."""
    if spec.rollout_ref is None:
        return False
    identity, chosen = verdict.identity, spec.deployment
    if isinstance(identity, ById) and chosen.id is not None:
        return identity.deployment_id == chosen.id
    return identity.version is not None and identity.version == (spec.rollout_ref.version or chosen.version)


def _identity(observed: RolloutObservation) -> Identified | None:
    service, env, version = observed.service, observed.env, observed.version
    if observed.deployment_id is not None:
        return ById(observed.deployment_id, service, env, version)
    if service is None or env is None or version is None:
        return None
    return ByVersion(service, env, version)


def _link(remediation: Remediation | None) -> RemediationLink | None:
    if remediation is None:
        return None
    kind = SpecRemediationType(remediation.type.value)
    return RemediationLink(type=kind, id=remediation.deployment_id, version=remediation.version)


def _remediation(link: RemediationLink | None) -> Remediation | None:
    return None if link is None else Remediation(RemediationType(link.type.value), link.id, link.version)
