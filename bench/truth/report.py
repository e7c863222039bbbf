"""The results as a table, for people and as Markdown, and the figures that were to be reached."""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

from bench.truth.markers import Marker
from bench.truth.run import Case, Outcome, Results
from bench.truth.score import Score

TRUTH = "**truth**"
HEADINGS = (
    "source of the marks",
    "change failure rate %",
    "median recovery, min",
    "of aborts, min",
    "missed",
    "falsely marked",
    "by detection",
    "wrongly linked",
    "negative",
    "calls",
)
MOST_POINTS = 0.5

Row = tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Figure:
    """Something that was to be reached."""

    text: str
    is_reached: bool


def table(results: Results, case: Case) -> list[Row]:
    """Return the rows of one case, below the headings."""
    outcomes, seeds = results.by_case[case], results.size.seeds
    rows = [_row(TRUTH, [each.truth for each in outcomes], seeds)]
    rows += [_row(marker.value, [each.shown[marker] for each in outcomes], seeds) for marker in Marker]
    return rows


def title(case: Case) -> str:
    """Return the words above a table."""
    source, delay = case
    return f"{source.value}, visible after {delay} min" if delay else f"{source.value}, visible at once"


HEAD = """\
# What `make truth` printed

Written with `--markdown`; `bench/truth/__init__.py` says what is true here and what is assumed.

"""


def markdown(results: Results) -> str:
    """Return a page with all tables, as Markdown."""
    return HEAD + "\n".join(_markdown_lines(results))


def summary(results: Results) -> str:
    """Return what was simulated, in a sentence."""
    size = results.size
    return (
        f"{size.seeds} simulated years of {size.services} services: {results.deployments} deployments,"
        f" {results.failures} failed, {results.hidden} of these hidden (hot fixes, left out below)."
        " Ranges are over what Datadog does not document; counts and calls are of one year."
    )


def figures(results: Results) -> list[Figure]:
    """Return what was to be reached, and whether it is."""
    create = [(each.shown[Marker.CREATE], each.truth) for each in _outcomes(results)]
    own = max(abs(_rate_without_detected(shown) - truth.rate) for shown, truth in create)
    shown_worst = max(abs(shown.rate - truth.rate) for shown, truth in create)
    false = sum(shown.falsely_marked for shown, _ in create)
    negative = sum(shown.negative for shown, _ in create)
    return [
        Figure(
            f"Create: rate at most {own:.2f} points from the truth, without what Datadog's detection falsely marks",
            own <= MOST_POINTS,
        ),
        Figure(f"Create: rate as shown at most {shown_worst:.2f} points from the truth", shown_worst <= MOST_POINTS),
        Figure(f"operator: {false} false marks in all years and cases together", not false),
        Figure(f"operator: {negative} negative recoveries in all years and cases together", not negative),
    ]


def spread(values: Iterable[float | None], places: int) -> str:
    """Return a range, or one number where all are equal as written."""
    known = [value for value in values if value is not None]
    if not known:
        return "-"
    least, most = f"{min(known):.{places}f}", f"{max(known):.{places}f}"
    return least if least == most else f"{least} to {most}"


def _outcomes(results: Results) -> Iterator[Outcome]:
    return (outcome for outcomes in results.by_case.values() for outcome in outcomes)


def _rate_without_detected(score: Score) -> float:
    return 100 * (score.marked - score.falsely_detected) / max(1, score.rows)


def _row(name: str, scores: list[Score], seeds: int) -> Row:
    counts: tuple[Callable[[Score], float], ...] = (
        lambda score: score.missed,
        lambda score: score.falsely_marked,
        lambda score: score.falsely_detected,
        lambda score: score.wrongly_linked,
        lambda score: score.negative,
        lambda score: score.calls.total(),
    )
    return (
        name,
        spread((score.rate for score in scores), 1),
        spread((score.recovery for score in scores), 1),
        spread((score.abort_recovery for score in scores), 1),
        *(spread((count(score) / seeds for score in scores), 0) for count in counts),
    )


def _markdown_lines(results: Results) -> Iterator[str]:
    yield summary(results)
    for case in results.by_case:
        yield from ("", f"**{title(case)}**", "")
        yield "| " + " | ".join(HEADINGS) + " |"
        yield "|---" * len(HEADINGS) + "|"
        for row in table(results, case):
            yield "| " + " | ".join(row) + " |"
    yield ""
    for figure in figures(results):
        yield f"- {figure.text}: {'reached' if figure.is_reached else 'not reached'}"
