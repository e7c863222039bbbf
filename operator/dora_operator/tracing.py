"""Traces by OpenTelemetry, if they are enabled: a span for each reconcile, with its requests as children.

OpenTelemetry's own variables (OTEL_EXPORTER_OTLP_ENDPOINT and others) say where spans go and which are kept. Nothing of
OpenTelemetry is imported while traces are off. No header and no body is ever part of a span, so no key is.
"""

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from threading import Thread
from typing import TYPE_CHECKING

import aiohttp

from dora_operator.domain.fields import ObjectKey

if TYPE_CHECKING:
    from opentelemetry.sdk.trace import SpanProcessor, TracerProvider

SERVICE = "dora-operator"
LAST_SPANS_SECONDS = 2.0
"""Longest time for sending the last spans at the end."""


class CannotTraceError(Exception):
    """Traces are enabled but their packages are not installed; the message names the fix."""


@dataclass(slots=True)
class _State:
    provider: "TracerProvider | None" = None
    """None: traces are off."""


_state = _State()
_NO_SPAN: AbstractContextManager[object] = nullcontext()


def span(kind: str, key: ObjectKey) -> AbstractContextManager[object]:
    """Trace what runs in this context as one reconcile."""
    if _state.provider is None:
        return _NO_SPAN
    attributes = {"k8s.object.namespace": key.namespace, "k8s.object.name": key.name}
    return _state.provider.get_tracer(SERVICE).start_as_current_span(f"reconcile {kind}", attributes=attributes)


def note_result(result: str, *, is_error: bool) -> None:
    """Note in the current span how the reconcile ended."""
    if _state.provider is None:
        return
    from opentelemetry.trace import StatusCode, get_current_span  # noqa: PLC0415 - only while traces are on

    current = get_current_span()
    current.set_attribute("result", result)
    if is_error:
        current.set_status(StatusCode.ERROR, result)


def trace_configs() -> list[aiohttp.TraceConfig]:
    """Return what an aiohttp session needs to trace its requests."""
    if _state.provider is None:
        return []
    from opentelemetry.instrumentation.aiohttp_client import create_trace_config  # noqa: PLC0415 - as above

    return [create_trace_config(tracer_provider=_state.provider)]


@contextmanager
def enabled(*, on: bool, processor: "SpanProcessor | None" = None) -> Iterator[None]:
    """Trace until the end of this context, then send what is left. A processor replaces the one of the environment.

    Raises:
        CannotTraceError: what traces need is not installed.
    """
    if not on:
        yield
        return
    provider = _state.provider = _provider(processor)
    try:
        yield
    finally:
        _state.provider = None
        ending = Thread(target=provider.shutdown, daemon=True)  # a collector may never answer
        ending.start()
        ending.join(LAST_SPANS_SECONDS)


def _provider(processor: "SpanProcessor | None") -> "TracerProvider":
    try:
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter  # noqa: PLC0415 - as above
        from opentelemetry.instrumentation.aiohttp_client import create_trace_config  # noqa: F401, PLC0415 - fails now
        from opentelemetry.sdk.resources import Resource  # noqa: PLC0415
        from opentelemetry.sdk.trace import TracerProvider  # noqa: PLC0415
        from opentelemetry.sdk.trace.export import BatchSpanProcessor  # noqa: PLC0415
    except ImportError as error:
        fix = "install dora-operator[traces], or build the image with --build-arg LOCK=requirements/traces.txt"
        raise CannotTraceError(f"DORA_OPERATOR_TRACES is true, but OpenTelemetry is not installed: {fix}") from error
    provider = TracerProvider(resource=Resource.create({"service.name": SERVICE}), shutdown_on_exit=False)
    provider.add_span_processor(processor or BatchSpanProcessor(OTLPSpanExporter()))
    return provider
