"""The cache of built programs: where it is, how much space it has, and how one builder waits for another.

A program appears in the cache whole or not at all.
"""

import fcntl
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

NEEDED_GIBIBYTES = 8
"""Free disk that a cold build wants: build cache, module cache and programs."""


class SandboxError(Exception):
    """Something that the person in front of the terminal can fix; the message says how."""


@dataclass(frozen=True, slots=True)
class Cache:
    """A folder outside the checkout."""

    folder: Path

    @classmethod
    def default(cls) -> "Cache":
        """Return DORA_OPERATOR_CACHE, or the user's cache folder."""
        chosen = os.environ.get("DORA_OPERATOR_CACHE")
        if chosen:
            return cls(Path(chosen).absolute())
        base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
        return cls(Path(base) / "dora-operator")

    @property
    def work(self) -> Path:
        """Where Go keeps what it needs while it builds; dropped after a successful build."""
        return self.folder / "build"

    def path(self, key: str) -> Path:
        """Return where a program or a set of manifests is kept."""
        return self.folder / "programs" / key

    def check_free_space(self) -> None:
        """Say early that the disk is too small.

        Raises:
            SandboxError: less free disk than a cold build needs.
        """
        self.folder.mkdir(parents=True, exist_ok=True)
        free = shutil.disk_usage(self.folder).free / 2**30
        if free < NEEDED_GIBIBYTES:
            raise SandboxError(
                f"building the local cluster needs {NEEDED_GIBIBYTES} GiB of free disk in {self.folder}, {free:.1f} GiB"
                " are free: free some, or set DORA_OPERATOR_CACHE to a folder on a larger disk"
            )

    @contextmanager
    def locked(self) -> Iterator[bool]:
        """Let one builder at a time into the cache; yields whether it had to wait."""
        self.folder.mkdir(parents=True, exist_ok=True)
        with (self.folder / "lock").open("w") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                waited = False
            except BlockingIOError:
                print("another build is under way in this cache; waiting for it ...", flush=True)
                fcntl.flock(lock, fcntl.LOCK_EX)
                waited = True
            yield waited

    def drop_work(self) -> None:
        """Remove Go's own caches. Go makes its modules read-only, so the right to write comes first."""
        _remove(self.work)

    def remove(self) -> int:
        """Remove everything and return the bytes that were freed."""
        size = sum(file.lstat().st_size for file in self.folder.rglob("*")) if self.folder.exists() else 0
        _remove(self.folder)
        return size


def _remove(folder: Path) -> None:
    if not folder.exists():
        return
    for parent, _, _ in os.walk(folder):
        Path(parent).chmod(0o700)
    shutil.rmtree(folder)
