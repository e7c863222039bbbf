"""`python -m tools.chart.kustomize`: write config/, the chart's defaults for those who do not use Helm.

Needs Helm, so `make check` leaves it alone; a test on the cluster says when it is out of date.
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
HEADER = "# Made from charts/dora-operator by `make config`. Do not edit: patch it in a kustomization of your own.\n"
OF_HELM = ("helm.sh/chart", "app.kubernetes.io/managed-by", "helm.sh/resource-policy")
FILES = {
    "crd.yaml": {"CustomResourceDefinition"},
    "rbac.yaml": {"ServiceAccount", "ClusterRole", "ClusterRoleBinding", "Role", "RoleBinding"},
    "deployment.yaml": {"Deployment", "Service"},
}


def rendered() -> list[dict[str, Any]]:
    """Return the objects of a plain installation whose keys are in Secret datadog-keys, without Helm's own marks."""
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
    assert {one["kind"] for one in objects} <= set().union(*FILES.values()), "a kind that no file of config/ takes"
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
