"""The policy ownServices: which services Rollouts of a namespace run, and which resources wait for such a Rollout."""

from collections import defaultdict
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace

from dora_operator.domain.allowed import Allowed, needs_own_service
from dora_operator.domain.fields import ObjectKey
from dora_operator.domain.resource import DoraDeployment
from dora_operator.domain.spec import DoraDeploymentSpec
from dora_operator.store import RolloutStore, TrackedRollout


@dataclass(slots=True)
class OwnServices:
    """Applies the policy."""

    rollouts: RolloutStore
    requeue: Callable[[Iterable[ObjectKey]], None]
    """Reconciles resources again."""
    _refused: defaultdict[str, dict[ObjectKey, str]] = field(default_factory=lambda: defaultdict(dict))
    """The services of refused resources, by namespace."""

    def is_unknown(self, deployment: DoraDeployment, spec: DoraDeploymentSpec) -> bool:
        """Return whether a decision about a resource has to wait until the Rollouts are listed."""
        return needs_own_service(spec, deployment.status) and self.rollouts.services(deployment.key.namespace) is None

    def limit(self, allowed: Allowed, deployment: DoraDeployment, spec: DoraDeploymentSpec) -> Allowed:
        """Return what a resource may mark besides the limits of the settings."""
        if not needs_own_service(spec, deployment.status):
            return allowed
        return replace(allowed, own_services=self.rollouts.services(deployment.key.namespace))

    def note(self, deployment: DoraDeployment, *, is_refused: bool) -> None:
        """Note whether a resource is refused: it is reconciled again when a Rollout runs its service."""
        key, spec = deployment.key, deployment.spec
        if is_refused and spec is not None and spec.deployment.service is not None:
            self._refused[key.namespace][key] = spec.deployment.service
        else:
            self.forget(key)

    def forget(self, key: ObjectKey) -> None:
        """Drop a resource."""
        self._refused.get(key.namespace, {}).pop(key, None)

    def found(self, tracked: TrackedRollout) -> None:
        """Reconcile the refused resources whose service a Rollout runs."""
        refused = self._refused.get(tracked.rollout.key.namespace)
        if refused:
            self.requeue([key for key, service in refused.items() if service in tracked.services])
