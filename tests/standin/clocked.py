"""The API at times of the test's choosing."""

import json
from typing import Any

from sandbox.datadog.api import Api
from sandbox.datadog.exchange import Received
from sandbox.datadog.settings import Settings

OWN_ID = "checkout-1.5.0-prod"
BASE = "/api/v2/dora/"
START = 1_800_000_000.0
"""Divisible by 60: the beginning of a window."""


class Datadog:
    """The API at a time of the test's choosing."""

    def __init__(self, **settings: Any) -> None:
        self.api = Api(Settings(**settings))

    def ask(
        self, after: float, method: str, path: str, document: Any = None, key: str = "one"
    ) -> tuple[int, Any, dict[str, str]]:
        """Ask so many seconds after the start; returns status, document and headers."""
        keys = {"DD-API-KEY": key, "DD-APPLICATION-KEY": "two"}
        got = self.api.handle(Received(method, BASE + path, keys, json.dumps(document).encode()), START + after)
        return got.status, json.loads(got.body) if got.body else None, dict(got.headers)

    def post(self, after: float, **more: Any) -> int:
        """Send the deployment."""
        attributes = {"id": OWN_ID, "service": "checkout", "env": "prod", "version": "1.5.0", **more}
        times = {"started_at": int(START) - 60, "finished_at": int(START)}
        return self.ask(after, "POST", "deployment", {"data": {"attributes": times | attributes}})[0]

    def patch(self, after: float, *, change_failure: bool = True, **more: Any) -> int:
        """Mark the deployment by its id."""
        attributes = {"change_failure": change_failure, **more}
        data = {"id": OWN_ID, "type": "dora_deployment_patch_request", "attributes": attributes}
        return self.ask(after, "PATCH", f"deployments/{OWN_ID}", {"data": data})[0]

    def patch_by_version(self, after: float) -> int:
        """Mark the deployment by its version."""
        named = {"service": "checkout", "env": "prod", "version": "1.5.0", "change_failure": True}
        data = {"type": "dora_deployment_patch_request", "attributes": named}
        return self.ask(after, "PATCH", "deployments", {"data": data})[0]

    def attributes(self, after: float) -> Any:
        """Return the attributes of the deployment, or nothing while it is not visible."""
        status, document, _ = self.ask(after, "GET", f"deployments/{OWN_ID}")
        return document["data"]["attributes"] if status == 200 else None

    def ask_list(self, after: float, **attributes: Any) -> tuple[int, Any]:
        """Ask for a list; returns status and document."""
        asked = {"data": {"type": "dora_deployments_list_request", "attributes": attributes}}
        return self.ask(after, "POST", "deployments", asked)[:2]

    def listed(self, after: float, **attributes: Any) -> list[str]:
        """Return the ids of all deployments, or of those that are asked for."""
        return [one["id"] for one in self.ask_list(after, **attributes)[1]["data"]]
