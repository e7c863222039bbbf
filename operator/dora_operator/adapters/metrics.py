"""Metrics for Prometheus. The only user of prometheus_client; a registry of its own, no global state.

Counts what it is told, and asks for the rest when it is scraped. No label here ever holds a name from the cluster.
"""

import platform
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime
from enum import Enum
from importlib.metadata import version
from itertools import product

from prometheus_client import CollectorRegistry, Counter, Histogram, ProcessCollector
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4, generate_latest
from prometheus_client.metrics_core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from dora_operator.adapters.codes import NO_ANSWER, code_label
from dora_operator.adapters.ratelimits import RateLimits
from dora_operator.domain.observed import MarkState
from dora_operator.domain.outcome import Answer, NoAnswer
from dora_operator.domain.rollout.verdict import About, Kind, RemediationType
from dora_operator.meter import KINDS, WATCHED, Account, Call, Gauge, Origin, Reading, Readings, Visited

PREFIX = "dora_operator"
CONTENT_TYPE = CONTENT_TYPE_PLAIN_0_0_4
REQUEST_SECONDS = (0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30)
DELAY_SECONDS = (0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300, 1800, 3600)
VISIT_SECONDS = (0.005, 0.025, 0.1, 0.5, 1, 5, 30)


class PrometheusMeter:
    """Implements `meter.Meter`."""

    def __init__(self, clock: Callable[[], datetime]) -> None:
        self._clock = clock
        self._limits = RateLimits()
        self._told = told = CollectorRegistry()
        self._visits = _counter(told, "reconciles", "Looks at objects, by how they ended.", "kind", "result")
        self._visit_seconds = _histogram(told, "reconcile_seconds", "Time of a look.", VISIT_SECONDS, "kind")
        self._calls = _counter(told, "datadog_requests", "Requests to Datadog, by their answer.", "call", "code")
        self._call_seconds = _histogram(
            told, "datadog_request_seconds", "Time until Datadog's answer, or its absence.", REQUEST_SECONDS, "call"
        )
        self._marks = _counter(told, "marks", "States that Datadog accepted.", "change_failure", "remediation")
        self._delays = _histogram(
            told,
            "report_delay_seconds",
            "From the moment when a state was wanted, or its Rollout was seen to fail, until Datadog accepted it.",
            DELAY_SECONDS,
            "origin",
        )
        self._verdicts = _counter(told, "rollout_verdicts", "Verdicts about Rollouts, each fact once.", "kind")
        self._notices = _counter(
            told, "rollout_notices", "Failed revisions of Rollouts about which nothing can be sent.", "about"
        )
        self._kubernetes = _counter(
            told, "kubernetes_requests", "Requests to the API server.", "method", "resource", "code"
        )
        self._restarts = _counter(told, "watch_restarts", "Watches that broke or were refused.", "resource")
        self._show_zeros()
        self._shown: Readings = tuple
        told.register(_Shown(self._readings))
        ProcessCollector(namespace=PREFIX, registry=told)
        self.registry = CollectorRegistry()
        self.registry.register(_WithoutBirthdays(told))

    def show(self, readings: Readings) -> None:
        """Ask `readings` for gauges at each scrape, besides the meter's own."""
        self._shown = readings

    def text(self) -> bytes:
        """Return all metrics as `/metrics` shows them."""
        return generate_latest(self.registry)

    def visited(self, kind: str, result: Visited, seconds: float) -> None:
        """See Meter."""
        self._visits.labels(kind, result.value).inc()
        self._visit_seconds.labels(kind).observe(seconds)

    def answered(self, call: Call, reply: Answer | NoAnswer, account: Account, seconds: float) -> None:
        """See Meter."""
        code = reply.status if isinstance(reply, Answer) else None
        self._calls.labels(call.value, code_label(code)).inc()
        self._call_seconds.labels(call.value).observe(seconds)
        if isinstance(reply, Answer):
            self._limits.learn(account, reply.headers, self._clock())

    def accepted(self, origin: Origin, state: MarkState, due_at: datetime | None) -> None:
        """See Meter."""
        failure = "none" if state.change_failure is None else str(state.change_failure).lower()
        self._marks.labels(failure, state.remediation.type.value if state.remediation else "none").inc()
        if due_at is not None:
            self._delays.labels(origin.value).observe(max(0.0, (self._clock() - due_at).total_seconds()))

    def verdict(self, kind: Kind) -> None:
        """See Meter."""
        self._verdicts.labels(kind.value).inc()

    def notice(self, about: About) -> None:
        """See Meter."""
        self._notices.labels(about.value).inc()

    def kubernetes(self, method: str, resource: str, code: int | None) -> None:
        """See Meter."""
        self._kubernetes.labels(method, resource, code_label(code)).inc()

    def watch_restarted(self, resource: str) -> None:
        """See Meter."""
        self._restarts.labels(resource).inc()

    def _show_zeros(self) -> None:
        """A counter that appears with its first event hides that event from `increase`; these are known beforehand."""
        _begin(self._verdicts, Kind)
        _begin(self._notices, About)
        _begin(self._marks, ("true", "false", "none"), ("none", *(one.value for one in RemediationType)))
        _begin(self._visits, KINDS, Visited)
        _begin(self._restarts, WATCHED)
        _begin(self._calls, Call, ("202", "401", "403", "429", NO_ANSWER))

    def _readings(self) -> Iterator[Reading]:
        yield Reading(Gauge.BUILD, 1, (version("dora-operator"), platform.python_version()))
        for left in self._limits.left(self._clock()):
            yield Reading(Gauge.RATE_LIMIT, left.remaining, (left.site, left.credentials))
            yield Reading(Gauge.RATE_LIMIT_RESET, left.reset_seconds, (left.site, left.credentials))
        yield from self._shown()


def _counter(registry: CollectorRegistry, name: str, meaning: str, *labels: str) -> Counter:
    return Counter(f"{PREFIX}_{name}", meaning, labels, registry=registry)


def _begin(counter: Counter, *words: Iterable[str | Enum]) -> None:
    for labels in product(*words):
        counter.labels(*(word.value if isinstance(word, Enum) else word for word in labels))


def _histogram(
    registry: CollectorRegistry, name: str, meaning: str, buckets: tuple[float, ...], label: str
) -> Histogram:
    return Histogram(f"{PREFIX}_{name}", meaning, (label,), registry=registry, buckets=buckets)


@dataclass(frozen=True, slots=True)
class _Shown(Collector):
    """Gauges that are computed when somebody asks."""

    readings: Readings

    def collect(self) -> Iterable[Metric]:
        families = {
            gauge: GaugeMetricFamily(f"{PREFIX}_{gauge.value.word}", gauge.value.meaning, labels=gauge.value.labels)
            for gauge in Gauge
        }
        for reading in self.readings():
            families[reading.gauge].add_metric(reading.labels, reading.value)
        return families.values()


@dataclass(frozen=True, slots=True)
class _WithoutBirthdays(Collector):
    """Drops the series `…_created`, which double the size of a scrape and which nobody reads."""

    inner: CollectorRegistry

    def collect(self) -> Iterator[Metric]:
        for metric in self.inner.collect():
            metric.samples = [sample for sample in metric.samples if not sample.name.endswith("_created")]
            yield metric
