"""The README's five steps and the quick start, followed as they are written: what a new user does first.

The image is not built here (`tests/image/test_readme.py` does that where buildah is): the operator is a process with
the variables of the Deployment and a token of its ServiceAccount.
"""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from sandbox.cluster import LocalCluster
from sandbox.datadog import StandIn
from tests.support.chart import Helm, delete_crds
from tests.support.first_mark import FIVE_STEPS, KEYS, five_steps
from tests.support.installation import Installation
from tests.support.reader import Reader, blocks_of
from tests.support.shop import Shop, eventually

pytestmark = pytest.mark.cluster

NAMESPACE = "dora-operator"


@pytest.fixture
def datadog() -> Iterator[StandIn]:
    """Return a stand-in for Datadog."""
    with StandIn() as running:
        yield running


@pytest.fixture
def reader(chart_cluster: LocalCluster, helm: Helm, datadog: StandIn, tmp_path: Path) -> Iterator[Reader]:
    """Return a reader with a cluster where nothing of ours is installed."""
    delete_crds(chart_cluster)
    eventually(
        lambda: chart_cluster.run_kubectl("get", "namespace", NAMESPACE).returncode != 0,
        lambda: "it is still there",
        60,
    )
    installation = Installation(chart_cluster, helm, datadog, tmp_path, NAMESPACE, {})
    made = Reader(chart_cluster, tmp_path, datadog.url, installation.running)
    with made.running:
        yield made
    helm.run("uninstall", "dora-operator", "-n", NAMESPACE)
    chart_cluster.kubectl("delete", "namespace", NAMESPACE, "--wait=false")
    chart_cluster.kubectl("delete", "rollouts", "--all")


def test_the_five_steps_of_the_readme(reader: Reader, datadog: StandIn) -> None:
    """From nothing to the first marked abort, with the commands of the README."""
    seconds = five_steps(reader, datadog)
    print(f"from `helm install` to the first PATCH: {seconds:.1f} s")  # noqa: T201 - a figure to read


def test_there_are_five_steps() -> None:
    """Each has its number."""
    assert re.findall(r"(?m)^# (\d)\. ", FIVE_STEPS.text) == list("12345")


def test_the_quick_start(reader: Reader, datadog: StandIn) -> None:
    """Dry run first, then with keys: each command of the page, in its order."""
    install, check, keys, send, _ = blocks_of("docs/quick-start.md")
    for block in blocks_of("docs/quick-start.md", "yaml"):
        (reader.folder / str(block.title)).write_text(block.text)
    reader.follow(install, {}, {})
    shown = {"kubectl get dora checkout-1.5.0": '"method":"PATCH"', "kubectl get dora": "DryRun"}
    reader.follow(check, {}, shown)
    assert datadog.requests() == []
    reader.follow(keys, KEYS, {})
    eventually(lambda: is_dry_run_of(reader), lambda: reader.cluster.kubectl("get", "dora", "-o", "yaml"))
    assert datadog.requests() == [], "a page must not send a mark that its reader has not filled in"
    reader.follow(send, {}, {})
    (request,) = [each for each in datadog.requests() if each.method == "PATCH"]
    assert request.path.endswith("/YOUR-DEPLOYMENT-ID")
    assert request.document()["data"]["attributes"] == {"change_failure": True}
    Shop(reader.cluster, "default").kubectl("delete", "dora", "--all")


def is_dry_run_of(reader: Reader) -> bool:
    """Return whether the operator that has keys holds the resource of the page back."""
    conditions = Shop(reader.cluster, "default").get("checkout-1.5.0")["status"]["conditions"]
    return any(each["reason"] == "DryRun" for each in conditions if each["type"] == "Ready")
