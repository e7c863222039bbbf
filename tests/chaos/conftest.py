"""How many seeds a test takes, and what it counts for the table at the end. `make chaos` sets CHAOS_SEEDS."""

import os
from collections.abc import Callable, Iterator

import pytest

from tests.chaos.harness import TALLY
from tests.support.tally import PROPERTY

QUICK_SEEDS = 60


@pytest.fixture(scope="session")
def seeds() -> range:
    """Return the seeds of this run; CHAOS_SEED names a single one, to see it again."""
    if "CHAOS_SEED" in os.environ:
        only = int(os.environ["CHAOS_SEED"])
        return range(only, only + 1)
    return range(int(os.environ.get("CHAOS_SEEDS", QUICK_SEEDS)))


@pytest.fixture(autouse=True)
def _tallied(record_property: Callable[[str, object], None]) -> Iterator[None]:
    """Hand what a test counted to its report, which reaches the process that prints the table."""
    yield
    record_property(PROPERTY, TALLY.taken())
