"""A small Kubernetes API server: discovery, paged lists, watches with history, and the faults of real ones.

It serves custom resources only, as far as a list and a watch need them. Everything runs in the event loop of the test.
"""

import asyncio
import json
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from typing import Any

from aiohttp import web

Body = dict[str, Any]
CORE = {
    "/api": {"versions": ["v1"]},
    "/api/v1": ("namespaces", "events"),
    "/apis/apiextensions.k8s.io/v1": ("customresourcedefinitions",),
}


@dataclass
class Resource:
    """One custom resource, with its objects and its history."""

    group: str
    plural: str
    kind: str
    version: str = "v1alpha1"
    installed: bool = True
    objects: dict[tuple[str, str], Body] = field(default_factory=dict)
    history: list[tuple[int, str, Body]] = field(default_factory=list)
    streams: list["Stream"] = field(default_factory=list)

    @property
    def root(self) -> str:
        """Return the path of the group and version."""
        return f"/apis/{self.group}/{self.version}"


@dataclass
class Stream:
    """An open watch."""

    namespace: str | None
    version: int
    """Of the last event that it received."""
    lines: asyncio.Queue[Body | None] = field(default_factory=asyncio.Queue)
    """None ends the stream."""

    def send(self, kind: str, body: Body) -> None:
        """Send an event about an object in the namespace of this watch."""
        self.version = int(body["metadata"]["resourceVersion"])
        if self.namespace in (None, body["metadata"]["namespace"]):
            self.lines.put_nowait({"type": kind, "object": body})


@dataclass
class Refusal:
    """An answer instead of the right one, for some requests."""

    status: int
    to: frozenset[str]
    times: float
    headers: dict[str, str]


class ApiServer:
    """The server. `open` starts it."""

    def __init__(self, *resources: Resource) -> None:
        self.resources = {resource.plural: resource for resource in resources}
        self.url = ""
        self.version = 100
        self.oldest = 0
        """Versions before this one are compacted."""
        self.tokens: set[str] = set()
        """If there are any, a request needs one of them."""
        self.page_size = 500
        self.withholds = False
        """Open watches do not receive what happens."""
        self.silent = False
        """Watches are answered, and then nothing comes."""
        self.ignores_fields = False
        """Lists come with all objects, whatever field selector is asked for."""
        self.asked: Counter[str] = Counter()
        """How often what was asked for: kopf list, check, list, continue, watch, discovery."""
        self.selectors: Counter[tuple[str, str]] = Counter()
        """What was asked for with which label selector."""
        self.before_page: asyncio.Event | None = None
        """Further pages of a list wait for this."""
        self._refusals: list[Refusal] = []

    def __getitem__(self, plural: str) -> Resource:
        return self.resources[plural]

    @asynccontextmanager
    async def open(self) -> AsyncIterator["ApiServer"]:
        """Serve while the context is open."""
        app = web.Application()
        app.router.add_get("/{path:.*}", self._answer)
        runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1, handler_cancellation=True)
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        host, port = runner.addresses[0][:2]
        self.url = f"http://{host}:{port}"
        try:
            yield self
        finally:
            self.cut()
            await runner.cleanup()

    # What happens in the cluster

    def apply(self, plural: str, name: str, namespace: str = "shop", **spec: object) -> Body:
        """Create or change an object."""
        resource, key = self[plural], (namespace, name)
        before = resource.objects.get(key)
        self.version += 1
        uid = before["metadata"]["uid"] if before else f"{name}-{self.version}"
        metadata = {"namespace": namespace, "name": name, "uid": uid, "resourceVersion": str(self.version)}
        api_version = f"{resource.group}/{resource.version}"
        body = {"apiVersion": api_version, "kind": resource.kind, "metadata": metadata, "spec": spec}
        resource.objects[key] = body
        self._happened(resource, "MODIFIED" if before else "ADDED", body)
        return body

    def delete(self, plural: str, name: str, namespace: str = "shop") -> None:
        """Delete an object."""
        resource = self[plural]
        self.version += 1
        body = resource.objects.pop((namespace, name))
        metadata = body["metadata"] | {"resourceVersion": str(self.version)}
        self._happened(resource, "DELETED", body | {"metadata": metadata})

    def remove(self, plural: str) -> None:
        """Remove a CRD with its objects."""
        for namespace, name in list(self[plural].objects):
            self.delete(plural, name, namespace)
        self[plural].installed = False
        self.cut(plural)

    def compact(self) -> None:
        """Forget history: a watch that goes on from an older version is answered with an error 410."""
        self.version += 1
        self.oldest = self.version

    def _happened(self, resource: Resource, kind: str, body: Body) -> None:
        resource.history.append((self.version, kind, body))
        if not self.withholds:
            for stream in resource.streams:
                stream.send(kind, body)

    def catch_up(self) -> None:
        """Send to open watches what was withheld."""
        self.withholds = False
        for resource in self.resources.values():
            for stream in resource.streams:
                for version, kind, body in resource.history:
                    if version > stream.version:
                        stream.send(kind, body)

    # Faults

    @contextmanager
    def refusing(self, status: int, *to: str, times: float = float("inf"), **headers: str) -> Iterator[Refusal]:
        """Answer these requests with an error; `times` counts what is left."""
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        refusal = Refusal(status, frozenset(to), times, named)
        self._refusals.append(refusal)
        try:
            yield refusal
        finally:
            self._refusals.remove(refusal)

    def cut(self, plural: str | None = None) -> None:
        """End open watches."""
        for resource in self.resources.values():
            if plural in (None, resource.plural):
                for stream in resource.streams:
                    stream.lines.put_nowait(None)
                resource.streams.clear()

    def send_error(self, code: int, plural: str | None = None) -> None:
        """Send an error in open watches, and end them."""
        status = {"kind": "Status", "code": code, "message": f"error {code}"}
        for resource in self.resources.values():
            if plural in (None, resource.plural):
                for stream in resource.streams:
                    stream.lines.put_nowait({"type": "ERROR", "object": status})
        self.cut(plural)

    def watches(self, plural: str) -> int:
        """Return the number of open watches."""
        return len(self[plural].streams)

    # Answers

    async def _answer(self, request: web.Request) -> web.StreamResponse:
        if self.tokens and request.headers.get("Authorization", "").removeprefix("Bearer ") not in self.tokens:
            return _error(401)
        resource = self.resources.get(request.path.rpartition("/")[2])
        if resource is None:
            return self._discover(request.path)
        asked = _asked(request)
        self.selectors[asked, request.query.get("labelSelector", "")] += 1
        refused = self._refused(asked) or (None if resource.installed else _error(404))
        if refused is not None:
            return refused
        namespace = request.path.split("/")[5] if "/namespaces/" in request.path else None
        answer = self._watch if asked == "watch" else self._list
        return await answer(request, resource, namespace)

    def _refused(self, asked: str) -> web.Response | None:
        """Count what is asked for; return an answer if it is refused."""
        self.asked[asked] += 1
        refusal = next((each for each in self._refusals if asked in each.to and each.times > 0), None)
        if refusal is None:
            return None
        refusal.times -= 1
        return _error(refusal.status, refusal.headers)

    def _discover(self, path: str) -> web.Response:
        if path in CORE:
            found = CORE[path]
            return web.json_response(_resources(found) if isinstance(found, tuple) else found)
        if path == "/apis":
            return web.json_response({"groups": self._groups()})
        served = [each.plural for each in self.resources.values() if each.installed and each.root == path]
        return self._refused("discovery") or (web.json_response(_resources(served)) if served else _error(404))

    def _groups(self) -> list[Body]:
        versions = {each.group: each.version for each in self.resources.values() if each.installed}
        versions |= {"apiextensions.k8s.io": "v1"}
        return [
            {"name": group, "versions": [{"version": version}], "preferredVersion": {"version": version}}
            for group, version in versions.items()
        ]

    async def _list(self, request: web.Request, resource: Resource, namespace: str | None) -> web.Response:
        if "continue" in request.query and self.before_page is not None:
            await self.before_page.wait()
        version, begin = map(int, request.query.get("continue", f"{self.version}.0").split("."))
        if version < self.oldest:
            return _error(410)
        size = min(self.page_size, int(request.query.get("limit", "0")) or self.page_size)
        none = "fieldSelector" in request.query and not self.ignores_fields
        bodies = [] if none else [each for (place, _), each in _at(resource, version) if namespace in (None, place)]
        metadata = {"resourceVersion": str(version)}
        if begin + size < len(bodies):
            metadata["continue"] = f"{version}.{begin + size}"
        return web.json_response({"metadata": metadata, "items": bodies[begin : begin + size]})

    async def _watch(self, request: web.Request, resource: Resource, namespace: str | None) -> web.StreamResponse:
        response = web.StreamResponse()
        await response.prepare(request)
        if self.silent:
            await asyncio.sleep(float(request.query.get("timeoutSeconds", "3600")) * 10)
            return response
        since = int(request.query["resourceVersion"])
        if since < self.oldest:
            status = {"kind": "Status", "code": 410, "message": "too old resource version"}
            await response.write(json.dumps({"type": "ERROR", "object": status}).encode() + b"\n")
            return response
        stream = Stream(namespace, since)
        resource.streams.append(stream)
        for version, kind, body in resource.history:
            if version > since:
                stream.send(kind, body)
        try:
            async with asyncio.timeout(float(request.query.get("timeoutSeconds", "3600"))):
                while (line := await stream.lines.get()) is not None:
                    await response.write(json.dumps(line).encode() + b"\n")
        except TimeoutError:
            pass
        finally:
            if stream in resource.streams:
                resource.streams.remove(stream)
        return response


def _at(resource: Resource, version: int) -> list[tuple[tuple[str, str], Body]]:
    """Return the objects as they were at a version: further pages of a list show the state of the first one."""
    objects: dict[tuple[str, str], Body] = {}
    for number, kind, body in resource.history:
        if number <= version:
            key = (body["metadata"]["namespace"], body["metadata"]["name"])
            objects.pop(key, None)
            if kind != "DELETED":
                objects[key] = body
    return sorted(objects.items())


def _asked(request: web.Request) -> str:
    if "watch" in request.query:
        return "watch"
    if "fieldSelector" in request.query:
        return "kopf list"
    if request.query.get("limit") == "1":
        return "check"
    return "continue" if "continue" in request.query else "list"


def _resources(plurals: object) -> Body:
    assert isinstance(plurals, list | tuple)
    return {
        "resources": [
            {
                "name": plural,
                "singularName": plural.removesuffix("s"),
                "kind": plural.removesuffix("s").title(),
                "namespaced": plural not in {"namespaces", "customresourcedefinitions"},
                "verbs": ["list", "watch", "get"],
            }
            for plural in plurals
        ]
    }


def _error(status: int, headers: dict[str, str] | None = None) -> web.Response:
    body = {"kind": "Status", "code": status, "message": f"refused with {status}"}
    return web.json_response(body, status=status, headers=headers)
