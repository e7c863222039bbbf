"""Datadog in memory: the stand-in's API and model in virtual time, fed by a source of deployments, with outages."""

from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from datetime import datetime

from bench.truth.stories import Exposure
from bench.truth.world import World, timestamp
from dora_operator.clients.datadog import Keys
from dora_operator.domain.outcome import Answer, NoAnswer
from dora_operator.domain.posted_events import DeploymentEvent
from dora_operator.domain.request import (
    COLLECTION,
    DEPLOYMENT_PATH,
    PatchById,
    PatchRequest,
    encode,
    encode_event,
    encode_list,
)
from dora_operator.domain.sites import Site
from sandbox.datadog.api import Api
from sandbox.datadog.behaviour import Behaviour
from sandbox.datadog.exchange import Received
from sandbox.datadog.model import Model
from sandbox.datadog.settings import Settings
from sandbox.datadog.values import Event

HEADERS = {"DD-API-KEY": "key", "DD-APPLICATION-KEY": "key"}


@dataclass(frozen=True, slots=True)
class Row:
    """A deployment that a source reports."""

    at: int
    """When it is sent."""
    event: Event
    is_apm: bool
    exposure: Exposure
    """What it is about."""


@dataclass(slots=True)
class Datadog:
    """Answers as `DatadogClient` does. What the source has sent by then is taken in before each request."""

    world: World
    behaviour: Behaviour
    rows: Iterable[Row]
    clock: Callable[[], float] = lambda: 0.0
    calls: Counter[str] = field(default_factory=Counter)
    api: Api = field(init=False)
    _pending: list[Row] = field(init=False)

    def __post_init__(self) -> None:
        """Begin without deployments."""
        self.api = Api(Settings(**self.behaviour.model_dump()))
        self._pending = sorted(self.rows, key=lambda row: row.at, reverse=True)

    @property
    def model(self) -> Model:
        """What Datadog has stored."""
        return self.api.model

    def take_in(self, until: float) -> None:
        """Take in what the source has sent."""
        while self._pending and self._pending[-1].at <= until:
            row = self._pending.pop()
            ingest = self.model.apm if row.is_apm else self.model.post
            ingest(row.event, timestamp(row.at))

    async def patch(self, request: PatchRequest, _: Site, __: Keys) -> Answer | NoAnswer:
        """See DatadogClient."""
        kind = "mark" if isinstance(request, PatchById) else "mark by version"
        return self._answer(kind, "PATCH", request.path, encode(request))

    async def post_deployment(self, event: DeploymentEvent, _: Site, __: Keys) -> Answer | NoAnswer:
        """See DatadogClient."""
        return self._answer("event", "POST", DEPLOYMENT_PATH, encode_event(event))

    async def delete_deployment(self, deployment_id: str, _: Site, __: Keys) -> Answer | NoAnswer:
        """See DatadogClient."""
        return self._answer("delete", "DELETE", f"{DEPLOYMENT_PATH}/{deployment_id}", b"")

    async def get_deployment(self, deployment_id: str, _: Site, __: Keys) -> Answer | NoAnswer:
        """See DatadogClient."""
        return self._answer("get", "GET", f"{COLLECTION}/{deployment_id}", b"")

    async def list_deployments(
        self, service: str, env: str, since: datetime, until: datetime, limit: int, _: Site, __: Keys
    ) -> Answer | NoAnswer:
        """See DatadogClient."""
        return self._answer("list", "POST", COLLECTION, encode_list(service, env, since, until, limit))

    def _answer(self, kind: str, method: str, path: str, body: bytes) -> Answer:
        now = self.clock()
        self.calls[kind] += 1
        self.take_in(now)
        if self.world.is_datadog_down(now):
            return Answer(503)
        found = self.api.handle(Received(method, path, HEADERS, body), timestamp(now))
        return Answer(found.status, body=found.body)
