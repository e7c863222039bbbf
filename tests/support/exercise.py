"""All metrics with each label used once, so that every metric and every label shows itself."""

from collections.abc import Iterator
from dataclasses import dataclass

from prometheus_client.metrics import MetricWrapperBase

from dora_operator.metrics import Metrics

ADDED_BY_SCRAPES = frozenset({"instance", "pod", "job", "namespace"})
"""Labels that Prometheus adds to a target in Kubernetes."""


@dataclass(frozen=True)
class Described:
    """A metric as a reference describes it."""

    kind: str
    meaning: str
    labels: frozenset[str]
    series: frozenset[str]
    """Names of its series, such as `_bucket`."""


def exercised() -> Metrics:
    """Return metrics that have a series each."""
    metrics = Metrics()
    for metric in vars(metrics).values():
        if isinstance(metric, MetricWrapperBase) and metric._labelnames:
            metric.labels(*("x" for _ in metric._labelnames))
    return metrics


def catalogue() -> dict[str, Described]:
    """Return every metric by the name that queries and the reference use."""
    return dict(_catalogue())


def _catalogue() -> Iterator[tuple[str, Described]]:
    for family in exercised().registry.collect():
        name = f"{family.name}_total" if family.type == "counter" else family.name
        labels = {label for sample in family.samples for label in sample.labels} - {"le"}
        series = frozenset(sample.name for sample in family.samples)
        yield name, Described(family.type, family.documentation, frozenset(labels), series)
