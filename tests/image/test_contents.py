"""What is in the image: the locked packages, the operator, their bytecode, and what a login by a plugin needs."""

import json
import re
import subprocess
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path

from tests.support.image import NEEDS, USER, Buildah
from tests.support.pages import ROOT

pytestmark = NEEDS
LIMIT = 160e6
"""Bytes on top of the base: what is there now, and a quarter for releases to come."""
UNCHECKED = (1).to_bytes(4, "little")
"""Flags of bytecode that is used without a check of its source."""


def test_what_is_in_it(buildah: Buildah, container: str) -> None:
    """A user without permissions and without files of its own, an entry point that needs no shell, and no pip."""
    config = json.loads(buildah("inspect", "--type", "image", "localhost/operator"))["OCIv1"]["config"]
    assert (config["User"], config["Entrypoint"], config["Cmd"]) == (f"{USER}:{USER}", ["dora-operator"], ["run"])
    labels = {name.removeprefix("org.opencontainers.image."): text for name, text in config["Labels"].items()}
    assert (labels["title"], labels["version"], labels["licenses"]) == ("dora-operator", "0.1.0", "Apache-2.0")
    assert (labels["base.name"], labels["revision"]) == ("localhost/base", "a-commit")
    script = (
        "import os, pathlib; root = pathlib.Path('/opt/operator');"
        "print(os.getuid(), any(os.access(path, os.W_OK) for path in root.rglob('*') if not path.is_symlink()),"
        " any(root.rglob('pip')), any(root.rglob('__pycache__')))"
    )
    assert buildah("run", container, "--", "/opt/operator/bin/python3", "-c", script) == f"{USER} False False True"


def test_how_large_it_is(buildah: Buildah, container: str) -> None:
    """It has a bound, and no bytecode is discarded because a copy gave a source another time."""
    root = Path(buildah("mount", container))
    files = [path for path in (root / "opt/operator").rglob("*") if path.is_file()]
    added, whole = (sum(path.lstat().st_size for path in some) for some in (_own(files), _own(root.rglob("*"))))
    flags = {path.read_bytes()[4:8] for path in files if path.suffix == ".pyc"}
    buildah("umount", container)
    print(f"on top of its base the image has {added / 1e6:.0f} MB, with it {whole / 1e6:.0f} MB")  # noqa: T201 - a figure
    assert added < LIMIT
    assert flags == {UNCHECKED}


def test_the_bill_of_materials_is_what_is_installed(buildah: Buildah, container: str, tmp_path: Path) -> None:
    """`make sbom` names the packages of the image in their versions, the operator as the subject, and no other."""
    bill = tmp_path / "sbom.json"
    installed_already = ["--old-file", ".venv/.ready", f"BIN={Path(sys.executable).parent}"]
    subprocess.run(["make", "sbom", f"SBOM={bill}", *installed_already], cwd=ROOT, check=True, capture_output=True)
    listed = json.loads(bill.read_text(encoding="utf-8"))
    script = (
        "import importlib.metadata as packages, json;"
        "print(json.dumps([[each.name, each.version] for each in packages.distributions()]))"
    )
    installed = json.loads(buildah("run", container, "--", "/opt/operator/bin/python3", "-c", script))
    components = [listed["metadata"]["component"], *listed["components"]]
    assert sorted((_plain(each["name"]), each["version"]) for each in components) == sorted(
        (_plain(name), version) for name, version in installed
    )


def test_it_logs_in_with_a_plugin(buildah: Buildah, container: str, tmp_path: Path) -> None:
    """The official client runs the plugin of a kubeconfig."""
    kind = {"apiVersion": "client.authentication.k8s.io/v1"}
    answer = json.dumps(kind | {"kind": "ExecCredential", "status": {"token": "from-plugin"}})
    plugin = kind | {"command": "echo", "args": [answer], "interactiveMode": "Never"}
    config = {
        "apiVersion": "v1",
        "kind": "Config",
        "current-context": "it",
        "contexts": [{"name": "it", "context": {"cluster": "it", "user": "it"}}],
        "clusters": [{"name": "it", "cluster": {"server": "https://127.0.0.1:6443"}}],
        "users": [{"name": "it", "user": {"exec": plugin}}],
    }
    (tmp_path / "config").write_text(json.dumps(config))
    for path in (tmp_path, tmp_path / "config"):
        path.chmod(0o755)
    script = (
        "import asyncio\n"
        "from dora_operator.clients.login import Login, log_in\n"
        "async def header(): return await Login(await log_in()).authorization()\n"
        "print(asyncio.run(header()))"
    )
    volume = ("-v", f"{tmp_path}:/mnt:ro", "--env", "KUBECONFIG=/mnt/config")
    said = buildah("run", *volume, container, "--", "/opt/operator/bin/python3", "-c", script)
    assert said == "Bearer from-plugin"


def _own(paths: Iterable[Path]) -> Iterator[Path]:
    """Leave out what takes no space of its own."""
    return (path for path in paths if not path.is_symlink() and path.is_file())


def _plain(name: str) -> str:
    """Return a package's name as indexes compare it."""
    return re.sub(r"[-_.]+", "-", name).lower()
