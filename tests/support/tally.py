"""The table of the tests with faults. Their reports carry the counts, because pytest-xdist sends only reports."""

from collections import Counter
from collections.abc import Iterable, Iterator
from typing import Any

PROPERTY = "chaos"
"""Name of the property of a report: counts by run and column."""
COLUMNS = ("runs", "kills", "requests to Datadog", "repeats", "lost or wrong")


def table(reports: Iterable[Any]) -> Iterator[str]:
    """Iterate over the lines of the table, of which there are none without such reports."""
    counts: dict[str, Counter[str]] = {}
    for report in reports:
        for name, found in dict(report.user_properties).get(PROPERTY, {}).items():
            counts.setdefault(name, Counter()).update(found)
    if not counts:
        return
    rows = [("", *COLUMNS), *((name, *(str(found[head]) for head in COLUMNS)) for name, found in counts.items())]
    widths = [max(len(row[index]) for row in rows) for index in range(len(rows[0]))]
    for first, *others in rows:
        cells = [cell.rjust(width) for cell, width in zip(others, widths[1:], strict=True)]
        yield "  ".join([first.ljust(widths[0]), *cells])
