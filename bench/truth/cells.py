"""The cases: each source with all that Datadog does not document at its usual value, then one value changed at a time."""

from dataclasses import dataclass, field, replace
from typing import Any

from bench.truth.sources import Habits, Source
from bench.truth.stories import MINUTE
from bench.truth.world import World, make_world
from sandbox.datadog.behaviour import ApmRows, Behaviour, EarlyMark, Precedence, UnknownDeployment

USUAL = Behaviour(ingest_delay=2 * MINUTE, evaluation_delay=60)


@dataclass(frozen=True, slots=True)
class Variant:
    """What differs from the usual."""

    name: str = "usual"
    changes: tuple[tuple[str, Any], ...] = ()
    """Of the behaviour of Datadog."""
    habits: Habits = field(default_factory=Habits)
    clusters: int = 1
    long_outages: bool = False


def _datadog(name: str, **changes: Any) -> Variant:
    return Variant(name, tuple(changes.items()))


USUALLY = Variant("usual: visible after 2 min, evaluated after 1 min")
DELAYS = tuple(
    _datadog(f"visible {f'after {minutes} min' if minutes else 'at once'}", ingest_delay=minutes * MINUTE)
    for minutes in (0, 10, 20, 60)
)
COMMON = (
    *DELAYS,
    _datadog("evaluated after 1 h", evaluation_delay=3600),
    _datadog("evaluated never", evaluation_delay=None),
    _datadog("marks hidden until evaluated, after 1 h", evaluation_delay=3600, marks_before_evaluation=False),
    _datadog("marks applied after 1 min", patch_delay=60),
    _datadog("early marks applied later", early_mark=EarlyMark.APPLIED_LATER),
    _datadog("unknown deployment is 404", unknown_deployment=UnknownDeployment.NOT_FOUND),
    _datadog("detection spares what was marked", precedence=Precedence.PATCH),
    _datadog("detection fills in what was not marked", precedence=Precedence.PATCH_FIELDS),
    _datadog("detection after 10 min", detection_delay=600),
    _datadog("default rules for reverts and hot fixes", fix_rules=True),
    Variant("clock of the source 1 min ahead", habits=Habits(clock=60)),
    Variant("clock of the source 1 min behind", habits=Habits(clock=-60)),
    Variant("operator away twice for 48 h", long_outages=True),
    Variant("two clusters with the same tags", clusters=2),
)
OF_SOURCE = {
    Source.APM: (
        Variant("a row at the first request", habits=Habits(at_first_request=True)),
        Variant("a row for each redeployment", habits=Habits(redeployments=True)),
        Variant("also for each return to the stable version", habits=Habits(redeployments=True, returns=True)),
        Variant("the same, at the first request", habits=Habits(True, True, True)),
    ),
    Source.CI_END: (Variant("started = finished = time of the request", habits=Habits(instant=True)),),
}


@dataclass(frozen=True, slots=True)
class Cell:
    """One source with one variant."""

    source: Source
    variant: Variant

    @property
    def behaviour(self) -> Behaviour:
        """How Datadog behaves."""
        rows = ApmRows.EACH if self.variant.habits.redeployments else ApmRows.ONE_PER_VERSION
        return USUAL.model_copy(update={"apm_rows": rows, **dict(self.variant.changes)})

    def world(self, seed: int, services: int, until: int) -> World:
        """Return the year of a seed."""
        variant = self.variant
        return make_world(seed, services, until, clusters=variant.clusters, long_outages=variant.long_outages)


def cells() -> list[Cell]:
    """Return all cases. With two clusters APM has a row for each of them."""
    found = []
    for source in Source:
        for variant in (USUALLY, *COMMON, *OF_SOURCE.get(source, ())):
            habits = replace(variant.habits, redeployments=True) if variant.clusters > 1 else variant.habits
            found.append(Cell(source, replace(variant, habits=habits)))
    return found
