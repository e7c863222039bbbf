"""The lines of a lock that an image installs, for `make sbom`. It writes no bill of materials: cyclonedx-py does.

A lock is for every platform; an image is Linux. What is installed elsewhere only has no place in its bill.
"""

import sys
from collections.abc import Iterator
from pathlib import Path

from packaging.requirements import Requirement

IMAGE = {"sys_platform": "linux", "platform_system": "Linux", "os_name": "posix"}


def installed(lock: str) -> Iterator[str]:
    """Yield each requirement of a lock that is installed on Linux, with its hashes, on a line of its own."""
    for line in lock.replace("\\\n", " ").splitlines():
        requirement, *hashes = line.split(" --hash=")
        marker = Requirement(requirement).marker
        if marker is None or marker.evaluate(IMAGE):
            yield " --hash=".join([requirement.strip(), *map(str.strip, hashes)])


if __name__ == "__main__":
    for one in installed(Path(sys.argv[1]).read_text(encoding="utf-8")):
        sys.stdout.write(f"{one}\n")
