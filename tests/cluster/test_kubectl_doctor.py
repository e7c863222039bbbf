"""`doctor` on the real API server and against the stand-in for Datadog: a test for each thing that can be broken."""

import asyncio
import json
import os
import stat
import sys
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from kubectl_dora.doctor import Report, report_here
from kubectl_dora.options import Options
from sandbox.cluster import LocalCluster
from sandbox.datadog import Match, Respond, Seed, Settings, StandIn
from sandbox.datadog.access import fingerprint
from tests.support.kubectl_dora import apply_operator, dora

pytestmark = pytest.mark.cluster
KEYS = {"DD_API_KEY": "right-api-key", "DD_APP_KEY": "right-app-key"}
VALIDATE = Match(method="GET", path_prefix="/api/v1/validate")
NAMESPACE = "doctor"
VALID = '{"valid":true}'


@pytest.fixture
def datadog() -> Iterator[StandIn]:
    """Return a stand-in that knows one pair of keys, and one service."""
    settings = Settings(api_keys=frozenset({"right-api-key"}), application_keys=frozenset({"right-app-key"}))
    with StandIn(settings) as running:
        right = Match(path_prefix="/api/v1", api_key=fingerprint("right-api-key"))
        running.fault(Respond(status=200, body=VALID), match=right)
        running.fault(Respond(status=403, body='{"errors":["Forbidden"]}'), match=VALIDATE)
        running.seed(Seed(id="4aBcD_fGh-1", service="checkout", env="prod", version="1.0.0", **_just_now()))
        yield running


def _just_now() -> dict[str, float]:
    return {"started_at": time.time() - 600, "finished_at": time.time() - 500}


@pytest.fixture(scope="module")
def doctors_cluster(rollouts_cluster: LocalCluster) -> Iterator[LocalCluster]:
    """Return a cluster with one Rollout that is set up right; no controller has to run it."""
    rollouts_cluster.kubectl("create", "namespace", NAMESPACE)
    apply_rollout(rollouts_cluster, "checkout", {"service": "checkout", "env": "prod", "version": "1.0.0"})
    yield rollouts_cluster
    rollouts_cluster.kubectl("delete", "deployment", "dora-operator", "-n", NAMESPACE, "--ignore-not-found")


def apply_rollout(cluster: LocalCluster, name: str, tags: dict[str, str]) -> None:
    """Apply a Rollout without replicas."""
    labels = {f"tags.datadoghq.com/{tag}": value for tag, value in tags.items()} | {"app": name}
    template = {"metadata": {"labels": labels}, "spec": {"containers": [{"name": "app", "image": "app"}]}}
    spec = {"replicas": 0, "selector": {"matchLabels": {"app": name}}, "strategy": {"canary": {}}, "template": template}
    body = {"apiVersion": "argoproj.io/v1alpha1", "kind": "Rollout", "metadata": {"name": name}, "spec": spec}
    cluster.kubectl("apply", "-n", NAMESPACE, "-f", "-", input=json.dumps(body))


def apply_lease(cluster: LocalCluster) -> None:
    """Renew the Lease as a leader does."""
    spec = {"holderIdentity": "pod-1", "renewTime": f"{datetime.now(UTC):%Y-%m-%dT%H:%M:%S.%fZ}"}  # noqa: TID251
    metadata = {"name": "dora-operator", "namespace": "default"}
    body = {"apiVersion": "coordination.k8s.io/v1", "kind": "Lease", "metadata": metadata, "spec": spec}
    cluster.kubectl("apply", "-f", "-", input=json.dumps(body))


Diagnose = Callable[..., Report]


@pytest.fixture
def diagnose(doctors_cluster: LocalCluster, datadog: StandIn, monkeypatch: pytest.MonkeyPatch) -> Diagnose:
    """Return a function that runs the checks here, with variables of the operator's environment."""
    for name in [*os.environ]:
        if name.startswith(("DORA_OPERATOR_", "DD_", "KUBERNETES_")):
            monkeypatch.delenv(name)

    def run(**variables: str) -> Report:
        given = {"DORA_OPERATOR_DATADOG_URL": datadog.url, "DORA_OPERATOR_NAMESPACES": NAMESPACE} | KEYS | variables
        for name, value in given.items():
            monkeypatch.setenv(name, value)
        apply_lease(doctors_cluster)
        return asyncio.run(report_here(Options(kubeconfig=doctors_cluster.kubeconfig)))

    return run


def found(report: Report) -> dict[str, str]:
    """Return what is not ok, by check. The policy is about ClusterRoles, which other tests of the cluster may make."""
    checks = [each for each in report.checks if each.name != "policy"]
    return {each.name: each.status.value for each in checks if each.status.value != "ok"}


def test_a_good_installation_is_good(diagnose: Diagnose) -> None:
    """Nothing is found, and nothing was changed."""
    report = diagnose()
    assert found(report) == {}, report
    assert not report.failed


@pytest.mark.parametrize(
    ("variables", "expected"),
    [
        pytest.param(
            {"DD_API_KEY": "wrong"},
            {"api key": "failed", "dora_metrics_read": "failed", "dora_metrics_write": "failed"},
            id="a wrong API key",
        ),
        pytest.param(
            {"DD_APP_KEY": "wrong"},
            {"dora_metrics_read": "failed", "dora_metrics_write": "failed"},
            id="a wrong application key",
        ),
        pytest.param(
            {"DD_APP_KEY": ""},
            {"api key": "failed"},
            id="no application key",
        ),
        pytest.param(
            {"DORA_OPERATOR_DATADOG_URL": "http://127.0.0.1:9"},
            {"api key": "failed", "dora_metrics_read": "failed", "dora_metrics_write": "failed", "clock": "warning"},
            id="no way to Datadog",
        ),
        pytest.param({"DORA_OPERATOR_NAMESPACES": f"{NAMESPACE},gone"}, {"scope": "failed"}, id="no such namespace"),
        pytest.param({"DORA_OPERATOR_ROLLOUT_SELECTOR": "team=none"}, {"scope": "warning"}, id="a selector"),
        pytest.param({"DORA_OPERATOR_DRY_RUN": "true"}, {"scope": "warning"}, id="a dry run"),
        pytest.param({"DORA_OPERATOR_LEASE_NAME": "other"}, {"leader": "failed"}, id="no leader"),
    ],
)
def test_what_is_set_wrong_is_found(diagnose: Diagnose, variables: dict[str, str], expected: dict[str, str]) -> None:
    """Each setting by the check that names it; what follows from it is found too."""
    unreadable = {"services"}
    assert {name: status for name, status in found(diagnose(**variables)).items() if name not in unreadable} == expected


def test_a_wrong_clock_is_found(diagnose: Diagnose) -> None:
    """By a header of Datadog's answers."""
    with StandIn() as other:
        long_ago = {"Date": "Tue, 24 Nov 2020 00:00:00 GMT"}
        other.fault(Respond(status=200, body=VALID, headers=long_ago), match=VALIDATE)
        other.fault(Respond(status=200, body='{"data":[]}'), match=Match(method="POST"))
        report = diagnose(DORA_OPERATOR_DATADOG_URL=other.url)
    assert found(report) == {"clock": "failed", "services": "warning"}


@pytest.fixture
def rollout(doctors_cluster: LocalCluster) -> Iterator[Callable[..., None]]:
    """Return a function that applies another Rollout; it is deleted afterwards."""
    yield lambda **tags: apply_rollout(doctors_cluster, "other", tags)
    doctors_cluster.kubectl("delete", "rollout", "other", "-n", NAMESPACE, "--ignore-not-found")


@pytest.mark.parametrize(
    ("tags", "expected"),
    [
        pytest.param({"service": "other", "env": "prod"}, {"identity": "warning"}, id="no version label"),
        pytest.param(
            {"service": "unheard-of", "env": "prod", "version": "1.0.0"}, {"services": "warning"}, id="a new service"
        ),
    ],
)
def test_what_rollouts_lack_is_found(
    diagnose: Diagnose, rollout: Callable[..., None], tags: dict[str, str], expected: dict[str, str]
) -> None:
    """Named with -o wide."""
    rollout(**tags)
    report = diagnose()
    assert found(report) == expected
    (check,) = [each for each in report.checks if each.status.value != "ok"]
    assert check.details


def test_an_old_crd_is_found(diagnose: Diagnose, doctors_cluster: LocalCluster) -> None:
    """Fields that the API server would silently drop."""
    crd = "crd/doradeployments.dora-operator.io"
    body = json.loads(doctors_cluster.kubectl("get", crd, "-o", "json"))
    older = json.loads(json.dumps(body["spec"]))
    del older["versions"][0]["schema"]["openAPIV3Schema"]["properties"]["spec"]["properties"]["suspend"]
    replace = [{"op": "replace", "path": "/spec", "value": older}]
    doctors_cluster.kubectl("patch", crd, "--type=json", "-p", json.dumps(replace))
    try:
        for _ in range(20):  # the published schema follows within seconds
            if "crd" in (kept := found(diagnose())):
                break
        assert kept == {"crd": "failed"}
    finally:
        replace[0]["value"] = body["spec"]
        doctors_cluster.kubectl("patch", crd, "--type=json", "-p", json.dumps(replace))


def test_a_stalled_resource_is_found(diagnose: Diagnose, doctors_cluster: LocalCluster) -> None:
    """With its reason."""
    spec = {"deployment": {"service": "checkout", "env": "prod", "version": "9"}, "changeFailure": True}
    body: dict[str, Any] = {"apiVersion": "dora-operator.io/v1alpha1", "kind": "DoraDeployment", "spec": spec}
    body["metadata"] = {"name": "stalled", "namespace": NAMESPACE}
    doctors_cluster.kubectl("apply", "-f", "-", input=json.dumps(body))
    condition = {
        "message": "",
        "observedGeneration": 1,
        "lastTransitionTime": "2026-11-24T00:00:00Z",
        "reason": "Conflict",
    }
    kinds = {"Ready": "False", "Stalled": "True"}
    conditions = [condition | {"type": kind, "status": status} for kind, status in kinds.items()]
    patch = json.dumps({"status": {"conditions": conditions}})
    named = ("dora", "stalled", "-n", NAMESPACE)
    doctors_cluster.kubectl("patch", *named, "--subresource=status", "--type=merge", "-p", patch)
    try:
        report = diagnose()
        assert found(report) == {"resources": "warning"}
        (check,) = [each for each in report.checks if each.name == "resources"]
        assert check.details == (f"{NAMESPACE}/stalled: Conflict",)
    finally:
        doctors_cluster.kubectl("delete", *named)


def test_the_command_says_what_failed(doctors_cluster: LocalCluster, datadog: StandIn) -> None:
    """Exit code 1 where a check failed, and no key in the output."""
    environment = {"DORA_OPERATOR_DATADOG_URL": datadog.url, "DORA_OPERATOR_NAMESPACES": NAMESPACE} | KEYS
    apply_lease(doctors_cluster)
    good = dora(doctors_cluster, "doctor", "--local", "-o", "json", environment=environment)
    assert {each["status"] for each in good.json()["checks"]} == {"ok"}
    bad = dora(doctors_cluster, "doctor", "--local", environment=environment | {"DD_API_KEY": "wrong"})
    assert bad.code == 1
    assert "fix: check that the key belongs to an organisation on datadoghq.com" in bad.out
    assert "wrong" not in bad.out + bad.err


def test_the_checks_run_in_the_operators_pod(doctors_cluster: LocalCluster, datadog: StandIn, tmp_path: Path) -> None:
    """The Deployment is found, and `kubectl exec` runs the command; no kubelet is here, so a script is kubectl."""
    nothing = dora(doctors_cluster, "doctor")
    assert nothing.code == 1
    assert "no Deployment with app.kubernetes.io/name=dora-operator" in nothing.out
    environment = {"DORA_OPERATOR_DATADOG_URL": datadog.url, "DORA_OPERATOR_NAMESPACES": NAMESPACE} | KEYS
    program = tmp_path / "kubectl"
    exports = "".join(f"export {name}='{value}'\n" for name, value in environment.items())
    program.write_text(
        f'#!/bin/sh\necho "$@" > {tmp_path}/arguments\n{exports}'
        f'while [ "$1" != -- ]; do shift; done\nshift 2\nexec {sys.executable} -m kubectl_dora "$@"\n'
    )
    program.chmod(program.stat().st_mode | stat.S_IXUSR)
    apply_operator(doctors_cluster, NAMESPACE)
    found = dora(doctors_cluster, "doctor", "-o", "json", environment={"PATH": f"{tmp_path}:{os.environ['PATH']}"})
    checks = {each["name"]: each["status"] for each in json.loads(found.out)["checks"]}
    assert checks["operator"] == "ok"
    assert checks["crd"] == "ok"
    words = "exec -n doctor deploy/dora-operator -c operator -- kubectl-dora doctor --local -o json"
    assert (tmp_path / "arguments").read_text().strip() == words
