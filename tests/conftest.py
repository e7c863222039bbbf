"""Which files run one after another in a process, and what is printed at the end of a run."""

from typing import Any

import pytest
from xdist.scheduler import LoadFileScheduling

from tests.support.tally import table

IMAGE = "tests/image/"
"""The folder whose files share an image, which takes a minute to build."""


class ByFile(LoadFileScheduling):
    """Hands a whole file to a process, and all files about the image together."""

    def _split_scope(self, nodeid: str) -> str:
        return IMAGE if nodeid.startswith(IMAGE) else super()._split_scope(nodeid)


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> ByFile:
    """Take the place of `--dist`."""
    return ByFile(config, log)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Print what the tests with faults counted, in whichever process they ran."""
    reports = [report for reports in terminalreporter.stats.values() for report in reports]
    lines = list(table(report for report in reports if getattr(report, "when", None) == "teardown"))
    if lines:
        terminalreporter.section("chaos")
    for line in lines:
        terminalreporter.write_line(line)
