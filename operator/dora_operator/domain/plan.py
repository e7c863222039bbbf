"""Plans: what a DoraDeployment asks for at this moment, as values.

A plan is a request with its target, or the reason why there is none. How one is found is `planning`; whether the
request was sent before is `status`.
"""

from dataclasses import dataclass, field
from datetime import datetime

from dora_operator.domain.allowed import Allowed
from dora_operator.domain.observed import MarkState, Target
from dora_operator.domain.reasons import Reason
from dora_operator.domain.request import PatchRequest
from dora_operator.domain.sites import Site
from dora_operator.domain.spec import DeploymentSelector


@dataclass(frozen=True, slots=True)
class Rival:
    """Another DoraDeployment for the same Datadog deployment."""

    namespace: str
    name: str
    created_at: datetime
    state: MarkState

    @property
    def age_order(self) -> tuple[datetime, str, str]:
        """Older first; the name decides between two of the same second."""
        return (self.created_at, self.namespace, self.name)


@dataclass(frozen=True, slots=True)
class Opinion:
    """What the Rollout says about the deployment. What stands in spec wins over it."""

    state: MarkState
    rollout_uid: str
    revision: int
    """With the uid: which deployment of the version is meant, as the same version may fail again."""
    verdict: str


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What a decision about one DoraDeployment needs besides its spec."""

    namespace: str
    name: str
    created_at: datetime
    default_site: Site
    dry_run: bool = False
    """The operator's own setting."""
    referenced: DeploymentSelector | None = None
    """spec.deployment of remediation.deploymentRef; None where that object does not exist."""
    rivals: tuple[Rival, ...] = field(default=())
    opinion: Opinion | None = None
    allowed: Allowed = field(default_factory=Allowed)
    """What this namespace may mark through the operator's own account."""


@dataclass(frozen=True, slots=True)
class Send:
    """Datadog shall know `request`."""

    request: PatchRequest
    target: Target


@dataclass(frozen=True, slots=True)
class Hold:
    """The request is known and the user wants it held back."""

    request: PatchRequest
    target: Target
    reason: Reason
    message: str


@dataclass(frozen=True, slots=True)
class Wait:
    """Something in the cluster is missing; its arrival wakes the resource. `state` is what is known so far."""

    state: MarkState
    target: Target
    reason: Reason
    message: str


@dataclass(frozen=True, slots=True)
class Refuse:
    """Only a change by the user can help."""

    state: MarkState
    target: Target
    reason: Reason
    message: str


Plan = Send | Hold | Wait | Refuse
