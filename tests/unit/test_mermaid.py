"""Mermaid's script for the documentation site: from npm into the cache, and what is said where it cannot be had."""

import base64
import hashlib
import os
import shutil
import subprocess
import sys
import tarfile
from pathlib import Path

import pytest

from sandbox.programs.cache import Cache, SandboxError
from tests.support.pages import ROOT
from tools import mermaid

PACKED = """#!/bin/sh
echo "$@" >> "{folder}/calls"
cp "{folder}/package.tgz" "mermaid-{version}.tgz"
"""


@pytest.fixture
def npm(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return an npm that packs a small package, whose hash is the expected one."""
    content = tmp_path / "content"
    for name in mermaid.WANTED:
        (content / name).parent.mkdir(parents=True, exist_ok=True)
        (content / name).write_text(f"this is {name}", encoding="utf-8")
    with tarfile.open(tmp_path / "package.tgz", "w:gz") as package:
        package.add(content / "package", "package")
    digest = hashlib.sha512((tmp_path / "package.tgz").read_bytes()).digest()
    monkeypatch.setattr(mermaid, "INTEGRITY", f"sha512-{base64.b64encode(digest).decode()}")
    program = tmp_path / "bin" / "npm"
    program.parent.mkdir()
    program.write_text(PACKED.format(folder=tmp_path, version=mermaid.VERSION), encoding="utf-8")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", str(program.parent), prepend=os.pathsep)
    return program


def test_the_script_is_fetched_once(tmp_path: Path, npm: Path) -> None:
    """Without running what a package would run; the licence goes with it."""
    cache = Cache(tmp_path / "cache")
    folder = mermaid.ensure(cache)
    assert mermaid.ensure(cache) == folder
    assert {path.name: path.read_text(encoding="utf-8") for path in folder.iterdir()} == {
        "mermaid.min.js": "this is package/dist/mermaid.min.js",
        "LICENSE": "this is package/LICENSE",
    }
    [call] = (tmp_path / "calls").read_text(encoding="utf-8").splitlines()
    assert call.startswith(f"pack mermaid@{mermaid.VERSION} ")
    assert "--ignore-scripts" in call


@pytest.mark.parametrize(
    ("script", "message"),
    [
        pytest.param(
            "echo 'code E404' >&2; exit 1", "npm cannot fetch mermaid .*: code E404", id="npm has no such package"
        ),
        pytest.param("exit 1", "npm cannot fetch mermaid .*: no message", id="npm fails without a word"),
        pytest.param(
            f"echo other > mermaid-{mermaid.VERSION}.tgz", "has the hash sha512-.*, expected", id="another content"
        ),
    ],
)
def test_what_cannot_be_fetched_leaves_the_cache_empty(tmp_path: Path, npm: Path, script: str, message: str) -> None:
    """The message says why."""
    npm.write_text(f"#!/bin/sh\n{script}\n", encoding="utf-8")
    cache = Cache(tmp_path / "cache")
    with pytest.raises(SandboxError, match=message):
        mermaid.ensure(cache)
    assert list(cache.path("any").parent.iterdir()) == []


def test_a_site_is_built_without_npm(tmp_path: Path) -> None:
    """The build says that diagrams need a network, and goes on."""
    for name in ("mkdocs.yml", "tools", "sandbox"):
        (tmp_path / name).symlink_to(ROOT / name)
    (tmp_path / "docs/images").mkdir(parents=True)
    shutil.copy(ROOT / "docs/images/icon.svg", tmp_path / "docs/images")
    (tmp_path / "docs/index.md").write_text("# Home\n\n```mermaid\nflowchart LR\n```\n", encoding="utf-8")
    environment = os.environ | {"PATH": str(tmp_path), "DORA_OPERATOR_CACHE": str(tmp_path / "cache")}
    command = [sys.executable, "-m", "mkdocs", "build", "--quiet"]
    built = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=True)
    assert "Mermaid is not part of this build, diagrams need a network: npm is not installed" in built.stderr
    assert "<script" in (tmp_path / "site/index.html").read_text(encoding="utf-8")
    assert "mermaid.min.js" not in (tmp_path / "site/index.html").read_text(encoding="utf-8")
