"""Run every source of marks in every case on every seed, on several processors, and add the seeds up."""

import gc
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field

from bench.truth.cells import Cell, cells
from bench.truth.markers import Marker, year_of
from bench.truth.score import Score, truth_of
from bench.truth.sources import Source, rows_of
from bench.truth.stories import YEAR
from bench.truth.world import make_world


@dataclass(frozen=True, slots=True)
class Size:
    """How much is simulated."""

    seeds: int = 5
    services: int = 40
    until: int = YEAR


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
    """The outcome of each case; the size of the world that is usual."""

    size: Size
    outcomes: Mapping[Cell, Outcome]
    deployments: int
    failures: int
    hidden: int

    def of(self, source: Source) -> dict[Cell, Outcome]:
        """Return the cases of one source, the usual one first."""
        return {cell: outcome for cell, outcome in self.outcomes.items() if cell.source is source}


def run(
    size: Size, processes: int = 2, chosen: Sequence[Cell] | None = None, say: Callable[[str], None] = print
) -> Results:
    """Run everything."""
    outcomes: dict[Cell, Outcome] = {cell: Outcome() for cell in (cells() if chosen is None else chosen)}
    numbers = range(1, size.seeds + 1)
    with ProcessPoolExecutor(max_workers=processes, initializer=_rarely_collect) as pool:
        running = [(cell, pool.submit(_run, size, seed, cell)) for cell in outcomes for seed in numbers]
        for done, (cell, future) in enumerate(running, 1):
            outcomes[cell].add(future.result())
            if done % 20 == 0:
                say(f"{done} of {len(running)} years")
    worlds = [make_world(seed, size.services, size.until) for seed in numbers]
    failures = [failure for world in worlds for failure in world.failures]
    return Results(
        size=size,
        outcomes=outcomes,
        deployments=sum(world.deployments for world in worlds),
        failures=len(failures),
        hidden=sum(failure.is_hidden for failure in failures),
    )


def _run(size: Size, seed: int, cell: Cell) -> Outcome:
    world = cell.world(seed, size.services, size.until)
    rows = rows_of(world, cell.source, cell.variant.habits)
    truth = truth_of(world, rows, counts_hidden=cell.behaviour.fix_rules)
    return Outcome(truth.score(), {marker: year_of(marker, world, cell, truth) for marker in Marker})


def _rarely_collect() -> None:
    """Simulated years make little garbage in cycles, and the collector would take a fifth of the time."""
    gc.freeze()
    gc.set_threshold(100_000, 50, 50)
