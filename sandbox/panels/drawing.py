"""Lines over time as SVG: pure, small, readable on light and dark pages. Knows nothing of metrics."""

from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

WIDTH, HEIGHT, GAP, COLUMNS = 460, 190, 16, 2
LEFT, TOP, BOTTOM, RIGHT = 46, 30, 40, 12
COLOURS = ("#2563eb", "#dc2626", "#16a34a", "#d97706", "#7c3aed")
STYLE = "text{font:11px sans-serif;fill:#475569}.t{font:600 13px sans-serif;fill:#0f172a}"

Points = Sequence[tuple[float, float]]


@dataclass(frozen=True, slots=True)
class Line:
    """One line of a panel."""

    name: str
    points: Points


@dataclass(frozen=True, slots=True)
class Panel:
    """A title and what is drawn below it."""

    title: str
    unit: str
    lines: Sequence[Line]


def picture(panels: Sequence[Panel], shaded: tuple[float, float], words: str) -> str:
    """Return the panels side by side; `shaded` is a span of time to point out, and `words` say what it is."""
    rows = -(-len(panels) // COLUMNS)
    width, height = COLUMNS * (WIDTH + GAP) + GAP, rows * (HEIGHT + GAP) + GAP
    drawn = [
        f'<g transform="translate({GAP + index % COLUMNS * (WIDTH + GAP)},{GAP + index // COLUMNS * (HEIGHT + GAP)})">'
        f"{_panel(panel, shaded, words)}</g>"
        for index, panel in enumerate(panels)
    ]
    head = f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" role="img">'
    return "\n".join([head, f"<style>{STYLE}</style>", *drawn, "</svg>", ""])


def _panel(panel: Panel, shaded: tuple[float, float], words: str) -> str:
    end = max((at for line in panel.lines for at, _ in line.points), default=1.0)
    most = max((value for line in panel.lines for _, value in line.points), default=0.0) or 1.0
    across, down = WIDTH - LEFT - RIGHT, HEIGHT - TOP - BOTTOM

    def place(at: float, value: float) -> tuple[float, float]:
        return LEFT + at / end * across, TOP + (1 - value / most) * down

    left, right = (place(min(at, end), 0)[0] for at in shaded)
    parts = [
        f'<rect width="{WIDTH}" height="{HEIGHT}" rx="6" fill="#ffffff" stroke="#cbd5e1"/>',
        f'<rect x="{left:.0f}" y="{TOP}" width="{right - left:.0f}" height="{down}" fill="#fee2e2"/>',
        f'<text x="{left + 4:.0f}" y="{TOP + 12}">{escape(words)}</text>',
        f'<text class="t" x="12" y="19">{escape(panel.title)}</text>',
    ]
    for value in (0.0, most):
        _, y = place(0, value)
        parts.append(f'<path d="M{LEFT} {y:.0f}h{across}" stroke="#e2e8f0"/>')
        parts.append(f'<text x="{LEFT - 5}" y="{y + 4:.0f}" text-anchor="end">{value:.3g}{escape(panel.unit)}</text>')
    for number, line in enumerate(panel.lines):
        colour = COLOURS[number % len(COLOURS)]
        drawn = " ".join(f"{x:.1f},{y:.1f}" for x, y in (place(*point) for point in line.points))
        parts.append(f'<polyline points="{drawn}" fill="none" stroke="{colour}" stroke-width="1.6"/>')
        x = LEFT + number * across / max(len(panel.lines), 1)
        parts.append(f'<rect x="{x:.0f}" y="{HEIGHT - 20}" width="9" height="9" fill="{colour}"/>')
        parts.append(f'<text x="{x + 13:.0f}" y="{HEIGHT - 12}">{escape(line.name)}</text>')
    parts.append(f'<text x="{WIDTH - RIGHT}" y="{HEIGHT - 26}" text-anchor="end">{end:.0f} s</text>')
    return "".join(parts)
