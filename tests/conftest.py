"""What is printed at the end of a run."""

import pytest

from tests.support.tally import table


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Print what the tests with faults counted, in whichever process they ran."""
    reports = [report for reports in terminalreporter.stats.values() for report in reports]
    lines = list(table(report for report in reports if getattr(report, "when", None) == "teardown"))
    if lines:
        terminalreporter.section("chaos")
    for line in lines:
        terminalreporter.write_line(line)
