"""The rate limit: windows of the calendar, five headers on every answer, 429 beyond the limit."""

from collections.abc import Callable

import httpx
import pytest

from sandbox.datadog import RateLimit, Settings, StandIn
from tests.standin.clocked import BASE, START, Datadog


@pytest.mark.parametrize(
    ("after", "expected"),
    [
        pytest.param(0, (200, "2", "60"), id="at the beginning of a window"),
        pytest.param(17.5, (200, "2", "43"), id="within it, rounded up"),
        pytest.param(59.9, (200, "2", "1"), id="at its end, never zero"),
        pytest.param(60, (200, "2", "60"), id="in the next one"),
    ],
)
def test_the_window_is_aligned_with_the_calendar(after: float, expected: tuple[int, str, str]) -> None:
    """Reset counts to the end of the calendar's window, whenever the first request came."""
    datadog = Datadog(rate_limit=RateLimit(limit=3, period=60, name="a_bucket"))
    status, _, headers = datadog.ask(
        after, "POST", "deployments", {"data": {"type": "dora_deployments_list_request", "attributes": {}}}
    )
    assert (status, headers["X-RateLimit-Remaining"], headers["X-RateLimit-Reset"]) == expected
    assert (headers["X-RateLimit-Limit"], headers["X-RateLimit-Period"]) == ("3", "60")
    assert headers["X-RateLimit-Name"] == "a_bucket"


def test_too_many_requests() -> None:
    """Beyond the limit each key for itself gets 429 without effect until its window ends."""
    datadog = Datadog(rate_limit=RateLimit(limit=2, period=10))
    assert [datadog.post(after) for after in (0, 1, 2)] == [200, 200, 429]
    status, document, headers = datadog.ask(9, "GET", "deployments/x")
    assert (status, document) == (429, {"errors": ["Too many requests"]})
    assert (headers["X-RateLimit-Remaining"], headers["X-RateLimit-Reset"]) == ("0", "1")
    assert datadog.ask(9, "GET", "deployments/x", key="another")[0] == 404
    assert datadog.ask(10, "GET", "deployments/x")[0] == 404


@pytest.mark.parametrize(
    ("method", "path", "key", "status"),
    [
        pytest.param("GET", "deployments/x", "", 401, id="401"),
        pytest.param("GET", "nowhere", "one", 404, id="404"),
        pytest.param("PATCH", "deployments/x", "one", 400, id="400"),
    ],
)
def test_every_answer_has_the_five_headers(method: str, path: str, key: str, status: int) -> None:
    """Errors report the rate limit too."""
    got, _, headers = Datadog().ask(0, method, path, key=key)
    assert got == status
    assert sum(name.startswith("X-RateLimit-") for name in headers) == 5


def test_the_clock_is_an_argument(connect: Callable[..., httpx.Client]) -> None:
    """A running stand-in can be given a clock that stands still."""
    with StandIn(Settings(rate_limit=RateLimit(limit=1, period=60)), clock=lambda: START + 20) as datadog:
        client = connect(datadog)
        answers = [client.get(f"{BASE}deployments/x") for _ in range(2)]
    assert [(one.status_code, one.headers["X-RateLimit-Reset"]) for one in answers] == [(404, "40"), (429, "40")]
