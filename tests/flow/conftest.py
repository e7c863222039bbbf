"""What most flows run on: a cluster in memory, and a Datadog that accepts everything."""

import pytest

from tests.support.fakes import FakeCluster, FakeDatadog


@pytest.fixture
def cluster() -> FakeCluster:
    """Return an empty cluster."""
    return FakeCluster()


@pytest.fixture
def datadog() -> FakeDatadog:
    """Return a Datadog that accepts everything."""
    return FakeDatadog()
