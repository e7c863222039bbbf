"""A Datadog that stores: the stand-in's API over its model, in process and on the operator's clock."""

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

import httpx

from sandbox.datadog.api import Api
from sandbox.datadog.exchange import Received
from sandbox.datadog.settings import Settings
from sandbox.datadog.values import Event
from tests.support.builders import NOW
from tests.support.fakes import FakeDatadog, Operator


@dataclass
class StoringDatadog(FakeDatadog):
    """Answers with what it has stored."""

    settings: dict[str, Any] = field(default_factory=dict)
    operator: Operator | None = None
    before: Callable[[httpx.Request], httpx.Response | None] = lambda _: None
    """Called before each request; an answer replaces the stand-in's."""

    def __post_init__(self) -> None:
        """Begin without deployments. Nothing is detected, unless a test says so."""
        super().__post_init__()
        self.api = Api(Settings(**({"detection": False, "evaluation_delay": 1} | self.settings)))

    @property
    def now(self) -> float:
        """The operator's time."""
        return (self.operator.now if self.operator is not None else NOW).timestamp()

    def deployed(self, version: str, *, finished: datetime = NOW, **tags: str) -> str:
        """Store a deployment, and return its id."""
        named = {"service": "checkout", "env": "prod"} | tags
        event = Event(
            started_at=(finished - timedelta(minutes=1)).timestamp(),
            finished_at=finished.timestamp(),
            version=version,
            **named,
        )
        return self.api.model.seed(event, self.now, source="apm_deployments")

    async def __call__(self, request: httpx.Request) -> httpx.Response:
        """Answer one request."""
        self.requests.append(request)
        given = self.before(request)
        if given is not None:
            return given
        headers = {
            "DD-API-KEY": request.headers["dd-api-key"],
            "DD-APPLICATION-KEY": request.headers["dd-application-key"],
        }
        path = request.url.raw_path.decode()
        answer = self.api.handle(Received(request.method, path, headers, request.content), self.now)
        return httpx.Response(answer.status, headers=answer.headers, content=answer.body)

    def calls(self, *methods_and_paths: str) -> list[str]:
        """Return the requests in short words: mark, event, list, get."""
        words = {"PATCH": "mark", "GET": "get"}
        found = [
            words.get(each.method) or ("list" if each.url.path.endswith("s") else "event") for each in self.requests
        ]
        return [each for each in found if not methods_and_paths or each in methods_and_paths]

    def stored(self, deployment_id: str) -> tuple[bool | None, str | None]:
        """Return change failure and linked id of a deployment."""
        found = self.api.model.get(deployment_id, self.now)
        assert found is not None
        return found.change_failure, found.remediation.id if found.remediation is not None else None
