"""The image, built once on a base made by debootstrap, so that no image registry is needed; and an API server."""

import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from sandbox.cluster import LocalCluster
from tests.support.image import Buildah

CRDS = Path(__file__).parents[2] / "crds"
MIRROR = "http://deb.debian.org/debian"


@pytest.fixture(scope="module")
def cluster() -> Iterator[LocalCluster]:
    """Return a real API server that knows DoraDeployment."""
    with LocalCluster.start() as running:
        running.kubectl("apply", "-f", str(CRDS))
        running.kubectl("wait", "--for=condition=Established", "-f", str(CRDS), "--timeout=30s")
        yield running


@pytest.fixture(scope="session")
def buildah(tmp_path_factory: pytest.TempPathFactory) -> Buildah:
    """Return a buildah that knows a base image."""
    folder = tmp_path_factory.mktemp("image")
    base, made = folder / "base", Buildah(folder)
    packages = "python3,python3-venv,ca-certificates"
    command = ["debootstrap", "--variant=minbase", f"--include={packages}", "trixie", str(base), MIRROR]
    subprocess.run(command, check=True, capture_output=True, timeout=600)
    container = made("from", "scratch")
    made("add", "--quiet", container, str(base), "/")
    made("commit", "--quiet", "--rm", container, "localhost/base")
    shutil.rmtree(base)
    return made


@pytest.fixture(scope="session")
def container(buildah: Buildah) -> Iterator[str]:
    """Return a container of the image."""
    certificates = "/etc/ssl/certs:/etc/ssl/certs:ro"  # of the building machine: a proxy may have its own
    given = ("--build-arg", "BASE=localhost/base", "--build-arg", "REVISION=a-commit")
    buildah("build", "--quiet", *given, "-v", certificates, "-t", "localhost/operator", ".")
    name = buildah("from", "localhost/operator")
    yield name
    buildah("rm", name)
