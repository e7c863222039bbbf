"""The endpoints that begin with `/_`: they show and change the stand-in itself.

Not rate limited, never faulted, never recorded. Must not be reachable by anything but tests and people.
"""

from dataclasses import dataclass
from typing import Any
from urllib.parse import parse_qs

from pydantic import BaseModel, ConfigDict, TypeAdapter, ValidationError

from sandbox.datadog import moments, rendering
from sandbox.datadog.api import Api
from sandbox.datadog.exchange import Answer, answer, refused
from sandbox.datadog.faultbook import FaultBook, WrongRuleError, read_rules
from sandbox.datadog.faults import Rule
from sandbox.datadog.recording import Log
from sandbox.datadog.state import Deployment
from sandbox.datadog.wanted import Event


class Seed(BaseModel):
    """A deployment that is there without having been posted, as those found by APM are; any id will do."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    id: str
    service: str
    env: str | None = None
    version: str | None = None
    team: str | None = None
    started_at: float
    finished_at: float
    source: str = "apm_deployments"
    change_failure: bool | None = None

    def deployment(self, now: float) -> Deployment:
        """Return the deployment, ingested now."""
        start, end = moments.from_clock(self.started_at), moments.from_clock(self.finished_at)
        event = Event(self.id, self.service, start, end, self.env, self.version, self.team)
        return Deployment(self.id, event, now, self.source, self.change_failure)


_SEEDS: TypeAdapter[list[Seed]] = TypeAdapter(list[Seed])


@dataclass(frozen=True, slots=True)
class ControlRequest:
    """A request to the stand-in itself."""

    method: str
    path: str
    query: str = ""
    body: bytes = b""


class Control:
    """Shows and changes the log, the faults and the deployments."""

    def __init__(self, api: Api, log: Log, faults: FaultBook) -> None:
        self.api, self.log, self.faults = api, log, faults

    def handle(self, request: ControlRequest, now: float) -> Answer:
        """Answer a control request."""
        match request.method, request.path:
            case "GET", _:
                return self._show(request, now)
            case "DELETE", "/_requests":
                self.log.clear()
                return Answer(204)
            case "PUT" | "POST" | "DELETE", "/_deployments":
                return self._change_deployments(request, now)
            case "PUT" | "POST" | "DELETE", "/_faults":
                return self._change_faults(request)
        return _unknown(request)

    def deployments(self, now: float) -> list[dict[str, Any]]:
        """Return every visible deployment as a resource with all its attributes."""
        known = self.api.deployments
        return [rendering.resource(one, known, observed=True) for one in known.visible(now)]

    def clear(self) -> None:
        """Forget requests, faults and deployments."""
        self.log.clear()
        self.faults.replace([])
        self.api.deployments.clear()

    def seed(self, seeds: list[Seed], now: float) -> None:
        """Make deployments visible at once."""
        self.api.deployments.seed(seed.deployment(now) for seed in seeds)

    def _show(self, request: ControlRequest, now: float) -> Answer:
        match request.path:
            case "/_health":
                return answer(200, {"status": "ok", "requests": self.log.count()})
            case "/_requests":
                return self._requests(request.query)
            case "/_deployments":
                return answer(200, self.deployments(now))
            case "/_faults":
                return answer(200, self.faults.as_json())
        return _unknown(request)

    def _requests(self, query: str) -> Answer:
        after = parse_qs(query).get("after", ["0"])[0]
        if not after.isdecimal():
            return refused(400, f"after must be a sequence number, as in /_requests?after=12, not {after!r}")
        return answer(200, [entry.as_json() for entry in self.log.all(after=int(after))])

    def _change_faults(self, request: ControlRequest) -> Answer:
        try:
            rules: list[Rule] = [] if request.method == "DELETE" else read_rules(request.body)
        except WrongRuleError as error:
            return answer(400, {"errors": error.messages})
        if request.method == "POST":
            self.faults.add(rules)
        else:
            self.faults.replace(rules)
        return Answer(204)

    def _change_deployments(self, request: ControlRequest, now: float) -> Answer:
        try:
            seeds = [] if request.method == "DELETE" else _SEEDS.validate_json(request.body)
        except ValidationError as error:
            return answer(400, {"errors": str(error).splitlines()})
        if request.method != "POST":
            self.api.deployments.clear()
        self.seed(seeds, now)
        return Answer(204)


def _unknown(request: ControlRequest) -> Answer:
    known = "/_requests, /_faults, /_deployments, /_health"
    return refused(404, f"no control endpoint {request.method} {request.path}; there are {known}")
