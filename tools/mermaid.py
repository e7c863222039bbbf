"""Mermaid's script for the documentation site: fetched once by npm, checked by its hash, and kept in the cache.

The theme would load it from another host when a reader opens a page. The version is one that the theme supports.
"""

import base64
import hashlib
import shutil
import subprocess
import tarfile
import tempfile
from pathlib import Path

from sandbox.programs.cache import Cache, SandboxError

VERSION = "11.17.2"
INTEGRITY = "sha512-V6K3C8EBdEsPFZXSKMJe6ppQOENxuHARr9GvHX4hh47lAbhMRD9qf4oEK7LoaRQxULMa80/qt5gHO73aCleBBg=="
"""Of the package, as `npm view mermaid@VERSION dist.integrity` prints it."""
SCRIPT = "mermaid.min.js"
LICENCE = "LICENSE"
WANTED = {f"package/dist/{SCRIPT}": SCRIPT, f"package/{LICENCE}": LICENCE}
SECONDS = 120


def ensure(cache: Cache | None = None) -> Path:
    """Return a folder with the script and its licence, after fetching them where they are missing.

    Raises:
        SandboxError: they cannot be fetched, or are not what the hash names.
    """
    cache = cache or Cache.default()
    folder = cache.path(f"mermaid-{hashlib.sha256(INTEGRITY.encode()).hexdigest()[:16]}")
    if not folder.exists():
        with cache.locked():
            if not folder.exists():
                _fetch(folder)
    return folder


def _fetch(folder: Path) -> None:
    npm = shutil.which("npm")
    if npm is None:
        raise SandboxError("npm is not installed")
    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder.parent) as temporary:
        work = Path(temporary)
        archive = _packed(npm, work)
        _check(archive)
        whole = work / "whole"
        whole.mkdir()
        with tarfile.open(archive) as package:
            for member, name in WANTED.items():
                content = package.extractfile(member)
                if content is None:
                    raise SandboxError(f"mermaid {VERSION} has no file {member}")
                (whole / name).write_bytes(content.read())
        whole.rename(folder)


def _packed(npm: str, work: Path) -> Path:
    command = [npm, "pack", f"mermaid@{VERSION}", "--silent", "--ignore-scripts", "--pack-destination", str(work)]
    try:
        subprocess.run(command, cwd=work, check=True, capture_output=True, text=True, timeout=SECONDS)  # noqa: S603 - npm, with fixed arguments
    except subprocess.TimeoutExpired as error:
        raise SandboxError(f"npm did not fetch mermaid {VERSION} within {SECONDS} s") from error
    except subprocess.CalledProcessError as error:
        lines = (error.stderr or error.stdout).strip().splitlines() or ["no message"]
        raise SandboxError(f"npm cannot fetch mermaid {VERSION}: {lines[0]}") from error
    return work / f"mermaid-{VERSION}.tgz"


def _check(archive: Path) -> None:
    found = "sha512-" + base64.b64encode(hashlib.sha512(archive.read_bytes()).digest()).decode()
    if found != INTEGRITY:
        raise SandboxError(f"mermaid {VERSION} has the hash {found}, expected {INTEGRITY}")
