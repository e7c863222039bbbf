"""The cases of the table: sources and delays, and for each the values of what Datadog does not document."""

from dataclasses import dataclass, field

from bench.truth.sources import Apm, Source
from bench.truth.stories import MINUTE
from sandbox.datadog.behaviour import ApmRows, Behaviour, Precedence

DELAYS = (0, 2, 10)
"""Minutes until Datadog shows a deployment."""
EVALUATED_AFTER = 60
"""Seconds until change_failure turns from null to false."""


@dataclass(frozen=True, slots=True)
class Variant:
    """One value of each parameter."""

    precedence: Precedence
    apm: Apm = field(default_factory=Apm)


APM_VARIANTS = (
    Variant(Precedence.PATCH, Apm()),
    Variant(Precedence.DETECTION, Apm(at_first_request=True)),
    Variant(Precedence.DETECTION, Apm(redeployments=True)),
    Variant(Precedence.PATCH, Apm(redeployments=True, at_first_request=True)),
    Variant(Precedence.PATCH_FIELDS, Apm(redeployments=True, returns=True)),
    Variant(Precedence.DETECTION, Apm(redeployments=True, returns=True, at_first_request=True)),
)
"""Every value of every parameter, but not each with each: that would take an hour."""
CI_VARIANTS = (Variant(Precedence.DETECTION), Variant(Precedence.PATCH))


@dataclass(frozen=True, slots=True)
class Cell:
    """One row of the table for one value of each parameter."""

    source: Source
    delay: int
    variant: Variant

    @property
    def behaviour(self) -> Behaviour:
        """How Datadog behaves."""
        rows = ApmRows.EACH if self.variant.apm.redeployments else ApmRows.ONE_PER_VERSION
        return Behaviour(
            ingest_delay=self.delay * MINUTE,
            evaluation_delay=EVALUATED_AFTER,
            precedence=self.variant.precedence,
            apm_rows=rows,
        )


def cells() -> list[Cell]:
    """Return all cases."""
    variants = {Source.APM: APM_VARIANTS, Source.CI_SUCCESS: CI_VARIANTS, Source.CI_APPLY: CI_VARIANTS}
    return [Cell(source, delay, variant) for source in Source for delay in DELAYS for variant in variants[source]]
