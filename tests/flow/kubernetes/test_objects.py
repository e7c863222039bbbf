"""The client for the API server: what it sends to read and write objects, and what it makes of them."""

import asyncio
import re
from collections.abc import Callable, Coroutine
from typing import Any

import pytest
from aiohttp import web

from dora_operator.clients.errors import ForbiddenError, KubernetesError, NotFoundError, NotLeaderError
from dora_operator.clients.kubernetes import DEPLOYMENTS, ROLLOUTS, KubernetesClient, Secret, Subject
from dora_operator.domain.events import EventNote
from dora_operator.domain.fields import ObjectKey
from dora_operator.metrics import Metrics
from tests.support.answering import KEY, NOTE, STORED, SUBJECT, Server
from tests.support.builders import NOW

LABELS = r"[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*"
"""RFC 1123; the API server refuses other names."""


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


async def test_a_list_comes_in_pages(server: Server, client: KubernetesClient) -> None:
    """Each with the version of the whole list; the selector goes along with every page."""

    async def page(request: web.Request) -> web.Response:
        first = "continue" not in request.query
        metadata = {"resourceVersion": "9"} | ({"continue": "x&y=z"} if first else {})
        return web.json_response({"metadata": metadata, "items": [{"n": 1 if first else 2}]})

    server.handler = page
    pages = [page async for page in client.list_pages(DEPLOYMENTS, None, "a in (b,c)")]
    assert [page.items for page in pages] == [[{"n": 1}], [{"n": 2}]]
    assert [(page.resource_version, page.token) for page in pages] == [("9", "x&y=z"), ("9", "")]
    path, query, _ = server.last
    assert path == "GET /apis/dora-operator.io/v1alpha1/doradeployments"
    assert query == {"limit": "500", "continue": "x&y=z", "labelSelector": "a in (b,c)"}


async def test_the_next_page_is_requested_while_one_is_handled(server: Server, client: KubernetesClient) -> None:
    """No further ahead, so that two pages at most are in memory; a reader that stops leaves no request behind."""
    requested = asyncio.Event()

    async def page(request: web.Request) -> web.Response:
        token = request.query.get("continue", "first")
        if token == "second":
            requested.set()
        following = {"first": "second", "second": "third", "third": ""}[token]
        return web.json_response({"metadata": {"resourceVersion": "9", "continue": following}, "items": [{"n": token}]})

    server.handler = page
    pages = client.list_pages(DEPLOYMENTS, None, "")
    assert (await anext(pages)).items == [{"n": "first"}]
    async with asyncio.timeout(10):
        await requested.wait()
    assert (await anext(pages)).items == [{"n": "second"}]
    await pages.aclose()
    assert [task for task in asyncio.all_tasks() if "KubernetesClient._page" in repr(task)] == []


async def test_one_namespace_is_listed(server: Server, client: KubernetesClient) -> None:
    """An operator for some namespaces may not list the whole cluster."""
    metadata = {"namespace": "shop", "name": "a", "uid": "u", "resourceVersion": "8"}
    server.answer = {"metadata": {"resourceVersion": "9"}, "items": [{"metadata": metadata, "spec": {}}]}
    (page,) = [page async for page in client.list_pages(ROLLOUTS, "shop", "")]
    assert page.versions == {ObjectKey("shop", "a"): ("u", "8")}
    assert server.last[:2] == ("GET /apis/argoproj.io/v1alpha1/namespaces/shop/rollouts", {"limit": "500"})


@pytest.mark.parametrize(
    "answer", [{}, {"metadata": {}}, {"items": []}, {"metadata": {}, "items": None}, {"metadata": {}, "items": [1]}]
)
async def test_what_is_no_list_is_an_error(server: Server, client: KubernetesClient, answer: Any) -> None:
    """An empty list would mean that every object is gone."""
    server.answer = answer
    with pytest.raises(KubernetesError):
        _ = [page async for page in client.list_pages(DEPLOYMENTS, None, "")]


async def test_a_check_lists_one_object(server: Server, client: KubernetesClient) -> None:
    """Its group may be served without the kind: only a list shows that, and whether it is allowed."""
    server.answer = {"metadata": {"resourceVersion": "9", "continue": "more"}, "items": [{}]}
    await client.check(ROLLOUTS, "shop")
    assert server.last[:2] == ("GET /apis/argoproj.io/v1alpha1/namespaces/shop/rollouts", {"limit": "1"})
    server.status = 404
    with pytest.raises(NotFoundError):
        await client.check(ROLLOUTS, None)


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


async def test_replica_sets_are_listed(server: Server, client: KubernetesClient) -> None:
    """By label."""
    server.answer = {"metadata": {}, "items": [{"n": 1}]}
    assert await client.list_replica_sets("shop", {"app": "checkout"}) == [{"n": 1}]
    selector = "rollouts-pod-template-hash,app=checkout"
    path = "GET /apis/apps/v1/namespaces/shop/replicasets"
    assert server.last[:2] == (path, {"limit": "500", "labelSelector": selector})


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


def refuse() -> None:
    """Let nothing pass."""
    raise NotLeaderError


async def test_a_follower_reads_and_does_not_write(server: Server, client: KubernetesClient, metrics: Metrics) -> None:
    """Each write asks first; the Lease is written without it, because who is the leader follows from it."""
    follower = KubernetesClient(client._api, metrics, lambda: NOW, refuse)
    writes: list[Callable[[], Coroutine[Any, Any, object]]] = [
        lambda: follower.write_status(KEY, "uid", {}),
        lambda: follower.apply_record({"metadata": {"namespace": "shop", "name": "a"}}),
        lambda: follower.delete_record(KEY, "uid"),
        lambda: follower.post_event(SUBJECT, NOTE),
    ]
    for write in writes:
        with pytest.raises(NotLeaderError):
            await write()
    assert server.requests == []
    await follower.read_secret(KEY)
    leases = (follower.read_lease(KEY), follower.create_lease(KEY, {"n": 1}), follower.replace_lease(KEY, {"n": 2}))
    for lease in leases:
        assert await lease == STORED
    assert len(server.requests) == 4
    assert server.last == ("PUT /apis/coordination.k8s.io/v1/namespaces/shop/leases/a", {}, {"n": 2})
