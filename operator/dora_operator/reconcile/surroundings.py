"""Gathers from the inventory what a decision about one DoraDeployment needs besides its spec."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from pydantic import ValidationError

from dora_operator.domain.allowed import Allowed
from dora_operator.domain.backoff import RetryPolicy
from dora_operator.domain.links import claim
from dora_operator.domain.object_key import ObjectKey
from dora_operator.domain.observed import DoraDeploymentStatus
from dora_operator.domain.plan import Opinion, Rival, Surroundings
from dora_operator.domain.planning import desired_state, target_of
from dora_operator.domain.reasons import Reason
from dora_operator.domain.rollout.follow import follows, opinion_of, to_verdict
from dora_operator.domain.sites import Site
from dora_operator.domain.spec import DeploymentSelector, DoraDeploymentSpec
from dora_operator.inventory import Inventory, Known
from dora_operator.reconcile.board import record_of


@dataclass(frozen=True, slots=True)
class Options:
    """The operator's settings as far as a reconcile needs them."""

    default_site: Site
    dry_run: bool
    retry_policy: RetryPolicy
    allowed: Allowed = field(default_factory=Allowed)
    """For Namespaces without an annotation."""
    keeps_records: bool = True
    """Whether records of its own are its to delete: where Rollouts are not watched it has not the right."""


def surroundings_of(
    known: Known, spec: DoraDeploymentSpec, others: Iterable[Known], inventory: Inventory, options: Options
) -> Surroundings:
    """Return what matters for this resource besides its spec; `others` name the same deployment."""
    return Surroundings(
        namespace=known.key.namespace,
        name=known.key.name,
        created_at=known.created_at,
        default_site=options.default_site,
        dry_run=options.dry_run,
        referenced=_referenced(known.key.namespace, spec, inventory),
        rivals=tuple(_rivals(others, inventory)),
    )


def same_deployment(known: Known, spec: DoraDeploymentSpec, inventory: Inventory, default_site: Site) -> list[Known]:
    """Return the other resources that name the same Datadog deployment, and will go on to do so."""
    keys = inventory.linked(claim(known.key.namespace, target_of(spec, default_site)))
    others = [other for key in keys if key != known.key and (other := inventory.get(key)) is not None]
    return [other for other in others if not is_forerunner(other, known, spec)]


def is_forerunner(other: Known, known: Known, spec: DoraDeploymentSpec) -> bool:
    """Tell whether `other` is the operator's own record of what this user's resource follows: it will give way."""
    if other.verdict_json is None or known.verdict_json is not None or other.key.namespace != known.key.namespace:
        return False
    verdict, recorded = record_of(other), spec_of(other)
    if verdict is None:
        return False
    names = {each.rollout_ref.name if each and each.rollout_ref else None for each in (recorded, spec)}
    return len(names) == 1 and follows(spec, verdict)


def is_active(other: Known) -> bool:
    """Tell whether a resource may send something: it can be understood, does not hold back, and is allowed to."""
    wanted = spec_of(other)
    if wanted is None or other.glance.reason == Reason.NOT_ALLOWED:
        return False
    return not wanted.suspend and not wanted.dry_run


def spec_of(known: Known) -> DoraDeploymentSpec | None:
    """Return the spec, or None where it cannot be understood."""
    try:
        return DoraDeploymentSpec.model_validate_json(known.spec_json)
    except ValidationError:
        return None


def _referenced(namespace: str, spec: DoraDeploymentSpec, inventory: Inventory) -> DeploymentSelector | None:
    if spec.remediation is None or spec.remediation.deployment_ref is None:
        return None
    other = inventory.get(ObjectKey(namespace, spec.remediation.deployment_ref.name))
    other_spec = spec_of(other) if other is not None else None
    return other_spec.deployment if other_spec is not None else None


def _opinion(other: Known) -> Opinion | None:
    """What a Rollout has decided about another resource stands in its status; of our own records, in the spec."""
    try:
        rollout = DoraDeploymentStatus.model_validate_json(other.newest_status_json).rollout
    except ValidationError:
        return None
    verdict = to_verdict(rollout)
    return opinion_of(verdict) if verdict is not None else None


def _rivals(others: Iterable[Known], inventory: Inventory) -> Iterator[Rival]:
    """Resources that hold their report back, by suspend or dryRun, want nothing of Datadog and rival nobody."""
    for other in others:
        key = other.key
        wanted = spec_of(other)
        if wanted is None or not is_active(other):
            continue
        state = desired_state(wanted, _referenced(key.namespace, wanted, inventory), _opinion(other))
        yield Rival(key.namespace, key.name, other.created_at, state)
