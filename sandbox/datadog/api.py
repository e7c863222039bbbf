"""Datadog's DORA API as one function of a request and the time: routes, permission, rate limit, endpoints.

No connection and no clock. Routes come before permission: without keys, GET of the list path was answered 404, not
401 or 405 (probed), which is taken to hold for every path and method that does not exist. Only the client's DELETE
uses `/dora/deployment/{id}` in the singular; a PATCH there (as a page of the documentation once had it) is a 404.
"""

import uuid
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any
from urllib.parse import unquote

from sandbox.datadog import access, rendering, request_bodies
from sandbox.datadog.documents import RefusedError
from sandbox.datadog.exchange import Answer, Received, answer, bad_request, deployment_not_found, refused
from sandbox.datadog.limits import RateLimits
from sandbox.datadog.model import Model
from sandbox.datadog.settings import Endpoint, Permission, ReadSchema, Settings

PREFIX = "/api/v2/dora/"
_ACCEPTED = answer(202, {"data": None})
_ACCEPTED_WITHOUT_BODY = Answer(202)

Handler = Callable[[Received, str, float], Answer]


@dataclass(frozen=True, slots=True)
class Route:
    """One endpoint; where no permission is needed, the API key is enough."""

    endpoint: Endpoint
    handler: Handler
    needs: Permission | None = None


class Api:
    """The endpoints over one set of deployments."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.model = Model(settings)
        self.limits = RateLimits(settings.rate_limit)
        read, write = Permission.READ, Permission.WRITE
        self._routes = {
            ("POST", "deployment"): Route(Endpoint.POST, self._create),
            ("POST", "failure"): Route(Endpoint.FAILURES, self._create_failure),
            ("POST", "incident"): Route(Endpoint.FAILURES, self._create_failure),
            ("POST", "failures"): Route(Endpoint.FAILURES, self._list_failures, read),
            ("POST", "deployments"): Route(Endpoint.LIST, self._list, read),
            ("PATCH", "deployments"): Route(Endpoint.PATCH_BY_VERSION, self._patch_by_version, write),
            ("GET", "deployments/"): Route(Endpoint.GET, self._get, read),
            ("PATCH", "deployments/"): Route(Endpoint.PATCH, self._patch, write),
            ("DELETE", "deployment/"): Route(Endpoint.DELETE, self._delete, write),
        }

    def configure(self, settings: Settings) -> None:
        """Behave like this from now on; what was scheduled before keeps its time."""
        self.settings = self.model.behaviour = settings

    def clear(self) -> None:
        """Forget every deployment, those on their way too."""
        self.model = Model(self.settings)

    def latency(self, method: str, path: str) -> float:
        """Return how many seconds the answer to a request takes."""
        route, _ = self._route(method, path)
        usual = self.settings.latency
        return usual if route is None else self.settings.endpoint_latency.get(route.endpoint, usual)

    def handle(self, request: Received, now: float) -> Answer:
        """Answer a request, with the rate limit's headers."""
        usage = self.limits.count(request.api_key, now)
        given = refused(429, "Too many requests") if usage.exceeded else self._routed(request, now)
        return given.with_headers(*usage.headers())

    def _route(self, method: str, path: str) -> tuple[Route | None, str]:
        inside = path.removeprefix(PREFIX) if path.startswith(PREFIX) else ""
        collection, slash, segment = inside.partition("/")
        route = self._routes.get((method, collection + slash))
        exists = "/" not in segment and bool(slash) == bool(segment)
        return route if exists else None, unquote(segment)

    def _routed(self, request: Received, now: float) -> Answer:
        route, segment = self._route(request.method, request.path)
        if route is None:
            return refused(404, "Not found")
        denial = access.denied(request, self.settings, needs=route.needs)
        if denial is not None:
            return denial
        try:
            return route.handler(request, segment, now)
        except RefusedError as refusal:
            return bad_request(str(refusal))

    def _create(self, request: Received, _: str, now: float) -> Answer:
        deployment_id = self.model.post(request_bodies.event(request.body), now)
        return answer(200, {"data": {"id": deployment_id, "type": rendering.RESOURCE_TYPE}})

    def _get(self, _: Received, deployment_id: str, now: float) -> Answer:
        known = self.model.get(deployment_id, now)
        if known is None:
            return deployment_not_found(f'deployment "{deployment_id}" not found')
        observed = self.settings.read_schema is ReadSchema.OBSERVED
        return answer(200, {"data": rendering.resource(known, self.model, observed=observed)})

    def _list(self, request: Received, _: str, now: float) -> Answer:
        asked = request_bodies.listing(request.body, exact_times=self.settings.exact_times)
        observed = self.settings.read_schema is not ReadSchema.PUBLISHED
        found = self.model.select(asked, now)
        return answer(200, {"data": [rendering.resource(one, self.model, observed=observed) for one in found]})

    def _patch(self, request: Received, deployment_id: str, now: float) -> Answer:
        mark = request_bodies.mark_by_id(deployment_id, request.body)
        if self.model.patch(deployment_id, mark, now):
            return _ACCEPTED
        return deployment_not_found(f'deployment "{deployment_id}" not found')

    def _patch_by_version(self, request: Received, _: str, now: float) -> Answer:
        asked = request_bodies.mark_by_version(request.body)
        if self.model.patch_version(asked.key, asked.mark, now):
            return _ACCEPTED_WITHOUT_BODY if self.settings.empty_body_by_version else _ACCEPTED
        return deployment_not_found("no deployment with this service, env and version found")

    def _delete(self, _: Received, deployment_id: str, now: float) -> Answer:
        if self.model.delete(deployment_id, now):
            return _ACCEPTED_WITHOUT_BODY
        return deployment_not_found(f'deployment "{deployment_id}" not found')

    def _create_failure(self, request: Received, _: str, __: float) -> Answer:
        request_bodies.failure(request.body)
        return answer(200, {"data": {"id": str(uuid.uuid4()), "type": "dora_failure"}})

    def _list_failures(self, request: Received, _: str, __: float) -> Answer:
        request_bodies.listing(request.body, request_bodies.FAILURES_LIST_TYPE)
        return answer(200, {"data": []})

    def deployments(self, now: float) -> list[dict[str, Any]]:
        """Return every visible deployment as a resource with all its attributes."""
        return [rendering.resource(one, self.model, observed=True) for one in self.model.visible(now)]

    def lost_marks(self, now: float) -> int:
        """Return how many marks were accepted and never applied."""
        self.model.settle(now)
        return self.model.lost_marks
