"""The metrics of the operator, as prometheus-client's own objects in a registry of their own.

Counters and histograms are updated where things happen. Gauges are set by `health` before each scrape. No label holds
a name from the cluster: the number of series must not grow with it.
"""

import platform
from collections.abc import Iterable, Mapping
from enum import Enum
from http import HTTPStatus
from importlib.metadata import version
from itertools import product

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, ProcessCollector, disable_created_metrics
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4, generate_latest

from dora_operator.domain.fields import RemediationType
from dora_operator.domain.history.history import VerdictKind

PREFIX = "dora_operator"
CONTENT_TYPE = CONTENT_TYPE_PLAIN_0_0_4
KINDS = ("DoraDeployment", "Rollout")
WATCHED = ("DoraDeployments", "Rollouts")
RESULTS = ("done", "unavailable", "broken")
NO_ANSWER = "none"
_KNOWN_CODES = frozenset(status.value for status in HTTPStatus)

disable_created_metrics()  # type: ignore[no-untyped-call] # these series double the size of a scrape


class Call(Enum):
    """Requests to Datadog, as a label."""

    BY_ID = "mark_by_id"
    BY_VERSION = "mark_by_version"
    EVENT = "deployment_event"
    READ = "read_deployment"
    LIST = "list_deployments"
    DELETE = "delete_deployment_event"


CODE_LABELS: Mapping[int | None, str] = {
    None: NO_ANSWER,
    **{code: str(code) if code in _KNOWN_CODES else f"{code // 100}xx" for code in range(1000)},
}
"""The label for a status code, or for no answer. Unknown codes are shown by class."""


class Metrics:
    """All metrics. Names and labels are described in docs/reference/metrics.md."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self._counters()
        self._histograms()
        self._gauges()
        self._show_zeros()
        ProcessCollector(namespace=PREFIX, registry=self.registry)
        self.build_info.labels(version("dora-operator"), platform.python_version()).set(1)

    def _counters(self) -> None:
        self.reconciles = self._counter("reconciles", "Reconciles, by result.", "kind", "result")
        self.datadog_requests = self._counter("datadog_requests", "Requests to Datadog, by answer.", "call", "code")
        self.marks = self._counter("marks", "States that Datadog accepted.", "change_failure", "remediation")
        self.rollout_verdicts = self._counter("rollout_verdicts", "Verdicts about Rollouts, each fact once.", "kind")
        self.kubernetes_requests = self._counter(
            "kubernetes_requests", "Requests to the API server.", "method", "resource", "code"
        )
        self.watch_restarts = self._counter("watch_restarts", "Watches that failed and were started again.", "resource")

    def _histograms(self) -> None:
        self.datadog_request_seconds = self._histogram(
            "datadog_request_seconds",
            "Time until Datadog answered, or until the request failed.",
            (0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30),
            "call",
        )
        self.report_delay_seconds = self._histogram(
            "report_delay_seconds",
            "From when a state was desired, or its Rollout was seen to fail, until Datadog accepted it.",
            (0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300, 1800, 3600),
            "origin",
        )

    def _gauges(self) -> None:
        self.leader = self._gauge("leader", "1 if this process is the leader.")
        self.check = self._gauge("check", "1 if a check of a probe passes, else 0.", "probe", "check")
        self.resources = self._gauge("resources", "DoraDeployments by status and reason of Ready.", "ready", "reason")
        self.unreported_failures = self._gauge(
            "unreported_failures",
            "DoraDeployments whose change failure Datadog has not accepted, except those held back on purpose.",
        )
        self.oldest_unreported_failure_seconds = self._gauge(
            "oldest_unreported_failure_seconds", "Age of the oldest unreported change failure; 0 if there is none."
        )
        self.oldest_unverified_mark_seconds = self._gauge(
            "oldest_unverified_mark_seconds",
            "Age of the oldest accepted change failure that was never read back as stored; 0 if there is none.",
        )
        self.queue_length = self._gauge(
            "queue_length",
            "Keys in a work queue: due, delayed until a time, waiting for the end of a request, or working.",
            "queue",
            "state",
        )
        self.queue_oldest_seconds = self._gauge(
            "queue_oldest_seconds", "For how long the oldest due key has been waiting.", "queue"
        )
        self.rollouts_unidentified = self._gauge(
            "rollouts_unidentified", "Rollouts with a failed revision that cannot be identified."
        )
        self.rate_limit_remaining = self._gauge(
            "rate_limit_remaining",
            "Requests left in the current rate limit window; the least of the accounts of a site.",
            "site",
        )
        self.watch_silent_seconds = self._gauge(
            "watch_silent_seconds",
            "Time since a watch last answered or failed; the longest of several namespaces.",
            "resource",
        )
        self.watch_skipped_namespaces = self._gauge(
            "watch_skipped_namespaces",
            "Namespaces that cannot be listed, and that the others do not wait for.",
            "resource",
        )
        self.build_info = self._gauge("build_info", "Always 1; the labels show what runs.", "version", "python")

    def text(self) -> bytes:
        return generate_latest(self.registry)

    def _counter(self, name: str, meaning: str, *labels: str) -> Counter:
        return Counter(f"{PREFIX}_{name}", meaning, labels, registry=self.registry)

    def _histogram(self, name: str, meaning: str, buckets: tuple[float, ...], label: str) -> Histogram:
        return Histogram(f"{PREFIX}_{name}", meaning, (label,), registry=self.registry, buckets=buckets)

    def _gauge(self, name: str, meaning: str, *labels: str) -> Gauge:
        return Gauge(f"{PREFIX}_{name}", meaning, labels, registry=self.registry)

    def _show_zeros(self) -> None:
        """Show known series from the start: `increase` misses the first event of a counter that appears with it."""
        _show(self.reconciles, KINDS, RESULTS)
        _show(self.datadog_requests, Call, ("202", "401", "403", "429", NO_ANSWER))
        _show(self.marks, ("true", "false", "none"), ("none", *(one.value for one in RemediationType)))
        _show(self.rollout_verdicts, VerdictKind)
        _show(self.watch_restarts, WATCHED)


def _show(counter: Counter, *words: Iterable[str | Enum]) -> None:
    for labels in product(*words):
        counter.labels(*(word.value if isinstance(word, Enum) else word for word in labels))
