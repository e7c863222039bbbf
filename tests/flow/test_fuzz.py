"""Whatever is stored as a DoraDeployment, and whatever answers for Datadog: the operator goes on, in bounds."""

import json
from dataclasses import fields
from typing import Any

import httpx
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydantic.alias_generators import to_camel

from dora_operator.domain.reasons import Reason
from dora_operator.domain.rollout.verdict import ROLLOUT_LABEL
from dora_operator.domain.spec import DoraDeploymentSpec
from tests.support.builders import BY_ID, NOW, OTHER_ID
from tests.support.fakes import NAMESPACE, FakeCluster, FakeDatadog, Operator, running_operator

STATUS_LIMIT = 32 * 1024
CANARIES = (b"own-api", b"own-app")
REASONS = {reason.value for reason in Reason}
FUZZ = settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])

words = st.text(max_size=40) | st.sampled_from(["../../v1/other", "a/b?c=d#e", "\x00", "é", "a" * 300, "own-api"])
values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | words,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=12), inner, max_size=4),
    max_leaves=12,
)
spec_fields = [to_camel(field.name) for field in fields(DoraDeploymentSpec)]
specs = values | st.builds(
    lambda odd, deployment: {"deployment": deployment, "changeFailure": True} | odd,
    st.dictionaries(st.sampled_from(spec_fields), values, max_size=3),
    st.just(BY_ID) | st.dictionaries(st.sampled_from(["id", "service", "env", "version"]), words, max_size=4),
)
status_fields = ("conditions", "desired", "accepted", "target", "source", "history", "nextAttemptTime", "attempts")
statuses = values | st.dictionaries(st.sampled_from(status_fields), values, max_size=4)


def broken(operator: Operator, kind: str = "DoraDeployment") -> float:
    """Return how many reconciles have raised."""
    labels = {"kind": kind, "result": "broken"}
    return operator.metrics.registry.get_sample_value("dora_operator_reconciles_total", labels) or 0


def stored(spec: Any, status: Any, label: str | None) -> dict[str, Any]:
    """Return an object that got past the schema: it was stored before, or the CRD was replaced."""
    metadata = {"namespace": NAMESPACE, "name": "odd", "uid": "u-odd", "generation": 1, "resourceVersion": "900"}
    metadata |= {"creationTimestamp": NOW.isoformat(), "labels": {ROLLOUT_LABEL: label} if label else {}}
    return {"metadata": metadata, "spec": spec, "status": status}


@FUZZ
@given(specs, statuses, st.none() | words)
async def test_what_is_stored_stops_nobody(spec: Any, status: Any, label: str | None) -> None:
    """The odd object gets a status in bounds or none; its neighbour is marked; no request leaves the API's paths."""
    cluster, datadog = FakeCluster(), FakeDatadog()
    async with running_operator(cluster, datadog) as operator:
        body = stored(spec, status, label)
        key = (NAMESPACE, "odd")
        cluster.objects[key] = body  # type: ignore[index]
        operator.deployment_event("MODIFIED", body)
        await operator.settle()
        cluster.apply("neighbour", deployment={"id": OTHER_ID}, changeFailure=True)
        await operator.settle()
        await operator.pass_time(3600)
        assert broken(operator) == 0
        written = cluster.objects[key]["status"]  # type: ignore[index]
    assert f"/api/v2/dora/deployments/{OTHER_ID}" in {request.url.raw_path.decode() for request in datadog.requests}
    for request in datadog.requests:
        assert request.url.host == "api.datadoghq.com"
        assert request.url.raw_path.startswith(b"/api/v2/dora/deployments")
        assert request.url.raw_path.count(b"/") <= 5
        assert b"?" not in request.url.raw_path
    if cluster.objects[key]["metadata"]["resourceVersion"] != "900":  # type: ignore[index]
        assert len(json.dumps(written)) < STATUS_LIMIT
        (ready,) = (one for one in written["conditions"] if one["type"] == "Ready")
        assert ready["reason"] in REASONS


answers = st.builds(
    lambda code, headers, content: httpx.Response(code, headers=headers, content=content),
    st.integers(min_value=200, max_value=599),
    st.dictionaries(
        st.sampled_from(["X-RateLimit-Limit", "X-RateLimit-Remaining", "X-RateLimit-Reset", "X-RateLimit-Period"]),
        st.sampled_from(["", "0", "-1", "1e400", "nan", "99999999999999999999", "half", "1, 2"]),
    ),
    st.binary(max_size=300) | values.map(lambda value: json.dumps(value).encode()) | st.just(b"own-api" * 40),
)


@FUZZ
@given(st.lists(answers, min_size=1, max_size=6))
async def test_whatever_answers_for_datadog(script: list[httpx.Response]) -> None:
    """No answer breaks a reconcile, brings a key into a status, or counts as success unless it is a 202."""
    cluster, datadog = FakeCluster(), FakeDatadog(answers=[*script, httpx.Response(503)])
    async with running_operator(cluster, datadog) as operator:
        cluster.apply("a", changeFailure=True)
        await operator.settle()
        for _ in range(len(script) + 3):
            await operator.pass_time(7200)
        status = cluster.status("a")
        assert broken(operator) == 0
    text = json.dumps(status).encode()
    assert len(text) < STATUS_LIMIT
    assert not any(canary in text for canary in CANARIES)
    if "accepted" in status:
        assert 202 in {answer.status_code for answer in script}


FIELDS = "observedGeneration currentPodHash stableRS abort abortedAt phase conditions blueGreen canary replicas"
names = st.sampled_from([*FIELDS.split(), "selector", "workloadRef", "paused", "template", "strategy"])


def odd_rollout(spec: Any, status: Any, labels: dict[str, str]) -> dict[str, Any]:
    """Return a Rollout of which only what the API server itself writes is sure."""
    metadata = {"namespace": NAMESPACE, "name": "odd", "uid": "u-odd", "generation": 1, "resourceVersion": "900"}
    metadata |= {"creationTimestamp": NOW.isoformat(), "labels": labels, "annotations": labels}
    return {"metadata": metadata, "spec": spec, "status": status}


@FUZZ
@given(
    values | st.dictionaries(names, values),
    values | st.dictionaries(names, values),
    st.dictionaries(st.sampled_from(["rollout.argoproj.io/revision", "tags.datadoghq.com/version"]), words),
)
async def test_what_is_stored_as_a_rollout_stops_nobody(spec: Any, status: Any, labels: dict[str, str]) -> None:
    """Argo's schema forbids most of it; without that schema nothing fails either."""
    cluster, datadog = FakeCluster(), FakeDatadog()
    body = odd_rollout(spec, status, labels)
    owner = {"uid": "u-odd", "kind": "Rollout", "name": "odd", "controller": True}
    cluster.replica_sets = [body | {"metadata": body["metadata"] | {"ownerReferences": [owner]}}]
    async with running_operator(cluster, datadog) as operator:
        operator.rollouts_listed(body)
        operator.rollout_event("MODIFIED", body | {"metadata": body["metadata"] | {"resourceVersion": "901"}})
        cluster.apply("neighbour", deployment={"id": OTHER_ID}, changeFailure=True)
        await operator.settle()
        await operator.pass_time(60)
        assert broken(operator, "Rollout") == 0
    assert [request.url.path for request in datadog.requests] == [f"/api/v2/dora/deployments/{OTHER_ID}"]
