"""A release's life: installed, upgraded, uninstalled; what users made stays."""

import asyncio
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from kubectl_dora.checks import Check, Status
from kubectl_dora.cluster import open_cluster
from kubectl_dora.installation import settings_of
from kubectl_dora.options import Options
from kubectl_dora.policy import read_policy
from sandbox.cluster import LocalCluster
from tests.support.chart import CRDS, QUICK_PODS, RELEASE, Helm, container, delete_crds, live
from tests.support.shop import Shop, eventually
from tools.chart.__main__ import CHART

pytestmark = pytest.mark.cluster

CRD = CRDS[0]


@pytest.fixture
def namespace(chart_cluster: LocalCluster, helm: Helm, request: pytest.FixtureRequest) -> Iterator[str]:
    """Return a namespace with Pod Security's level restricted, on a cluster without the CRDs."""
    delete_crds(chart_cluster)
    name = request.node.name.removeprefix("test_").replace("_", "-")[:40].strip("-")
    chart_cluster.kubectl("create", "namespace", name)
    chart_cluster.kubectl("label", "namespace", name, "pod-security.kubernetes.io/enforce=restricted")
    yield name
    helm.run("uninstall", RELEASE, "-n", name)
    chart_cluster.kubectl("delete", "namespace", name, "--wait=false")


@pytest.fixture
def former(chart_copy: Path, helm: Helm, tmp_path: Path) -> Path:
    """Return a package of an older version of the chart, whose CRD shows no age."""
    file = chart_copy / "files" / "dora-operator.io_doradeployments.yaml"
    crd = yaml.safe_load(file.read_text())
    crd["spec"]["versions"][0]["additionalPrinterColumns"].pop()
    file.write_text(yaml.safe_dump(crd))
    helm("package", str(chart_copy), "--version", "0.0.1", "--app-version", "0.0.1", "-d", str(tmp_path))
    return tmp_path / "dora-operator-0.0.1.tgz"


def deployment(cluster: LocalCluster, namespace: str) -> dict[str, Any]:
    """Return the live Deployment."""
    return live(cluster, "deployment", namespace, RELEASE)


def columns(cluster: LocalCluster) -> list[str]:
    """Return what `kubectl get dora` shows."""
    path = "{.spec.versions[0].additionalPrinterColumns[*].name}"
    return cluster.kubectl("get", "crd", CRD, "-o", f"jsonpath={path}").split()


def everything(cluster: LocalCluster) -> list[str]:
    """Return the names of all objects of releases of this name."""
    kinds = "deployments,services,serviceaccounts,roles,rolebindings,clusterroles,clusterrolebindings,secrets,pods"
    selector = f"app.kubernetes.io/instance={RELEASE}"
    return cluster.kubectl("get", kinds, "-A", "-l", selector, "-o", "name").split()


def test_installed_upgraded_uninstalled(chart_cluster: LocalCluster, helm: Helm, namespace: str, former: Path) -> None:
    """From an older package to this chart: the CRD and the variables change, DoraDeployments stay to the end."""
    shop = Shop(chart_cluster, namespace)
    values = QUICK_PODS | {"settings": {"workers": 2, "namespaces": [namespace]}}
    arguments = ("-n", namespace, "--wait", "--timeout", "60s")
    output = helm("install", RELEASE, str(former), *arguments, values=values)
    assert f"kubectl -n {namespace} rollout status deployment/{RELEASE}" in output
    assert "DATADOG KEYS: the operator has none" in output
    assert deployment(chart_cluster, namespace)["status"]["availableReplicas"] == 1
    assert "Age" not in columns(chart_cluster)
    shop.apply("kept", changeFailure=True)
    made = shop.get("kept")
    output = helm("upgrade", RELEASE, str(CHART), *arguments, values=QUICK_PODS | {"settings": {"workers": 3}})
    assert "It watches all namespaces" in output
    now = deployment(chart_cluster, namespace)
    assert {"name": "DORA_OPERATOR_WORKERS", "value": "3"} in container(now)["env"]
    assert container(now)["image"].endswith(":0.1.0")
    assert "Age" in columns(chart_cluster)
    roles = [one for one in everything(chart_cluster) if one.startswith("role") and not one.endswith("-lease")]
    assert roles == [], "left of the namespaced permissions"
    assert shop.get("kept")["metadata"]["uid"] == made["metadata"]["uid"]
    helm("uninstall", RELEASE, "-n", namespace, "--wait")
    eventually(lambda: everything(chart_cluster) == [], lambda: str(everything(chart_cluster)))
    assert shop.get("kept") == made, "uninstalling took a DoraDeployment along"
    helm("install", RELEASE, str(CHART), *arguments, values=QUICK_PODS)
    assert shop.get("kept")["metadata"]["uid"] == made["metadata"]["uid"]


def test_what_the_notes_say_can_be_pasted(chart_cluster: LocalCluster, helm: Helm, namespace: str) -> None:
    """From the command that applies to the last line, as it stands on the screen."""
    output = helm("install", RELEASE, str(CHART), "-n", namespace, values={"settings": {"namespaces": [namespace]}})
    lines = output.splitlines()
    (first,) = [number for number, line in enumerate(lines) if "kubectl apply -n" in line]
    pasted = "\n".join(lines[first:])
    folders = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    variables = os.environ | {"KUBECONFIG": str(chart_cluster.kubeconfig), "PATH": folders}
    done = subprocess.run(["bash", "-e"], input=pasted, env=variables, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    assert "example" in done.stdout.splitlines()[-1]
    assert "dryRun: true" in pasted
    assert "names no registry" in output
    assert "names no registry" not in helm(
        "upgrade", RELEASE, str(CHART), "-n", namespace, "--set", "image.repository=a/b"
    )


def test_without_keep_the_crds_go_too(chart_cluster: LocalCluster, helm: Helm, namespace: str) -> None:
    """crds.keep=false is for those who want nothing left."""
    helm("install", RELEASE, str(CHART), "-n", namespace, values={"crds": {"keep": False}})
    assert columns(chart_cluster)
    helm("uninstall", RELEASE, "-n", namespace, "--wait")
    for crd in CRDS:
        eventually(lambda crd=crd: chart_cluster.run_kubectl("get", "crd", crd).returncode != 0, lambda: "still there")


def test_one_replica_two_and_one_again(chart_cluster: LocalCluster, helm: Helm, namespace: str) -> None:
    """Two pods roll, of one the old pod ends first; all have the same Lease, and the right to it."""
    arguments = ("-n", namespace, "--wait", "--timeout", "60s")
    helm("install", RELEASE, str(CHART), *arguments, values=QUICK_PODS)
    leases = set()
    for replicas, strategy in ((2, "RollingUpdate"), (1, "Recreate")):
        helm("upgrade", RELEASE, str(CHART), *arguments, values=QUICK_PODS | {"replicaCount": replicas})
        found = deployment(chart_cluster, namespace)
        assert found["spec"]["strategy"]["type"] == strategy
        assert found["status"]["availableReplicas"] == replicas
        variables = {one["name"]: one.get("value") for one in container(found)["env"]}
        lease = live(chart_cluster, "role", namespace, f"{namespace}-{RELEASE}-lease")
        named = [rule["resourceNames"] for rule in lease["rules"] if "resourceNames" in rule]
        assert named == [[variables["DORA_OPERATOR_LEASE_NAME"]]]
        leases.add(variables["DORA_OPERATOR_LEASE_NAME"])
    assert leases == {RELEASE}


def test_permissions_of_users_come_with_it(chart_cluster: LocalCluster, helm: Helm, namespace: str) -> None:
    """Users with view see DoraDeployments, users with edit change them; none writes status. Doctor warns."""
    helm("install", RELEASE, str(CHART), "-n", namespace, values={"rbac": {"aggregateRoles": True}})
    wanted = {"view": {"list"}, "edit": {"list", "create", "delete"}, "admin": {"list", "create", "delete"}}
    for role in wanted:
        chart_cluster.kubectl("-n", namespace, "create", "rolebinding", role, f"--clusterrole={role}", f"--user={role}")

    def may(role: str, *what: str) -> bool:
        words = ("auth", "can-i", *what, "-n", namespace, f"--as={role}")
        return chart_cluster.run_kubectl(*words).stdout.strip() == "yes"

    def allowed() -> dict[str, set[str]]:
        return {role: {verb for verb in ("list", "create", "delete") if may(role, verb, "dora")} for role in wanted}

    eventually(lambda: allowed() == wanted, lambda: str(allowed()))
    assert not any(may(role, "patch", "dora", "--subresource=status") for role in wanted)
    check = asyncio.run(policy_of(chart_cluster, namespace))
    assert (check.status, check.details) == (Status.WARNING, (namespace,))
    assert f"{namespace}-{RELEASE}-edit" in check.evidence


async def policy_of(cluster: LocalCluster, namespace: str) -> Check:
    """Return what doctor says about the policy, for an operator that watches one namespace."""
    async with open_cluster(Options(kubeconfig=cluster.kubeconfig)) as opened:
        (check,) = await read_policy(opened, settings_of({"DORA_OPERATOR_NAMESPACES": namespace}))
    return check
