"""The real cluster of a test run: started once, with the CRD, and taken away at the end."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from sandbox.cluster import LocalCluster

CRDS = Path(__file__).parents[2] / "crds"


@pytest.fixture(scope="session")
def cluster() -> Iterator[LocalCluster]:
    """Return a real API server that knows DoraDeployment."""
    with LocalCluster.start() as running:
        running.kubectl("apply", "-f", str(CRDS))
        running.kubectl("wait", "--for=condition=Established", "crd/doradeployments.dora-operator.io", "--timeout=30s")
        yield running
