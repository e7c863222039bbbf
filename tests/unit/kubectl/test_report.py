"""The report counts what the cluster knows, and says what it does not know."""

from datetime import UTC, datetime, timedelta
from typing import Any

from dora_operator.domain.resource import DoraDeployment, parse
from kubectl_dora.report import Line, report_lines
from tests.unit.kubectl.test_backfill import facts_of, levels_of

NOW = datetime(2026, 11, 24, 12, 0, tzinfo=UTC)
SINCE = NOW - timedelta(days=30)
TAGS = {"service": "checkout", "env": "prod"}


def marked(version: str, *, failure: bool = True, days: int = 1, **status: Any) -> DoraDeployment:
    """Return a DoraDeployment of some days ago."""
    created = (NOW - timedelta(days=days)).isoformat()
    metadata = {
        "name": version,
        "namespace": "shop",
        "uid": version,
        "resourceVersion": "1",
        "creationTimestamp": created,
    }
    spec = {"deployment": TAGS | {"version": version}, "changeFailure": failure}
    return parse({"metadata": metadata, "spec": spec, "status": status})


def accepted(failure: bool = True, **more: Any) -> dict[str, Any]:  # noqa: FBT001, FBT002 - of a status
    """Return a status after a 202."""
    state = {"changeFailure": failure} | more
    return {"desired": state, "accepted": state}


def test_marks_are_counted_by_service_and_env() -> None:
    """Failures, recoveries, cleared and pending ones; those before --since are left out."""
    link = {"type": "rollback", "version": "1.0.0"}
    verified = {"type": "Verified", "status": "True", "reason": "ReadBack", "message": "", "observedGeneration": 1}
    conditions = [verified | {"lastTransitionTime": "2026-11-24T00:00:00Z"}]
    found = [
        marked("1.1.0", **accepted(remediation=link), conditions=conditions),
        marked("1.2.0"),
        marked("1.3.0", failure=False, **accepted(failure=False)),
        marked("0.9.0", days=40, **accepted()),
    ]
    (line,) = report_lines(found, (), SINCE)
    assert line == Line("checkout", "prod", None, 2, None, 1, 1, 1, 1)


def test_a_rate_needs_deployments_that_can_be_counted() -> None:
    """Versions of ReplicaSets, and how many of them are marked."""
    facts = facts_of(levels_of("canary-manual-abort"))
    template = next(iter(facts.replica_sets))["spec"]["template"]["metadata"]["labels"]
    tags = {tag: template[f"tags.datadoghq.com/{tag}"] for tag in ("service", "env")}
    (without,) = report_lines((), [facts], SINCE)
    assert (without.service, without.deployments, without.failure_rate) == (tags["service"], 2, 0.0)
    metadata = {"name": "x", "namespace": "shop", "uid": "x", "resourceVersion": "1"}
    metadata["creationTimestamp"] = "2026-11-24T00:00:00Z"
    spec = {"deployment": tags | {"version": "1.1.0"}, "changeFailure": True}
    (line,) = report_lines([parse({"metadata": metadata, "spec": spec})], [facts], SINCE)
    assert (line.deployments, line.failures, line.failure_rate) == (2, 1, 50.0)
    assert report_lines((), [facts], NOW + timedelta(days=1)) == []
