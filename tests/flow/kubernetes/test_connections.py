"""The client for the API server: errors, its login, and its connections."""

import asyncio
from pathlib import Path

import aiohttp
import pytest
from aiohttp import web
from kubernetes.aio.config import ConfigException

from dora_operator.clients import kubernetes
from dora_operator.clients.errors import (
    ConflictError,
    ExpiredError,
    ForbiddenError,
    KubernetesError,
    NotFoundError,
    UnauthorizedError,
)
from dora_operator.clients.kubernetes import KubernetesClient, resource_of
from dora_operator.metrics import Metrics
from tests.support.answering import KEY, STORED, Answer, Server


@pytest.mark.parametrize(
    ("status", "error"),
    [
        (401, UnauthorizedError),
        (403, ForbiddenError),
        (404, NotFoundError),
        (409, ConflictError),
        (410, ExpiredError),
        (422, KubernetesError),
        (500, KubernetesError),
    ],
)
async def test_an_error_has_its_type_and_code(
    server: Server, client: KubernetesClient, status: int, error: type[KubernetesError]
) -> None:
    """Every one is a KubernetesError; the message holds no token and no body."""
    server.status, server.answer = status, {"kind": "Status", "message": "canary"}
    with pytest.raises(KubernetesError) as raised:
        await client.write_status(KEY, "uid", {})
    assert type(raised.value) is error
    assert raised.value.code == status
    assert str(status) in str(raised.value)
    assert not any(word in repr(raised.value) for word in ("canary", "first"))


async def garbage(_: web.Request) -> web.Response:
    """Answer with something that is no JSON."""
    return web.Response(text="<html>", content_type="text/html")


async def reset(request: web.Request) -> web.Response:
    """Cut the connection."""
    assert request.transport is not None
    request.transport.abort()
    return web.Response()


async def hang(_: web.Request) -> web.Response:
    """Answer never."""
    await asyncio.Event().wait()
    return web.Response()


@pytest.mark.parametrize("handler", [garbage, reset, hang])
async def test_a_broken_answer_can_be_repeated(
    server: Server, client: KubernetesClient, handler: Answer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No failure is of another type, and none lasts longer than the timeout."""
    monkeypatch.setattr(kubernetes, "REQUEST_TIMEOUT", aiohttp.ClientTimeout(total=0.3))
    server.handler = handler
    with pytest.raises(KubernetesError) as raised:
        await client.read_secret(KEY)
    assert raised.value.code is None
    assert "/secrets/a" in str(raised.value)


async def test_requests_are_counted_without_names(server: Server, client: KubernetesClient, metrics: Metrics) -> None:
    """By method, resource and answer."""
    await client.write_status(KEY, "uid", {})
    server.handler = reset
    with pytest.raises(KubernetesError):
        await client.write_status(KEY, "uid", {})
    text = metrics.text().decode()
    for code in ("200", "none"):
        labels = f'code="{code}",method="PATCH",resource="doradeployments/status"'
        assert f"dora_operator_kubernetes_requests_total{{{labels}}} 1.0" in text
    assert "shop" not in text


@pytest.mark.parametrize(
    ("path", "resource"),
    [
        ("/api/v1/namespaces/shop", "namespaces"),
        ("/api/v1/namespaces/shop/secrets/a", "secrets"),
        ("/apis/dora-operator.io/v1alpha1/doradeployments", "doradeployments"),
        ("/apis/dora-operator.io/v1alpha1/namespaces/shop/doradeployments/a/status", "doradeployments/status"),
        ("/apis/argoproj.io/v1alpha1", "apis"),
    ],
)
def test_the_resource_of_a_path(path: str, resource: str) -> None:
    """As metrics name it."""
    assert resource_of(path) == resource


async def test_replaced_credentials_count_for_the_next_request(server: Server, client: KubernetesClient) -> None:
    """The login is shared: who logs in again replaces what all requests send."""
    await client.read_secret(KEY)
    client.configuration.api_key = {"BearerToken": "Bearer second\n"}
    await client.read_secret(KEY)
    assert server.tokens() == ["first", "second"]


async def test_a_401_is_not_repeated(server: Server, client: KubernetesClient) -> None:
    """The reconcile is, with the credentials of the next login."""
    server.status = 401
    with pytest.raises(UnauthorizedError):
        await client.read_secret(KEY)
    assert len(server.requests) == 1


async def test_a_token_that_cannot_be_read_is_an_outage(server: Server, client: KubernetesClient) -> None:
    """Of the service account's file, for a moment."""

    def missing(_: object) -> None:
        raise ConfigException("Token file exists but empty.")

    client.configuration.refresh_api_key_hook = missing
    with pytest.raises(KubernetesError, match="ConfigException"):
        await client.read_secret(KEY)
    assert server.requests == []


async def test_no_netrc_and_no_proxy_of_the_environment_is_used(
    server: Server, client: KubernetesClient, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """The login was read once. An entry in netrc would send a password to the API server."""
    (tmp_path / ".netrc").write_text("default login someone password canary\n")
    monkeypatch.setenv("NETRC", str(tmp_path / ".netrc"))
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:9")
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:9")
    await client.read_secret(KEY)
    assert server.tokens() == ["first"]


async def test_no_cookie_is_kept(server: Server, client: KubernetesClient) -> None:
    """A load balancer's cookie would tie all requests to one API server."""

    async def answer(_: web.Request) -> web.Response:
        return web.json_response(STORED, headers={"Set-Cookie": "session=1; Path=/"})

    server.handler = answer
    client._api.configuration.host = client._api.configuration.host.replace("127.0.0.1", "localhost")
    for _ in range(2):  # aiohttp keeps no cookies of addresses anyway
        await client.read_secret(KEY)
    assert not any("Cookie" in request.headers for request, _ in server.requests)


async def test_many_requests_keep_none_waiting(server: Server, client: KubernetesClient) -> None:
    """However many hang, there is a connection for the Lease."""
    many = 200
    hanging = [asyncio.create_task(client.read_secret(KEY)) for _ in range(many)]
    released, all_there, arrived = asyncio.Event(), asyncio.Event(), []

    async def answer(request: web.Request) -> web.Response:
        if "secrets" in request.path:
            arrived.append(request)
            if len(arrived) == many:
                all_there.set()
            await released.wait()
        return web.json_response(STORED)

    server.handler = answer
    async with asyncio.timeout(10):
        assert await client.read_lease(KEY) == STORED
        await all_there.wait()
        released.set()
        await asyncio.gather(*hanging)
