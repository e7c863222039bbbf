"""Who is told of everything that is counted: metrics always, traces where they are wanted."""

from collections.abc import Iterator
from contextlib import contextmanager

from dora_operator.handlers.logs import subject
from dora_operator.meter import Meter


class CannotTraceError(Exception):
    """Traces are wanted and cannot be made; the message names the mend."""


@contextmanager
def metering(metrics: Meter, *, traces: bool) -> Iterator[Meter]:
    """Return whom to tell.

    Raises:
        CannotTraceError: what traces need is not installed.
    """
    if not traces:
        yield metrics
        return
    try:
        from dora_operator.adapters.tracing import tracing  # noqa: PLC0415 - an extra, and slow to import
    except ImportError as error:
        mend = "install dora-operator[traces], or build the image with --build-arg LOCK=requirements/traces.txt"
        raise CannotTraceError(f"DORA_OPERATOR_TRACES is true, but OpenTelemetry is not installed: {mend}") from error
    with tracing(metrics, subject) as meter:
        yield meter
