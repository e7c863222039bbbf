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


READ_ONLY = """
mount --bind "$1" "$1" && mkdir -p "$1/$4" && mount --bind "$2" "$1/$4" && mount --bind /dev "$1/dev"
mount -o remount,bind,ro "$1"
! touch "$1/tmp/written" 2>/dev/null && exec chroot --userspec=$3:$3 "$1" /opt/operator/bin/dora-operator run
"""


def with_read_only_root(
    buildah: Buildah, container: str, folder: Path, variables: dict[str, str], target: str = "mnt"
) -> subprocess.Popen[bytes]:
    """Run a container's program with these variables alone; it can write nowhere, and sees a folder at its target."""
    root = buildah("mount", container)
    command = ["unshare", "--mount", "sh", "-euc", READ_ONLY, "sh", root, str(folder), str(USER), target]
    of_the_image = {"PATH": os.environ["PATH"], "HOME": "/"}
    return subprocess.Popen(command, env=of_the_image | variables)


def operators() -> list[int]:
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
