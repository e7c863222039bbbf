"""A backlog under a rate limit, beside the least time that the limit allows."""

import asyncio
import math
import time
from dataclasses import dataclass
from http import HTTPStatus

from bench import objects
from bench.candidates import OPERATOR, own_cluster
from sandbox.datadog import RateLimit, Settings, StandIn
from sandbox.programs.cache import SandboxError

PATIENCE_SECONDS = 300.0


@dataclass(frozen=True, slots=True)
class Limited:
    """What was measured."""

    count: int
    limit: int
    period: int
    seconds: float
    """From the first request to the last."""
    ideal_seconds: float
    """Until the window opens without which the last could not have been sent, and the time that its requests take."""
    refused: int
    """Requests that were answered with 429."""


def measure_limited(count: int, limit: int, period: int) -> Limited:
    """Let the operator mark so many deployments of one account that may send `limit` requests in each window."""
    settings = Settings(rate_limit=RateLimit(limit=limit, period=period))
    with own_cluster(OPERATOR) as cluster, StandIn(settings) as datadog:
        asyncio.run(objects.make_due(cluster, count))
        with OPERATOR.launched(cluster, datadog):
            _wait_until_accepted(datadog, count)
        requests = datadog.requests()
    times = sorted(request.time for request in requests if request.status == HTTPStatus.ACCEPTED)
    first_window, needed = math.floor(times[0] / period), math.ceil(count / limit)
    last_window = (first_window + needed - 1) * period
    in_one_window = [at - times[0] for at in times[:limit] if math.floor(at / period) == first_window]
    ideal = max(0.0, last_window - times[0]) + max(in_one_window)
    refused = sum(request.status == HTTPStatus.TOO_MANY_REQUESTS for request in requests)
    return Limited(count, limit, period, times[-1] - times[0], ideal, refused)


def _wait_until_accepted(datadog: StandIn, count: int) -> None:
    deadline = time.monotonic() + PATIENCE_SECONDS
    while sum(request.status == HTTPStatus.ACCEPTED for request in datadog.requests()) < count:
        if time.monotonic() > deadline:
            raise SandboxError(f"not all {count} were accepted within {PATIENCE_SECONDS:g} s")
        time.sleep(0.2)
