"""The results as tables, for people and as Markdown, and the figures that were to be reached."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from bench.truth.cells import DELAYS, USUALLY, Cell
from bench.truth.markers import Marker
from bench.truth.run import Outcome, Results
from bench.truth.score import Score
from bench.truth.sources import Source

TRUTH = "**truth**"
HEADINGS = (
    "change failure rate %",
    "beside the truth, points",
    "deployments",
    "own events",
    "missed",
    "false marks",
    "false by detection",
    "second marks",
    "median recovery, min (of failures)",
    "wrong links",
    "requests",
)
WORST_HEADINGS = ("missed", "false marks", "second marks", "own events too many", "rate, points", "with API or CLI")
MOST_POINTS = 0.3

Row = tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Table:
    """A table with its title."""

    title: str
    headings: Row
    rows: list[Row]


@dataclass(frozen=True, slots=True)
class Figure:
    """Something that was to be reached."""

    text: str
    is_reached: bool


HEAD = """\
# What `make truth` printed

Written with `--markdown`; `bench/truth/__init__.py` says what is true here and what is assumed.

"""


def tables(results: Results) -> list[Table]:
    """Return the worst case of each parameter, then each source: by the source of the marks, and by the parameters."""
    made = [_worst(results)]
    for source in Source:
        cells = results.of(source)
        usual = next(iter(cells), None)
        if usual is None:
            continue
        outcome = cells[usual]
        rows = [_row(TRUTH, outcome.truth, outcome)]
        rows += [_row(marker.value, score, outcome) for marker, score in outcome.shown.items()]
        made.append(Table(f"{source.value}, {usual.variant.name}", ("source of the marks", *HEADINGS), rows))
        rows = [_row(cell.variant.name, other.shown[Marker.CREATE], other) for cell, other in cells.items()]
        made.append(Table(f"{source.value}: the operator with Create", ("what differs", *HEADINGS), rows))
    return made


def markdown(results: Results) -> str:
    """Return a page with all tables, as Markdown."""
    return HEAD + "\n".join(_markdown_lines(results))


def summary(results: Results) -> str:
    """Return what was simulated, in a sentence."""
    size = results.size
    return (
        f"{size.seeds} simulated years of {size.services} services: {results.deployments} deployments,"
        f" {results.failures} failed, {results.hidden} of these hidden: a newer version corrected them, and the cluster"
        " shows two releases (left out below, except with Datadog's default rules)."
    )


def figures(results: Results) -> list[Figure]:
    """Return what was to be reached, and whether it is."""
    one_cluster = {cell: outcome for cell, outcome in results.outcomes.items() if cell.variant.clusters == 1}
    false = sum(shown.false_marks + shown.second_marks for shown in _created(one_cluster.values()))
    plain = {*DELAYS, USUALLY}
    missed = sum(outcome.shown[Marker.CREATE].missed for cell, outcome in one_cluster.items() if cell.variant in plain)
    points = max((abs(_points(o, Marker.CREATE)) for cell, o in one_cluster.items() if _is_by_api(cell)), default=0.0)
    return [
        Figure(f"Create, one cluster: {false} false or second marks of the operator, in all cases together", not false),
        Figure(f"Create: {missed} missed, all sources and delays together", not missed),
        Figure(
            f"API or CLI and Create, one cluster: rate at most {points:.2f} points from the truth",
            points <= MOST_POINTS,
        ),
    ]


def _created(outcomes: Iterable[Outcome]) -> list[Score]:
    return [outcome.shown[Marker.CREATE] for outcome in outcomes]


def _points(outcome: Outcome, marker: Marker) -> float:
    return outcome.shown[marker].rate - outcome.truth.rate


def _is_by_api(cell: Cell) -> bool:
    return cell.source is not Source.APM


def _worst(results: Results) -> Table:
    by_name: dict[str, dict[Cell, Outcome]] = {}
    for cell, outcome in results.outcomes.items():
        by_name.setdefault(cell.variant.name, {})[cell] = outcome
    rows = [(name, *_worst_of(cells)) for name, cells in by_name.items()]
    return Table("The worst case of each parameter: the operator with Create", ("what differs", *WORST_HEADINGS), rows)


def _worst_of(cells: dict[Cell, Outcome]) -> Row:
    shown = _created(cells.values())
    points = [(abs(_points(outcome, Marker.CREATE)), cell.source.value) for cell, outcome in cells.items()]
    api = [abs(_points(outcome, Marker.CREATE)) for cell, outcome in cells.items() if _is_by_api(cell)]
    worst, source = max(points)
    return (
        str(max(score.missed for score in shown)),
        str(max(score.false_marks for score in shown)),
        str(max(score.second_marks for score in shown)),
        str(max(score.duplicates for score in shown)),
        f"{worst:.2f} ({source})",
        f"{max(api):.2f}" if api else "-",
    )


def _row(name: str, score: Score, outcome: Outcome) -> Row:
    recovery = "-" if score.recovery is None else f"{score.recovery:.1f}"
    return (
        name,
        f"{score.rate:.2f}",
        f"{score.rate - outcome.truth.rate:+.2f}",
        f"{score.rows} of {outcome.truth.rows}",
        str(score.own_events),
        str(score.missed),
        str(score.false_marks),
        str(score.falsely_detected),
        str(score.second_marks),
        f"{recovery} ({score.recovered} of {score.visible_failures})",
        str(score.wrongly_linked),
        str(score.calls.total()),
    )


def _markdown_lines(results: Results) -> Iterator[str]:
    yield summary(results)
    yield ""
    for figure in figures(results):
        yield f"- {figure.text}: {'reached' if figure.is_reached else 'not reached'}"
    for table in tables(results):
        yield from ("", f"**{table.title}**", "")
        yield "| " + " | ".join(table.headings) + " |"
        yield "|---" * len(table.headings) + "|"
        for row in table.rows:
            yield "| " + " | ".join(row) + " |"


def outcomes_of(results: Results, source: Source) -> list[Outcome]:
    """Return the outcomes of a source with one cluster, the usual one first."""
    return [outcome for cell, outcome in results.of(source).items() if cell.variant.clusters == 1]


def spread(values: Iterable[float | None], places: int) -> str:
    """Return a range, or one number where all are equal as written."""
    known = [value for value in values if value is not None]
    if not known:
        return "-"
    least, most = f"{min(known):.{places}f}", f"{max(known):.{places}f}"
    return least if least == most else f"{least} to {most}"
