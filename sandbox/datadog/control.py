"""The endpoints that begin with `/_`: they show and change the stand-in itself.

Not rate limited, never faulted, never recorded. Must not be reachable by anything but tests and people.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import parse_qs, unquote

from pydantic import ValidationError

from sandbox.datadog.api import Api
from sandbox.datadog.exchange import Answer, answer, deployment_not_found, refused
from sandbox.datadog.faultbook import FaultBook, WrongRuleError, read_rules
from sandbox.datadog.faults import Rule
from sandbox.datadog.recording import Log
from sandbox.datadog.seeds import FOUND, SEEDS, Edit, Found, Seed

_ONE_DEPLOYMENT = "/_deployments/"


@dataclass(frozen=True, slots=True)
class ControlRequest:
    """A request to the stand-in itself."""

    method: str
    path: str
    query: str = ""
    body: bytes = b""


class Control:
    """Shows and changes the log, the faults, the deployments and the settings."""

    def __init__(self, api: Api, log: Log, faults: FaultBook) -> None:
        self.api, self.log, self.faults = api, log, faults

    def handle(self, request: ControlRequest, now: float) -> Answer:
        """Answer a control request."""
        try:
            return self._show(request, now) if request.method == "GET" else self._change(request, now)
        except WrongRuleError as error:
            return answer(400, {"errors": error.messages})
        except ValidationError as error:
            return answer(400, {"errors": str(error).splitlines()})
        except ValueError as error:
            return refused(400, str(error))

    def clear(self) -> None:
        """Forget requests, faults and deployments."""
        self.log.clear()
        self.faults.replace([])
        self.api.clear()

    def seed(self, seeds: list[Seed], now: float) -> None:
        """Make deployments visible, each after its delay."""
        for seed in seeds:
            event = seed.event(seed.id)
            self.api.model.seed(event, now, source=seed.source, change_failure=seed.change_failure, delay=seed.delay)
        self.api.model.settle(now)

    def apm(self, found: list[Found], now: float) -> list[str]:
        """Let APM find deployments; returns their ids."""
        return [self.api.model.apm(one.event(), now) for one in found]

    def edit(self, deployment_id: str, edit: Edit, now: float) -> bool:
        """Change a visible deployment as the UI does; says whether there is one."""
        return self.api.model.edit(deployment_id, now, **edit.changes())

    def configure(self, changes: Mapping[str, Any]) -> None:
        """Change settings.

        Raises:
            ValueError: a setting does not exist, is wrong, or cannot be changed.
        """
        self.api.configure(self.api.settings.changed(changes))

    def _show(self, request: ControlRequest, now: float) -> Answer:
        match request.path:
            case "/_health":
                return answer(200, {"status": "ok", "requests": self.log.count()})
            case "/_requests":
                return self._requests(request.query)
            case "/_deployments":
                return answer(200, self.api.deployments(now))
            case "/_faults":
                return answer(200, self.faults.as_json())
            case "/_settings":
                return answer(200, self.api.settings.shown())
        return _unknown(request)

    def _requests(self, query: str) -> Answer:
        after = parse_qs(query).get("after", ["0"])[0]
        if not after.isdecimal():
            return refused(400, f"after must be a sequence number, as in /_requests?after=12, not {after!r}")
        return answer(200, [entry.as_json() for entry in self.log.all(after=int(after))])

    def _change(self, request: ControlRequest, now: float) -> Answer:
        match request.method, request.path:
            case "DELETE", "/_requests":
                self.log.clear()
            case "PUT" | "POST" | "DELETE", "/_deployments":
                self._change_deployments(request, now)
            case "PATCH" | "DELETE", path if path.startswith(_ONE_DEPLOYMENT):
                return self._change_deployment(request, now)
            case "POST", "/_apm":
                return answer(200, self.apm(FOUND.validate_json(request.body), now))
            case "PATCH", "/_settings":
                self.configure(_object(request.body))
            case "PUT" | "POST" | "DELETE", "/_faults":
                self._change_faults(request)
            case _:
                return _unknown(request)
        return Answer(204)

    def _change_faults(self, request: ControlRequest) -> None:
        rules: list[Rule] = [] if request.method == "DELETE" else read_rules(request.body)
        if request.method == "POST":
            self.faults.add(rules)
        else:
            self.faults.replace(rules)

    def _change_deployments(self, request: ControlRequest, now: float) -> None:
        seeds = [] if request.method == "DELETE" else SEEDS.validate_json(request.body)
        if request.method != "POST":
            self.api.clear()
        self.seed(seeds, now)

    def _change_deployment(self, request: ControlRequest, now: float) -> Answer:
        deployment_id = unquote(request.path.removeprefix(_ONE_DEPLOYMENT))
        if request.method == "PATCH":
            known = self.edit(deployment_id, Edit.model_validate_json(request.body), now)
        else:
            known = self.api.model.remove(deployment_id, now)
        return Answer(204) if known else deployment_not_found(f'deployment "{deployment_id}" is not visible')


def _object(body: bytes) -> Mapping[str, Any]:
    document = json.loads(body)
    if not isinstance(document, dict):
        raise ValueError("the body must be a JSON object")  # noqa: TRY004 - a wrong request, not a wrong call
    return document


def _unknown(request: ControlRequest) -> Answer:
    known = "/_requests, /_faults, /_deployments, /_deployments/{id}, /_apm, /_settings, /_health"
    return refused(404, f"no control endpoint {request.method} {request.path}; there are {known}")
