"""Commands of the how-to pages, run as they stand there: what a reader copies works."""

import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from sandbox.cluster import LocalCluster
from sandbox.datadog import StandIn
from sandbox.running import running_operator
from tests.support.pages import ROOT, Block, to_send
from tests.support.reader import Reader, blocks_of
from tests.support.shop import Shop

pytestmark = pytest.mark.cluster


@pytest.fixture
def reader(cluster: LocalCluster, tmp_path: Path) -> Iterator[Reader]:
    """Return a reader whose cluster has an operator, and an empty namespace `default`."""
    with StandIn() as datadog, running_operator(cluster, datadog.url):
        yield Reader(cluster, tmp_path, datadog.url)
    cluster.kubectl("delete", "dora", "--all")


def only(page: str, words: str, language: str = "console") -> Block:
    """Return the one block of a page that says this."""
    (found,) = [block for block in blocks_of(page, language) if words in block.text]
    return found


def test_mark_by_hand_and_wait(reader: Reader) -> None:
    """The first resource of the page, and its script."""
    page = "docs/how-to/mark.md"
    (reader.folder / "mark.yaml").write_text(to_send(blocks_of(page, "yaml")[0].text))
    reader.follow(only(page, "kubectl wait"), {}, {})
    reader.follow(only(page, "Stalled"), {}, {"kubectl get": "False"})
    reader.follow(only(page, "kubectl annotate"), {}, {"kubectl annotate": "annotated"})


def test_a_dry_run_shows_its_request(reader: Reader) -> None:
    """The request is shown, with the name of its resource."""
    page = "docs/how-to/dry-run.md"
    reader.cluster.kubectl("apply", "-f", "-", input=only(page, "kind: DoraDeployment", "yaml").text)
    shown = {"kubectl get dora -A -o": 'checkout-1.5.0 {"data":', "kubectl get dora -A": "DryRun"}
    reader.follow(only(page, "jsonpath"), {}, shown)


def test_where_troubleshooting_begins(reader: Reader) -> None:
    """The two commands that the page begins with."""
    Shop(reader.cluster, "default").apply("checkout-1.5.0", changeFailure=True)
    begin = only("docs/troubleshooting.md", "describe")
    reader.follow(begin, {"NAME": "checkout-1.5.0"}, {"kubectl get": "Accepted", "kubectl describe": "Reason:"})


def test_argo_cd_gets_the_health_check(reader: Reader) -> None:
    """The patch adds the Lua to the ConfigMap, and leaves what was there."""
    kubectl = reader.cluster.kubectl
    kubectl("create", "namespace", "argocd")
    kubectl("-n", "argocd", "create", "configmap", "argocd-cm", "--from-literal=url=https://argocd.example.com")
    reader.follow(only("docs/how-to/argo-cd.md", "patch configmap"), {}, {})
    data = yaml.safe_load(kubectl("-n", "argocd", "get", "configmap", "argocd-cm", "-o", "yaml"))["data"]
    assert data["url"] == "https://argocd.example.com"
    lua = data["resource.customizations.health.dora-operator.io_DoraDeployment"]
    assert lua == (ROOT / "gitops/argo-cd/health.lua").read_text(encoding="utf-8")


def test_a_job_of_ci_commits_a_mark(reader: Reader) -> None:
    """The page's job, in a clone of a repository with the template, ends in a resource that the operator reports."""
    origin, clone = reader.folder / "origin", reader.folder / "clone"
    mark = yaml.safe_load(to_send(only("docs/how-to/argo-cd.md", "rollforward", "yaml").text))
    template = yaml.safe_dump(mark | {"metadata": {"name": "checkout-VERSION"}}).replace("1.5.0", "VERSION")

    def shell(script: str) -> None:
        subprocess.run(["bash", "-euo", "pipefail", "-c", script], cwd=reader.folder, check=True, capture_output=True)

    shell(f"git init --bare -q {origin} && git clone -q {origin} {clone} && mkdir -p {clone}/checkout/dora")
    (clone / "mark.template.yaml").write_text(template)
    job = only("docs/how-to/argo-cd.md", "git push").text
    shell(f"cd {clone}; export VERSION=1.5.0; git config user.name ci; git config user.email ci@example.com\n{job}")
    shell(f"git clone -q {origin} again")
    reader.cluster.kubectl("apply", "-f", str(reader.folder / "again/checkout/dora"))
    status = Shop(reader.cluster, "default").wait("checkout-1.5.0", "Accepted")
    assert status["accepted"] == {"changeFailure": True, "remediation": {"type": "rollforward", "version": "1.5.1"}}
