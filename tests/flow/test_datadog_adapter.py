"""The adapter for Datadog against a real server that misbehaves in every way."""

import time
from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest

from dora_operator.adapters.datadog import BODY_LIMIT, DatadogApi, open_datadog
from dora_operator.domain.observed import MarkState
from dora_operator.domain.outcome import Answer, FailureKind, NoAnswer
from dora_operator.domain.request import PatchById
from dora_operator.domain.sites import Site
from dora_operator.ports import Keys
from sandbox.datadog import StandIn
from sandbox.datadog.faults import Drip, Garbage, HalfBody, Hang, Redirect, Reset, Respond

KEYS = Keys("canary-api", "canary-app")
REQUEST = PatchById("43vkaZNgiso", MarkState(change_failure=True))
SECONDS = 0.6


@pytest.fixture
def datadog() -> Iterator[StandIn]:
    """Return a server."""
    with StandIn() as running:
        yield running


@pytest.fixture
async def api(datadog: StandIn) -> AsyncIterator[DatadogApi]:
    """Return an adapter with little patience."""
    async with open_datadog(base_url=datadog.url + "/", timeout_seconds=SECONDS, at_once=2) as opened:
        yield opened


async def ask(api: DatadogApi) -> Answer | NoAnswer:
    """Send one request."""
    return await api.patch(REQUEST, Site.US1, KEYS)


@pytest.mark.parametrize(
    ("what", "kind"),
    [
        pytest.param(Reset(), FailureKind.UNREACHABLE, id="a reset connection"),
        pytest.param(HalfBody(), FailureKind.UNREACHABLE, id="202 with half a body is no proof"),
        pytest.param(Garbage(), FailureKind.UNREACHABLE, id="bytes that are no HTTP"),
        pytest.param(Hang(), FailureKind.TIMEOUT, id="no answer"),
        pytest.param(Drip(interval=0.2), FailureKind.TIMEOUT, id="a byte at a time"),
    ],
)
async def test_failures_are_values(datadog: StandIn, api: DatadogApi, what: Any, kind: FailureKind) -> None:
    """No way of failing raises, and none lasts longer than the limit."""
    datadog.fault(what)
    begun = time.monotonic()
    found = await ask(api)
    assert isinstance(found, NoAnswer)
    assert found.kind is kind
    assert time.monotonic() - begun < SECONDS + 2


async def test_the_next_request_is_well_after_a_failure(datadog: StandIn, api: DatadogApi) -> None:
    """A broken connection does not stay in the pool."""
    datadog.fault(Reset(), times=1)
    assert isinstance(await ask(api), NoAnswer)
    assert isinstance(await ask(api), Answer)


async def test_redirects_are_not_followed(datadog: StandIn, api: DatadogApi) -> None:
    """Keys go to the host of the table and nowhere else."""
    with StandIn() as elsewhere:
        datadog.fault(Redirect(location=elsewhere.url + "/api/v2/dora/deployments/x"))
        found = await ask(api)
        assert isinstance(found, Answer)
        assert found.status == 307
        assert elsewhere.requests() == []


async def test_the_environments_proxy_is_not_used(
    datadog: StandIn, api: DatadogApi, monkeypatch: pytest.MonkeyPatch
) -> None:
    """HTTP_PROXY and the like are for other programs."""
    with StandIn() as proxy:
        for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY", "HTTPS_PROXY"):
            monkeypatch.setenv(name, proxy.url)
        async with open_datadog(base_url=datadog.url, timeout_seconds=SECONDS, at_once=1) as fresh:
            await ask(fresh)
        assert proxy.requests() == []
    assert len(datadog.requests()) == 1


async def test_the_environments_proxy_is_used_where_that_was_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    """DORA_OPERATOR_TRUST_ENV: the request goes through the proxy, unless NO_PROXY names its host."""
    monkeypatch.delenv("no_proxy", raising=False)
    with StandIn() as proxy, StandIn() as direct:
        monkeypatch.setenv("HTTP_PROXY", proxy.url)
        for excepted, receiver in (("", proxy), ("localhost,127.0.0.0/8", direct)):
            monkeypatch.setenv("NO_PROXY", excepted)
            async with open_datadog(base_url=direct.url, timeout_seconds=SECONDS, at_once=1, trust_env=True) as datadog:
                await ask(datadog)
            assert [len(one.requests()) for one in (proxy, direct)] == [int(one is receiver) for one in (proxy, direct)]
            receiver.clear()


async def test_no_cookie_is_kept(datadog: StandIn, api: DatadogApi) -> None:
    """What one account's answer sets does not come along with the next one's request."""
    datadog.fault(Respond(status=202, headers={"Set-Cookie": "session=1; Path=/"}), times=1)
    for _ in range(2):
        await ask(api)
    assert ["cookie" in request.headers for request in datadog.requests()] == [False, False]


async def test_a_huge_body_is_cut(datadog: StandIn, api: DatadogApi) -> None:
    """Of an endless error page only the first 64 KiB are read."""
    datadog.fault(Respond(status=500, body="x" * (BODY_LIMIT * 4)))
    found = await ask(api)
    assert isinstance(found, Answer)
    assert len(found.body) == BODY_LIMIT


async def test_echoed_keys_are_redacted(datadog: StandIn, api: DatadogApi) -> None:
    """A proxy that repeats the request in its answer does not bring the keys into a status."""
    datadog.fault(Respond(status=403, body="you sent canary-api and canary-app"))
    found = await ask(api)
    assert isinstance(found, Answer)
    assert found.body == b"you sent [redacted] and [redacted]"


async def test_the_rate_limits_headers_arrive(api: DatadogApi) -> None:
    """All five, with lower-case names."""
    found = await ask(api)
    assert isinstance(found, Answer)
    assert set(found.headers) == {f"x-ratelimit-{name}" for name in ("limit", "period", "remaining", "reset", "name")}


async def test_nobody_listens() -> None:
    """A refused connection says so, without keys."""
    async with open_datadog(base_url="http://127.0.0.1:9", timeout_seconds=SECONDS, at_once=1) as api:
        found = await ask(api)
    assert isinstance(found, NoAnswer)
    assert found.kind is FailureKind.UNREACHABLE
    assert "canary" not in found.detail
