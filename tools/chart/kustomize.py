"""`python -m tools.chart.kustomize`: write config/, the chart's defaults for users without Helm.

It needs Helm, so `make check` does not run it; a test on the cluster fails when config/ is out of date.
"""

import subprocess
import sys
from pathlib import Path
from typing import Any

import yaml

from sandbox.programs.build import ensure
from sandbox.programs.catalogue import HELM
from tools.chart.__main__ import CHART

CONFIG = CHART.parents[1] / "config"
NAME = "dora-operator"
HEADER = "# Generated from charts/dora-operator by `make config`. Do not edit: patch it in your own kustomization.\n"
OF_HELM = ("helm.sh/chart", "app.kubernetes.io/managed-by", "helm.sh/resource-policy")
FILES = {
    "crd.yaml": {"CustomResourceDefinition"},
    "rbac.yaml": {"ServiceAccount", "ClusterRole", "ClusterRoleBinding", "Role", "RoleBinding"},
    "deployment.yaml": {"Deployment", "Service", "NetworkPolicy"},
}


def rendered() -> list[dict[str, Any]]:
    """Return the objects of an installation with the keys in Secret datadog-keys, without the labels of Helm."""
    arguments = (
        "template",
        NAME,
        str(CHART),
        "-n",
        NAME,
        "--skip-tests",
        "--set",
        "datadog.existingSecret=datadog-keys",
    )
    result = subprocess.run([ensure([HELM])["helm"], *arguments], capture_output=True, text=True, check=True)  # noqa: S603 - our own Helm
    return [_without_helm(found) for found in yaml.safe_load_all(result.stdout) if found is not None]


def files() -> dict[Path, str]:
    """Return the text of each generated file."""
    objects = rendered()
    assert {one["kind"] for one in objects} <= set().union(*FILES.values()), "a kind that belongs to no file of config/"
    return {
        CONFIG / name: HEADER
        + yaml.safe_dump_all([one for one in objects if one["kind"] in kinds], sort_keys=False, width=120)
        for name, kinds in FILES.items()
    }


def _without_helm(found: dict[str, Any]) -> dict[str, Any]:
    parts = [found["metadata"]]
    if found["kind"] == "Deployment":
        parts.append(found["spec"]["template"]["metadata"])
    for metadata in parts:
        for place in ("labels", "annotations"):
            kept = {name: text for name, text in metadata.pop(place, {}).items() if name not in OF_HELM}
            if kept:
                metadata[place] = kept
    return found


def main() -> int:
    """Write the files."""
    for path, text in files().items():
        path.write_text(text, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
