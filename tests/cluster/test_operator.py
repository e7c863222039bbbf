"""The whole operator as a process, on a real API server and the stand-in for Datadog."""

import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from sandbox.cluster import LocalCluster
from sandbox.datadog import StandIn
from sandbox.datadog.faults import HalfBody, Hang, Match, Reset, Respond
from sandbox.running import OperatorProcess, running_operator
from tests.support.shop import ID, Shop, eventually

pytestmark = pytest.mark.cluster

QUIET_SECONDS = 1.5
"""How long a test listens for requests that must not come."""


@pytest.fixture(scope="module")
def datadog() -> Iterator[StandIn]:
    """Return a stand-in for Datadog."""
    with StandIn() as running:
        yield running


@pytest.fixture(scope="module")
def operator(cluster: LocalCluster, datadog: StandIn) -> Iterator[OperatorProcess]:
    """Return a running operator that logs everything and does not wait long."""
    with running_operator(
        cluster,
        datadog.url,
        DORA_OPERATOR_LOG_LEVEL="DEBUG",
        DORA_OPERATOR_REQUEST_TIMEOUT_SECONDS="1.5",
    ) as running:
        yield running


@pytest.fixture
def shop(
    cluster: LocalCluster, operator: OperatorProcess, datadog: StandIn, request: pytest.FixtureRequest
) -> Iterator[Shop]:
    """Return a fresh namespace and a Datadog that nobody has asked yet."""
    name = "t-" + "".join(c if c.isalnum() else "-" for c in request.node.name.lower())[:50].strip("-")
    cluster.kubectl("create", "namespace", name)
    datadog.clear()
    yield Shop(cluster, name)
    datadog.clear_faults()
    cluster.kubectl("-n", name, "delete", "dora", "--all")
    assert operator.process.popen.poll() is None, operator.log()


def test_a_change_is_one_request_and_one_write(shop: Shop, datadog: StandIn) -> None:
    """Create and edit by kubectl: a PATCH and a status write each, and no field of the user's is touched."""
    shop.apply("checkout", changeFailure=True)
    shop.kubectl("wait", "--for=condition=Ready", "dora/checkout", "--timeout=20s")
    shop.apply("checkout", changeFailure=True, remediation={"type": "rollback", "version": "1.4.2"})
    shop.wait("checkout", "Accepted")
    first, second = datadog.wait_for_requests(2)
    assert (first.method, first.path, first.status) == ("PATCH", f"/api/v2/dora/deployments/{ID}", 202)
    assert json.loads(second.body)["data"]["attributes"] == {
        "change_failure": True,
        "remediation": {"type": "rollback", "version": "1.4.2"},
    }
    writes = shop.cluster.audited(verb="patch", resource="doradeployments", namespace=shop.namespace)
    assert len([entry for entry in writes if entry["objectRef"].get("subresource") == "status"]) == 2
    body = shop.get("checkout")
    assert "finalizers" not in body["metadata"]
    assert [name for name in body["metadata"]["annotations"] if "kubectl" not in name] == []


def test_by_service_env_and_version(shop: Shop, datadog: StandIn) -> None:
    """The sibling call, whose 202 has no body."""
    shop.apply("checkout", deployment={"service": "checkout", "env": "prod", "version": "1.5.0"}, changeFailure=True)
    status = shop.wait("checkout", "Accepted")
    (request,) = datadog.requests()
    assert request.path == "/api/v2/dora/deployments"
    assert status["target"] == {
        "by": "Version",
        "service": "checkout",
        "env": "prod",
        "version": "1.5.0",
        "site": "datadoghq.com",
    }


@pytest.mark.parametrize(
    ("what", "reason"),
    [
        pytest.param(Respond(status=503, body="upstream"), "DatadogUnavailable", id="503"),
        pytest.param(Respond(status=302, headers={"Location": "http://127.0.0.1:1/"}), "UnexpectedAnswer", id="302"),
        pytest.param(Reset(), "DatadogUnreachable", id="a reset connection"),
        pytest.param(HalfBody(), "DatadogUnreachable", id="half a body"),
        pytest.param(Hang(), "DatadogTimeout", id="no answer"),
    ],
)
def test_a_failure_is_shown_and_survived(shop: Shop, datadog: StandIn, what: Any, reason: str) -> None:
    """The reason stands in the condition while it lasts, and the report arrives when it is over."""
    datadog.fault(what, match=Match(method="PATCH"))
    shop.apply("checkout", changeFailure=True)
    status = shop.wait("checkout", reason)
    assert status["attempts"] >= 1
    assert status["nextAttemptTime"]
    datadog.clear_faults()
    shop.wait("checkout", "Accepted")
    assert {json.dumps(json.loads(request.body), sort_keys=True) for request in datadog.requests()} == {
        json.dumps(json.loads(datadog.requests()[0].body), sort_keys=True)
    }


def test_a_refused_request_is_not_repeated(shop: Shop, datadog: StandIn) -> None:
    """400 stalls the resource with Datadog's words and a Warning Event; an edit is tried at once."""
    words = {"errors": [{"status": "400", "title": "Bad Request", "detail": "no such thing"}]}
    datadog.fault(Respond(status=400, body=words), times=1)
    shop.apply("checkout", changeFailure=True)
    status = shop.wait("checkout", "RequestRejected")
    assert "no such thing" in status["lastError"]
    stalled = next(one for one in status["conditions"] if one["type"] == "Stalled")
    assert stalled["status"] == "True"
    eventually(lambda: "no such thing" in shop.kubectl("get", "events"), lambda: shop.kubectl("get", "events"))
    time.sleep(QUIET_SECONDS)
    assert len(datadog.requests()) == 1
    shop.apply("checkout", changeFailure=False)
    shop.wait("checkout", "Accepted")


def test_a_rate_limit_is_waited_for(shop: Shop, datadog: StandIn) -> None:
    """After 429 the next request comes after the reset and not before."""
    datadog.fault(Respond(status=429, headers={"X-RateLimit-Reset": "2"}), times=1)
    shop.apply("checkout", changeFailure=True)
    shop.wait("checkout", "RateLimited")
    shop.wait("checkout", "Accepted")
    refused, accepted = datadog.requests()
    assert accepted.time - refused.time >= 2


def test_a_secret_of_ones_own(shop: Shop, datadog: StandIn) -> None:
    """A missing Secret is shown, a new one used at once, a changed one with the next request."""
    shop.apply("checkout", changeFailure=True, credentialsSecretRef={"name": "mine"})
    shop.wait("checkout", "CredentialsNotFound")
    shop.kubectl("create", "secret", "generic", "mine", "--from-literal=api-key=canary-a", "--from-literal=app-key=x")
    shop.wait("checkout", "Accepted")
    changed = '{"stringData":{"api-key":"canary-b"}}'
    shop.kubectl("patch", "secret", "mine", "--type=merge", "-p", changed)
    shop.apply("checkout", changeFailure=False, credentialsSecretRef={"name": "mine"})
    shop.wait("checkout", "Accepted")
    one, other = datadog.requests()
    assert one.headers["dd-api-key"] != other.headers["dd-api-key"]


def test_forbidden_until_the_secret_changes(shop: Shop, datadog: StandIn) -> None:
    """403 names the missing permission and is not hammered; a better key is tried at once."""
    shop.kubectl("create", "secret", "generic", "mine", "--from-literal=api-key=canary-c", "--from-literal=app-key=x")
    datadog.fault(Respond(status=403, body={"errors": ["Forbidden"]}), times=1)
    shop.apply("checkout", changeFailure=True, credentialsSecretRef={"name": "mine"})
    status = shop.wait("checkout", "Forbidden")
    assert "dora_metrics_write" in status["conditions"][0]["message"]
    time.sleep(QUIET_SECONDS)
    assert len(datadog.requests()) == 1
    shop.kubectl("patch", "secret", "mine", "--type=merge", "-p", '{"stringData":{"api-key":"canary-d"}}')
    shop.wait("checkout", "Accepted")


def test_a_namespace_that_may_mark_only_some_services(shop: Shop, datadog: StandIn) -> None:
    """The annotations of the Namespace, live: own services pass, others and ids are refused with words that help."""
    names = ("dora-operator.io/allowed-services=checkout,cart-*", "dora-operator.io/allowed-envs=prod")
    shop.cluster.kubectl("annotate", "namespace", shop.namespace, *names)
    version = {"env": "prod", "version": "1.5.0"}
    shop.apply("own", deployment=version | {"service": "cart-api"}, changeFailure=True)
    shop.apply("other", deployment=version | {"service": "ledger"}, changeFailure=True)
    shop.apply("by-id", changeFailure=True)
    shop.wait("own", "Accepted")
    refused = shop.wait("other", "NotAllowed")["conditions"][0]["message"]
    assert "may not mark service ledger" in refused
    assert "allowed-services" in refused
    assert "service, env and version" in shop.wait("by-id", "NotAllowed")["conditions"][0]["message"]
    time.sleep(QUIET_SECONDS)
    assert len(datadog.requests()) == 1


def test_suspend_dry_run_and_delete(shop: Shop, datadog: StandIn) -> None:
    """Nothing of these reaches Datadog, and a deletion is done at once."""
    shop.apply("held", changeFailure=True, suspend=True)
    shop.apply("dry", deployment={"id": "X9RMqDwK-4c"}, changeFailure=True, dryRun=True)
    shop.wait("held", "Suspended")
    shown = shop.wait("dry", "DryRun")["dryRun"]
    assert shown["path"] == "/api/v2/dora/deployments/X9RMqDwK-4c"
    shop.kubectl("delete", "dora", "held", "dry", "--timeout=5s")
    time.sleep(QUIET_SECONDS)
    assert datadog.requests() == []


def test_no_key_in_any_output(shop: Shop, datadog: StandIn, operator: OperatorProcess) -> None:
    """At debug level, after every kind of answer, no key stands in a log, a metric, a status, an Event, a command."""
    datadog.fault(Respond(status=403, body='["echo: sandbox-api-key sandbox-app-key"]'), times=1)
    shop.apply("checkout", changeFailure=True)
    shop.wait("checkout", "Forbidden")
    lines = [json.loads(line) for line in operator.log().splitlines()]
    about = {"kind": "DoraDeployment", "namespace": shop.namespace, "name": "checkout"}
    assert any(about.items() <= line.items() and "Forbidden" in line["message"] for line in lines)
    command = Path(f"/proc/{operator.pid}/cmdline").read_text()
    said = [operator.log(), operator.metrics(), json.dumps(operator.probe()), command]
    everything = "\n".join([*said, shop.cluster.kubectl("get", "dora,events", "-A", "-o", "yaml")])
    assert "DEBUG" in operator.log()
    for canary in ("sandbox-api-key", "sandbox-app-key", "canary-"):
        assert canary not in everything
