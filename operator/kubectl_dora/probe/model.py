"""What a probe is: a request to Datadog about one service and env, and a predicate of its answer."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from http import HTTPStatus

from dora_operator.domain.outcome import Answer, NoAnswer
from dora_operator.domain.posted_events import DeploymentEvent
from dora_operator.domain.stored import Stored

NEWEST = "ID_OF_THE_NEWEST_DEPLOYMENT"
"""Stands for an id that only an answer shows, where nothing is sent."""
FINISHED = {1: timedelta(minutes=20), 2: timedelta(minutes=10)}
"""How long ago the two deployments finished that the writing probes make."""
DURATION = timedelta(minutes=1)


class Result(StrEnum):
    """What an answer says about an assumption."""

    CONFIRMED = "confirmed"
    CONTRADICTED = "contradicted"
    NOT_CLEAR = "not clear"


Observed = tuple[Result, str]
"""What an answer says, and what was observed in it."""


@dataclass(frozen=True, slots=True)
class ProbeRequest:
    """One request to Datadog."""

    method: str
    path: str
    body: bytes = b""


@dataclass(frozen=True, slots=True)
class Scope:
    """The only service and env that probes are about, and what the first list has shown of them."""

    service: str
    env: str
    now: datetime
    known: Stored = ()

    @property
    def newest_id(self) -> str:
        """An id that Datadog has."""
        return self.known[0].id if self.known else NEWEST

    def event(self, number: int) -> DeploymentEvent:
        """Return one of the two deployments that the writing probes make and delete."""
        finished = self.now - FINISHED[number]
        name = f"probe-{self.now:%Y%m%d%H%M%S}-{number}"
        return DeploymentEvent(f"dora-operator-{name}", self.service, self.env, name, finished - DURATION, finished)


@dataclass(frozen=True, slots=True)
class Probe:
    """One assumption, and the request whose answer confirms or contradicts it."""

    name: str
    request: Callable[[Scope], ProbeRequest]
    predicate: Callable[[Answer, Scope], Observed]
    assumes: str
    otherwise: str
    """What to change where the answer contradicts the assumption."""
    needs_deployment: bool = False
    """The request is about a deployment that the first list has shown."""
    polled: bool = False
    """Repeated until it is confirmed, or the time is over: Datadog shows a change later."""

    def result(self, answer: Answer | NoAnswer, scope: Scope) -> Observed:
        """Return what an answer decides."""
        if isinstance(answer, NoAnswer):
            return Result.NOT_CLEAR, f"no answer: {answer.detail}"
        if answer.status in {HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN}:
            is_about_keys = self.name.endswith("-permission")
            observed = f"{answer.status}: the keys lack a permission of DORA Metrics, or are not of this site"
            return Result.CONTRADICTED if is_about_keys else Result.NOT_CLEAR, observed
        if answer.status == HTTPStatus.TOO_MANY_REQUESTS or answer.status >= HTTPStatus.INTERNAL_SERVER_ERROR:
            return Result.NOT_CLEAR, f"{answer.status}: try again later"
        return self.predicate(answer, scope)
