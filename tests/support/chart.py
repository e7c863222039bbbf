"""Helm on a cluster, and what the chart has made there, as the tests read it."""

import json
import os
import subprocess
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from sandbox.cluster import LocalCluster
from sandbox.cluster.rollouts import pace
from sandbox.programs.build import ensure
from sandbox.programs.catalogue import HELM
from tools.chart.__main__ import CHART

QUICK_PODS = {"podAnnotations": pace("50ms"), "terminationGracePeriodSeconds": 5}
"""Values with which kwok plays the pods of a release quickly."""
CRDS = ("doradeployments.dora-operator.io", "dorahistories.dora-operator.io")
RELEASE = "dora-operator"
Permission = tuple[str, str, str]
"""API group, resource with its subresource, verb."""


@dataclass(frozen=True, slots=True)
class Helm:
    """Runs Helm on a cluster, with its own folders, so that no setting of the developer's counts."""

    cluster: LocalCluster
    home: Path

    def run(self, *arguments: str, values: dict[str, Any] | None = None) -> subprocess.CompletedProcess[str]:
        """Run Helm with values from standard input, and return what came of it."""
        folders = {f"HELM_{name}_HOME": str(self.home / name.lower()) for name in ("CACHE", "CONFIG", "DATA")}
        return subprocess.run(
            [str(ensure([HELM])["helm"]), *arguments, *(("--values", "-") if values is not None else ())],
            env=os.environ | folders | {"KUBECONFIG": str(self.cluster.kubeconfig)},
            input=yaml.safe_dump(values) if values is not None else None,
            capture_output=True,
            text=True,
            check=False,
            timeout=180,
        )

    def __call__(self, *arguments: str, values: dict[str, Any] | None = None) -> str:
        """Run Helm and return what it printed; a failure fails the test."""
        result = self.run(*arguments, values=values)
        assert result.returncode == 0, f"helm {' '.join(arguments)}: {result.stdout}\n{result.stderr}"
        return result.stdout

    def template(self, values: dict[str, Any], namespace: str = "ops", *arguments: str) -> list[dict[str, Any]]:
        """Return the objects that the chart makes of these values, without those of `helm test`."""
        return self.template_with_tests(values, namespace, "--skip-tests", *arguments)

    def template_with_tests(
        self, values: dict[str, Any], namespace: str = "ops", *arguments: str
    ) -> list[dict[str, Any]]:
        """Return the objects that the chart makes of these values, and those that `helm test` makes."""
        text = self("template", RELEASE, str(CHART), "-n", namespace, *arguments, values=values)
        return [found for found in yaml.safe_load_all(text) if found is not None]


def of_kind(objects: Iterable[dict[str, Any]], kind: str) -> list[dict[str, Any]]:
    """Return the objects of a kind."""
    return [one for one in objects if one["kind"] == kind]


def container(deployment: dict[str, Any]) -> dict[str, Any]:
    """Return the operator's container."""
    (only,) = deployment["spec"]["template"]["spec"]["containers"]
    return dict(only)


def permissions(roles: Iterable[dict[str, Any]]) -> set[Permission]:
    """Return what roles allow."""
    return {
        (group, resource, verb)
        for role in roles
        for rule in role["rules"]
        for group in rule["apiGroups"]
        for resource in rule["resources"]
        for verb in rule["verbs"]
    }


def granted(objects: Iterable[dict[str, Any]], account: str) -> set[Permission]:
    """Return what a ServiceAccount is allowed by the roles among these objects that are bound to it."""
    known = list(objects)
    roles = {(one["kind"], one["metadata"].get("namespace"), one["metadata"]["name"]): one for one in known}
    bound = []
    for binding in (one for one in known if one["kind"].endswith("RoleBinding")):
        if any(subject["name"] == account for subject in binding.get("subjects", [])):
            reference, namespace = binding["roleRef"], binding["metadata"].get("namespace")
            where = namespace if reference["kind"] == "Role" else None
            bound.append(roles[reference["kind"], where, reference["name"]])
    return permissions(bound)


def used(cluster: LocalCluster, user: str) -> tuple[set[Permission], list[str]]:
    """Return the permissions that a user's requests needed, by the audit log, and the requests that were refused."""
    found, refused = set(), []
    for entry in cluster.audited(user=user):
        about = entry.get("objectRef")
        if about is None:
            continue  # discovery, which everybody may ask for
        code = entry["responseStatus"]["code"]
        if code in {401, 403}:
            refused.append(f"{entry['verb']} {entry['requestURI']}: {code}")
        resource = "/".join(part for part in (about["resource"], about.get("subresource")) if part)
        found.add((about.get("apiGroup", ""), resource, entry["verb"]))
        if entry["verb"] == "patch" and code == 201:  # an apply that makes the object needs both
            found.add((about.get("apiGroup", ""), resource, "create"))
    return found, refused


def live(cluster: LocalCluster, kind: str, namespace: str, name: str) -> dict[str, Any]:
    """Return an object of the cluster."""
    found: dict[str, Any] = json.loads(cluster.kubectl("-n", namespace, "get", kind, name, "-o", "json"))
    return found


def delete_crds(cluster: LocalCluster) -> None:
    """Delete both CRDs. One that is not established yet would be deleted after a long backoff of the API server."""
    for crd in CRDS:
        if cluster.run_kubectl("get", "crd", crd).returncode == 0:
            cluster.kubectl("wait", "crd", crd, "--for=condition=Established", "--timeout=30s")
    cluster.kubectl("delete", "crd", *CRDS, "--ignore-not-found")
