"""Build the zipapp `kubectl-dora`, an archive with it, and krew's manifest of the archive.

The packages are those of the image's lock, with their hashes. The zipapp needs the Python that built it (3.11 and so
on), because some packages are compiled; shiv unpacks it into SHIV_ROOT (default ~/.shiv) at its first start.
"""

import gzip
import hashlib
import io
import os
import platform
import shutil
import subprocess
import sys
import tarfile
import tempfile
import tomllib
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).parents[2]
NAME = "kubectl-dora"
COMPLETION = "kubectl_complete-dora"
ENTRY = "kubectl_dora.main:main"
UNUSED = (
    "kubernetes/client/models/[a-z]*.py",
    "kubernetes/client/api/[a-z]*.py",
    "kubernetes/aio/client/models/[a-z]*.py",
    "kubernetes/aio/client/api/[a-z]*.py",
    "kopf",
    "pygments/lexers/[a-z]*.py",
    "*/tests",
)
"""Generated classes that are loaded only when one is named, which nothing does; and what no command needs."""
KEPT = frozenset({"python.py", "__init__.py", "_mapping.py"})
COMPLETE = f"""#!/bin/sh
# Shell completion of kubectl dora: the same program, entered elsewhere.
SHIV_ENTRY_POINT=kubectl_dora.complete:main exec "$(dirname "$0")/{NAME}" "$@"
"""
ARCHITECTURES = {"x86_64": "amd64", "aarch64": "arm64", "arm64": "arm64"}
URL = "https://example.com/dora-operator/releases/download"
"""Where the archive will be; DIST_URL names the real place."""


def build(folder: Path) -> list[Path]:
    """Build everything into a folder; return what was written."""
    folder.mkdir(parents=True, exist_ok=True)
    program, complete = folder / NAME, folder / COMPLETION
    with tempfile.TemporaryDirectory(prefix="kubectl-dora-") as staging:
        packages = Path(staging) / "packages"
        _install(packages)
        _leave_out(packages)
        source = ("--site-packages", str(packages), "-e", ENTRY, "-p", interpreter())
        _run("shiv", *source, "--compressed", "--reproducible", "-o", str(program))
    complete.write_text(COMPLETE)
    complete.chmod(0o755)
    archive = folder / f"{NAME}-{platform_name()}.tar.gz"
    archive.write_bytes(packed([program, complete, ROOT / "LICENSE"]))
    manifest = folder / "dora.yaml"
    manifest.write_text(yaml.safe_dump(krew(version(), archive), sort_keys=False, width=120))
    return [program, complete, archive, manifest]


def version() -> str:
    """Return the version of the project."""
    found: str = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]
    return found


def interpreter() -> str:
    """Return the interpreter for which the compiled packages are."""
    return f"/usr/bin/env python{sys.version_info.major}.{sys.version_info.minor}"


def platform_name() -> str:
    """Return the platform as krew and Go name it."""
    return f"{sys.platform}-{ARCHITECTURES[platform.machine()]}"


def packed(files: list[Path]) -> bytes:
    """Return an archive of the files that is the same for the same contents."""
    buffer = io.BytesIO()
    with (
        gzip.GzipFile(fileobj=buffer, mode="wb", mtime=0) as compressed,
        tarfile.open(fileobj=compressed, mode="w", format=tarfile.PAX_FORMAT) as archive,
    ):
        for file in files:
            entry = tarfile.TarInfo(file.name)
            entry.size, entry.mode = file.stat().st_size, 0o644 if file.name == "LICENSE" else 0o755
            with file.open("rb") as content:
                archive.addfile(entry, content)
    return buffer.getvalue()


def krew(number: str, archive: Path) -> dict[str, Any]:
    """Return krew's manifest. Source: krew, "Writing Krew plugin manifests"."""
    system, architecture = platform_name().split("-")
    place = os.environ.get("DIST_URL") or f"{URL}/v{number}"
    return {
        "apiVersion": "krew.googlecontainertools.github.com/v1alpha2",
        "kind": "Plugin",
        "metadata": {"name": "dora"},
        "spec": {
            "version": f"v{number}",
            "shortDescription": "Explain and correct Datadog DORA marks of Rollouts",
            "description": (
                "Finds out whether the DORA operator is set up right (doctor), what it decided about a Rollout\n"
                "and why (explain), marks deployments (mark, clear), catches up on the past (backfill, report).\n"
            ),
            "caveats": f"Needs Python {sys.version_info.major}.{sys.version_info.minor} on PATH.\n",
            "platforms": [
                {
                    "selector": {"matchLabels": {"os": system, "arch": architecture}},
                    "uri": f"{place}/{archive.name}",
                    "sha256": hashlib.sha256(archive.read_bytes()).hexdigest(),
                    "bin": NAME,
                }
            ],
        },
    }


def _install(packages: Path) -> None:
    target = ("--python", sys.executable, "--target", str(packages), "--quiet")
    _run("uv", "pip", "install", *target, "--require-hashes", "-r", str(ROOT / "requirements/runtime.txt"))
    with tempfile.TemporaryDirectory(prefix="kubectl-dora-wheel-") as wheels:
        how = ("--wheel", "--no-build-isolation", "--python", sys.executable, "--out-dir", wheels)
        _run("uv", "build", "--quiet", *how, str(ROOT))
        (wheel,) = Path(wheels).glob("*.whl")
        _run("uv", "pip", "install", *target, "--no-deps", str(wheel))


def _leave_out(packages: Path) -> None:
    """Remove what is never imported: two thirds of the size."""
    for pattern in UNUSED:
        for path in packages.glob(pattern):
            if path.is_dir():
                shutil.rmtree(path)
            elif path.name not in KEPT:
                path.unlink()
    shutil.rmtree(packages / "bin", ignore_errors=True)


def _run(program: str, *arguments: str) -> None:
    """Run a program of this environment."""
    own = Path(sys.executable).with_name(program)
    subprocess.run([str(own), *arguments], check=True)  # noqa: S603 - our own words


if __name__ == "__main__":
    for written in build(Path(sys.argv[1] if len(sys.argv) > 1 else "dist")):
        sys.stdout.write(f"{written}\n")
