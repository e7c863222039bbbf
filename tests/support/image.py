"""buildah, and what the tests of the image need of the machine."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.support.pages import ROOT

NEEDS = [
    pytest.mark.cluster,
    pytest.mark.timeout(900),
    pytest.mark.skipif(
        shutil.which("buildah") is None or shutil.which("debootstrap") is None or os.geteuid() != 0,
        reason="the image is built with buildah and debootstrap, as root: apt-get install buildah debootstrap",
    ),
]
"""Marks for each module of tests that runs the image."""
USER = 65532
"""The image's user."""


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
