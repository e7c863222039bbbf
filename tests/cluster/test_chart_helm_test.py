"""`helm test`: a pod asks whether the operator is ready, another one runs the checks of `kubectl dora doctor`.

No kubelet runs here: the tests run what the pods would run, with the variables, the keys and the account of each.
"""

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml

from sandbox.cluster import LocalCluster
from sandbox.cluster.process import free_ports
from sandbox.datadog import Match, Respond, StandIn
from tests.support.chart import RELEASE, Helm, container, live, of_kind, used
from tests.support.chart_values import LINTED
from tests.support.installation import Installation
from tests.support.shop import eventually
from tools.chart.__main__ import CHART

pytestmark = pytest.mark.cluster

READY, DOCTOR = f"{RELEASE}-test", f"{RELEASE}-doctor"
Completed = subprocess.CompletedProcess[str]


@pytest.fixture
def installation(
    chart_cluster: LocalCluster, helm: Helm, tmp_path: Path, request: pytest.FixtureRequest
) -> Iterator[Installation]:
    """Return the chart installed in a namespace of Pod Security's level restricted, beside a stand-in for Datadog."""
    name, values = request.param
    with StandIn() as datadog:
        datadog.fault(Respond(status=200, body='{"valid":true}'), match=Match(path_prefix="/api/v1/validate"))
        installation = Installation(chart_cluster, helm, datadog, tmp_path, name, values)
        installation.install()
        yield installation
        installation.remove()


@dataclass(frozen=True, slots=True)
class HelmTest:
    """`helm test` while it waits for its pods."""

    installation: Installation
    running: Future[Completed]

    def pod(self, name: str) -> dict[str, Any]:
        """Wait for a pod, and return it."""
        words = ("get", "pod", name, "-n", self.installation.name, "--ignore-not-found", "-o", "name")
        eventually(lambda: self.installation.cluster.kubectl(*words), lambda: f"no pod {name}: {self.running}", 60)
        return live(self.installation.cluster, "pod", self.installation.name, name)

    def end(self, name: str, phase: str) -> None:
        """End a pod, as the kubelet does when its container has ended."""
        status = json.dumps({"status": {"phase": phase}})
        words = ("patch", "pod", name, "-n", self.installation.name, "--subresource=status", "--type=merge")
        self.installation.cluster.kubectl(*words, "-p", status)

    def left(self) -> list[str]:
        """Return the objects of the test that are still there, when Helm has ended."""
        label = f"dora-operator.io/test-of={RELEASE}"
        words = ("get", "pods,networkpolicies", "-n", self.installation.name, "-l", label, "-o", "name")
        return self.installation.cluster.kubectl(*words).split()


@contextmanager
def helm_test(installation: Installation) -> Iterator[HelmTest]:
    """Run `helm test` beside the block."""
    with ThreadPoolExecutor(1) as pool:
        arguments = ("test", RELEASE, "-n", installation.name, "--timeout", "90s")
        yield HelmTest(installation, pool.submit(installation.helm.run, *arguments))


def doctor_of(test: HelmTest) -> Completed:
    """Let the first pod succeed, run the program of the second one, and end that pod with its exit code."""
    test.pod(READY)
    test.end(READY, "Succeeded")
    found = test.installation.run(test.pod(DOCTOR)["spec"])
    test.end(DOCTOR, "Failed" if found.returncode else "Succeeded")
    return found


def with_a_lease(installation: Installation) -> None:
    """Create the Lease that the leader would hold."""
    time = "2099-01-01T00:00:00.000000Z"
    spec = {"holderIdentity": "pod", "renewTime": time, "acquireTime": time, "leaseDurationSeconds": 15}
    metadata = {"name": RELEASE, "namespace": installation.name}
    body = {"apiVersion": "coordination.k8s.io/v1", "kind": "Lease", "metadata": metadata, "spec": spec}
    installation.cluster.kubectl("apply", "-f", "-", input=json.dumps(body))


PAIR = {"replicaCount": 2, "settings": {"namespaces": ["ht-pair-shop"]}}
GOOD = [
    pytest.param(("ht-default", {}), id="by default"),
    pytest.param(("ht-pair", PAIR), id="with two replicas, in one namespace"),
]


@pytest.mark.parametrize("installation", GOOD, indirect=True)
def test_a_good_installation_passes(installation: Installation) -> None:
    """With the operator's permissions and no other, without a mark; nothing of the test is left."""
    with_a_lease(installation)
    with helm_test(installation) as test:
        found = doctor_of(test)
        result = test.running.result(90)
    assert found.returncode == 0, found.stdout + found.stderr
    assert "failed" not in found.stdout.splitlines()[-1].replace("0 failed", "")
    assert result.returncode == 0, result.stderr
    assert test.left() == []
    assert [each for each in used(installation.cluster, installation.user)[1] if not each.startswith(OF_A_USER)] == []
    assert used(installation.cluster, installation.user)[0] - REVIEW - POLICY <= installation.granted()
    marks = [each for each in installation.datadog.requests() if each.method == "PATCH"]
    assert [each.document()["data"]["attributes"] for each in marks] == [{"change_failure": "doctor"}], "a valid mark"


OF_A_USER = ("list /apis/rbac.authorization.k8s.io/v1/clusterroles?", "list /api/v1/namespaces?")
"""The process here is not in a pod, so it also checks the policy, as that of a user does."""
POLICY = {("rbac.authorization.k8s.io", "clusterroles", "list"), ("", "namespaces", "list")}
REVIEW = {("authorization.k8s.io", "selfsubjectaccessreviews", "create")}
"""Every account may ask what it may do."""


def no_such_key(installation: Installation) -> str:
    """Datadog refuses the keys."""
    refused = Respond(status=403, body='{"errors":["Forbidden"]}')
    installation.datadog.fault(refused, match=Match(path_prefix="/api/"))
    return "fix: give the application key the scope dora_metrics_write"


def no_leader(_installation: Installation) -> str:
    """No replica holds the Lease."""
    return "leader: nobody holds the Lease dora-operator"


@pytest.mark.parametrize(
    ("installation", "broken"),
    [
        pytest.param(("ht-keys", {}), no_such_key, id="keys that Datadog refuses"),
        pytest.param(("ht-lease", {}), no_leader, id="no leader"),
    ],
    indirect=["installation"],
)
def test_a_failed_check_fails_the_test(installation: Installation, broken: Callable[[Installation], str]) -> None:
    """The pod says what is wrong and what to do, and stays, so that its log can be read; its policy does not."""
    words = broken(installation)
    with helm_test(installation) as test:
        found = doctor_of(test)
        result = test.running.result(90)
    assert found.returncode == 1
    assert words in found.stdout
    assert result.returncode == 1
    assert f"pod {DOCTOR} failed" in result.stderr
    assert test.left() == [f"pod/{DOCTOR}"]


def test_the_first_pod_asks_the_readiness_probe(helm: Helm) -> None:
    """Through the Service; its program succeeds only against an operator that is ready."""
    objects = helm.template_with_tests({}, "restricted")
    (pod,) = [each for each in of_kind(objects, "Pod") if each["metadata"]["name"] == READY]
    (deployment,), (service,) = of_kind(objects, "Deployment"), of_kind(objects, "Service")
    (only,) = pod["spec"]["containers"]
    probe, ports = container(deployment)["readinessProbe"]["httpGet"], container(deployment)["ports"]
    (port,) = [each["containerPort"] for each in ports if each["name"] == probe["port"]]
    assert {one["name"]: one["value"] for one in only["env"]}["URL"] == f"http://{RELEASE}.restricted.svc:{port}/readyz"
    assert probe["path"] == "/readyz"
    assert {"name": "probes", "port": port, "targetPort": "probes"} in service["spec"]["ports"]
    assert only["command"] == ["python", "-c"]
    (program,) = only["args"]
    (port,) = free_ports(1)
    server = [sys.executable, "-m", "http.server", str(port), "--bind", "127.0.0.1"]
    with subprocess.Popen(server, cwd=CHART) as ready:
        found = asked(program, f"http://127.0.0.1:{port}/", "20")
        ready.terminate()
    assert found.returncode == 0, found.stderr
    lost = asked(program, f"http://127.0.0.1:{port}/", "0")
    assert lost.returncode == 1
    assert "is not ready" in lost.stderr


def asked(program: str, url: str, patience: str) -> Completed:
    """Run the program of the first pod."""
    variables = {"URL": url, "TIMEOUT_SECONDS": patience}
    command = [sys.executable, "-c", program]
    return subprocess.run(command, env=os.environ | variables, capture_output=True, text=True, check=False, timeout=60)


@pytest.mark.parametrize("values", LINTED)
def test_the_doctor_has_what_the_operator_has(helm: Helm, values: dict[str, Any]) -> None:
    """Account, variables, files, limits and egress: else it would check something else. The API server takes it all."""
    objects = helm.template_with_tests(values, "restricted")
    (deployment,) = of_kind(objects, "Deployment")
    (doctor,) = [each for each in of_kind(objects, "Pod") if each["metadata"]["name"] == DOCTOR]
    operator = deployment["spec"]["template"]["spec"]
    for field in ("serviceAccountName", "securityContext", "volumes", "nodeSelector", "tolerations"):
        assert doctor["spec"].get(field) == operator.get(field), field
    (theirs,), (own,) = operator["containers"], doctor["spec"]["containers"]
    for field in ("image", "env", "volumeMounts", "securityContext", "resources"):
        assert own[field] == theirs[field], field
    policies = {each["metadata"]["name"]: each["spec"] for each in of_kind(objects, "NetworkPolicy")}
    if policies:
        assert policies[READY]["egress"][:-1] == policies[RELEASE]["egress"]
    tests = [each for each in objects if each["metadata"].get("annotations", {}).get("helm.sh/hook") == "test"]
    helm.cluster.kubectl("create", "--dry-run=server", "-f", "-", input=yaml.safe_dump_all(tests))
