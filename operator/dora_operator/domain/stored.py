"""Deployments as Datadog returns them: what an answer to a list or a get has, and which of them a target means.

Source: Datadog API reference, "Get a list of deployment events" and "Get a deployment event".
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from http import HTTPStatus
from typing import Any, TypeGuard

from dora_operator.domain import raw
from dora_operator.domain.fields import is_deployment_id, is_tag
from dora_operator.domain.outcome import Answer, NoAnswer, first_words, parse_json, shorten
from dora_operator.domain.reasons import Reason

BEFORE_START = timedelta(minutes=10)
BEFORE_CREATION = timedelta(days=30)
"""Deployments are searched from this time before the revision, or the resource, was created."""


@dataclass(frozen=True, slots=True)
class StoredDeployment:
    """A deployment as Datadog returns it. Fields that are missing or mistyped are None."""

    id: str
    service: str | None = None
    env: str | None = None
    version: str | None = None
    started_at: datetime | None = None
    finished_at: datetime | None = None
    source: str | None = None
    has_mark: bool = False
    """Whether the answer has the field change_failure at all: absent is not false."""
    change_failure: bool | None = None
    """None: Datadog has not evaluated the deployment yet."""
    remediation_type: str | None = None
    remediation_id: str | None = None
    recovery_time_seconds: float | None = None

    @property
    def tags(self) -> tuple[str | None, str | None, str | None]:
        return self.service, self.env, self.version


@dataclass(frozen=True, slots=True)
class ReadProblem:
    """Nothing could be read."""

    reason: Reason
    message: str


REFUSED = ReadProblem(Reason.READ_FORBIDDEN, "Datadog does not let these keys read deployments")
NOT_READ = ReadProblem(Reason.DISABLED, "reading back is switched off")
MAX_SECONDS = 10**12
Stored = tuple[StoredDeployment, ...]
"""All deployments of a service and env in a window, or the one with an id. Empty: Datadog has none."""


def parse_answer(answer: Answer | NoAnswer) -> list[Mapping[str, Any]] | ReadProblem:
    """Return the deployments in an answer to a list or a get, or why there is none to read."""
    if isinstance(answer, NoAnswer):
        return ReadProblem(Reason.READ_UNAVAILABLE, f"Datadog could not be read: {answer.detail}")
    if answer.status == HTTPStatus.NOT_FOUND:
        return []
    if answer.status in {HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN}:
        message = (
            f"Datadog does not let these keys read deployments ({answer.status}): give the application key's owner, and"
            " its scopes, dora_metrics_read. Marks are not affected"
        )
        return ReadProblem(Reason.READ_FORBIDDEN, message)
    data = _data(answer)
    if answer.status != HTTPStatus.OK or data is None:
        words = first_words(answer.body) if answer.status != HTTPStatus.OK else "the answer has no deployments"
        return ReadProblem(Reason.READ_UNAVAILABLE, shorten(f"Datadog could not be read ({answer.status}): {words}"))
    return data


def parse_deployments(items: Iterable[Mapping[str, Any]]) -> Stored:
    """Read deployments. One without a usable id is left out."""
    return tuple(found for item in items if (found := _deployment(item)) is not None)


def _data(answer: Answer) -> list[Mapping[str, Any]] | None:
    document = parse_json(answer.body)
    data = document.get("data") if isinstance(document, dict) else None
    if isinstance(data, dict):
        return [data]
    return [item for item in data if isinstance(item, dict)] if isinstance(data, list) else None


def _deployment(item: Mapping[str, Any]) -> StoredDeployment | None:
    attributes = raw.mapping(item, "attributes")
    failure, recovery = attributes.get("change_failure"), attributes.get("recovery_time_sec")
    if not is_deployment_id(item.get("id")):
        return None
    tags = {name: value for name in ("service", "env", "version") if is_tag(value := attributes.get(name))}
    return StoredDeployment(
        id=item["id"],
        **tags,
        started_at=raw.moment(attributes, "started_at"),
        finished_at=raw.moment(attributes, "finished_at"),
        source=shorten(raw.text(attributes, "source")) or None,
        has_mark="change_failure" in attributes,
        change_failure=failure if isinstance(failure, bool) else None,
        remediation_type=raw.text(attributes, "remediation", "type") or None,
        remediation_id=raw.text(attributes, "remediation", "id") or None,
        recovery_time_seconds=float(recovery) if _is_seconds(recovery) else None,
    )


def _is_seconds(value: object) -> TypeGuard[int | float]:
    """Return whether a value is a usable number: JSON of others may hold NaN, Infinity, or 400 digits."""
    return isinstance(value, int | float) and not isinstance(value, bool) and abs(value) < MAX_SECONDS


def searched_from(created: datetime, started: datetime | None) -> datetime:
    """Return from when deployments are searched: shortly before the revision, else long before the resource."""
    return created - BEFORE_CREATION if started is None else started - BEFORE_START
