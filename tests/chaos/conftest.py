"""How long the long ones are, and the table at their end. `make chaos` sets CHAOS_SEEDS."""

import os

import pytest

from tests.chaos.harness import TALLY

QUICK_SEEDS = 60


@pytest.fixture(scope="session")
def seeds() -> range:
    """Return the seeds of this run; CHAOS_SEED names a single one, to see it again."""
    if "CHAOS_SEED" in os.environ:
        only = int(os.environ["CHAOS_SEED"])
        return range(only, only + 1)
    return range(int(os.environ.get("CHAOS_SEEDS", QUICK_SEEDS)))


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Print what the runs came to."""
    if not TALLY.runs:
        return
    terminalreporter.section("chaos")
    heads = ("", "runs", "kills", "requests to Datadog", "repeats", "lost or wrong")
    rows = [
        (name, *(str(column[name]) for column in (TALLY.runs, TALLY.kills, TALLY.requests, TALLY.repeats, TALLY.wrong)))
        for name in TALLY.runs
    ]
    widths = [max(len(row[index]) for row in [heads, *rows]) for index in range(len(heads))]
    for row in [heads, *rows]:
        cells = [
            cell.ljust(width) if not index else cell.rjust(width)
            for index, (cell, width) in enumerate(zip(row, widths, strict=True))
        ]
        terminalreporter.write_line("  ".join(cells))
