"""Traces by OpenTelemetry, for who asks for them. The only user of opentelemetry, and imported only then.

A meter around another one: what it is told in a look at an object becomes one span with its requests to Datadog as
children and its requests to the API server as events. So nothing else knows of tracing, and it costs nothing while off.
Where spans go, and which, is said by OpenTelemetry's own variables (OTEL_EXPORTER_OTLP_ENDPOINT and so on).
Keys and bodies are never part of a span.
"""

from collections import deque
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from datetime import datetime
from http import HTTPStatus
from threading import Thread
from time import time_ns

from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import SpanProcessor, TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.trace import Span, Status, StatusCode, Tracer, set_span_in_context

from dora_operator.domain.observed import MarkState
from dora_operator.domain.outcome import Answer, NoAnswer
from dora_operator.domain.rollout.verdict import About, Kind
from dora_operator.meter import Account, Call, Meter, Origin, Visited

SERVICE = "dora-operator"
MOST_PARTS = 64
"""Requests that one span shows; of more, the last."""
LAST_SPANS_SECONDS = 2.0
"""How long the last spans may take at the end."""
SECOND = 1_000_000_000


@dataclass(frozen=True, slots=True)
class _Asked:
    """A request to Datadog."""

    call: Call
    site: str
    status: int | None
    begun_at: int
    ended_at: int


@dataclass(frozen=True, slots=True)
class _Requested:
    """A request to the API server."""

    method: str
    resource: str
    code: int | None
    at: int


_parts: ContextVar[deque[_Asked | _Requested] | None] = ContextVar("parts", default=None)
"""What was asked since the last look of this task ended."""


@dataclass(frozen=True, slots=True)
class TracingMeter:
    """Implements `meter.Meter` by another one, and traces what it is told."""

    inner: Meter
    provider: TracerProvider
    subject: Callable[[], Mapping[str, str]]
    """Names the object that is looked at: namespace and name."""
    clock_ns: Callable[[], int] = field(default=time_ns)

    def visited(self, kind: str, result: Visited, seconds: float) -> None:
        """End the span of a look."""
        self.inner.visited(kind, result, seconds)
        ended = self.clock_ns()
        parts, subject = _parts.get() or (), self.subject()
        _parts.set(None)
        tracer = self.provider.get_tracer(SERVICE)
        span = tracer.start_span(f"look at {kind}", start_time=ended - int(seconds * SECOND))
        for name in ("namespace", "name"):
            span.set_attribute(f"k8s.object.{name}", subject.get(name, ""))
        span.set_attribute("result", result.value)
        if result is not Visited.DONE:
            span.set_status(Status(StatusCode.ERROR, result.value))
        for part in parts:
            if isinstance(part, _Requested):
                facts: dict[str, str | int] = {"http.request.method": part.method, "resource": part.resource}
                span.add_event("Kubernetes", facts | {"code": part.code or 0}, timestamp=part.at)
            else:
                _trace_request(tracer, span, part)
        span.end(ended)

    def answered(self, call: Call, reply: Answer | NoAnswer, account: Account, seconds: float) -> None:
        """Note a request to Datadog."""
        self.inner.answered(call, reply, account, seconds)
        ended = self.clock_ns()
        status = reply.status if isinstance(reply, Answer) else None
        _note(_Asked(call, account.site, status, ended - int(seconds * SECOND), ended))

    def kubernetes(self, method: str, resource: str, code: int | None) -> None:
        """Note a request to the API server."""
        self.inner.kubernetes(method, resource, code)
        _note(_Requested(method, resource, code, self.clock_ns()))

    def accepted(self, origin: Origin, state: MarkState, due_at: datetime | None) -> None:
        """See Meter."""
        self.inner.accepted(origin, state, due_at)

    def verdict(self, kind: Kind) -> None:
        """See Meter."""
        self.inner.verdict(kind)

    def notice(self, about: About) -> None:
        """See Meter."""
        self.inner.notice(about)

    def watch_restarted(self, resource: str) -> None:
        """See Meter."""
        self.inner.watch_restarted(resource)


@contextmanager
def tracing(
    inner: Meter, subject: Callable[[], Mapping[str, str]], processor: SpanProcessor | None = None
) -> Iterator[TracingMeter]:
    """Trace until the end, and send what is left then; without a processor to where the environment says."""
    provider = TracerProvider(resource=Resource.create({"service.name": SERVICE}), shutdown_on_exit=False)
    provider.add_span_processor(processor or BatchSpanProcessor(OTLPSpanExporter()))
    try:
        yield TracingMeter(inner, provider, subject)
    finally:  # beside us: a collector that does not answer must not hold up the end
        ending = Thread(target=provider.shutdown, daemon=True)
        ending.start()
        ending.join(LAST_SPANS_SECONDS)


def _trace_request(tracer: Tracer, look: Span, asked: _Asked) -> None:
    span = tracer.start_span(
        f"Datadog {asked.call.value}", context=set_span_in_context(look), start_time=asked.begun_at
    )
    span.set_attribute("site", asked.site)
    span.set_attribute("http.response.status_code", asked.status or 0)
    if asked.status is None or asked.status >= HTTPStatus.BAD_REQUEST:
        span.set_status(Status(StatusCode.ERROR))
    span.end(asked.ended_at)


def _note(part: _Asked | _Requested) -> None:
    parts = _parts.get()
    if parts is None:
        parts = deque(maxlen=MOST_PARTS)
        _parts.set(parts)
    parts.append(part)
