"""The README's five steps with the image: built, pushed, pulled and run, with buildah in the place of docker."""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from sandbox import loopback
from sandbox.cluster import LocalCluster
from sandbox.datadog import StandIn
from tests.support.chart import Helm, live
from tests.support.first_mark import five_steps
from tests.support.image import NEEDS, USER, Buildah, with_read_only_root
from tests.support.installation import Installation
from tests.support.reader import Reader
from tests.support.scheduling import Scheduler
from tests.support.shop import eventually

pytestmark = NEEDS

NAMESPACE = "dora-operator"
ACCOUNT = "run/secrets/kubernetes.io/serviceaccount"
"""Where the kubelet mounts an account's token; /var/run is a link to /run."""
DOCKER = """#!/bin/sh
case $1 in
build) shift; exec {buildah} build --quiet --build-arg BASE=localhost/base -v /etc/ssl/certs:/etc/ssl/certs:ro "$@" ;;
push) exec {buildah} push --quiet "$2" oci:{registry} ;;
esac
exit 1
"""
"""buildah instead: the base from debootstrap, the certificates of this machine, a folder as the registry."""


@pytest.fixture
def rollouts_cluster() -> Iterator[LocalCluster]:
    """Return a cluster with Argo Rollouts, where nothing of ours is installed."""
    with LocalCluster.start(with_rollouts=True) as running, Scheduler(running):
        yield running


def test_the_five_steps_of_the_readme(buildah: Buildah, rollouts_cluster: LocalCluster, tmp_path: Path) -> None:
    """From nothing to the first marked abort: what is pulled runs as the Deployment says, as a pod's account."""
    registry = tmp_path / "registry"
    with StandIn() as datadog:
        installation = Installation(
            rollouts_cluster, Helm(rollouts_cluster, tmp_path), datadog, tmp_path, NAMESPACE, {}
        )

        @contextmanager
        def pod() -> Iterator[None]:
            name = buildah("from", "--quiet", f"oci:{registry}")
            with running(buildah, name, installation):
                yield
            buildah("rm", name)

        docker = DOCKER.format(buildah=" ".join(buildah.command), registry=registry)
        reader = Reader(rollouts_cluster, tmp_path, datadog.url, pod, docker, buildah.environment)
        with reader.running:
            seconds = five_steps(reader, datadog)
        print(f"from `helm install` to the first PATCH, image pulled: {seconds:.1f} s")  # noqa: T201 - a figure


@contextmanager
def running(buildah: Buildah, name: str, installation: Installation) -> Iterator[None]:
    """Run a container as the pod of the Deployment, until it is ready by the Deployment's own probe."""
    pod = live(installation.cluster, "deployment", NAMESPACE, "dora-operator")["spec"]["template"]["spec"]
    assert pod["securityContext"]["runAsUser"] == USER
    (only,) = pod["containers"]
    assert (only["image"], only["command"], only["args"]) == (
        "localhost/dora-operator:0.1.0",
        ["dora-operator"],
        ["run"],
    )
    assert only["securityContext"]["readOnlyRootFilesystem"]
    server = urlsplit(installation.cluster.url)
    variables = {name: text for name, text in installation.environment().items() if name != "KUBECONFIG"}
    variables |= {"KUBERNETES_SERVICE_HOST": str(server.hostname), "KUBERNETES_SERVICE_PORT": str(server.port)}
    folder = account(installation, Path(variables["DORA_OPERATOR_KEYS_DIR"]))
    variables["DORA_OPERATOR_KEYS_DIR"] = f"/{ACCOUNT}/keys"  # one mount serves both; the kubelet makes two
    process = with_read_only_root(buildah, name, folder, variables, ACCOUNT)
    url = f"http://127.0.0.1:{variables['DORA_OPERATOR_HEALTH_PORT']}{only['readinessProbe']['httpGet']['path']}"
    try:
        eventually(lambda: loopback.is_well(url), lambda: "it is not ready", seconds=60)
        yield
    finally:
        process.terminate()
    assert process.wait(30) == 0


def account(installation: Installation, keys: Path) -> Path:
    """Return a folder with what the kubelet mounts: token, authority and namespace of the account, and the keys."""
    folder = installation.folder / "account"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    kubectl = installation.cluster.kubectl
    (folder / "token").write_text(kubectl("-n", NAMESPACE, "create", "token", "dora-operator").strip())
    (folder / "namespace").write_text(NAMESPACE)
    shutil.copy(installation.cluster.folder / "certificates" / "apiserver.crt", folder / "ca.crt")
    shutil.copytree(keys, folder / "keys")
    for path in (folder, *folder.rglob("*")):
        path.chmod(0o755)
    return folder
