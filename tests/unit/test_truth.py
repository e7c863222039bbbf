"""A small simulated year: the figures of `make truth`, and that it is the same each time."""

import pytest

from bench.truth.cells import Cell, Variant
from bench.truth.markers import Marker
from bench.truth.picture import picture
from bench.truth.report import markdown
from bench.truth.run import Results, Size, run
from bench.truth.sources import Source
from bench.truth.stories import DAY
from bench.truth.world import make_world
from sandbox.datadog.behaviour import Precedence

SMALL = Size(seeds=1, services=12, until=300 * DAY)
CHOSEN = (
    Cell(Source.APM, 2, Variant(Precedence.PATCH)),
    Cell(Source.CI_SUCCESS, 2, Variant(Precedence.PATCH)),
    Cell(Source.CI_APPLY, 2, Variant(Precedence.DETECTION)),
)


@pytest.fixture(scope="module")
def results() -> Results:
    """Return what each source of marks made of a small year."""
    return run(SMALL, processes=2, chosen=CHOSEN, say=lambda _: None)


@pytest.mark.parametrize("source", list(Source))
def test_the_operator_matches_the_truth(results: Results, source: Source) -> None:
    """onMissing: Create misses nothing, marks nothing falsely, and no recovery is negative."""
    (outcome,) = results.by_case[source, 2]
    created, truth = outcome.shown[Marker.CREATE], outcome.truth
    assert truth.visible_failures > 5
    assert (created.missed, created.falsely_marked, created.negative) == (0, 0, 0)
    assert abs(created.rate - truth.rate) <= 0.5


@pytest.mark.parametrize("marker", [Marker.RULE_ALONE, Marker.WEBHOOK, Marker.PERSON])
def test_the_others_miss_failures(results: Results, marker: Marker) -> None:
    """What the table is for."""
    assert any(outcomes[0].shown[marker].missed > 0 for outcomes in results.by_case.values())


def test_the_same_seed_gives_the_same_numbers(results: Results) -> None:
    """World, operator and table."""
    assert make_world(1, 2) == make_world(1, 2)
    again = run(SMALL, processes=1, chosen=CHOSEN[:1], say=lambda _: None)
    assert again.by_case[Source.APM, 2] == results.by_case[Source.APM, 2]


def test_everything_is_written_down(results: Results) -> None:
    """Markdown with every case and figure, and a picture of each source."""
    written = markdown(results)
    assert written.startswith("# What `make truth` printed\n")
    assert written.count("| **truth** |") == len(CHOSEN)
    assert "false marks" in written
    assert all(source.value in picture(results) for source in Source)
