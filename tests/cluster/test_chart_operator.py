"""The operator as the chart installs it: its account, permissions, environment, its whole work, no unused permission.

No kubelet runs here. kwok plays the Deployment's pods; the operator itself is a process of the test, started with the
variables of the live Deployment and a token of its ServiceAccount.
"""

import json
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from sandbox.cluster import LocalCluster
from sandbox.datadog import StandIn
from tests.support.chart import RELEASE, Helm, live, used
from tests.support.installation import OTHER, OWN, Installation, secret
from tests.support.rollouts import App, marked
from tests.support.shop import eventually

pytestmark = pytest.mark.cluster


@pytest.fixture
def installation(
    chart_cluster: LocalCluster, helm: Helm, tmp_path: Path, request: pytest.FixtureRequest
) -> Iterator[Installation]:
    """Return the chart installed with a test's values."""
    name, values = request.param
    with StandIn() as datadog:
        made = Installation(chart_cluster, helm, datadog, tmp_path, name, values)
        made.install()
        yield made
        made.remove()


def with_own_keys(installation: Installation) -> Callable[[], None]:
    """A resource without a Secret is sent with the release's keys; a rival gets a Warning Event."""

    def proceed() -> None:
        installation.shop.apply("own", changeFailure=True)
        installation.shop.wait("own", "Accepted")
        assert installation.sent_with(OWN)
        installation.shop.apply("rival", changeFailure=False)
        events = ("get", "events", "--field-selector", "involvedObject.name=rival,reason=Conflict", "-o", "name")
        eventually(lambda: installation.shop.kubectl(*events), lambda: "no Event was posted")

    return proceed


def with_keys_of_its_own(installation: Installation) -> Callable[[], None]:
    """A resource that names a Secret of its namespace is sent with that one's keys."""
    secret(installation.cluster, installation.shop.namespace, "mine", OTHER)
    spec = {"deployment": {"id": "zzzzzzzzzzz"}, "changeFailure": True, "credentialsSecretRef": {"name": "mine"}}

    def proceed() -> None:
        installation.shop.apply("mine", **spec)
        installation.shop.wait("mine", "Accepted")
        assert installation.sent_with(OTHER)

    return proceed


def an_abort(installation: Installation) -> Callable[[], None]:
    """An abort is recorded, sent, reported by Events; the record gives way to a user's resource."""
    shop = installation.shop
    app = App(installation.cluster, installation.datadog, shop.namespace, "checkout")
    app.release("1.0.0")
    deployment = {"service": "checkout", "env": "prod", "version": "1.1.0"}

    def proceed() -> None:
        app.deploy("1.1.0")
        app.until("Paused")
        app.argo("abort")
        app.wait_asked(marked("1.1.0"))
        shop.wait(app.record("1.1.0")["metadata"]["name"], "Accepted")
        eventually(lambda: app.event_reasons("Rollout") == [("Normal", "Marked")], lambda: str(app.events("Rollout")))
        shop.apply("users", deployment=deployment, sourceRef={"name": "checkout"})
        shop.wait("users", "Accepted")
        eventually(lambda: [one["metadata"]["name"] for one in app.records()] == ["users"], lambda: str(app.records()))

    return proceed


WHOLE = (with_own_keys, with_keys_of_its_own, an_abort)
CASES = [
    pytest.param(("everywhere", {"credentials": {"fromNamespaces": "all"}}), WHOLE, id="in the whole cluster"),
    pytest.param(
        ("some", {"settings": {"namespaces": ["some-shop"]}, "credentials": {"fromNamespaces": ["some-shop"]}}),
        WHOLE,
        id="in one namespace",
    ),
    pytest.param(
        ("still", {"settings": {"sources": []}, "credentials": {"fromNamespaces": ["still-shop"]}}),
        WHOLE[:2],
        id="without Rollouts",
    ),
    pytest.param(("locked", {}), (with_own_keys, an_abort), id="by default, without Secrets"),
    pytest.param(("pair", {"replicaCount": 2, "credentials": {"fromNamespaces": "all"}}), WHOLE, id="two replicas"),
]


@pytest.mark.parametrize(("installation", "work"), CASES, indirect=["installation"])
def test_it_does_its_work_with_permissions_that_it_uses(installation: Installation, work: tuple[Any, ...]) -> None:
    """Nothing is refused, and the verbs of its requests (audit log) are exactly those of its roles."""
    waiting = [one(installation) for one in work]  # each begins before the operator does, and goes on while it runs
    with installation.running() as operator:
        for one in waiting:
            one()
        assert operator.terminate() == 0
    found, refused = used(installation.cluster, installation.user)
    assert refused == []
    allowed = installation.granted()
    assert allowed - found == set(), "unused permissions"
    assert found - allowed == set(), "permissions that came from elsewhere"


@pytest.mark.parametrize("installation", [("lacking", {"settings": {"namespaces": ["lacking-shop"]}})], indirect=True)
def test_a_record_needs_the_right_to_create(installation: Installation) -> None:
    """The audit log calls an apply that creates a patch; without create it is refused, and works once it is granted."""
    role = f"{installation.name}-{RELEASE}"
    rules = live(installation.cluster, "role", installation.shop.namespace, role)["rules"]
    less = [
        rule
        | {"verbs": [verb for verb in rule["verbs"] if rule["resources"] != ["doradeployments"] or verb != "create"]}
        for rule in rules
    ]
    proceed = an_abort(installation)

    def grant(granted: list[dict[str, Any]]) -> None:
        patch = json.dumps({"rules": granted})
        installation.shop.kubectl("patch", "role", role, "--type=merge", "-p", patch)

    def refused() -> list[str]:
        return [one for one in used(installation.cluster, installation.user)[1] if one.startswith("patch ")]

    grant(less)
    with installation.running(), ThreadPoolExecutor(1) as pool:
        going_on = pool.submit(proceed)
        eventually(refused, lambda: "an abort was recorded without the right to create")
        grant(rules)
        going_on.result(60)
