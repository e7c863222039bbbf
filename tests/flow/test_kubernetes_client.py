"""The client for the API server: what it sends, what it makes of answers, and how it renews its login."""

import asyncio
import re
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aiohttp
import pytest
import yaml
from aiohttp import web
from aiohttp.test_utils import TestServer

from dora_operator.clients import kubernetes
from dora_operator.clients.kubernetes import (
    DEPLOYMENTS,
    ROLLOUTS,
    ConflictError,
    ExpiredError,
    ForbiddenError,
    KubernetesClient,
    KubernetesError,
    Login,
    NotFoundError,
    NotLeaderError,
    Page,
    Result,
    Secret,
    Subject,
    UnauthorizedError,
    open_kubernetes,
    resource_of,
)
from dora_operator.clients.login import log_in
from dora_operator.domain.events import EventNote
from dora_operator.domain.fields import ObjectKey
from dora_operator.metrics import Metrics
from tests.support.builders import NOW

LABELS = r"[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*"
"""RFC 1123; the API server refuses other names."""
KEY = ObjectKey("shop", "a")
STORED = {"metadata": {"uid": "uid", "resourceVersion": "7"}}
SUBJECT = Subject("v1", "Thing", KEY, "uid")
NOTE = EventNote("Normal", "Marked", "it was marked")
Answer = Callable[[web.Request], Awaitable[web.StreamResponse]]


@dataclass
class Server:
    """An API server whose answer is set by the test."""

    answer: Any = field(default_factory=lambda: STORED)
    status: int = 200
    handler: Answer | None = None
    requests: list[tuple[web.Request, Any]] = field(default_factory=list)

    async def handle(self, request: web.Request) -> web.StreamResponse:
        """Note a request and answer it."""
        self.requests.append((request, await request.json() if request.can_read_body else None))
        if self.handler is not None:
            return await self.handler(request)
        return web.json_response(self.answer, status=self.status)

    @property
    def last(self) -> tuple[str, dict[str, str], Any]:
        """Method and path, query, body of the last request."""
        request, body = self.requests[-1]
        return f"{request.method} {request.raw_path.partition('?')[0]}", dict(request.query), body

    def tokens(self) -> list[str]:
        """Return the tokens that came."""
        return [request.headers["Authorization"].removeprefix("Bearer ") for request, _ in self.requests]


@pytest.fixture
def server() -> Server:
    """Return a server that returns one object."""
    return Server()


@pytest.fixture
def metrics() -> Metrics:
    """Return empty metrics."""
    return Metrics()


@pytest.fixture
def token(tmp_path: Path) -> Path:
    """Return the file of a token."""
    path = tmp_path / "token"
    path.write_text("first\n")
    return path


@pytest.fixture
async def client(
    server: Server, metrics: Metrics, token: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[KubernetesClient]:
    """Open a client of that server by a kubeconfig."""
    app = web.Application()
    app.router.add_route("*", "/{path:.*}", server.handle)
    async with TestServer(app) as running:
        config = {
            "current-context": "here",
            "contexts": [{"name": "here", "context": {"cluster": "c", "user": "u"}}],
            "clusters": [{"name": "c", "cluster": {"server": str(running.make_url("")).rstrip("/")}}],
            "users": [{"name": "u", "user": {"tokenFile": str(token)}}],
        }
        (tmp_path / "kubeconfig").write_text(yaml.safe_dump(config))
        monkeypatch.setenv("KUBECONFIG", str(tmp_path / "kubeconfig"))
        async with open_kubernetes(metrics, lambda: NOW) as opened:
            yield opened


async def test_a_status_is_written_to_exactly_this_object(server: Server, client: KubernetesClient) -> None:
    """The uid in the patch makes the API server refuse another object of the same name."""
    assert await client.write_status(KEY, "uid", {"attempts": 1}) == STORED
    path = "PATCH /apis/dora-operator.io/v1alpha1/namespaces/shop/doradeployments/a/status"
    body = {"metadata": {"uid": "uid"}, "status": {"attempts": 1}}
    assert server.last == (path, {"fieldManager": "dora-operator"}, body)
    request, _ = server.requests[-1]
    assert request.headers["Content-Type"] == "application/merge-patch+json"
    assert request.headers["User-Agent"] == "dora-operator"


@pytest.mark.parametrize(
    "answer", [None, [], {}, {"metadata": None}, {"metadata": {"uid": "another"}}, {"kind": "Status"}]
)
async def test_an_answer_that_is_not_the_object_is_an_error(
    server: Server, client: KubernetesClient, answer: Any
) -> None:
    """200 with something else, from a proxy perhaps: the status counts as not written."""
    server.answer = answer
    with pytest.raises(KubernetesError):
        await client.write_status(KEY, "uid", {})


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


async def test_a_list_comes_in_pages(server: Server, client: KubernetesClient) -> None:
    """Each with the version of the whole list; the selector goes along with every page."""

    async def page(request: web.Request) -> web.Response:
        first = "continue" not in request.query
        metadata = {"resourceVersion": "9"} | ({"continue": "x&y=z"} if first else {})
        return web.json_response({"metadata": metadata, "items": [{"n": 1 if first else 2}]})

    server.handler = page
    pages = [page async for page in client.list_pages(DEPLOYMENTS, None, "a in (b,c)")]
    assert pages == [Page([{"n": 1}], "9", is_last=False), Page([{"n": 2}], "9", is_last=True)]
    path, query, _ = server.last
    assert path == "GET /apis/dora-operator.io/v1alpha1/doradeployments"
    assert query == {"limit": "500", "continue": "x&y=z", "labelSelector": "a in (b,c)"}


async def test_one_namespace_is_listed(server: Server, client: KubernetesClient) -> None:
    """An operator for some namespaces may not list the whole cluster."""
    server.answer = {"metadata": {"resourceVersion": "9"}, "items": []}
    assert [page async for page in client.list_pages(ROLLOUTS, "shop", "")] == [Page([], "9", is_last=True)]
    assert server.last[:2] == ("GET /apis/argoproj.io/v1alpha1/namespaces/shop/rollouts", {"limit": "500"})


@pytest.mark.parametrize("answer", [{}, {"metadata": {}}, {"items": []}, {"metadata": {}, "items": None}])
async def test_what_is_no_list_is_an_error(server: Server, client: KubernetesClient, answer: Any) -> None:
    """An empty list would mean that every object is gone."""
    server.answer = answer
    with pytest.raises(KubernetesError):
        _ = [page async for page in client.list_pages(DEPLOYMENTS, None, "")]


async def test_a_kind_is_served_if_its_group_lists_it(server: Server, client: KubernetesClient) -> None:
    """Argo Workflows serve the group of Rollouts, without Rollouts."""
    server.answer = {"resources": [{"name": "workflows"}]}
    assert not await client.is_served(ROLLOUTS)
    server.answer = {"resources": [{"name": "workflows"}, {"name": "rollouts"}, {"name": "rollouts/status"}]}
    assert await client.is_served(ROLLOUTS)
    assert server.last[0] == "GET /apis/argoproj.io/v1alpha1"
    server.status = 404
    assert not await client.is_served(ROLLOUTS)
    server.status = 503
    with pytest.raises(KubernetesError):
        await client.is_served(ROLLOUTS)


async def test_a_record_is_applied_without_force(server: Server, client: KubernetesClient) -> None:
    """A field that a user has taken over is a conflict, and stays the user's."""
    manifest = {"metadata": {"namespace": "shop", "name": "a"}, "spec": {}}
    assert await client.apply_record(manifest) == STORED
    path = "PATCH /apis/dora-operator.io/v1alpha1/namespaces/shop/doradeployments/a"
    assert server.last == (path, {"fieldManager": "dora-operator-rollouts"}, manifest)
    assert server.requests[-1][0].headers["Content-Type"] == "application/apply-patch+yaml"


@pytest.mark.parametrize("status", [200, 404, 409])
async def test_a_record_is_deleted_by_its_uid(server: Server, client: KubernetesClient, status: int) -> None:
    """One that is gone, or another of the same name, is no error."""
    server.status = status
    await client.delete_record(KEY, "uid")
    path = "DELETE /apis/dora-operator.io/v1alpha1/namespaces/shop/doradeployments/a"
    assert server.last == (path, {}, {"preconditions": {"uid": "uid"}})


async def test_a_secret_is_read(server: Server, client: KubernetesClient) -> None:
    """Its values never show in a repr."""
    server.answer = {"metadata": {"resourceVersion": "7"}, "data": {"api-key": "canary"}}
    secret = await client.read_secret(KEY)
    assert secret == Secret("7", {"api-key": "canary"})
    assert "canary" not in repr(secret)
    server.answer = {"metadata": {"resourceVersion": "8"}}
    assert await client.read_secret(KEY) == Secret("8", {})


async def test_annotations_are_read(server: Server, client: KubernetesClient) -> None:
    """A Namespace without any is the usual case."""
    assert await client.read_annotations("shop") == {}
    server.answer = {"metadata": {"annotations": {"a": "b"}}}
    assert await client.read_annotations("shop") == {"a": "b"}
    assert server.last[0] == "GET /api/v1/namespaces/shop"


async def test_replica_sets_and_events_are_listed(server: Server, client: KubernetesClient) -> None:
    """By label and by uid."""
    server.answer = {"metadata": {}, "items": [{"n": 1}]}
    assert await client.list_replica_sets("shop", {"app": "checkout"}) == [{"n": 1}]
    selector = "rollouts-pod-template-hash,app=checkout"
    path = "GET /apis/apps/v1/namespaces/shop/replicasets"
    assert server.last[:2] == (path, {"limit": "500", "labelSelector": selector})
    assert await client.list_events(SUBJECT) == [{"n": 1}]
    path = "GET /api/v1/namespaces/shop/events"
    assert server.last[:2] == (path, {"limit": "500", "fieldSelector": "involvedObject.uid=uid"})


@pytest.mark.parametrize("name", ["a" * 253, "a" * 229 + "-" + "b" * 20, "a" * 228 + "-." + "b" * 20, "short"])
async def test_an_event_has_a_valid_name(server: Server, client: KubernetesClient, name: str) -> None:
    """Long names are cut where a name may end."""
    await client.post_event(Subject("v1", "Thing", ObjectKey("shop", name), "uid"), NOTE)
    named = server.last[2]["metadata"]["name"]
    assert len(named) <= 253
    assert re.fullmatch(LABELS, named)


async def test_the_same_fact_makes_no_second_event(server: Server, client: KubernetesClient) -> None:
    """The name is made of the fact, so the API server answers 409, which is success."""
    names = []
    for note in (NOTE, NOTE, EventNote("Normal", "Marked", "it was marked", "again")):
        await client.post_event(SUBJECT, note)
        server.status = 409
        names.append(server.last[2]["metadata"]["name"])
    assert names[0] == names[1] != names[2]
    server.status = 403
    with pytest.raises(ForbiddenError):
        await client.post_event(SUBJECT, NOTE)


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


class Follower:
    """A guard that lets nothing pass."""

    async def guard(self, request: Coroutine[Any, Any, Result]) -> Result:
        """Refuse."""
        request.close()
        raise NotLeaderError


async def test_a_follower_reads_and_does_not_write(server: Server, client: KubernetesClient) -> None:
    """Each write passes the guard; a Lease is what the guard is made of, so it does not."""
    guarded = client.guarded_by(Follower())
    writes: list[Callable[[], Coroutine[Any, Any, object]]] = [
        lambda: guarded.write_status(KEY, "uid", {}),
        lambda: guarded.apply_record({"metadata": {"namespace": "shop", "name": "a"}}),
        lambda: guarded.delete_record(KEY, "uid"),
        lambda: guarded.post_event(SUBJECT, NOTE),
    ]
    for write in writes:
        with pytest.raises(NotLeaderError):
            await write()
    assert server.requests == []
    await guarded.read_secret(KEY)
    for lease in (guarded.read_lease(KEY), guarded.create_lease(KEY, {"n": 1}), guarded.replace_lease(KEY, {"n": 2})):
        assert await lease == STORED
    assert len(server.requests) == 4
    assert server.last == ("PUT /apis/coordination.k8s.io/v1/namespaces/shop/leases/a", {}, {"n": 2})


async def test_a_replaced_token_is_read_again(server: Server, client: KubernetesClient, token: Path) -> None:
    """After a 401, once for all requests that meet it, and without an error."""
    valid = "first"

    async def check(request: web.Request) -> web.Response:
        is_valid = request.headers["Authorization"] == f"Bearer {valid}"
        return web.json_response(STORED, status=200 if is_valid else 401)

    server.handler = check
    await client.read_secret(KEY)
    valid = "second"
    replace_token(token, "second\n")
    expire_login(client)
    await asyncio.gather(*(client.read_secret(KEY) for _ in range(5)))
    await client.read_secret(KEY)
    assert sorted(server.tokens()) == ["first"] * 6 + ["second"] * 6


def replace_token(path: Path, token: str | None) -> None:
    """Write another token, or remove the file."""
    path.unlink()
    if token is not None:
        path.write_text(token)


def expire_login(client: KubernetesClient) -> None:
    """Pretend that the login was read long ago: it is read at most once a second."""
    client._login._read_at -= 60


async def test_a_401_for_the_newest_token_is_an_error(
    server: Server, client: KubernetesClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is not repeated, and many of them do not read the login again and again."""
    read: list[int] = []

    async def counted() -> Any:
        read.append(1)
        return await log_in()

    monkeypatch.setattr(kubernetes, "log_in", counted)
    server.status = 401
    expire_login(client)
    for _ in range(3):
        with pytest.raises(UnauthorizedError):
            await client.read_secret(KEY)
    assert len(server.requests) == 3
    assert len(read) == 1


async def test_a_login_that_cannot_be_read_again(
    server: Server, client: KubernetesClient, token: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """The last one is used, and the log says so."""
    replace_token(token, None)
    server.status = 401
    expire_login(client)
    with pytest.raises(UnauthorizedError):
        await client.read_secret(KEY)
    assert "cannot be read again" in caplog.text
    server.status = 200
    assert (await client.read_secret(KEY)).resource_version == "7"


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


async def test_a_login_has_no_token_in_its_repr(client: KubernetesClient) -> None:
    """A traceback may show it."""
    assert isinstance(client._login, Login)
    assert "first" not in repr(client._login)
