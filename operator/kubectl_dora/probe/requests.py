"""The requests that probes send: built as the operator builds its own."""

from collections.abc import Callable
from datetime import datetime
from urllib.parse import quote

from dora_operator.domain.fields import RemediationLink, RemediationType
from dora_operator.domain.request import (
    COLLECTION,
    DEPLOYMENT_PATH,
    PatchById,
    PatchByVersion,
    encode,
    encode_event,
    encode_list,
)
from dora_operator.domain.resource import MarkState
from dora_operator.domain.stored import BEFORE_CREATION
from kubectl_dora.probe.model import ProbeRequest, Scope

Request = Callable[[Scope], ProbeRequest]
PAGE = 1000


def list_deployments(scope: Scope, limit: int = PAGE, until: datetime | None = None) -> ProbeRequest:
    since = scope.now - BEFORE_CREATION
    return ProbeRequest("POST", COLLECTION, encode_list(scope.service, scope.env, since, until or scope.now, limit))


def list_of_last_page(scope: Scope) -> ProbeRequest:
    """List as for the page after the last: until the start of the oldest known deployment."""
    started = [each.started_at for each in scope.known if each.started_at is not None]
    return list_deployments(scope, until=min(started, default=scope.now))


def get_newest(scope: Scope) -> ProbeRequest:
    return _get(scope.newest_id)


def get_unknown(scope: Scope) -> ProbeRequest:
    return _get(_unknown_id(scope))


def post(number: int) -> Request:
    return lambda scope: ProbeRequest("POST", DEPLOYMENT_PATH, encode_event(scope.event(number)))


def delete(number: int) -> Request:
    return lambda scope: ProbeRequest("DELETE", f"{DEPLOYMENT_PATH}/{scope.event(number).deployment_id}")


def mark_second(failure: bool) -> Request:  # noqa: FBT001
    return lambda scope: _patch(scope.event(2).deployment_id, MarkState(change_failure=failure))


def link_by_version(scope: Scope) -> ProbeRequest:
    """Link the second deployment to the first, both by version."""
    link = RemediationLink(type=RemediationType.ROLLFORWARD, version=scope.event(2).version)
    return _patch_version(scope, scope.event(1).version or "", MarkState(change_failure=True, remediation=link))


def link_to_earlier(scope: Scope) -> ProbeRequest:
    """Link a deployment that finished before the failed one."""
    link = RemediationLink(type=RemediationType.ROLLBACK, id=scope.event(1).deployment_id)
    return _patch(scope.event(2).deployment_id, MarkState(change_failure=True, remediation=link))


def mark_unknown_version(scope: Scope) -> ProbeRequest:
    return _patch_version(scope, f"{scope.event(1).version}-unknown", MarkState(change_failure=False))


def mark_unknown_id(scope: Scope) -> ProbeRequest:
    return _patch(_unknown_id(scope), MarkState(change_failure=False))


def _unknown_id(scope: Scope) -> str:
    return f"{scope.event(1).deployment_id}-unknown"


def _get(deployment_id: str) -> ProbeRequest:
    return ProbeRequest("GET", f"{COLLECTION}/{quote(deployment_id, safe='')}")


def _patch(deployment_id: str, state: MarkState) -> ProbeRequest:
    request = PatchById(deployment_id, state)
    return ProbeRequest("PATCH", request.path, encode(request))


def _patch_version(scope: Scope, version: str, state: MarkState) -> ProbeRequest:
    request = PatchByVersion(scope.service, scope.env, version, state)
    return ProbeRequest("PATCH", request.path, encode(request))
