"""Run every source of marks in every case on every seed, on several processors, and add the seeds up."""

import gc
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field

from bench.truth.cells import Cell, cells
from bench.truth.markers import Marker, year_of
from bench.truth.operator import Records, record, settings
from bench.truth.score import Score, truth_of
from bench.truth.sources import Source, rows_of
from bench.truth.stories import YEAR
from bench.truth.world import World, make_world
from dora_operator.domain.fields import OnMissing

Case = tuple[Source, int]
"""A source, and minutes of ingestion delay."""


@dataclass(frozen=True, slots=True)
class Size:
    """How much is simulated."""

    seeds: int = 5
    services: int = 40
    until: int = YEAR

    def world(self, seed: int) -> World:
        """Return the year of a seed."""
        return make_world(seed, self.services, self.until)


@dataclass(slots=True)
class Outcome:
    """All seeds of one case and one value of each parameter."""

    truth: Score = field(default_factory=Score)
    shown: dict[Marker, Score] = field(default_factory=dict)

    def add(self, other: "Outcome") -> None:
        """Add another seed."""
        self.truth.add(other.truth)
        for marker, score in other.shown.items():
            self.shown.setdefault(marker, Score()).add(score)


@dataclass(frozen=True, slots=True)
class Results:
    """What was found."""

    size: Size
    by_case: Mapping[Case, Sequence[Outcome]]
    """For each case, one outcome for each value of the parameters."""
    deployments: int
    failures: int
    hidden: int


def run(
    size: Size, processes: int = 2, chosen: Sequence[Cell] | None = None, say: Callable[[str], None] = print
) -> Results:
    """Run everything."""
    every_cell = list(cells() if chosen is None else chosen)
    numbers = range(1, size.seeds + 1)
    with ProcessPoolExecutor(max_workers=processes, initializer=_rarely_collect) as pool:
        recording = {seed: pool.submit(_record, size, seed) for seed in numbers}
        records = {seed: future.result() for seed, future in recording.items()}
        say("The operator has recorded every year; now each source marks them.")
        running = [
            (cell, pool.submit(_run, size, seed, cell, records[seed])) for cell in every_cell for seed in numbers
        ]
        outcomes: dict[Cell, Outcome] = {cell: Outcome() for cell in every_cell}
        for cell, future in running:
            outcomes[cell].add(future.result())
    by_case: dict[Case, list[Outcome]] = {}
    for cell, outcome in outcomes.items():
        by_case.setdefault((cell.source, cell.delay), []).append(outcome)
    failures = [failure for seed in numbers for failure in size.world(seed).failures]
    return Results(
        size=size,
        by_case=by_case,
        deployments=sum(size.world(seed).deployments for seed in numbers),
        failures=len(failures),
        hidden=sum(failure.is_hidden for failure in failures),
    )


def _record(size: Size, seed: int) -> Records:
    return record(size.world(seed), settings(OnMissing.WAIT))


def _run(size: Size, seed: int, cell: Cell, records: Records) -> Outcome:
    world = size.world(seed)
    truth = truth_of(world, rows_of(world, cell.source, cell.variant.apm))
    return Outcome(truth.score(), {marker: year_of(marker, world, cell, truth, records) for marker in Marker})


def _rarely_collect() -> None:
    """Simulated years make little garbage in cycles, and the collector would take a fifth of the time."""
    gc.freeze()
    gc.set_threshold(100_000, 50, 50)
