"""The operator as the chart installs it: its account, rights and environment, its whole work, and no right to spare.

No kubelet runs here. kwok plays the Deployment's pods; the operator itself is a process of the test, started with the
variables of the live Deployment and a token of its ServiceAccount.
"""

import base64
import json
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from dora_operator.settings import Settings
from sandbox.cluster import LocalCluster
from sandbox.cluster.process import free_ports
from sandbox.datadog import StandIn
from sandbox.datadog.access import fingerprint
from sandbox.running import OperatorProcess, running_in
from tests.support.chart import QUICK_PODS, RELEASE, Helm, Right, container, granted, live, used
from tests.support.rollouts import App, marked
from tests.support.shop import Shop, eventually
from tools.chart.__main__ import CHART

pytestmark = pytest.mark.cluster

OWN, OTHER = ("own-api-key", "own-app-key"), ("other-api-key", "other-app-key")


@dataclass(slots=True)
class Installation:
    """A release in a namespace of its own, and an application's namespace beside it."""

    cluster: LocalCluster
    helm: Helm
    datadog: StandIn
    folder: Path
    name: str
    values: dict[str, Any]
    begun: float = field(default_factory=time.monotonic)

    @property
    def shop(self) -> Shop:
        """What users do in the application's namespace."""
        return Shop(self.cluster, f"{self.name}-shop")

    def install(self) -> None:
        """Do what the chart's README says."""
        self.cluster.kubectl("create", "namespace", self.name)
        self.cluster.kubectl("label", "namespace", self.name, "pod-security.kubernetes.io/enforce=restricted")
        self.cluster.kubectl("create", "namespace", self.shop.namespace)
        secret(self.cluster, self.name, "datadog-keys", OWN)
        health, metrics = free_ports(2)
        settings = {"datadogUrl": self.datadog.url, "healthPort": health, "metricsPort": metrics}
        values = self.values | {"settings": settings | self.values.get("settings", {})} | QUICK_PODS
        values["datadog"] = {"existingSecret": "datadog-keys"}
        self.begun = time.monotonic()
        arguments = ("--take-ownership", "--wait", "--timeout", "60s")  # the CRD of the release before is still there
        self.helm("install", RELEASE, str(CHART), "-n", self.name, *arguments, values=values)

    def remove(self) -> None:
        """Uninstall, and take the namespaces away."""
        self.helm("uninstall", RELEASE, "-n", self.name)
        self.cluster.kubectl("delete", "namespace", self.name, self.shop.namespace, "--wait=false")

    def environment(self) -> dict[str, str]:
        """Return the variables of the live Deployment, with its Secrets' values, and its account's way in."""
        deployment = live(self.cluster, "deployment", self.name, RELEASE)
        found = {}
        for one in container(deployment)["env"]:
            if "valueFrom" in one:
                reference = one["valueFrom"]["secretKeyRef"]
                data = live(self.cluster, "secret", self.name, reference["name"])["data"]
                found[one["name"]] = base64.b64decode(data[reference["key"]]).decode()
            else:
                found[one["name"]] = one["value"]
        return found | {"KUBECONFIG": str(self.kubeconfig(deployment["spec"]["template"]["spec"]))}

    def kubeconfig(self, pod: dict[str, Any]) -> Path:
        """Write a kubeconfig with a token of the pod's ServiceAccount and nothing else."""
        config = json.loads(self.cluster.kubeconfig.read_text())
        token = self.cluster.kubectl("-n", self.name, "create", "token", pod["serviceAccountName"]).strip()
        config["users"][0]["user"] = {"token": token}
        path = self.folder / "kubeconfig"
        path.write_text(json.dumps(config))
        return path

    @contextmanager
    def running(self) -> Iterator[OperatorProcess]:
        """Run what the Deployment's pod would run, ready when the Deployment's readiness probe says so."""
        deployment = live(self.cluster, "deployment", self.name, RELEASE)
        probe = container(deployment)["readinessProbe"]["httpGet"]
        ports = {port["name"]: port["containerPort"] for port in container(deployment)["ports"]}
        environment = self.environment()
        assert environment["DORA_OPERATOR_HEALTH_PORT"] == str(ports[probe["port"]])
        with running_in(environment, probe["path"]) as operator:
            yield operator

    def sent_with(self, keys: tuple[str, str]) -> bool:
        """Tell whether a request came with this API key."""
        return any(fingerprint(keys[0]) in request.headers["dd-api-key"] for request in self.datadog.requests())

    @property
    def user(self) -> str:
        """Name of the account in the audit log."""
        return f"system:serviceaccount:{self.name}:{RELEASE}"

    def granted(self) -> set[Right]:
        """Return what the live roles allow the account."""
        kinds = "roles,rolebindings,clusterroles,clusterrolebindings"
        selector = f"app.kubernetes.io/instance={RELEASE}"
        return granted(
            json.loads(self.cluster.kubectl("get", kinds, "-A", "-l", selector, "-o", "json"))["items"], RELEASE
        )


def secret(cluster: LocalCluster, namespace: str, name: str, keys: tuple[str, str]) -> None:
    """Create a Secret as the README says."""
    literals = [f"--from-literal={key}={value}" for key, value in zip(("api-key", "app-key"), keys, strict=True)]
    cluster.kubectl("-n", namespace, "create", "secret", "generic", name, *literals)


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
        told = ("get", "events", "--field-selector", "involvedObject.name=rival,reason=Conflict", "-o", "name")
        eventually(lambda: installation.shop.kubectl(*told), lambda: "no Event was posted")

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
    """An abort is recorded, sent, told by Events; the record gives way to a user's resource."""
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
        eventually(lambda: app.told("Rollout") == [("Normal", "Marked")], lambda: str(app.events("Rollout")))
        shop.apply("users", deployment=deployment, rolloutRef={"name": "checkout"})
        shop.wait("users", "Accepted")
        eventually(lambda: [one["metadata"]["name"] for one in app.records()] == ["users"], lambda: str(app.records()))

    return proceed


def a_rollback_while_it_was_down(installation: Installation) -> Callable[[], None]:
    """A whole rollback before the start is read from what is left of it, Events of Argo's controller included."""
    app = App(installation.cluster, installation.datadog, installation.shop.namespace, "late")
    app.release("1.0.0", "1.1.0")
    app.argo("undo")
    app.until("Paused")
    app.argo("promote")
    app.until("Healthy")
    return lambda: app.wait_asked(marked("1.1.0", "rollback", "1.0.0"))


ROLLOUTS = (an_abort, a_rollback_while_it_was_down)
WHOLE = (with_own_keys, with_keys_of_its_own, *ROLLOUTS)
CASES = [
    pytest.param(("everywhere", {}), WHOLE, id="in the whole cluster"),
    pytest.param(("some", {"settings": {"namespaces": ["some-shop"]}}), WHOLE, id="in one namespace"),
    pytest.param(("still", {"settings": {"rollouts": False}}), WHOLE[:2], id="without Rollouts"),
    pytest.param(
        ("locked", {"rbac": {"secrets": {"enabled": False}}}), (with_own_keys, *ROLLOUTS), id="without Secrets"
    ),
]


if "leader_election" in Settings.model_fields:
    CASES.append(pytest.param(("pair", {"replicas": 2}), WHOLE, id="with a Lease"))


@pytest.mark.parametrize(("installation", "work"), CASES, indirect=["installation"])
def test_it_does_its_whole_work_with_rights_that_it_uses(installation: Installation, work: tuple[Any, ...]) -> None:
    """Nothing is refused, and the verbs of its requests (audit log) are exactly those of its roles."""
    waiting = [one(installation) for one in work]  # each begins before the operator does, and goes on while it runs
    with installation.running() as operator:
        for one in waiting:
            one()
        assert operator.terminate() == 0
    found, refused = used(installation.cluster, installation.user)
    assert refused == []
    allowed = installation.granted()
    assert allowed - found == set(), "rights to spare"
    assert found - allowed == set(), "rights that came from elsewhere"


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
