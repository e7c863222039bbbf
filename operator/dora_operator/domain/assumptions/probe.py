"""What a probe is: a request to Datadog about one service and env, and a judge of its answer."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from http import HTTPStatus

from dora_operator.domain.outcome import Answer, NoAnswer
from dora_operator.domain.rollout.posted_events import DeploymentEvent
from dora_operator.domain.stored import Stored

NEWEST = "ID_OF_THE_NEWEST_DEPLOYMENT"
"""Stands for an id that only an answer shows, where nothing is sent."""
PERMISSIONS = {False: "dora_metrics_read", True: "dora_metrics_write"}
FIRST_FINISHED, SECOND_FINISHED = timedelta(minutes=20), timedelta(minutes=10)
DURATION = timedelta(minutes=1)


class Verdict(StrEnum):
    """What an answer says about an assumption."""

    CONFIRMED = "confirmed"
    CONTRADICTED = "contradicted"
    NOT_CLEAR = "not clear"


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
        finished = self.now - (FIRST_FINISHED if number == 1 else SECOND_FINISHED)
        name = f"probe-{self.now:%Y%m%d%H%M%S}-{number}"
        return DeploymentEvent(f"dora-operator-{name}", self.service, self.env, name, finished - DURATION, finished)


Seen = tuple[Verdict, str]
"""What an answer says, and what was seen in it."""


@dataclass(frozen=True, slots=True)
class Probe:
    """One assumption, and the request whose answer confirms or contradicts it."""

    name: str
    assumes: str
    request: Callable[[Scope], ProbeRequest]
    judge: Callable[[Answer, Scope], Seen]
    confirmed: str
    """What follows."""
    contradicted: str
    """What to change."""
    needs_deployment: bool = False
    """The request is about a deployment that the first list has shown."""
    writes: bool = False
    polled: bool = False
    """Repeated until it is confirmed, or the time is over: Datadog shows a change later."""

    def verdict(self, answer: Answer | NoAnswer, scope: Scope) -> Seen:
        """Return what an answer decides."""
        if isinstance(answer, NoAnswer):
            return Verdict.NOT_CLEAR, f"no answer: {answer.detail}"
        if answer.status in {HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN}:
            is_about_keys = self.name in {"read-permission", "write-permission"}
            seen = f"{answer.status}: the keys lack {PERMISSIONS[self.writes]}, or are not of this site"
            return Verdict.CONTRADICTED if is_about_keys else Verdict.NOT_CLEAR, seen
        if answer.status == HTTPStatus.TOO_MANY_REQUESTS or answer.status >= HTTPStatus.INTERNAL_SERVER_ERROR:
            return Verdict.NOT_CLEAR, f"{answer.status}: try again later"
        return self.judge(answer, scope)
