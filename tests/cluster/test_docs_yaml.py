"""Every YAML that the documentation and gitops/ show is one that a real API server takes, with the real CRDs."""

import json
import re
import shlex
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
import yaml

from sandbox.cluster import LocalCluster
from sandbox.cluster.rollouts import install_crds
from sandbox.programs.build import ensure_manifests
from sandbox.programs.catalogue import GITOPS
from tests.support.chart import Helm
from tests.support.pages import ROOT, VALUES_FILE, Block, blocks, commands

pytestmark = pytest.mark.cluster

BLOCKS = list(blocks("yaml"))
MANIFESTS = [pytest.param(block, id=block.where) for block in BLOCKS if block.title != VALUES_FILE]
VALUES = [pytest.param(block, id=block.where) for block in BLOCKS if block.title == VALUES_FILE]
FILES = [pytest.param(path, id=str(path.relative_to(ROOT))) for path in sorted((ROOT / "gitops").rglob("*.yaml"))]
SERVER_DRY_RUN = ("apply", "--server-side", "--dry-run=server", "-f", "-")
FOLLOWED_BY_A_RESOURCE = {"get", "describe", "wait", "delete", "explain"}


@pytest.fixture(scope="module")
def server() -> Iterator[LocalCluster]:
    """Return an API server with the CRDs of everything that the pages speak of, and the namespaces that they name."""
    with LocalCluster.start() as running:
        running.kubectl("apply", "-f", str(ROOT / "crds"))
        install_crds(running)
        for folder in ensure_manifests(GITOPS).values():
            running.kubectl("apply", "--server-side", "-R", "-f", str(folder))
        running.kubectl("wait", "--for=condition=Established", "crd", "--all", "--timeout=60s")
        for name in sorted(_namespaces() - {"default"}):
            running.kubectl("create", "namespace", name)
        yield running


def test_the_pages_show_manifests_and_values() -> None:
    """The pages show manifests and values, of these kinds at least."""
    kinds = {found["kind"] for block in BLOCKS if block.title != VALUES_FILE for found in block.objects()}
    assert {"DoraDeployment", "Secret", "Application", "Kustomization"} <= kinds
    assert len(VALUES) >= 3


@pytest.mark.parametrize("block", MANIFESTS)
def test_a_manifest_of_a_page_is_accepted(server: LocalCluster, block: Block) -> None:
    """What a reader copies works. A field that the CRD does not have is refused."""
    result = server.run_kubectl(*SERVER_DRY_RUN, input=block.text)
    assert result.returncode == 0, result.stderr


@pytest.mark.parametrize("path", FILES)
def test_a_file_of_gitops_is_accepted(server: LocalCluster, path: Path) -> None:
    """The examples are as good as the pages."""
    result = server.run_kubectl(*SERVER_DRY_RUN, input=path.read_text(encoding="utf-8"))
    assert result.returncode == 0, result.stderr


@pytest.mark.parametrize("kind", ["Application", "AppProject", "Kustomization", "GitRepository"])
def test_a_wrong_field_would_be_noticed(server: LocalCluster, kind: str) -> None:
    """The CRDs of Argo CD and Flux are real ones: they know their fields."""
    found = next(one for block in BLOCKS for one in block.objects() if one.get("kind") == kind)
    wrong = found | {"spec": found["spec"] | {"noSuchField": True}}
    result = server.run_kubectl(*SERVER_DRY_RUN, input=json.dumps(wrong))
    assert result.returncode != 0
    assert "noSuchField" in result.stderr


@pytest.mark.parametrize("block", VALUES)
def test_values_of_a_page_are_values_of_the_chart(server: LocalCluster, tmp_path: Path, block: Block) -> None:
    """Helm takes them, with the chart's schema."""
    (values,) = block.objects()
    assert Helm(server, tmp_path).template(values)


def test_a_page_shows_the_files_of_gitops() -> None:
    """What the pages on Argo CD and Flux show are the tested files, but for comments."""
    shown = [found for block in BLOCKS if "how-to" in block.where for found in block.objects()]
    for path in ("argo-cd/application.yaml", "flux/kustomization.yaml"):
        for found in yaml.safe_load_all((ROOT / "gitops" / path).read_text(encoding="utf-8")):
            assert found in shown, path


def test_commands_name_resources_that_exist(server: LocalCluster) -> None:
    """As `dora` in `kubectl get dora`."""
    table = server.kubectl("api-resources", "--no-headers", "-o", "name").split()
    listed = server.kubectl("api-resources", "--no-headers")
    known = {name.split(".")[0] for name in table} | {
        word for line in listed.splitlines() for word in line.split()[1].split(",") if len(line.split()) > 4
    }
    known |= {name.removesuffix("s") for name in known} | {"datadog"}
    wrong = [(where, command) for where, command in commands() if (_resource(command) or "dora") not in known]
    assert wrong == []


def _namespaces() -> set[str]:
    texts = [block.text for block in BLOCKS if block.title != VALUES_FILE]
    texts += [path.read_text(encoding="utf-8") for path in (ROOT / "gitops").rglob("*.yaml")]
    objects: list[dict[str, Any]] = [found for one in texts for found in yaml.safe_load_all(one)]
    return {found["metadata"]["namespace"] for found in objects if "namespace" in found["metadata"]}


def _resource(command: str) -> str | None:
    words = [word for word in shlex.split(command) if not word.startswith("-")]
    if words[:1] != ["kubectl"]:
        return None
    for verb, what in pairwise(words):
        if verb in FOLLOWED_BY_A_RESOURCE:
            return re.split(r"[/.]", what)[0]
    return None
