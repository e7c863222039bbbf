"""The API server of the image's tests."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from sandbox.cluster import LocalCluster


@pytest.fixture(scope="module")
def cluster() -> Iterator[LocalCluster]:
    """Return a real API server that knows DoraDeployment."""
    with LocalCluster.start() as running:
        running.kubectl("apply", "-f", str(Path(__file__).parents[2] / "crds"))
        running.kubectl("wait", "--for=condition=Established", "crd/doradeployments.dora-operator.io", "--timeout=30s")
        yield running
