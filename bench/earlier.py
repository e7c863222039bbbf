"""An earlier version of this operator as a peer, from the history of this repository.

Installed into the cache with its own locked packages. Its CRD is another one, so it needs a cluster of its own.
"""

import functools
import io
import shutil
import subprocess
import sys
import tarfile
from dataclasses import dataclass
from pathlib import Path

from sandbox.programs.cache import Cache, SandboxError

COMMIT = "8400de9"
"""The last version whose watch, login and transport were code of this repository."""
ROOT = Path(__file__).parents[1]


@dataclass(frozen=True, slots=True)
class Earlier:
    """The installed version."""

    source: Path
    bin: Path

    @property
    def python(self) -> Path:
        """Its interpreter."""
        return self.bin / "python"

    @property
    def crds(self) -> Path:
        """Its CRD."""
        return self.source / "crds"


@functools.cache
def installed() -> Earlier:
    """Return the earlier version, after installing it where it is missing. Call it before a clock runs.

    Raises:
        SandboxError: its commit or its packages cannot be had.
    """
    cache = Cache.default()
    folder = cache.folder / "peers" / COMMIT
    earlier, ready = Earlier(folder / "source", folder / "venv" / "bin"), folder / "ready"
    with cache.locked():
        if not ready.exists():
            print(f"Installing commit {COMMIT} into {folder} ...", flush=True)
            shutil.rmtree(folder, ignore_errors=True)
            _unpack(earlier.source)
            _install(earlier)
            ready.touch()
    return earlier


def _unpack(folder: Path) -> None:
    archive = subprocess.run(["git", "-C", str(ROOT), "archive", COMMIT], capture_output=True, check=False)
    if archive.returncode != 0:
        raise SandboxError(f"commit {COMMIT} is not in this clone: run `git fetch --unshallow`")
    with tarfile.open(fileobj=io.BytesIO(archive.stdout)) as files:
        files.extractall(folder, filter="data")


def _install(earlier: Earlier) -> None:
    uv = str(Path(sys.executable).with_name("uv"))
    install = [uv, "pip", "install", "--quiet", "--compile-bytecode", "--python", str(earlier.python)]
    _run(uv, "venv", "--quiet", "--python", sys.executable, str(earlier.bin.parent))
    _run(*install, "--require-hashes", "-r", str(earlier.source / "requirements" / "runtime.txt"))
    _run(*install, "--no-deps", str(earlier.source))


def _run(*command: str) -> None:
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    if result.returncode != 0:
        raise SandboxError(f"{' '.join(command)}: {result.stderr.strip()}")
