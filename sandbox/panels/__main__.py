"""Record a run and draw it."""

import sys
from collections.abc import Sequence
from pathlib import Path

from sandbox.panels.drawing import Line, Panel, picture
from sandbox.panels.recording import FAILS_FROM, FAILS_UNTIL, Scrape, record

WINDOW = 10
"""Scrapes over which a rate is taken."""


def gauges(scrapes: Sequence[Scrape], name: str, label: str = "", only: str = "") -> list[Line]:
    """Return one line for each value of a label."""
    names = sorted({key for scrape in scrapes for key in scrape.by(name, label)})
    return [
        Line(key or only, [(scrape.at, scrape.by(name, label).get(key, 0.0)) for scrape in scrapes]) for key in names
    ]


def rates(scrapes: Sequence[Scrape], name: str, label: str) -> list[Line]:
    """Return one line for each value of a label that ever grew, in events per second."""
    lines = []
    for line in gauges(scrapes, name, label):
        pairs = zip(line.points, line.points[WINDOW:], strict=False)
        points = [(last[0], (last[1] - first[1]) / (last[0] - first[0])) for first, last in pairs]
        if any(value for _, value in points):
            lines.append(Line(line.name, points))
    return lines


def main(target: Path) -> None:
    """Write the picture."""
    scrapes = record()
    panels = [
        Panel(
            "Age of the oldest unreported failure",
            " s",
            gauges(scrapes, "dora_operator_oldest_unreported_failure_seconds", only="oldest"),
        ),
        Panel("DoraDeployments by reason", "", gauges(scrapes, "dora_operator_resources", "reason")),
        Panel("Requests to Datadog", "/s", rates(scrapes, "dora_operator_datadog_requests_total", "code")),
        Panel("Marks accepted", "/s", rates(scrapes, "dora_operator_marks_total", "change_failure")),
    ]
    target.write_text(picture(panels, (FAILS_FROM, FAILS_UNTIL), "Datadog answers 503"), encoding="utf-8")
    print(f"{target}: {len(scrapes)} scrapes")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
