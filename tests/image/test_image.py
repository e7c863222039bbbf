"""The image, built and run for real with buildah, on a base made by debootstrap: no image registry is needed.

It runs twice: as buildah runs it, and with a read-only root file system, which buildah's isolation does not know, in a
mount namespace of its own.
"""

import base64
import json
import os
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from sandbox.cluster import LocalCluster
from sandbox.cluster.process import free_ports
from sandbox.datadog import StandIn
from tests.support.probes import answers
from tests.support.shop import eventually

pytestmark = [
    pytest.mark.cluster,
    pytest.mark.timeout(900),
    pytest.mark.skipif(
        shutil.which("buildah") is None or shutil.which("debootstrap") is None or os.geteuid() != 0,
        reason="the image is built with buildah and debootstrap, as root: apt-get install buildah debootstrap",
    ),
]
ROOT = Path(__file__).parents[2]
USER = 65532
MIRROR = "http://deb.debian.org/debian"


class Buildah:
    """buildah with a storage of its own."""

    def __init__(self, folder: Path) -> None:
        self.command = ["buildah", "--root", str(folder / "root"), "--runroot", str(folder / "run")]
        self.environment = os.environ | {"BUILDAH_ISOLATION": "chroot", "STORAGE_DRIVER": "vfs"}

    def __call__(self, *arguments: str) -> str:
        """Run a command and return what it printed."""
        done = subprocess.run(
            [*self.command, *arguments], env=self.environment, cwd=ROOT, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, f"buildah {' '.join(arguments)}: {done.stderr[-2000:]}"
        return done.stdout.strip()

    def start(self, *arguments: str) -> subprocess.Popen[bytes]:
        """Run a command in the background."""
        return subprocess.Popen([*self.command, *arguments], env=self.environment, cwd=ROOT)


@pytest.fixture(scope="module")
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


@pytest.fixture(scope="module")
def container(buildah: Buildah) -> Iterator[str]:
    """Return a container of the image."""
    certificates = "/etc/ssl/certs:/etc/ssl/certs:ro"  # of whoever builds: a proxy may have its own
    buildah(
        "build", "--quiet", "--build-arg", "BASE=localhost/base", "-v", certificates, "-t", "localhost/operator", "."
    )
    name = buildah("from", "localhost/operator")
    yield name
    buildah("rm", name)


def test_what_is_in_it(buildah: Buildah, container: str) -> None:
    """A user without rights and without files of its own, an entry point that needs no shell, and no pip."""
    config = json.loads(buildah("inspect", "--type", "image", "localhost/operator"))["OCIv1"]["config"]
    assert (config["User"], config["Entrypoint"], config["Cmd"]) == (f"{USER}:{USER}", ["dora-operator"], ["run"])
    assert config["Labels"]["org.opencontainers.image.title"] == "dora-operator"
    look = (
        "import os, pathlib; root = pathlib.Path('/opt/operator');"
        "print(os.getuid(), any(os.access(path, os.W_OK) for path in root.rglob('*') if not path.is_symlink()),"
        " any(root.rglob('pip')), any(root.rglob('__pycache__')))"
    )
    assert buildah("run", container, "--", "/opt/operator/bin/python3", "-c", look) == f"{USER} False False True"
    files = Path(buildah("mount", container), "opt/operator").rglob("*")
    added = sum(path.stat().st_size for path in files if path.is_file())
    buildah("umount", container)
    print(f"on top of its base the image has {added / 1e6:.0f} MB")  # noqa: T201 - a figure for whoever runs it


@pytest.fixture
def kubeconfig(cluster: LocalCluster, tmp_path: Path) -> Path:
    """Return a folder with a kubeconfig that needs no other file, and that everybody may read."""
    config = yaml.safe_load(cluster.kubeconfig.read_text())
    for each in config["clusters"]:
        certificate = Path(each["cluster"].pop("certificate-authority")).read_bytes()
        each["cluster"]["certificate-authority-data"] = base64.b64encode(certificate).decode()
    folder = tmp_path / "kube"
    folder.mkdir()
    (folder / "config").write_text(yaml.safe_dump(config))
    for path in (folder, folder / "config"):
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
        start = _with_read_only_root if read_only else _as_it_is
        running = start(buildah, container, kubeconfig, variables)
        try:
            eventually(lambda: answers(f"http://127.0.0.1:{port}/readyz"), lambda: "it is not ready", seconds=60)
            print(f"from the start of the container to ready: {time.monotonic() - begun:.1f} s")  # noqa: T201
            assert answers(f"http://127.0.0.1:{port}/livez")
            spec = {"deployment": {"id": "deployment-image"}, "changeFailure": True}
            body = {"apiVersion": "dora-operator.io/v1alpha1", "kind": "DoraDeployment", "metadata": {"name": "image"}}
            cluster.kubectl("create", "-f", "-", input=json.dumps(body | {"spec": spec}))
            datadog.wait_for_requests(1, timeout=30)
        finally:
            for pid in _operators():
                os.kill(pid, signal.SIGTERM)
        assert running.wait(30) == 0
    cluster.kubectl("delete", "dora", "image")


def _as_it_is(buildah: Buildah, container: str, kubeconfig: Path, variables: dict[str, str]) -> subprocess.Popen[bytes]:
    settings = [word for name, value in variables.items() for word in ("--env", f"{name}={value}")]
    return buildah.start("run", "-v", f"{kubeconfig}:/mnt:ro", *settings, container, "--", "dora-operator", "run")


READ_ONLY = """
mount --bind "$1" "$1" && mount --bind "$2" "$1/mnt" && mount --bind /dev "$1/dev" && mount -o remount,bind,ro "$1"
! touch "$1/tmp/written" 2>/dev/null && exec chroot --userspec=$3:$3 "$1" /opt/operator/bin/dora-operator run
"""


def _with_read_only_root(
    buildah: Buildah, container: str, kubeconfig: Path, variables: dict[str, str]
) -> subprocess.Popen[bytes]:
    root = buildah("mount", container)
    command = ["unshare", "--mount", "sh", "-euc", READ_ONLY, "sh", root, str(kubeconfig), str(USER)]
    return subprocess.Popen(command, env={"PATH": os.environ["PATH"]} | variables)


def _operators() -> list[int]:
    """Return the processes that run the image's program: buildah does not hand signals on."""
    wanted = b"/opt/operator/bin/dora-operator\0run"
    found = []
    for entry in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            if wanted in entry.read_bytes() and b"buildah" not in entry.read_bytes():
                found.append(int(entry.parent.name))
        except OSError:
            continue
    return found
