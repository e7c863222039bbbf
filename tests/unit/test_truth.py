"""A small simulated year: the figures of `make truth`, and that it is the same each time."""

import pytest

from bench.truth.cells import USUALLY, Cell, Variant
from bench.truth.markers import Marker
from bench.truth.picture import picture
from bench.truth.report import markdown
from bench.truth.run import Results, Size, run
from bench.truth.sources import Habits, Source
from bench.truth.stories import DAY
from bench.truth.world import make_world

SMALL = Size(seeds=1, services=6, until=200 * DAY)
APM = Cell(Source.APM, USUALLY)
APPLIED = Cell(Source.CI_APPLY, Variant("marks applied late", (("patch_delay", 60), ("evaluation_delay", 3600))))
LATE = Cell(Source.CI_SUCCESS, Variant("late", (("ingest_delay", 3600), ("evaluation_delay", 3600))))
INSTANT = Cell(Source.CI_END, Variant("instant", habits=Habits(instant=True)))
CHOSEN = (APM, APPLIED, LATE, INSTANT)


@pytest.fixture(scope="module")
def results() -> Results:
    """Return what each source of marks made of a small year."""
    return run(SMALL, processes=2, chosen=CHOSEN, say=lambda _: None)


@pytest.mark.parametrize("cell", CHOSEN, ids=lambda cell: f"{cell.source.value}, {cell.variant.name}")
def test_the_operator_matches_the_truth_row_by_row(results: Results, cell: Cell) -> None:
    """onMissing: Create misses nothing, and no row is marked that did not fail, its own events included."""
    outcome = results.outcomes[cell]
    shown = outcome.shown[Marker.CREATE]
    assert outcome.truth.visible_failures > 3
    assert (shown.missed, shown.false_marks, shown.second_marks, shown.duplicates) == (0, 0, 0, 0)
    assert shown.negative == 0


@pytest.mark.parametrize("marker", [Marker.RULE_ALONE, Marker.WEBHOOK, Marker.WEBHOOK_CLEARS, Marker.PERSON])
def test_the_others_miss_failures(results: Results, marker: Marker) -> None:
    """What the table is for."""
    assert any(outcome.shown[marker].missed > 0 for outcome in results.outcomes.values())


def test_a_second_cluster_does_the_same_later() -> None:
    """Under the same tags, with failures of its own."""
    world = make_world(1, 10, clusters=2)
    versions = [{(e.service, e.version) for e in world.exposures if e.cluster == number} for number in (0, 1)]
    assert versions[1] < versions[0]
    assert any(failure.cluster == 1 and failure.restored_by == "" for failure in world.failures)


def test_the_same_seed_gives_the_same_numbers(results: Results) -> None:
    """World, operator and table."""
    assert make_world(1, 2) == make_world(1, 2)
    again = run(SMALL, processes=1, chosen=CHOSEN[:1], say=lambda _: None)
    assert again.outcomes[APM] == results.outcomes[APM]


def test_everything_is_written_down(results: Results) -> None:
    """Markdown with every case and figure, and a picture of each source."""
    written = markdown(results)
    assert written.startswith("# What `make truth` printed\n")
    assert written.count("| **truth** |") == len(CHOSEN)
    assert all(cell.variant.name in written for cell in CHOSEN)
    assert "false or second marks" in written
    assert all(source.value in picture(results) for source in Source)
