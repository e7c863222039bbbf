"""The image, run for real with buildah.

It runs twice: as buildah runs it, and with a read-only root file system, which buildah's isolation does not know, in a
mount namespace of its own.
"""

import json
import os
import shutil
import signal
import subprocess
import time
from pathlib import Path

import pytest
import yaml

from sandbox import loopback
from sandbox.cluster import LocalCluster
from sandbox.cluster.process import free_ports
from sandbox.datadog import StandIn
from tests.support.image import NEEDS, Buildah, operators, with_read_only_root
from tests.support.shop import eventually

pytestmark = NEEDS


@pytest.fixture
def kubeconfig(cluster: LocalCluster, tmp_path: Path) -> Path:
    """Return a folder with a kubeconfig and the certificate that it names, which everybody may read."""
    config = yaml.safe_load(cluster.kubeconfig.read_text())
    folder = tmp_path / "kube"
    folder.mkdir()
    for each in config["clusters"]:  # a certificate in the kubeconfig itself would need a folder for a temporary file
        shutil.copy(each["cluster"]["certificate-authority"], folder / "ca.crt")
        each["cluster"]["certificate-authority"] = "ca.crt"
    (folder / "config").write_text(yaml.safe_dump(config))
    for path in (folder, *folder.iterdir()):
        path.chmod(0o755)
    return folder


@pytest.mark.parametrize("read_only", [False, True], ids=["as it is", "with a read-only root"])
def test_it_does_its_job(
    buildah: Buildah, container: str, cluster: LocalCluster, kubeconfig: Path, *, read_only: bool
) -> None:
    """Started with nothing but its environment it becomes ready, marks a deployment, and ends at SIGTERM with 0."""
    (port,) = free_ports(1)
    with StandIn() as datadog:
        variables = {
            "KUBECONFIG": "/mnt/config",
            "DD_API_KEY": "image-api-key",
            "DD_APP_KEY": "image-app-key",
            "DORA_OPERATOR_DATADOG_URL": datadog.url,
            "DORA_OPERATOR_HEALTH_PORT": str(port),
            "DORA_OPERATOR_NAMESPACES": "default",
        }
        begun = time.monotonic()
        start = with_read_only_root if read_only else _as_it_is
        running = start(buildah, container, kubeconfig, variables)
        try:
            eventually(
                lambda: loopback.is_well(f"http://127.0.0.1:{port}/readyz"), lambda: "it is not ready", seconds=60
            )
            print(f"from the start of the container to ready: {time.monotonic() - begun:.1f} s")  # noqa: T201
            assert loopback.is_well(f"http://127.0.0.1:{port}/livez")
            spec = {"deployment": {"id": "deployment-image"}, "changeFailure": True}
            body = {"apiVersion": "dora-operator.io/v1alpha1", "kind": "DoraDeployment", "metadata": {"name": "image"}}
            cluster.kubectl("create", "-f", "-", input=json.dumps(body | {"spec": spec}))
            datadog.wait_for_requests(1, timeout=30)
        finally:
            for pid in operators():
                os.kill(pid, signal.SIGTERM)
        assert running.wait(30) == 0
    cluster.kubectl("delete", "dora", "image")


def _as_it_is(buildah: Buildah, container: str, kubeconfig: Path, variables: dict[str, str]) -> subprocess.Popen[bytes]:
    settings = [word for name, value in variables.items() for word in ("--env", f"{name}={value}")]
    return buildah.start("run", "-v", f"{kubeconfig}:/mnt:ro", *settings, container, "--", "dora-operator", "run")
