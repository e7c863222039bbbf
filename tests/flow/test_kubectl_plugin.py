"""`make dist`: the plugin as one file, installed as its users install it and run by the real kubectl."""

import hashlib
import os
import subprocess
import sys
import tarfile
from collections.abc import Mapping
from pathlib import Path

import pytest
import yaml

import kubectl_dora
from tools.plugin import __main__ as plugin

MODULES = Path(kubectl_dora.__file__).parent


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the folder with what `make dist` builds."""
    folder = tmp_path_factory.mktemp("dist")
    plugin.build(folder)
    return folder


@pytest.fixture(scope="module")
def environment(built: Path, tmp_path_factory: pytest.TempPathFactory) -> Mapping[str, str]:
    """Unpack the archive into an empty folder on PATH, beside kubectl, Python and nothing else."""
    folder, root = tmp_path_factory.mktemp("path"), tmp_path_factory.mktemp("shiv")
    with tarfile.open(built / f"kubectl-dora-{plugin.platform_name()}.tar.gz") as archive:
        archive.extractall(folder, filter="data")
    (folder / "kubectl").symlink_to(Path(sys.executable).with_name("kubectl").resolve())
    name = plugin.interpreter().split()[-1]
    (folder / name).symlink_to((Path(sys.base_prefix) / "bin" / name).resolve())
    (folder / "dirname").symlink_to("/usr/bin/dirname")
    return {"PATH": str(folder), "SHIV_ROOT": str(root), "HOME": str(root)}


def run(environment: Mapping[str, str], *words: str) -> subprocess.CompletedProcess[str]:
    """Run a program with this environment alone."""
    found = [f"{environment['PATH']}/{words[0]}", *words[1:]]
    return subprocess.run(found, env=environment, capture_output=True, text=True, timeout=120, check=False)


def test_kubectl_runs_the_plugin(environment: Mapping[str, str]) -> None:
    """`kubectl dora version`, with nothing installed but the archive."""
    found = run(environment, "kubectl", "dora", "version", "--client")
    assert (found.returncode, found.stdout) == (0, f"kubectl-dora {plugin.version()}\n"), found.stderr


def test_kubectl_completes_the_plugin(environment: Mapping[str, str]) -> None:
    """Kubectl itself calls the program for completion."""
    found = run(environment, "kubectl", "__complete", "dora", "expl")
    assert found.stdout.split()[:1] == ["explain"], found.stderr


def test_the_archive_holds_all_that_the_commands_import(environment: Mapping[str, str]) -> None:
    """No package that a command needs was left out."""
    paths = [path.relative_to(MODULES.parent) for path in MODULES.rglob("*.py") if not path.stem.startswith("__")]
    names = [".".join(path.with_suffix("").parts) for path in paths]
    program = "import " + ", ".join(sorted(names))
    found = run({**environment, "SHIV_INTERPRETER": "1"}, "kubectl-dora", "-c", program)
    assert found.returncode == 0, found.stderr


def test_the_manifest_names_the_archive(built: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With its checksum, and with the place that DIST_URL names."""
    archive = built / f"kubectl-dora-{plugin.platform_name()}.tar.gz"
    manifest = yaml.safe_load((built / "dora.yaml").read_text())
    (found,) = manifest["spec"]["platforms"]
    assert found["sha256"] == hashlib.sha256(archive.read_bytes()).hexdigest()
    with tarfile.open(archive) as opened:
        assert opened.getnames() == ["kubectl-dora", "kubectl_complete-dora", "LICENSE"]
        assert found["bin"] in opened.getnames()
    assert len(manifest["spec"]["shortDescription"]) <= 50
    monkeypatch.setenv("DIST_URL", "https://downloads.example.com/v1")
    (elsewhere,) = plugin.krew("1.0.0", archive)["spec"]["platforms"]
    assert elsewhere["uri"] == f"https://downloads.example.com/v1/{archive.name}"
    assert os.access(built / "kubectl-dora", os.X_OK)
