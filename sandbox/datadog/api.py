"""Datadog's DORA API as one function of a request and the time: routes, permission, rate limit, endpoints.

No connection and no clock. Routes come before permission: without keys, GET of the list path was answered 404, not
401 or 405 (probed), which is taken to hold for every path and method that does not exist. Only the client's DELETE
uses `/dora/deployment/{id}` in the singular; a PATCH there (as a page of the documentation once had it) is a 404.
"""

import uuid
from collections.abc import Callable
from dataclasses import dataclass
from urllib.parse import unquote

from sandbox.datadog import access, rendering, wanted
from sandbox.datadog.documents import RefusedError
from sandbox.datadog.exchange import Answer, Received, answer, bad_request, deployment_not_found, refused
from sandbox.datadog.limits import RateLimits
from sandbox.datadog.settings import Settings, UnknownDeployment
from sandbox.datadog.state import Deployment, Deployments

PREFIX = "/api/v2/dora/"
_ACCEPTED = answer(202, {"data": None})
_ACCEPTED_SILENTLY = Answer(202)

Endpoint = Callable[[Received, str, float], Answer]


@dataclass(frozen=True, slots=True)
class Route:
    """One endpoint; most need the application key too."""

    endpoint: Endpoint
    application_key_needed: bool = True


class Api:
    """The endpoints over one set of deployments."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.deployments = Deployments(settings)
        self.limits = RateLimits(settings.rate_limit)
        self._routes = {
            ("POST", "deployment"): Route(self._create, application_key_needed=False),
            ("POST", "failure"): Route(self._create_failure, application_key_needed=False),
            ("POST", "incident"): Route(self._create_failure, application_key_needed=False),
            ("POST", "failures"): Route(self._list_failures),
            ("POST", "deployments"): Route(self._list),
            ("PATCH", "deployments"): Route(self._patch_by_version),
            ("GET", "deployments/"): Route(self._get),
            ("PATCH", "deployments/"): Route(self._patch),
            ("DELETE", "deployment/"): Route(self._delete),
        }

    def handle(self, request: Received, now: float) -> Answer:
        """Answer a request, with the rate limit's headers."""
        standing = self.limits.count(request.api_key, now)
        given = refused(429, "Too many requests") if standing.exceeded else self._routed(request, now)
        return given.with_headers(*standing.headers())

    def _routed(self, request: Received, now: float) -> Answer:
        inside = request.path.removeprefix(PREFIX) if request.path.startswith(PREFIX) else ""
        collection, slash, segment = inside.partition("/")
        route = self._routes.get((request.method, collection + slash))
        if route is None or "/" in segment or bool(slash) != bool(segment):
            return refused(404, "Not found")
        denial = access.denied(request, self.settings, application_key_needed=route.application_key_needed)
        if denial is not None:
            return denial
        try:
            return route.endpoint(request, unquote(segment), now)
        except RefusedError as refusal:
            return bad_request(str(refusal))

    def _create(self, request: Received, _: str, now: float) -> Answer:
        event = wanted.event(request.body)
        deployment_id = event.id or uuid.uuid4().hex[:16]
        self.deployments.post(Deployment(deployment_id, event, created_at=now), now)
        return answer(200, {"data": {"id": deployment_id, "type": rendering.RESOURCE_TYPE}})

    def _get(self, _: Received, deployment_id: str, now: float) -> Answer:
        known = self.deployments.get(deployment_id, now)
        if known is None:
            return deployment_not_found(f'deployment "{deployment_id}" not found')
        return answer(200, {"data": self._resource(known)})

    def _list(self, request: Received, _: str, now: float) -> Answer:
        listing = wanted.listing(request.body)
        chosen = rendering.selected(self.deployments.visible(now), listing)
        return answer(200, {"data": [self._resource(one) for one in chosen]})

    def _patch(self, request: Received, deployment_id: str, now: float) -> Answer:
        mark = wanted.mark_by_id(deployment_id, request.body)
        if self.deployments.mark(deployment_id, mark, now) or self._accepts_unknown():
            return _ACCEPTED
        return deployment_not_found(f'deployment "{deployment_id}" not found')

    def _patch_by_version(self, request: Received, _: str, now: float) -> Answer:
        asked = wanted.mark_by_version(request.body)
        key = (asked.service, asked.env, asked.version)
        if self.deployments.mark_newest(key, asked.mark, now) or self._accepts_unknown():
            return _ACCEPTED_SILENTLY if self.settings.empty_body_by_version else _ACCEPTED
        return deployment_not_found("no deployment with this service, env and version found")

    def _delete(self, _: Received, deployment_id: str, now: float) -> Answer:
        if self.deployments.delete(deployment_id, now) or self._accepts_unknown():
            return _ACCEPTED_SILENTLY
        return deployment_not_found(f'deployment "{deployment_id}" not found')

    def _create_failure(self, request: Received, _: str, __: float) -> Answer:
        wanted.failure(request.body)
        return answer(200, {"data": {"id": str(uuid.uuid4()), "type": "dora_failure"}})

    def _list_failures(self, request: Received, _: str, __: float) -> Answer:
        wanted.listing(request.body, expected_type=wanted.FAILURES_LIST_TYPE)
        return answer(200, {"data": []})

    def _accepts_unknown(self) -> bool:
        return self.settings.unknown_deployment is UnknownDeployment.ACCEPT

    def _resource(self, deployment: Deployment) -> dict[str, object]:
        return rendering.resource(deployment, self.deployments, observed=self.settings.observed_attributes)
