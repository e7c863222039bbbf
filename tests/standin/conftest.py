"""One stand-in for all tests that need no settings of their own, and clients for it."""

from collections.abc import Callable, Iterator
from typing import Any

import httpx
import pytest

from sandbox.datadog import Settings, StandIn

KEYS = {"DD-API-KEY": "an-api-key", "DD-APPLICATION-KEY": "an-application-key"}


@pytest.fixture(scope="session")
def _running() -> Iterator[StandIn]:
    with StandIn() as datadog:
        yield datadog


@pytest.fixture
def datadog(_running: StandIn) -> StandIn:
    """Return a stand-in with the default settings that remembers nothing."""
    _running.clear()
    _running.configure(**Settings().shown())
    return _running


@pytest.fixture
def connect() -> Iterator[Callable[..., httpx.Client]]:
    """Return what makes a client with keys for a stand-in; all are closed in the end."""
    clients: list[httpx.Client] = []

    def made(datadog: StandIn, **changes: Any) -> httpx.Client:
        options: dict[str, Any] = {"base_url": datadog.url, "headers": KEYS, "timeout": 5, "trust_env": False}
        clients.append(httpx.Client(**(options | changes)))
        return clients[-1]

    yield made
    for client in clients:
        client.close()


@pytest.fixture
def client(datadog: StandIn, connect: Callable[..., httpx.Client]) -> httpx.Client:
    """Return a client of the default stand-in."""
    return connect(datadog)
