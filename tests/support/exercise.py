"""A meter that has been told everything once, so that every metric and every label shows itself."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta

from dora_operator.adapters.metrics import PrometheusMeter
from dora_operator.domain.resource import MarkState
from dora_operator.domain.outcome import Answer
from dora_operator.domain.rollout.verdict import About, Kind
from dora_operator.metrics import Account, Call, Credentials, Gauge, Origin, Reading, Visited
from tests.support.builders import NOW

ADDED_BY_SCRAPES = frozenset({"instance", "pod", "job", "namespace"})
"""Labels that Prometheus adds to a target in Kubernetes."""
ONE = {"x-ratelimit-remaining": "1", "x-ratelimit-reset": "60"}


@dataclass(frozen=True)
class Described:
    """A metric as a reference describes it."""

    kind: str
    meaning: str
    labels: frozenset[str]
    series: frozenset[str]
    """Names of its series, such as `_bucket`."""


def exercised() -> PrometheusMeter:
    """Return a meter that was told everything."""
    meter = PrometheusMeter(lambda: NOW)
    meter.visited("Rollout", Visited.DONE, 1)
    meter.answered(Call.BY_ID, Answer(202, ONE), Account("datadoghq.com", Credentials.OWN, 1), 1)
    meter.accepted(Origin.RESOURCE, MarkState(change_failure=True), NOW - timedelta(seconds=1))
    meter.verdict(Kind.ABORTED)
    meter.notice(About.NOT_IDENTIFIED)
    meter.kubernetes("GET", "secrets", 200)
    meter.watch_restarted("Rollouts")
    own = {Gauge.BUILD, Gauge.RATE_LIMIT, Gauge.RATE_LIMIT_RESET}
    meter.show(lambda: [Reading(gauge, 1, ("x",) * len(gauge.value.labels)) for gauge in Gauge if gauge not in own])
    return meter


def catalogue() -> dict[str, Described]:
    """Return every metric by the name that queries and the reference use."""
    return dict(_catalogue())


def _catalogue() -> Iterator[tuple[str, Described]]:
    for family in exercised().registry.collect():
        name = f"{family.name}_total" if family.type == "counter" else family.name
        labels = {label for sample in family.samples for label in sample.labels} - {"le"}
        series = frozenset(sample.name for sample in family.samples)
        yield name, Described(family.type, family.documentation, frozenset(labels), series)
