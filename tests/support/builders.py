"""Short ways to make the values that many tests need. No assertions here."""

from datetime import UTC, datetime
from typing import Any

from dora_operator.domain.backoff import RetryPolicy
from dora_operator.domain.observed import DoraDeploymentStatus
from dora_operator.domain.plan import Rival, Send, Surroundings
from dora_operator.domain.planning import desired_state, make_plan
from dora_operator.domain.sites import Site
from dora_operator.domain.spec import DoraDeploymentSpec
from dora_operator.domain.status import Moment

NOW = datetime(2026, 11, 23, 12, 0, 0, tzinfo=UTC)
DEPLOYMENT_ID = "43vkaZNgiso"
OTHER_ID = "X9RMqDwK-4c"
BY_ID = {"id": DEPLOYMENT_ID}
BY_VERSION = {"service": "checkout", "env": "prod", "version": "1.5.0"}


def spec(**fields: Any) -> DoraDeploymentSpec:
    """Build a spec from API fields; by id where no deployment is given."""
    return DoraDeploymentSpec.model_validate({"deployment": BY_ID} | fields)


def surroundings(**fields: Any) -> Surroundings:
    """Build surroundings with sane defaults."""
    defaults = {"namespace": "shop", "name": "mine", "created_at": NOW, "default_site": Site.US1}
    return Surroundings(**(defaults | fields))


def rival(name: str, created_at: datetime, **fields: Any) -> Rival:
    """Build another resource for the same deployment."""
    return Rival("shop", name, created_at, desired_state(spec(**fields), None))


def send(**fields: Any) -> Send:
    """Build the plan of a spec that is to be sent."""
    plan = make_plan(spec(**({"changeFailure": True} | fields)), surroundings())
    assert isinstance(plan, Send)
    return plan


def moment(generation: int = 1, now: datetime = NOW, jitter: float = 0.5) -> Moment:
    """Build a moment."""
    return Moment(generation, now, RetryPolicy(), jitter)


def conditions(status: DoraDeploymentStatus) -> dict[str, str]:
    """Return the status of each condition."""
    return {condition.type: condition.status.value for condition in status.conditions or ()}


def reason(status: DoraDeploymentStatus) -> str:
    """Return the reason of Ready."""
    return next(condition.reason for condition in status.conditions or () if condition.type == "Ready")
