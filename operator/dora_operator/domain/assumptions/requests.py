"""The requests that probes send: built as the operator builds its own."""

from datetime import datetime
from urllib.parse import quote

from dora_operator.domain.assumptions.probe import ProbeRequest, Scope
from dora_operator.domain.fields import RemediationLink, RemediationType
from dora_operator.domain.request import (
    COLLECTION,
    DEPLOYMENT_PATH,
    PatchById,
    PatchByVersion,
    PatchRequest,
    encode,
    encode_event,
    encode_list,
)
from dora_operator.domain.resource import MarkState
from dora_operator.domain.stored import BEFORE_CREATION

PAGE = 1000


def list_deployments(scope: Scope, limit: int = PAGE, until: datetime | None = None) -> ProbeRequest:
    """List the deployments of the last 30 days."""
    since = scope.now - BEFORE_CREATION
    return ProbeRequest("POST", COLLECTION, encode_list(scope.service, scope.env, since, until or scope.now, limit))


def list_of_last_page(scope: Scope) -> ProbeRequest:
    """List as for the page after the last: until the start of the oldest known deployment."""
    started = [each.started_at for each in scope.known if each.started_at is not None]
    return list_deployments(scope, until=min(started, default=scope.now))


def get(deployment_id: str) -> ProbeRequest:
    """Get one deployment."""
    return ProbeRequest("GET", f"{COLLECTION}/{quote(deployment_id, safe='')}")


def _patch(request: PatchRequest) -> ProbeRequest:
    return ProbeRequest("PATCH", request.path, encode(request))


def post_event(scope: Scope, number: int) -> ProbeRequest:
    """Post one of the two deployment events."""
    return ProbeRequest("POST", DEPLOYMENT_PATH, encode_event(scope.event(number)))


def delete(scope: Scope, number: int) -> ProbeRequest:
    """Delete one of the two deployments."""
    return ProbeRequest("DELETE", f"{DEPLOYMENT_PATH}/{scope.event(number).deployment_id}")


def mark(scope: Scope, number: int, failure: bool, link: RemediationLink | None = None) -> ProbeRequest:  # noqa: FBT001
    """Mark one of the two deployments by its id."""
    state = MarkState(change_failure=failure, remediation=link)
    return _patch(PatchById(scope.event(number).deployment_id, state))


def link_by_version(scope: Scope) -> ProbeRequest:
    """Link the second deployment to the first, both by version."""
    link = RemediationLink(type=RemediationType.ROLLFORWARD, version=scope.event(2).version)
    state = MarkState(change_failure=True, remediation=link)
    return _patch(PatchByVersion(scope.service, scope.env, scope.event(1).version or "", state))


def link_to_earlier(scope: Scope) -> ProbeRequest:
    """Link a deployment that finished before the failed one."""
    link = RemediationLink(type=RemediationType.ROLLBACK, id=scope.event(1).deployment_id)
    return mark(scope, 2, True, link)


def mark_unknown_version(scope: Scope) -> ProbeRequest:
    """Mark a version that Datadog does not have."""
    version = f"{scope.event(1).version}-unknown"
    return _patch(PatchByVersion(scope.service, scope.env, version, MarkState(change_failure=False)))


def unknown_id(scope: Scope) -> str:
    """Return an id that Datadog does not have."""
    return f"{scope.event(1).deployment_id}-unknown"


def mark_unknown_id(scope: Scope) -> ProbeRequest:
    """Mark an id that Datadog does not have."""
    return _patch(PatchById(unknown_id(scope), MarkState(change_failure=False)))
