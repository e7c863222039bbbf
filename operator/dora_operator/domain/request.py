"""The requests of Datadog's DORA API as values: path and body.

Source: Datadog API reference, "Mark a deployment as failed by ID" and "… by version".
"""

import json
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import quote

from dora_operator.domain.fields import to_api
from dora_operator.domain.posted_events import CUSTOM_TAGS, DeploymentEvent
from dora_operator.domain.resource import MarkState

REQUEST_TYPE = "dora_deployment_patch_request"
LIST_TYPE = "dora_deployments_list_request"
COLLECTION = "/api/v2/dora/deployments"
DEPLOYMENT_PATH = "/api/v2/dora/deployment"
"""Singular: where deployment events are sent."""


@dataclass(frozen=True, slots=True)
class PatchById:
    """Mark the deployment that has this id."""

    deployment_id: str
    state: MarkState

    @property
    def path(self) -> str:
        """Path with the id percent-encoded, so that no id can leave its segment."""
        return f"{COLLECTION}/{quote(self.deployment_id, safe='')}"

    def document(self) -> dict[str, Any]:
        """Return the JSON document; absent fields are absent, never null."""
        return {"data": {"id": self.deployment_id, "type": REQUEST_TYPE, "attributes": _attributes(self.state)}}


@dataclass(frozen=True, slots=True)
class PatchByVersion:
    """Mark the most recently finished deployment of this service, env and version."""

    service: str
    env: str
    version: str
    state: MarkState

    @property
    def path(self) -> str:
        return COLLECTION

    def document(self) -> dict[str, Any]:
        named = {"service": self.service, "env": self.env, "version": self.version}
        return {"data": {"type": REQUEST_TYPE, "attributes": named | _attributes(self.state)}}


PatchRequest = PatchById | PatchByVersion


def encode(request: PatchRequest) -> bytes:
    """Return the body as it is sent: JSON in ASCII, keys sorted, no spaces."""
    return json.dumps(request.document(), sort_keys=True, separators=(",", ":")).encode()


def encode_event(event: DeploymentEvent) -> bytes:
    """Return the body of a deployment event; times in nanoseconds, absent fields absent."""
    attributes: dict[str, Any] = {
        "id": event.deployment_id,
        "service": event.service,
        "started_at": _nanoseconds(event.started_at),
        "finished_at": _nanoseconds(event.finished_at),
    }
    attributes |= {name: value for name, value in (("env", event.env), ("version", event.version)) if value}
    attributes["custom_tags"] = [*CUSTOM_TAGS]
    return json.dumps({"data": {"attributes": attributes}}, sort_keys=True, separators=(",", ":")).encode()


def encode_list(service: str, env: str, since: datetime, until: datetime, limit: int) -> bytes:
    """Return the body of a list of the deployments of a service and env, the newest first.

    Times have a Z and no fractions: Datadog refuses others. The version is compared by the caller, because the query
    language would have to escape it.
    """
    query = f"service:{_quoted(service)} env:{_quoted(env)}"
    times = {"from": _rfc3339(since), "to": _rfc3339(until + timedelta(seconds=1))}
    attributes = times | {"limit": limit, "query": query, "sort": "-started_at"}
    document = {"data": {"type": LIST_TYPE, "attributes": attributes}}
    return json.dumps(document, sort_keys=True, separators=(",", ":")).encode()


def _quoted(value: str) -> str:
    return '"' + value.replace("\\", "\\\\").replace('"', '\\"') + '"'


def _rfc3339(moment: datetime) -> str:
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _nanoseconds(moment: datetime) -> int:
    return round(moment.timestamp() * 1_000_000) * 1000


def _attributes(state: MarkState) -> dict[str, Any]:
    attributes: dict[str, Any] = {}
    if state.change_failure is not None:
        attributes["change_failure"] = state.change_failure
    if state.remediation is not None:
        # An id that was read back says more than the version.
        link = replace(state.remediation, version=None) if state.remediation.id else state.remediation
        attributes["remediation"] = to_api(link)
    return attributes
