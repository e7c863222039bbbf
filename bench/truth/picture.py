"""The numbers of the dashboard before and after, as SVG bars: readable on light and dark pages."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from html import escape

from bench.truth.markers import Marker
from bench.truth.report import outcomes_of, spread
from bench.truth.run import Results
from bench.truth.score import Score
from bench.truth.sources import Source

WIDTH, ROW, LEFT, BARS, GAP = 940, 22, 250, 190, 120
COLOURS = {"truth": "#16a34a", "before": "#dc2626", "webhook": "#d97706", "after": "#2563eb"}
STYLE = "text{font:12px sans-serif;fill:#475569}.t{font:600 14px sans-serif;fill:#0f172a}"


@dataclass(frozen=True, slots=True)
class _Line:
    name: str
    colour: str
    scores: Sequence[Score]


def picture(results: Results) -> str:
    """Return change failure rate and recovery time for each source, by the source of the marks."""
    parts, top = [], 44
    for source in Source:
        parts.append(f'<text class="t" x="16" y="{top + 4}">{escape(source.value)}</text>')
        for line in _lines(results, source):
            top += ROW
            parts.append(f'<text x="28" y="{top + 4}">{escape(line.name)}</text>')
            parts += [_bar(line, top, 0, _rate, _linear), _bar(line, top, 1, _recovery, _logarithmic)]
        top += ROW + 12
    parts.append(
        f'<text x="16" y="{top}">Light bars: the range over what Datadog does not document. Source: make truth.</text>'
    )
    head = f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {top + 14}" role="img">'
    back = f'<rect width="{WIDTH}" height="{top + 14}" rx="6" fill="#ffffff" stroke="#cbd5e1"/>'
    titles = (
        f'<text class="t" x="{LEFT}" y="22">Change failure rate, %</text>'
        f'<text class="t" x="{LEFT + BARS + GAP + 30}" y="22">Median recovery, minutes (logarithmic)</text>'
    )
    return "\n".join([head, f"<style>{STYLE}</style>", back, titles, *parts, "</svg>", ""])


def _lines(results: Results, source: Source) -> list[_Line]:
    outcomes = outcomes_of(results, source)

    def of(marker: Marker) -> list[Score]:
        return [outcome.shown[marker] for outcome in outcomes if marker in outcome.shown]

    return [
        _Line("truth", COLOURS["truth"], [outcome.truth for outcome in outcomes[:1]]),
        _Line("before: Datadog's rule alone", COLOURS["before"], of(Marker.RULE_ALONE)),
        _Line("Argo's webhook on abort", COLOURS["webhook"], of(Marker.WEBHOOK)),
        _Line("after: operator, Create", COLOURS["after"], of(Marker.CREATE)),
    ]


def _bar(
    line: _Line, y: int, column: int, value: Callable[[Score], float | None], scale: Callable[[float], float]
) -> str:
    left = LEFT + column * (BARS + GAP + 30)
    known = [shown for score in line.scores if (shown := value(score)) is not None]
    if not known:
        return f'<text x="{left}" y="{y + 4}">none is shown</text>'
    least, most = (BARS * scale(bound) for bound in (min(known), max(known)))
    return (
        f'<rect x="{left}" y="{y - 7}" width="{most:.0f}" height="14" fill="{line.colour}" opacity="0.35"/>'
        f'<rect x="{left}" y="{y - 7}" width="{least:.0f}" height="14" fill="{line.colour}"/>'
        f'<text x="{left + most + 6:.0f}" y="{y + 4}">{spread(known, 1)}</text>'
    )


def _rate(score: Score) -> float:
    return score.rate


def _recovery(score: Score) -> float | None:
    return score.recovery


def _linear(value: float) -> float:
    return min(1.0, value / 20)


def _logarithmic(value: float) -> float:
    return min(1.0, max(0.02, math.log10(max(value, 1)) / 4))
