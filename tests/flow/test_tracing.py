"""Traces: one span for a look, its requests inside, and never a key."""

import subprocess
import sys
from collections.abc import Sequence
from contextlib import ExitStack
from threading import Event

import httpx
import pytest
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from dora_operator.adapters.tracing import tracing
from dora_operator.handlers import metering
from dora_operator.handlers.logs import subject
from dora_operator.meter import NO_METER, Meter
from tests.support.fakes import FakeCluster, FakeDatadog, running_operator


async def spans_of(datadog: FakeDatadog) -> Sequence[ReadableSpan]:
    """Mark two deployments, the second with a request to the API server, and return what was traced."""
    cluster, exporter, stack = FakeCluster(), InMemorySpanExporter(), ExitStack()

    def traced(metrics: Meter) -> Meter:
        return stack.enter_context(tracing(metrics, subject, SimpleSpanProcessor(exporter)))

    with stack:
        async with running_operator(cluster, datadog, around=traced) as operator:
            cluster.apply("a", changeFailure=True)
            await operator.settle()
            operator.engine.workers.meter.kubernetes("PATCH", "doradeployments/status", 200)
            cluster.apply("b", deployment={"id": "deployment-b"}, changeFailure=True)
            await operator.settle()
            assert b"mark_by_id" in operator.meter.text(), "the metrics are told as well"
    return exporter.get_finished_spans()


async def test_a_look_and_its_request() -> None:
    """The request is a child of the look, within its time; the look names its object and how it ended."""
    datadog, *_ = spans = await spans_of(FakeDatadog())
    look = next(span for span in spans if span.context == datadog.parent)
    assert (look.name, datadog.name) == ("look at DoraDeployment", "Datadog mark_by_id")
    assert dict(look.attributes or {}) == {"k8s.object.namespace": "shop", "k8s.object.name": "a", "result": "done"}
    assert dict(datadog.attributes or {}) == {"site": "datadoghq.com", "http.response.status_code": 202}
    assert look.status.is_unset
    assert datadog.status.is_unset


async def test_requests_to_the_api_server_are_events() -> None:
    """What a look asked of the API server stands in its span, and in no other."""
    spans = await spans_of(FakeDatadog())
    events = {str((span.attributes or {}).get("k8s.object.name")): span.events for span in spans if span.parent is None}
    assert events["a"] == ()
    (event,) = events["b"]
    assert dict(event.attributes or {}) == {
        "http.request.method": "PATCH", "resource": "doradeployments/status", "code": 200
    }  # fmt: skip


async def test_a_failed_request_is_an_error() -> None:
    """A refused request, and one without an answer."""
    datadog = FakeDatadog([httpx.Response(403, text="own-api"), httpx.ConnectError("own-app")])
    asked = [span for span in await spans_of(datadog) if span.parent is not None]
    assert [(span.attributes or {})["http.response.status_code"] for span in asked] == [403, 0]
    assert not any(span.status.is_ok or span.status.is_unset for span in asked)


async def test_no_key_is_in_a_span() -> None:
    """Whatever Datadog echoes."""
    spans = await spans_of(FakeDatadog([httpx.Response(500, text="own-api own-app")]))
    assert spans
    assert not any(key in span.to_json() for span in spans for key in ("own-api", "own-app"))


def test_a_collector_that_never_answers_does_not_hold_up_the_end(monkeypatch: pytest.MonkeyPatch) -> None:
    """The last spans have a moment, then the process goes on ending."""
    shutting_down, released = Event(), Event()

    def hang(self: object) -> None:
        shutting_down.set()
        released.wait(60)

    monkeypatch.setattr(InMemorySpanExporter, "shutdown", hang)
    monkeypatch.setattr("dora_operator.adapters.tracing.LAST_SPANS_SECONDS", 0.1)
    with tracing(NO_METER, subject, SimpleSpanProcessor(InMemorySpanExporter())):
        pass
    assert shutting_down.is_set()
    assert not released.is_set()
    released.set()


def test_without_the_packages_the_start_says_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    """Wanted and not installed is an error before anything begins."""
    monkeypatch.setitem(sys.modules, "dora_operator.adapters.tracing", None)
    with (
        pytest.raises(metering.CannotTraceError, match="install dora-operator"),
        metering.metering(None, traces=True),  # type: ignore[arg-type]
    ):
        pass


def test_nothing_of_it_is_imported_while_it_is_off() -> None:
    """It would cost a start a quarter of a second."""
    code = "import sys, dora_operator.cli, dora_operator.handlers.lifecycle as _; print('opentelemetry' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"
