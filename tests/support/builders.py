"""Short ways to make the values that many tests need. No assertions here."""

from datetime import UTC, datetime
from typing import Any

from dora_operator.domain.fields import adapter
from dora_operator.domain.plan import Context, Rival, Send, desired_state, make_plan
from dora_operator.domain.resource import DoraDeployment, DoraDeploymentSpec, DoraDeploymentStatus, parse
from dora_operator.domain.retry import RetryPolicy
from dora_operator.domain.rollout.verdict import Verdict, VerdictKind
from dora_operator.domain.sites import Site
from dora_operator.domain.status import StatusContext

NOW = datetime(2026, 11, 23, 12, 0, 0, tzinfo=UTC)
DEPLOYMENT_ID = "43vkaZNgiso"
OTHER_ID = "X9RMqDwK-4c"
BY_ID = {"id": DEPLOYMENT_ID}
BY_VERSION = {"service": "checkout", "env": "prod", "version": "1.5.0"}


def spec(**fields: Any) -> DoraDeploymentSpec:
    """Build a spec from API fields; by id where no deployment is given."""
    built: DoraDeploymentSpec = adapter(DoraDeploymentSpec).validate_python({"deployment": BY_ID} | fields)
    return built


def deployment(
    spec: dict[str, Any] | None = None, status: Any = None, *, generation: int = 1, **metadata: Any
) -> DoraDeployment:
    """Parse a raw DoraDeployment; by id where no deployment is given."""
    own = {"namespace": "shop", "name": "mine", "uid": "uid-mine", "resourceVersion": "1", "generation": generation}
    body = {"metadata": own | {"creationTimestamp": "2026-11-23T10:00:00Z"} | metadata}
    return parse(body | {"spec": {"deployment": BY_ID} | (spec or {}), "status": status})


def verdict(**fields: Any) -> Verdict:
    """Build the verdict on an aborted revision."""
    defaults: dict[str, Any] = {
        "name": "checkout",
        "uid": "uid-1",
        "revision": 2,
        "pod_template_hash": "7bddf7c8fc",
        "verdict": VerdictKind.ABORTED,
        "decided_by_revision": 2,
    }
    return Verdict(**(defaults | (BY_VERSION if "deployment_id" not in fields else {}) | fields))


def context(**fields: Any) -> Context:
    """Build a context with sane defaults."""
    defaults = {"namespace": "shop", "name": "mine", "created_at": NOW, "default_site": Site.US1}
    return Context(**(defaults | fields))


def rival(name: str, created_at: datetime, **fields: Any) -> Rival:
    """Build another resource for the same deployment."""
    return Rival("shop", name, created_at, desired_state(spec(**fields), None))


def send(**fields: Any) -> Send:
    """Build the plan of a spec that is to be sent."""
    plan = make_plan(spec(**({"changeFailure": True} | fields)), context())
    assert isinstance(plan, Send)
    return plan


def status_context(generation: int = 1, now: datetime = NOW, jitter: float = 0.5) -> StatusContext:
    """Build what a status is made from besides the plan."""
    return StatusContext(generation, now, RetryPolicy(), jitter)


def conditions(status: DoraDeploymentStatus) -> dict[str, str]:
    """Return the status of each condition."""
    return {condition.type: condition.status.value for condition in status.conditions or ()}


def reason(status: DoraDeploymentStatus) -> str:
    """Return the reason of Ready."""
    return next(condition.reason for condition in status.conditions or () if condition.type == "Ready")
