"""Bodies of requests, right but for the changes that a test wants, and the API asked without any connection."""

import json
from typing import Any

from sandbox.datadog.api import Api
from sandbox.datadog.exchange import Answer, Received
from sandbox.datadog.settings import Settings

PATCH_TYPE = "dora_deployment_patch_request"
LIST_TYPE = "dora_deployments_list_request"
BASE = "/api/v2/dora/"
KEYS = {"DD-API-KEY": "one", "DD-APPLICATION-KEY": "two"}
ABSENT = object()
NOW = 1_790_000_000.0


def send(method: str, path: str, body: Any) -> Answer:
    """Ask a fresh API; a body that is no text is sent as JSON."""
    text = body if isinstance(body, bytes) else json.dumps(body).encode()
    return Api(Settings()).handle(Received(method, BASE + path, KEYS, text), NOW)


def without_absent(values: dict[str, Any]) -> dict[str, Any]:
    """Return the members that are not marked as absent."""
    return {name: value for name, value in values.items() if value is not ABSENT}


def mark(attributes: Any, **changes: Any) -> Any:
    """Return the body of a PATCH by id, with changes to `data`."""
    return {"data": without_absent({"id": "abc", "type": PATCH_TYPE, "attributes": attributes} | changes)}


def version_mark(**changes: Any) -> Any:
    """Return the body of a PATCH by version, with changes to its attributes."""
    attributes = {"service": "checkout", "env": "prod", "version": "1", "change_failure": True} | changes
    return {"data": {"type": PATCH_TYPE, "attributes": without_absent(attributes)}}


def event(**changes: Any) -> Any:
    """Return the body of a POST, with changes to its attributes."""
    attributes = {"service": "checkout", "started_at": 1_790_000_000, "finished_at": 1_790_000_060} | changes
    return {"data": {"attributes": without_absent(attributes)}}


def listing(**attributes: Any) -> Any:
    """Return the body of a list request."""
    return {"data": {"type": LIST_TYPE, "attributes": attributes}}
