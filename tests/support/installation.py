"""A release of the chart on the cluster, and its operator.

It is a process with the variables of the live Deployment and a token of its ServiceAccount: no kubelet runs here.
"""

import base64
import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sandbox.cluster import LocalCluster
from sandbox.cluster.process import free_ports
from sandbox.datadog import StandIn
from sandbox.datadog.access import fingerprint
from sandbox.running import OperatorProcess, running_in
from tests.support.chart import QUICK_PODS, RELEASE, Helm, Permission, container, granted, live
from tests.support.shop import Shop
from tools.chart.__main__ import CHART

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
        settings["readBack"] = False  # the stand-in has only the deployments that it was given
        values = self.values | {"settings": settings | self.values.get("settings", {})} | QUICK_PODS
        values["datadog"] = {"existingSecret": "datadog-keys"}
        arguments = ("--take-ownership", "--wait", "--timeout", "60s")  # the CRD of the release before is still there
        self.helm("install", RELEASE, str(CHART), "-n", self.name, *arguments, values=values)

    def remove(self) -> None:
        """Uninstall, and take the namespaces away."""
        self.helm("uninstall", RELEASE, "-n", self.name)
        # In a namespace that is being deleted nothing can be created: the next operator must not see a failure there.
        self.shop.kubectl("delete", "rollouts", "--all")
        self.cluster.kubectl("delete", "namespace", self.name, self.shop.namespace, "--wait=false")

    def environment(self) -> dict[str, str]:
        """Return what the live Deployment gives to its pods."""
        return self.environment_of(live(self.cluster, "deployment", self.name, RELEASE)["spec"]["template"]["spec"])

    def environment_of(self, pod: dict[str, Any]) -> dict[str, str]:
        """Return the variables of a pod, with its mounted Secret as files, and its account's way in."""
        (only,) = pod["containers"]
        found = {one["name"]: one.get("value", "") for one in only["env"]}  # the API server drops an empty value
        if "DORA_OPERATOR_KEYS_DIR" in found:  # else it has no keys, as in a dry run
            mounts = {mount["mountPath"]: mount["name"] for mount in only["volumeMounts"]}
            (volume,) = [one for one in pod["volumes"] if one["name"] == mounts[found["DORA_OPERATOR_KEYS_DIR"]]]
            found["DORA_OPERATOR_KEYS_DIR"] = str(self.mount(volume["secret"]))
        in_pod = {"DORA_OPERATOR_LEASE_NAMESPACE": self.name}  # a pod knows its own namespace
        return in_pod | found | {"KUBECONFIG": str(self.kubeconfig(pod))}

    def mount(self, secret: dict[str, Any]) -> Path:
        """Write the files of a Secret's volume, as the kubelet does, also after a change of the Secret."""
        folder = self.folder / "keys"
        folder.mkdir(exist_ok=True)
        data = live(self.cluster, "secret", self.name, secret["secretName"])["data"]
        for item in secret["items"]:
            (folder / item["path"]).write_bytes(base64.b64decode(data[item["key"]]))
        return folder

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

    def run(self, pod: dict[str, Any]) -> subprocess.CompletedProcess[str]:
        """Run the program of a pod to its end: its command with its variables and its account."""
        (only,) = pod["containers"]
        program, *arguments = (*only["command"], *only["args"])
        command = [str(Path(sys.executable).with_name(program)), *arguments]
        variables = self.environment_of(pod)
        return subprocess.run(command, env=variables, capture_output=True, text=True, check=False, timeout=60)

    def sent_with(self, keys: tuple[str, str]) -> bool:
        """Return whether a request came with this API key."""
        return any(fingerprint(keys[0]) in request.headers["dd-api-key"] for request in self.datadog.requests())

    @property
    def user(self) -> str:
        """Name of the account in the audit log."""
        return f"system:serviceaccount:{self.name}:{RELEASE}"

    def granted(self) -> set[Permission]:
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
